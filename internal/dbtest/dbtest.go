// Package dbtest gives every test its own databases. The test binaries of one `go test` run share a private
// PostgreSQL cluster without durability, in memory if there is enough space. Each test gets copies of a template
// that is built once. The caller does not have to start, stop or drop anything:
//
//	pair := dbtest.New(t, schemaTemplate)
//
// The first use in a process starts or joins the cluster. A watcher removes the cluster when the last process has
// ended, even if it was killed. Without a server tests fail; they are never skipped.
package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// dropLimit limits the removal of a pair.
const dropLimit = 30 * time.Second

// Template defines a pair of databases of which tests get copies.
type Template struct {
	Name string // name in messages
	// Key must change whenever the result of Build does, such as a hash of the migrations. Processes of one run, and
	// all runs on a given server, share the result built for a Name and Key.
	Key string
	// Build fills two empty databases and closes its connections. With a nil Build they stay empty.
	Build func(ctx context.Context, managerDSN, tenantDSN string) error
	// Encoding is the encoding of the databases, with locale C; "" means the server's default.
	Encoding string
}

// Pair has the connection strings of two private databases.
type Pair struct {
	Manager string
	Tenants string
	drop    func()
}

// Drop removes the pair. The private cluster is in memory, which a run over all generations would fill.
func (p Pair) Drop() {
	if p.drop != nil {
		p.drop()
	}
}

// New returns a fresh pair of databases, copied from t, for the duration of the test. On failure, the test ends.
func New(tb testing.TB, t Template) Pair {
	tb.Helper()
	pair, err := Create(tb.Context(), t)
	if err != nil {
		tb.Fatalf("dbtest: %v", err)
	}
	tb.Cleanup(pair.Drop)
	return pair
}

// Create is New for callers without a testing.TB, such as testscript's Setup. The caller reports the error and defers
// Drop.
func Create(ctx context.Context, t Template) (Pair, error) {
	s, err := join()
	if err != nil {
		return Pair{}, err
	}
	return s.create(ctx, t)
}

func (s *server) create(ctx context.Context, t Template) (Pair, error) {
	source, err := s.template(ctx, t)
	if err != nil {
		return Pair{}, fmt.Errorf("template %s: %w", t.Name, err)
	}
	copied := names{"test_" + strings.ToLower(rand.Text()[:16])}
	if err := s.copy(ctx, source.manager(), copied.manager()); err != nil {
		return Pair{}, err
	}
	if err := s.copy(ctx, source.tenants(), copied.tenants()); err != nil {
		return Pair{}, err
	}
	pair := Pair{Manager: s.DSN(copied.manager()), Tenants: s.DSN(copied.tenants())}
	pair.drop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
		defer cancel()
		for _, name := range []string{copied.manager(), copied.tenants()} {
			// A leftover database does not affect other tests.
			_, _ = s.pool.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
	}
	return pair, nil
}

// names are the database names of a pair.
type names struct{ stem string }

func (n names) manager() string { return n.stem + "_mgmt" }
func (n names) tenants() string { return n.stem + "_tnnt" }

// copy creates a database by copying the files of a template. It takes a third of the time of logging every page,
// which is only needed for durability, and is what PostgreSQL 14 and older do.
func (s *server) copy(ctx context.Context, from, to string) error {
	sql := "CREATE DATABASE " + to + " TEMPLATE " + from
	if s.version >= 150000 {
		sql += " STRATEGY FILE_COPY"
	}
	_, err := s.pool.Exec(ctx, sql)
	if err != nil {
		return fmt.Errorf("copying database %s: %w", from, err)
	}
	return nil
}

// template returns t's databases, built by the first process that needs them.
func (s *server) template(ctx context.Context, t Template) (names, error) {
	sum := sha256.Sum256([]byte(t.Name + "\x00" + t.Key + "\x00" + t.Encoding))
	n := names{"tmpl_" + hex.EncodeToString(sum[:8])}
	// This test may end early, but others still need the template.
	ctx = context.WithoutCancel(ctx)
	s.mu.Lock()
	build, ok := s.built[n]
	if !ok {
		build = sync.OnceValue(func() error { return s.build(ctx, n, int64(binary.BigEndian.Uint64(sum[:8])), t) })
		s.built[n] = build
	}
	s.mu.Unlock()
	return n, build()
}

// build creates t's databases unless another process has. IS_TEMPLATE marks finished ones; unfinished ones of a killed
// build are created again.
func (s *server) build(ctx context.Context, n names, lock int64, t Template) (err error) {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }() // also releases the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
		return err
	}
	encoding := ""
	if t.Encoding != "" {
		encoding = " LOCALE 'C' ENCODING '" + t.Encoding + "'"
	}
	pair := []string{n.manager(), n.tenants()}
	var finished int
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_database WHERE datname = ANY($1) AND datistemplate", pair).Scan(&finished)
	if err != nil || finished == len(pair) {
		return err
	}
	for _, name := range pair {
		for _, sql := range []string{
			// The first statement fails without a database, and is needed if only one of the two was finished.
			"ALTER DATABASE " + name + " IS_TEMPLATE false",
			"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)",
			"CREATE DATABASE " + name + " TEMPLATE template0" + encoding,
		} {
			if _, err := conn.Exec(ctx, sql); err != nil && !strings.HasPrefix(sql, "ALTER") {
				return err
			}
		}
	}
	if t.Build != nil {
		if err := t.Build(ctx, s.DSN(n.manager()), s.DSN(n.tenants())); err != nil {
			return err
		}
	}
	for _, name := range pair {
		// Disallow connections by mistaken tests.
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
	}
	return nil
}

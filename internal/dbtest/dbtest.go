// Package dbtest gives every test its own databases. The test binaries of one `go test` run share one
// private PostgreSQL cluster without durability, in memory where there is room; each test gets copies
// of a template that is built once. Nothing has to be started, dropped or stopped by the caller:
//
//	pair := dbtest.New(t, schemaTemplate)
//
// The first use in a process starts or joins the cluster, and a watcher removes it when the last
// process has ended, however it ended. CXGCTL_TEST_DATABASE_URL names a server to use instead, by an
// account that may create databases. Without a server tests fail; they are never skipped.
package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// urlVariable names the environment variable with the server to use instead of a private one.
const urlVariable = "CXGCTL_TEST_DATABASE_URL"

// dropLimit bounds the removal of a pair.
const dropLimit = 30 * time.Second

// Template says how a pair of databases is made that tests then get copies of.
type Template struct {
	Name string // tells templates apart in messages
	// Key changes whenever what Build makes would: a hash of the migrations, say. Processes of one run,
	// and on a given server all runs, share what was built under one Name and Key.
	Key string
	// Build fills two empty databases and closes its connections. A nil Build leaves them empty.
	Build func(ctx context.Context, managerDSN, tenantDSN string) error
	// Encoding is the databases' encoding, with locale C; "" for the server's own.
	Encoding string
}

// Pair has the connection strings of two databases that nobody else uses.
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

// New returns a fresh pair of databases, copies of t's, for the life of the test. It ends the test
// where there is none to be had.
func New(tb testing.TB, t Template) Pair {
	tb.Helper()
	pair, err := Create(tb.Context(), t)
	if err != nil {
		tb.Fatalf("dbtest: %v", err)
	}
	tb.Cleanup(pair.Drop)
	return pair
}

// Create is New for where there is no testing.TB, such as testscript's Setup: the caller reports the
// error, and defers Drop.
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
	pair := Pair{Manager: s.dsn(copied.manager()), Tenants: s.dsn(copied.tenants())}
	pair.drop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
		defer cancel()
		for _, name := range []string{copied.manager(), copied.tenants()} {
			// A database that stays makes no test wrong.
			_, _ = s.pool.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
	}
	return pair, nil
}

// AdminDSN returns the connection string of the server's maintenance database, as the account that
// made everything else: for tests of missing or broken databases. It ends the test where there is no server.
func AdminDSN(tb testing.TB) string {
	tb.Helper()
	s, err := join()
	if err != nil {
		tb.Fatalf("dbtest: %v", err)
	}
	return s.admin
}

// names are those of a pair.
type names struct{ stem string }

func (n names) manager() string { return n.stem + "_mgmt" }
func (n names) tenants() string { return n.stem + "_tnnt" }

// dsn returns the connection string of another database on the same server.
func (s *server) dsn(database string) string {
	if !strings.Contains(s.admin, "://") {
		return s.admin + " dbname=" + database // of two, the later one counts
	}
	u, err := url.Parse(s.admin)
	if err != nil {
		return s.admin // it was connected with, so this does not happen
	}
	u.Path = "/" + database
	return u.String()
}

// copy makes a database from a template by copying its files: a third of the time that logging every
// page would take, which matters to nobody here.
func (s *server) copy(ctx context.Context, from, to string) error {
	_, err := s.pool.Exec(ctx, "CREATE DATABASE "+to+" TEMPLATE "+from+" STRATEGY FILE_COPY")
	if err != nil {
		return fmt.Errorf("copying database %s: %w", from, err)
	}
	return nil
}

// template returns t's databases, built by whichever process comes first.
func (s *server) template(ctx context.Context, t Template) (names, error) {
	sum := sha256.Sum256([]byte(t.Name + "\x00" + t.Key + "\x00" + t.Encoding))
	n := names{"tmpl_" + hex.EncodeToString(sum[:8])}
	// The test that happens to come first may end early; the others still want the template.
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

// build makes t's databases unless another process did. Being a template, in PostgreSQL's sense, is
// the mark of a finished one: what a killed build left is made anew.
func (s *server) build(ctx context.Context, n names, lock int64, t Template) (err error) {
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }() // and the lock with it
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
			// The first fails where there is none, and is needed where only one of the two was finished.
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
		if err := t.Build(ctx, s.dsn(n.manager()), s.dsn(n.tenants())); err != nil {
			return err
		}
	}
	for _, name := range pair {
		// Nobody may connect: neither a test by mistake nor the autovacuum of a given server, which
		// would hold up every copy.
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
	}
	return nil
}

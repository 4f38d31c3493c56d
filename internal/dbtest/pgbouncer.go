package dbtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a pooler in transaction mode in front of the tests' server.
type PgBouncer struct {
	dir    string
	user   string
	listen int
}

// bouncerConfig alternates transactions between two server processes, so that session state is lost, or seen by
// another client, in the next transaction.
const bouncerConfig = `[databases]
* = host=%s port=%d
[pgbouncer]
unix_socket_dir = %s
listen_addr =
listen_port = %d
auth_type = trust
auth_file = %s
pool_mode = transaction
server_round_robin = 1
min_pool_size = 2
default_pool_size = 8
max_client_conn = 1000
query_wait_timeout = 60
%s
`

// NewPgBouncer starts PgBouncer for the duration of the test, with additional lines of configuration. Without
// PgBouncer the test fails; .ci/test-packages installs it.
func NewPgBouncer(tb testing.TB, settings ...string) *PgBouncer {
	tb.Helper()
	program, err := findBouncer()
	if err != nil {
		tb.Fatalf("dbtest: %v; .ci/test-packages installs it", err)
	}
	b, err := startBouncer(tb, program, settings)
	if err != nil {
		tb.Fatalf("dbtest: PgBouncer: %v", err)
	}
	return b
}

// findBouncer searches PATH and Debian's directory, which may not be on PATH.
func findBouncer() (string, error) {
	path, err := exec.LookPath("pgbouncer")
	if err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/pgbouncer")
}

func startBouncer(tb testing.TB, program string, settings []string) (*PgBouncer, error) {
	s, err := join()
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(s.DSN("postgres"))
	if err != nil {
		return nil, errors.New("the server's connection string cannot be parsed")
	}
	dir, err := os.MkdirTemp("/tmp", "cxgbouncer") // short enough for a socket path
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{dir: dir, user: cfg.User, listen: 6432}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	account, err := ownerOf(cfg.Host) // of the socket
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"users": fmt.Sprintf("\"%s\" \"%s\"\n", cfg.User, strings.ReplaceAll(cfg.Password, `"`, `""`)),
		"ini":   fmt.Sprintf(bouncerConfig, cfg.Host, cfg.Port, dir, b.listen, filepath.Join(dir, "users"), strings.Join(settings, "\n")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "users"), filepath.Join(dir, "ini")} {
		if account != nil {
			if err := os.Chown(path, int(account.Uid), int(account.Gid)); err != nil {
				return nil, err
			}
		}
	}
	return b, b.run(tb, program, account)
}

// ownerOf returns the owner of a directory if we are root, or nil.
func ownerOf(folder string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("%s has no owner", folder)
	}
	return &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}, nil
}

// run starts the program and waits until it accepts connections.
func (b *PgBouncer) run(tb testing.TB, program string, account *syscall.Credential) error {
	d, err := startDaemon(tb, account, program, filepath.Join(b.dir, "ini"))
	if err != nil {
		return err
	}
	return d.answers(b.dsn("postgres"))
}

// Through returns the connection strings of the pair through the pooler.
func (b *PgBouncer) Through(p Pair) (Pair, error) {
	for _, dsn := range []*string{&p.Manager, &p.Tenants} {
		cfg, err := pgx.ParseConfig(*dsn)
		if err != nil {
			return p, err
		}
		*dsn = b.dsn(cfg.Database)
	}
	return p, nil
}

func (b *PgBouncer) dsn(database string) string {
	q := url.Values{"host": {b.dir}, "port": {strconv.Itoa(b.listen)}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User(b.user), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

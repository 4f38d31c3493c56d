package dbtest

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Replicated is a test's own primary with a hot standby, a copy of the stopped primary, since not every
// package has pg_basebackup. Commits wait for the standby, so
// that a failover does not lose confirmed commits.
type Replicated struct {
	primary *daemon
	dirs    [2]string // of the sockets
}

// NewReplicated starts both servers for the duration of the test, with t's databases mgmt and tnnt.
func NewReplicated(tb testing.TB, t Template) *Replicated {
	tb.Helper()
	r, err := startReplicated(tb, t)
	if err != nil {
		tb.Fatalf("dbtest: creating a primary with a standby: %v", err)
	}
	return r
}

func startReplicated(tb testing.TB, t Template) (*Replicated, error) {
	c, err := newCluster(tb, t)
	if err != nil {
		return nil, err
	}
	standby := filepath.Join(c.root, "s")
	data := [2]string{c.data(), filepath.Join(standby, "data")}
	r := &Replicated{dirs: [2]string{c.sockets(), standby}}
	follow := fmt.Sprintf("mkdir %[6]s && chown --reference=%[1]s %[6]s && cp -a %[1]s %[2]s && touch %[2]s/standby.signal && "+
		"echo \"primary_conninfo = 'host=%[3]s port=%[4]s user=%[5]s'\" >>%[2]s/postgresql.auto.conf",
		data[0], data[1], r.dirs[0], clusterPort, clusterUser, standby)
	if said, err := exec.CommandContext(tb.Context(), "sh", "-c", follow).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copying the data: %w: %s", err, said)
	}
	if r.primary, err = c.serve(tb, data[0], r.dirs[0]); err != nil {
		return nil, err
	}
	if _, err = c.serve(tb, data[1], r.dirs[1]); err != nil {
		return nil, err
	}
	return r, r.synchronise(tb.Context())
}

// synchronise makes commits on the primary wait until the standby has applied them.
func (r *Replicated) synchronise(ctx context.Context) error {
	return r.on(ctx, 0, "ALTER SYSTEM SET synchronous_standby_names = '*'", "ALTER SYSTEM SET synchronous_commit = 'remote_apply'",
		"SELECT pg_reload_conf()")
}

func (r *Replicated) on(ctx context.Context, i int, statements ...string) error {
	conn, err := pgx.Connect(ctx, r.dsn("postgres", i))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// Primary returns the databases on the original primary.
func (r *Replicated) Primary() Pair {
	return Pair{Manager: r.dsn("mgmt", 0), Tenants: r.dsn("tnnt", 0)}
}

// Standby returns the databases on the original standby.
func (r *Replicated) Standby() Pair {
	return Pair{Manager: r.dsn("mgmt", 1), Tenants: r.dsn("tnnt", 1)}
}

// Both returns the databases with both servers in the connection string, the standby first.
func (r *Replicated) Both() Pair {
	return Pair{Manager: r.dsn("mgmt", 1, 0), Tenants: r.dsn("tnnt", 1, 0)}
}

func (r *Replicated) dsn(database string, servers ...int) string {
	var dirs []string
	for _, i := range servers {
		dirs = append(dirs, r.dirs[i])
	}
	return clusterDSN(database, dirs...)
}

// Pause stops replay on the standby and lets the primary commit without it, until Resume.
func (r *Replicated) Pause(ctx context.Context) error {
	if err := r.on(ctx, 0, "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return r.on(ctx, 1, "SELECT pg_wal_replay_pause()")
}

// Resume resumes replay on the standby.
func (r *Replicated) Resume(ctx context.Context) error {
	return r.on(ctx, 1, "SELECT pg_wal_replay_resume()")
}

// Fail kills the primary.
func (r *Replicated) Fail() { r.primary.stop(syscall.SIGQUIT) }

// Promote promotes the standby to a primary.
func (r *Replicated) Promote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return r.on(ctx, 1, "SELECT pg_promote(true, 60)")
}

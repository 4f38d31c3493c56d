package dbtest

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cxgctl/cxgctl/internal/devdb"
)

// The superuser of a test's own cluster, and the port in the names of its sockets.
const (
	clusterUser = "cxgctl"
	clusterPort = "5432"
)

// cluster is a test's own cluster, whose servers it may kill. None of them is running at first.
type cluster struct {
	root, bin string
	account   *syscall.Credential // that runs the servers; nil means our own
	settings  []string            // of its servers, each NAME=value
	env       []string            // of its servers, besides ours
}

// newCluster creates a cluster with t's databases mgmt and tnnt. It skips the test in a short run.
func newCluster(tb testing.TB, t Template) (*cluster, error) {
	if testing.Short() {
		tb.Skip("needs a server of its own, which takes seconds; other faults of the same commands are tried")
	}
	root, err := os.MkdirTemp("/tmp", "cxgown") // short enough for socket paths
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { _ = os.RemoveAll(root) }) // runs after the servers have ended
	if err := os.Chmod(root, 0o755); err != nil {
		return nil, err
	}
	// devdb creates the cluster; its servers are then started here.
	o := devdb.Options{Dir: filepath.Join(root, "p"), Settings: map[string]string{"fsync": "off"}}
	made, err := devdb.Up(tb.Context(), o)
	if err != nil {
		return nil, err
	}
	if t.Build != nil {
		err = t.Build(tb.Context(), made.DSN("mgmt"), made.DSN("tnnt"))
	}
	if err := errors.Join(err, devdb.Down(tb.Context(), o)); err != nil {
		return nil, err
	}
	c := &cluster{root: root, bin: made.BinDir}
	c.account, err = ownerOf(c.data())
	return c, err
}

func (c *cluster) data() string    { return filepath.Join(c.root, "p", "data") }
func (c *cluster) sockets() string { return filepath.Join(c.root, "p", "run") }

// serve starts a server on a data directory, with its socket in another directory.
func (c *cluster) serve(tb testing.TB, data, sockets string) (*daemon, error) {
	args := []string{
		"-D", data, "-c", "fsync=off", "-c", "unix_socket_directories=" + sockets, "-c", "listen_addresses=", "-c", "port=" + clusterPort,
		"-c", "hot_standby_feedback=on",
	}
	for _, s := range c.settings {
		args = append(args, "-c", s)
	}
	args = slices.Concat(c.env, []string{filepath.Join(c.bin, "postgres")}, args)
	d, err := startDaemon(tb, c.account, "env", args...)
	if err != nil {
		return nil, err
	}
	return d, d.answers(clusterDSN("postgres", sockets))
}

// clusterDSN returns the connection string of a database on the servers with these socket directories.
func clusterDSN(database string, sockets ...string) string {
	ports := strings.Repeat(clusterPort+",", len(sockets)-1) + clusterPort
	q := url.Values{"host": {strings.Join(sockets, ",")}, "port": {ports}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User(clusterUser), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// Restartable is a test's own server, which it may stop at any time. Its methods must be called from the test's
// goroutine.
type Restartable struct {
	cluster *cluster
	daemon  *daemon
}

// NewRestartable starts a server for the duration of the test, with t's databases and settings, each NAME=value.
func NewRestartable(tb testing.TB, t Template, settings ...string) *Restartable {
	tb.Helper()
	c, err := newCluster(tb, t)
	if err != nil {
		tb.Fatalf("dbtest: creating a server: %v", err)
	}
	c.settings = settings
	m := &Restartable{cluster: c}
	m.Start(tb)
	return m
}

// Pair returns the server's databases.
func (m *Restartable) Pair() Pair {
	return Pair{Manager: clusterDSN("mgmt", m.cluster.sockets()), Tenants: clusterDSN("tnnt", m.cluster.sockets())}
}

// Stop ends the server like a crash.
func (m *Restartable) Stop() { m.daemon.stop(syscall.SIGQUIT) }

// Ended is closed when the server has ended, of itself too.
func (m *Restartable) Ended() <-chan struct{} { return m.daemon.ended }

// Start starts the server again and waits until it accepts connections.
func (m *Restartable) Start(tb testing.TB) {
	tb.Helper()
	var err error
	if m.daemon, err = m.cluster.serve(tb, m.cluster.data(), m.cluster.sockets()); err != nil {
		tb.Fatalf("dbtest: starting a server: %v", err)
	}
}

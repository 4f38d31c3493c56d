package dbtest

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cxgctl/cxgctl/internal/devdb"
)

// The role that owns everything in a test's own cluster, and the port that names its servers' sockets.
const (
	clusterUser = "cxgctl"
	clusterPort = "5432"
)

// cluster is a test's own, to be killed as it likes. None of its servers is running at first.
type cluster struct {
	root, bin string
	account   *syscall.Credential // that runs its servers, nil for our own
}

// newCluster makes one with t's databases: mgmt and tnnt.
func newCluster(tb testing.TB, t Template) (*cluster, error) {
	root, err := os.MkdirTemp("/tmp", "cxgown") // short enough for sockets
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { _ = os.RemoveAll(root) }) // after the servers' end
	if err := os.Chmod(root, 0o755); err != nil {
		return nil, err
	}
	// The dev database's launcher makes the cluster; its servers are then ours to kill.
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

// serve starts a server on a folder of data, which listens in another folder.
func (c *cluster) serve(tb testing.TB, data, sockets string) (*daemon, error) {
	d, err := startDaemon(tb, c.account, filepath.Join(c.bin, "postgres"), "-D", data, "-c", "fsync=off",
		"-c", "unix_socket_directories="+sockets, "-c", "listen_addresses=", "-c", "port="+clusterPort, "-c", "hot_standby_feedback=on")
	if err != nil {
		return nil, err
	}
	return d, d.answers(clusterDSN("postgres", sockets))
}

// clusterDSN is the connection string of a database on the servers that listen in these folders.
func clusterDSN(database string, sockets ...string) string {
	ports := strings.Repeat(clusterPort+",", len(sockets)-1) + clusterPort
	q := url.Values{"host": {strings.Join(sockets, ",")}, "port": {ports}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User(clusterUser), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// Mortal is a server of a test's own, which it may stop in the middle of anything. Its methods belong to the test's
// goroutine.
type Restartable struct {
	cluster *cluster
	daemon  *daemon
}

// NewMortal starts one for the life of the test, with t's databases.
func NewMortal(tb testing.TB, t Template) *Restartable {
	tb.Helper()
	c, err := newCluster(tb, t)
	if err != nil {
		tb.Fatalf("dbtest: a server of the test's own: %v", err)
	}
	m := &Restartable{cluster: c}
	m.Start(tb)
	return m
}

// Pair returns its databases.
func (m *Restartable) Pair() Pair {
	return Pair{Manager: clusterDSN("mgmt", m.cluster.sockets()), Tenants: clusterDSN("tnnt", m.cluster.sockets())}
}

// Stop ends the server as a crash would.
func (m *Restartable) Stop() { m.daemon.stop(syscall.SIGQUIT) }

// Start brings it back, and returns when it answers.
func (m *Restartable) Start(tb testing.TB) {
	tb.Helper()
	var err error
	if m.daemon, err = m.cluster.serve(tb, m.cluster.data(), m.cluster.sockets()); err != nil {
		tb.Fatalf("dbtest: starting a server: %v", err)
	}
}

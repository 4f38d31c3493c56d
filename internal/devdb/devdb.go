// Package devdb runs cxgctl's own PostgreSQL: it finds the server's binaries, makes a cluster in one
// directory, starts it, stops it and removes it. It works as root and as an ordinary user, from many
// processes at once, and after any of them was killed.
package devdb

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// superuser is the role that initdb makes; the socket's folder admits nobody else, so it needs no password.
const superuser = "cxgctl"

// defaultPort names the socket file while the server listens on no TCP port.
const defaultPort = 5432

// databases are what Up makes: the manager's and the tenants'.
var databases = []string{"mgmt", "tnnt"}

// Options say which dev database is meant and how it is started. The zero value is the user's own.
type Options struct {
	Dir    string // what holds everything that Up makes; "" means DefaultDir
	BinDir string // where initdb and postgres are; "" means to search for them
	// Port also opens 127.0.0.1:Port, with a random password (SCRAM). 0 means the port of an earlier Up
	// that no Down has followed, so that a start on demand does not lose it; without one the unix socket only.
	Port     int
	Getenv   func(string) string // nil means os.Getenv
	Settings map[string]string   // postgresql.conf settings for a server that this call starts, such as fsync=off for tests
}

func (o Options) getenv(name string) string {
	if o.Getenv != nil {
		return o.Getenv(name)
	}
	return os.Getenv(name)
}

// Status describes a dev database. Where none was made, only Dir is set.
type Status struct {
	Dir          string
	SocketDir    string // empty unless Running
	BinDir       string
	Version      string // as the server names it: "15.18"
	Running      bool
	PID          int
	StartedAt    time.Time
	Port         int      // the TCP port on 127.0.0.1, or 0
	Databases    []string // those of mgmt and tnnt that exist
	LogFile      string
	PasswordFile string // holds the password for Port, mode 0600; empty without a Port
}

// DSN returns the URL of a database over the unix socket, as the superuser.
func (s Status) DSN(database string) string {
	port := s.Port
	if port == 0 {
		port = defaultPort
	}
	// The port stands in the URL because PGPORT would be taken otherwise.
	query := url.Values{"host": {s.SocketDir}, "port": {strconv.Itoa(port)}}
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: query.Encode()}
	return u.String()
}

// TCPDSN returns the URL of a database over TCP without its password, which PasswordFile holds.
// Without a Port it returns "".
func (s Status) TCPDSN(database string) string {
	if s.Port == 0 {
		return ""
	}
	host := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Host: host, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Exists says whether a dev database was made before; it may be stopped.
func Exists(o Options) bool {
	st, err := loadState(o.dir())
	return err == nil && len(st.Databases) > 0
}

// Ensure is Up for the start of every command: where the server's files say that it runs and is
// complete, it costs three small reads and no connection. Otherwise it is Up.
func Ensure(ctx context.Context, o Options) (Status, error) {
	c := cluster{Options: o, dir: resolve(o.dir())}
	st, err := loadState(c.dir)
	if err == nil && len(st.Databases) == len(databases) {
		if p, ok := c.running(); ok && p.ready && (o.Port == 0 || o.Port == p.tcpPort()) {
			return c.status(st, p), nil
		}
	}
	return Up(ctx, o)
}

// Up makes the dev database where there is none, starts it where it does not run, and makes the
// databases that are missing. A running server is restarted only for another Port. Its faults are
// DATABASE_ERROR, BUSY where another call held the lock until the deadline, and USAGE_ERROR for a bad
// port; a cancelled ctx returns its cause and leaves what the next call can go on from.
func Up(ctx context.Context, o Options) (Status, error) {
	if o.Port < 0 || o.Port > 65535 {
		return Status{}, fault.New(fault.Usage, "port %d is not between 1 and 65535", o.Port)
	}
	acct, err := serverAccount()
	if err != nil {
		return Status{}, err
	}
	c := cluster{Options: o, dir: resolve(o.dir()), account: acct}
	unlock, err := c.claim(ctx)
	if err != nil {
		return Status{}, err
	}
	defer unlock()

	st, err := loadState(c.dir)
	if err != nil {
		return Status{}, err
	}
	p, running := c.running()
	if running && o.Port != 0 && o.Port != p.tcpPort() {
		if err := c.stop(ctx, p, syscall.SIGINT); err != nil {
			return Status{}, err
		}
		running = false
	}
	if !running {
		major, err := c.dataMajor()
		if err != nil {
			return Status{}, err
		}
		bins, err := c.find(ctx, major, st.BinDir)
		if err != nil {
			return Status{}, err
		}
		if major == 0 {
			if err := c.initdb(ctx, bins); err != nil {
				return Status{}, err
			}
		}
		// Before the start, so that a server whose starter was killed is known all the same.
		st.BinDir, st.Version = bins.dir, bins.version
		if err := st.save(c.dir); err != nil {
			return Status{}, err
		}
		if o.Port != 0 {
			st.Port = o.Port
		}
	}
	// Also where it runs already: another process may have been killed between its start and its being ready.
	if p, err = c.start(ctx, st); err != nil {
		return Status{}, err
	}
	err = c.setup(ctx, c.status(st, p))
	if _, alive := c.running(); err != nil && !alive {
		// It was dying when we found it ready: killed a moment ago, or stopped by somebody else.
		if p, err = c.start(ctx, st); err == nil {
			err = c.setup(ctx, c.status(st, p))
		}
	}
	if err != nil {
		return Status{}, err
	}
	st.Port = p.tcpPort()
	st.Databases = databases
	return c.status(st, p), st.save(c.dir)
}

// Inspect says what there is and whether it runs. It changes nothing. A server that runs and refuses
// connections is a DATABASE_ERROR.
func Inspect(ctx context.Context, o Options) (Status, error) {
	c := cluster{Options: o, dir: resolve(o.dir())}
	st, err := loadState(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{Dir: c.dir}, nil
	}
	if err != nil {
		return Status{}, err
	}
	p, running := c.running()
	if !running || !p.ready {
		return c.status(st, p), nil
	}
	s := c.status(st, p)
	s.Databases, err = existing(ctx, s)
	return s, err
}

// Down stops the server by a fast shutdown, which rolls open transactions back, and forgets its Port.
// A server that does not run is no error.
func Down(ctx context.Context, o Options) error {
	c := cluster{Options: o, dir: resolve(o.dir())}
	// Before the lock, which would leave its file in somebody else's directory.
	if _, err := loadState(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	st, err := loadState(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if p, ok := c.running(); ok {
		if err := c.stop(ctx, p, syscall.SIGINT); err != nil {
			return err
		}
	}
	if st.Port == 0 {
		return nil
	}
	st.Port = 0
	return st.save(c.dir)
}

// Reset stops the server at once and removes everything that Up made; the directory too, unless it
// holds anything else. It refuses a directory that Up did not make. A missing one is no error.
func Reset(ctx context.Context, o Options) error {
	c := cluster{Options: o, dir: resolve(o.dir())}
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := loadState(c.dir); errors.Is(err, fs.ErrNotExist) {
		// A lock alone is ours: of a call that was killed before it wrote its state.
		if names, err := entries(c.dir); err != nil || !names[lockFile] || !vacant(names) {
			return c.foreign()
		}
	} else if err != nil {
		return err
	}
	acct, err := serverAccount()
	if err != nil {
		return err
	}
	c.account = acct
	unlock, err := c.lock(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	if p, ok := c.running(); ok {
		// No checkpoint for data that goes away.
		if err := c.stop(ctx, p, syscall.SIGQUIT); err != nil {
			return err
		}
	}
	var paths []string
	for _, name := range []string{stateFile, filepath.Base(c.passwordFile())} {
		// What a killed call had written and not renamed yet.
		left, _ := filepath.Glob(filepath.Join(c.dir, "."+name+"[0-9]*"))
		paths = append(paths, left...)
	}
	// The state file goes last but one: until then a second Reset knows the directory as ours.
	paths = append(paths, c.dataDir(), c.newDataDir(), c.runDir(), c.logFile(), c.passwordFile(),
		filepath.Join(c.dir, stateFile), filepath.Join(c.dir, lockFile))
	_ = os.RemoveAll(c.shortSocketDir()) // in /tmp the name may be somebody else's, whose it then stays
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return unusable(c.dir, err)
		}
	}
	if err := os.Remove(c.dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return unusable(c.dir, err)
	}
	return nil
}

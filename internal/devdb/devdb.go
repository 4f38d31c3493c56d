// Package devdb runs a private PostgreSQL server: it finds the binaries, and creates, starts, stops and removes a
// cluster in one directory. It works as root and as an ordinary user, from many processes at once, and after any of
// them was killed.
package devdb

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// superuser is the role created by initdb. Only the owner can enter the socket directory, so it needs no password.
const superuser = "cxgctl"

// socketPort is part of the socket's name. The server does not listen on TCP.
const socketPort = "5432"

// databases are created by Up: the manager's and the tenants'.
var databases = []string{"mgmt", "tnnt"}

// Options select a dev database and how it is started. The zero value is the user's own.
type Options struct {
	Dir      string              // directory for everything that Up creates; "" means DefaultDir
	BinDir   string              // directory of initdb and postgres; "" means to search for them
	Getenv   func(string) string // nil means os.Getenv
	Settings map[string]string   // postgresql.conf settings if this call starts the server, such as fsync=off for tests
}

func (o Options) getenv(name string) string {
	if o.Getenv != nil {
		return o.Getenv(name)
	}
	return os.Getenv(name)
}

// Status describes a dev database. If none was created, only Dir is set.
type Status struct {
	Dir       string
	SocketDir string // empty unless Running
	BinDir    string
	Version   string // as reported by the server: "15.18"
	Running   bool
	PID       int
	StartedAt time.Time
	Databases []string // empty until Up has created them
	LogFile   string
}

// DSN returns the URL of a database over the unix socket, as the superuser.
func (s Status) DSN(database string) string {
	// Without the port in the URL, PGPORT would be used.
	query := url.Values{"host": {s.SocketDir}, "port": {socketPort}}
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: query.Encode()}
	return u.String()
}

// Exists reports whether a dev database was created; it may be stopped.
func Exists(o Options) bool {
	st, err := loadState(o.dir())
	return err == nil && len(st.Databases) > 0
}

// Ensure is Up for the start of every command. If the server's files show that it runs and is complete, it only takes
// three small reads and no connection.
func Ensure(ctx context.Context, o Options) (Status, error) {
	c := cluster{Options: o, dir: resolve(o.dir())}
	st, err := loadState(c.dir)
	if err == nil && len(st.Databases) == len(databases) {
		if p, ok := c.running(); ok && p.ready {
			return c.status(st, p), nil
		}
	}
	return Up(ctx, o)
}

// Up creates the dev database if it does not exist, starts it if it is not running, and creates missing databases. Its
// errors are DATABASE_ERROR, and BUSY if another call holds the lock until the deadline. If ctx is cancelled, it returns
// the cause; the next call continues from there.
func Up(ctx context.Context, o Options) (Status, error) {
	acct, err := serverAccount()
	if err != nil {
		return Status{}, err
	}
	c := cluster{Options: o, dir: resolve(o.dir()), account: acct}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Status{}, err
	}
	defer unlock()
	st, err := c.claim()
	if err != nil {
		return Status{}, err
	}

	if _, running := c.running(); !running {
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
		// Before the start, so that a server whose starter was killed is still known.
		st.BinDir, st.Version = bins.dir, bins.version
		if err := st.save(c.dir); err != nil {
			return Status{}, err
		}
	}
	// Also if it is running: the process that started it may have been killed before it was ready.
	p, err := c.start(ctx, st)
	if err != nil {
		return Status{}, err
	}
	err = c.createDatabases(ctx, c.status(st, p))
	if _, alive := c.running(); err != nil && !alive {
		// The server was just about to exit: killed or stopped by another process.
		if p, err = c.start(ctx, st); err == nil {
			err = c.createDatabases(ctx, c.status(st, p))
		}
	}
	if err != nil {
		return Status{}, err
	}
	st.Databases = databases
	return c.status(st, p), st.save(c.dir)
}

// Inspect returns the current status from the files of the server, without connecting.
func Inspect(o Options) (Status, error) {
	c := cluster{Options: o, dir: resolve(o.dir())}
	st, err := loadState(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{Dir: c.dir}, nil
	}
	if err != nil {
		return Status{}, err
	}
	p, _ := c.running()
	return c.status(st, p), nil
}

// Down stops the server with a fast shutdown, which rolls back open transactions. It succeeds if the server is not
// running.
func Down(ctx context.Context, o Options) error {
	c := cluster{Options: o, dir: resolve(o.dir())}
	if _, err := loadState(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return c.stop(ctx, syscall.SIGINT)
}

// Reset stops the server immediately and removes everything that Up created, including the directory unless it
// contains other files. It refuses a directory that Up did not create, and succeeds if there is none.
func Reset(ctx context.Context, o Options) error {
	c := cluster{Options: o, dir: resolve(o.dir())}
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.checkOwn(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another call has removed it
		}
		return err
	}
	// Data that is about to be removed needs no checkpoint.
	if err := c.stop(ctx, syscall.SIGQUIT); err != nil {
		return err
	}
	if c.account, err = serverAccount(); err != nil {
		return err
	}
	_ = os.RemoveAll(c.shortSocketDir()) // in /tmp the name may belong to another user; then it stays
	// The state file goes last, so that a second Reset still recognizes the directory.
	paths := append(c.leftovers(), c.dataDir(), c.runDir(), c.logFile(), filepath.Join(c.dir, stateFile))
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

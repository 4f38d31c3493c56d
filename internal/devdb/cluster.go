package devdb

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// stateFile is in the directory of a dev database, besides data, run and postgres.log.
const stateFile = "cxgctl-dev.json"

// maker identifies our state files, and thereby directories that Reset may remove.
const maker = "cxgctl dev"

// lockPoll is the interval at which a waiting call tries the lock; flock itself cannot be cancelled.
const lockPoll = 10 * time.Millisecond

// cluster is a dev database: its options, with the directory made absolute.
type cluster struct {
	Options
	dir     string
	account account
}

func (c cluster) dataDir() string { return filepath.Join(c.dir, "data") }
func (c cluster) runDir() string  { return filepath.Join(c.dir, "run") }
func (c cluster) logFile() string { return filepath.Join(c.dir, "postgres.log") }

// leftovers returns the files and directories that killed calls did not finish.
func (c cluster) leftovers() []string {
	data, _ := filepath.Glob(filepath.Join(c.dir, "data.new*"))
	states, _ := filepath.Glob(filepath.Join(c.dir, "."+stateFile+"[0-9]*"))
	return append(data, states...)
}

// state is the content of the state file.
type state struct {
	MadeBy    string   `json:"made_by"`
	BinDir    string   `json:"bin_dir,omitempty"`
	Version   string   `json:"version,omitempty"`
	Databases []string `json:"databases,omitempty"` // empty until the first Up is complete
}

// loadState reads the state file in dir. If it does not exist, the error wraps fs.ErrNotExist.
func loadState(dir string) (state, error) {
	path := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return state{}, unusable(dir, err)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil || st.MadeBy != maker {
		return state{}, fault.New(fault.Database, "%s is not a state file of cxgctl dev", path).Because(err)
	}
	return st, nil
}

func (st state) save(dir string) error {
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stateFile)
	// The temporary file is created in dir, where Reset finds it after a crash.
	if err := renameio.WriteFile(path, append(b, '\n'), 0o600, renameio.WithTempDir(dir)); err != nil {
		return unusable(dir, err)
	}
	return nil
}

// status combines the state file and the server's pid file.
func (c cluster) status(st state, p postmaster) Status {
	s := Status{Dir: c.dir, BinDir: st.BinDir, Version: st.Version, Databases: st.Databases, LogFile: c.logFile()}
	if p.pid != 0 {
		s.Running, s.PID, s.StartedAt, s.SocketDir = true, p.pid, p.startedAt, p.socketDir
	}
	return s
}

// claim creates the directory and marks it as ours. The caller holds the lock.
func (c cluster) claim() (state, error) {
	if err := c.account.makeDir(c.dir); err != nil {
		return state{}, unusable(c.dir, err)
	}
	if err := c.checkOwn(); err != nil {
		return state{}, err
	}
	st, err := loadState(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		st = state{MadeBy: maker}
		err = st.save(c.dir)
	}
	if err != nil {
		return state{}, err
	}
	return st, c.account.admit(c.dir)
}

// checkOwn refuses a directory with other files. Without a state file it may contain the temporary one of a killed call.
func (c cluster) checkOwn() error {
	_, err := loadState(c.dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return unusable(c.dir, err)
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), "."+stateFile) {
			return fault.New(fault.Database, "%s is not a dev database: it contains other files", c.dir)
		}
	}
	return nil
}

// lock waits for the lock of the directory. It is a file beside it, which stays, so that a holder can remove the
// directory.
func (c cluster) lock(ctx context.Context) (unlock func(), err error) {
	if wall := c.account.barrier(filepath.Dir(c.dir)); wall != "" {
		return nil, fault.New(fault.Database, "user %s, which runs PostgreSQL when root starts it, cannot enter %s, a parent directory of %s",
			c.account.name, wall, c.dir).WithHint("choose a directory that every user can enter")
	}
	if err := c.account.makeDir(filepath.Dir(c.dir)); err != nil {
		return nil, unusable(c.dir, err)
	}
	f, err := os.OpenFile(c.dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(c.dir, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, unusable(c.dir, err)
		}
		if !pause(ctx, lockPoll) {
			_ = f.Close()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fault.New(fault.Busy, "another cxgctl is starting or stopping the dev database in %s", c.dir)
			}
			return nil, context.Cause(ctx)
		}
	}
}

// dataMajor returns the major version of the server that created the data, or 0 without data.
func (c cluster) dataMajor() (int, error) {
	if _, err := os.Lstat(c.dataDir()); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	b, err := os.ReadFile(filepath.Join(c.dataDir(), "PG_VERSION"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, unusable(c.dir, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fault.New(fault.Database, "%s is damaged: its PG_VERSION is missing or not a version", c.dataDir()).
			WithHint("start over with `cxgctl dev reset`")
	}
	return major, nil
}

// unusable returns the error for a directory that the file system refuses. It wraps the cause.
func unusable(dir string, err error) error {
	return fault.New(fault.Database, "cannot use the dev database's directory %s: %s", dir, reason(err)).Because(err)
}

// reason returns the innermost error. The outer ones repeat paths and connection strings.
func reason(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err
}

// interrupted distinguishes a deadline, which is a DATABASE_ERROR, from cancellation.
func interrupted(ctx context.Context, doing string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Database, "timed out while %s", doing).Because(ctx.Err())
	}
	return context.Cause(ctx)
}

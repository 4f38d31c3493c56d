package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/fault"
)

const (
	joinLimit = 2 * time.Minute
	// memoryNeeded is the free space, in bytes, from which on the cluster goes to /dev/shm: a pair of
	// databases takes some 16 MB, and a run makes a hundred or two.
	memoryNeeded = 4 << 30
)

// settings trade every durability for speed. Autovacuum would hold up the copying of templates.
var settings = map[string]string{
	"autovacuum":         "off",
	"fsync":              "off",
	"full_page_writes":   "off",
	"max_connections":    "300",
	"max_wal_senders":    "0",
	"shared_buffers":     "128MB",
	"synchronous_commit": "off",
	"wal_level":          "minimal",
}

// server is what a process knows of the server that it uses.
type server struct {
	admin string // connection string of the maintenance database
	given bool   // by CXGCTL_TEST_DATABASE_URL
	pool  *pgxpool.Pool
	held  *os.File // the shared lock that says we use the cluster; the end of the process drops it

	mu    sync.Mutex
	built map[names]func() error // each builds its template once, and remembers how that went
}

// join finds or starts the server at its first call and remembers the outcome for the process.
var join = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), joinLimit)
	defer cancel()
	s := &server{admin: os.Getenv(urlVariable), built: map[names]func() error{}}
	s.given = s.admin != ""
	if !s.given {
		status, held, err := joinCluster(ctx, clusterRoom())
		if err != nil {
			if hint := fault.From(err).Hint; hint != "" {
				return nil, fmt.Errorf("%w (%s)", err, hint)
			}
			return nil, err
		}
		s.admin, s.held = status.DSN("postgres"), held
	}
	pool, err := pgxpool.New(ctx, s.admin)
	if err == nil {
		err = pool.Ping(ctx)
	}
	if err != nil && s.given {
		return nil, fmt.Errorf("the server of %s: %w", urlVariable, err)
	}
	s.pool = pool
	return s, err
})

// clusterRoom returns the folder that all of one user's test processes meet in.
var clusterRoom = func() string {
	name := "cxgctl-test-" + strconv.Itoa(os.Geteuid())
	inMemory := filepath.Join("/dev/shm", name)
	if _, err := os.Stat(inMemory); err == nil {
		return inMemory // whoever came first had room
	}
	var free unix.Statfs_t
	err := unix.Statfs("/dev/shm", &free)
	if err == nil && free.Bavail*uint64(free.Bsize) >= memoryNeeded && unix.Access("/dev/shm", unix.W_OK) == nil {
		return inMemory
	}
	return filepath.Join(os.TempDir(), name)
}

// The files of a room. Three locks tell who is there:
//
//	gate   held for moments, by whoever joins, leaves or tidies up: all decisions fall under it
//	users  held shared by every process that uses the cluster, until it ends
//	watch  held by the watcher while it lives: a cluster without one was left by a dead run
//
// runs has a file per `go test` command, named by its pid.
const (
	gateFile   = "gate"
	usersFile  = "users"
	watchFile  = "watch"
	runsFolder = "runs"
	pgFolder   = "pg"
)

func options(room string) devdb.Options {
	return devdb.Options{Dir: filepath.Join(room, pgFolder), Settings: settings}
}

// joinCluster returns the running cluster in room, started if need be, and the lock that keeps it.
func joinCluster(ctx context.Context, room string) (status devdb.Status, users *os.File, err error) {
	gate, err := enter(room)
	if err != nil {
		return status, nil, err
	}
	defer func() { _ = gate.Close() }()
	if users, err = open(filepath.Join(room, usersFile)); err != nil {
		return status, nil, err
	}
	defer func() {
		if err != nil {
			_ = users.Close()
		}
	}()
	watch, err := open(filepath.Join(room, watchFile))
	if err != nil {
		return status, nil, err
	}
	defer func() { _ = watch.Close() }()
	orphaned := flock(watch, unix.LOCK_EX|unix.LOCK_NB) == nil
	if orphaned && flock(users, unix.LOCK_EX|unix.LOCK_NB) == nil {
		// A dead run's. Without durability its data may be broken.
		if err := evict(ctx, room); err != nil {
			return status, nil, err
		}
		defer func() {
			if err != nil {
				_ = demolish(room) // nothing runs there: leave nothing behind
			}
		}()
	}
	if err := flock(users, unix.LOCK_SH); err != nil {
		return status, nil, err
	}
	if err := recordRun(room); err != nil {
		return status, nil, err
	}
	if status, err = devdb.Ensure(ctx, options(room)); err != nil {
		return status, nil, err
	}
	if orphaned {
		if err := startWatcher(room, watch); err != nil {
			return status, nil, errors.Join(err, evict(ctx, room))
		}
	}
	return status, users, nil
}

// enter makes the room where there is none and locks its gate.
func enter(room string) (*os.File, error) {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the server runs as another user
	}
	for {
		err := os.Mkdir(room, mode)
		if err == nil {
			err = os.Chmod(room, mode) // whatever the umask
		} else if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		if err != nil {
			return nil, err
		}
		var info unix.Stat_t
		err = unix.Lstat(room, &info)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Where everybody may write, somebody else may have been there before us.
		if info.Mode&unix.S_IFMT != unix.S_IFDIR || int(info.Uid) != os.Geteuid() {
			return nil, fmt.Errorf("%s is not ours", room)
		}
		gate, err := lockGate(room)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the watcher has just removed it
		}
		return gate, err
	}
}

// lockGate locks the gate of an existing room; one that vanishes meanwhile is fs.ErrNotExist.
func lockGate(room string) (*os.File, error) {
	path := filepath.Join(room, gateFile)
	gate, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := flock(gate, unix.LOCK_EX); err != nil {
		_ = gate.Close()
		return nil, err
	}
	ours, err1 := gate.Stat()
	theirs, err2 := os.Stat(path)
	if err1 == nil && err2 == nil && os.SameFile(ours, theirs) {
		return gate, nil
	}
	_ = gate.Close()
	return nil, fs.ErrNotExist
}

// evict stops the room's server and removes its data.
func evict(ctx context.Context, room string) error {
	if err := devdb.Reset(ctx, options(room)); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(room, runsFolder))
}

// demolish removes an evicted room. It goes by one rename, so that whoever comes meanwhile finds
// either the room with its gate or none, never half a room.
func demolish(room string) error {
	old := room + "-" + strconv.Itoa(os.Getpid())
	if err := os.Rename(room, old); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// isGo says whether process pid is the go command. Where there is no /proc it says no.
func isGo(pid int) bool {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return err == nil && strings.TrimSpace(string(name)) == "go"
}

// recordRun notes the `go test` that started us, so that the cluster outlives the moments between
// two packages in which no test process lives.
func recordRun(room string) error {
	pid := os.Getppid()
	if !isGo(pid) {
		return nil
	}
	folder := filepath.Join(room, runsFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, strconv.Itoa(pid)), nil, 0o600)
}

package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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
	// memoryNeeded is the free space, in bytes, required to put the cluster on /dev/shm: a pair of databases takes
	// about 16 MB, and a run creates one or two hundred.
	memoryNeeded = 4 << 30
)

// settings trade durability for speed. Autovacuum would block copies of templates.
var settings = map[string]string{
	"autovacuum":         "off",
	"fsync":              "off",
	"full_page_writes":   "off",
	"jit":                "off",
	"max_connections":    "300",
	"max_wal_senders":    "0",
	"shared_buffers":     "128MB",
	"synchronous_commit": "off",
	"wal_level":          "minimal",
}

// server is the server that this process uses.
type server struct {
	devdb.Status
	pool    *pgxpool.Pool
	version int      // 150018 for PostgreSQL 15.18
	held    *os.File // the shared users lock, released at the end of the process

	mu    sync.Mutex
	built map[names]func() error // builds a template once and caches the error
}

// join finds or starts the server on the first call and caches the result.
var join = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), joinLimit)
	defer cancel()
	status, held, err := joinCluster(ctx, clusterRoom())
	if err != nil {
		if hint := fault.From(err).Hint; hint != "" {
			return nil, fmt.Errorf("%w (%s)", err, hint)
		}
		return nil, err
	}
	s := &server{Status: status, held: held, built: map[names]func() error{}}
	pool, err := pgxpool.New(ctx, s.DSN("postgres"))
	if err == nil {
		err = pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&s.version)
	}
	s.pool = pool
	return s, err
})

// clusterRoom returns the directory shared by all test processes of a user with the same PostgreSQL on PATH. Without
// one, they share the installed one.
var clusterRoom = func() string {
	name := "cxgctl-test-" + strconv.Itoa(os.Geteuid())
	if program, err := exec.LookPath("postgres"); err == nil {
		sum := sha256.Sum256([]byte(program))
		name += "-" + hex.EncodeToString(sum[:4])
	}
	inMemory := filepath.Join("/dev/shm", name)
	if _, err := os.Stat(inMemory); err == nil {
		return inMemory // the first process found enough space
	}
	var free unix.Statfs_t
	err := unix.Statfs("/dev/shm", &free)
	if err == nil && free.Bavail*uint64(free.Bsize) >= memoryNeeded && unix.Access("/dev/shm", unix.W_OK) == nil {
		return inMemory
	}
	return filepath.Join(os.TempDir(), name)
}

// The files of a room, three of which are locks:
//
//	gate   held briefly while joining, leaving or cleaning up
//	users  held shared by every process that uses the cluster, until the process ends
//	watch  held by the watcher; a cluster without a watcher is left over from a run that was killed
//
// runs contains a file per `go test` command, named by its pid.
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

// joinCluster returns the running cluster in room, started if necessary, and the lock that keeps it running.
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
		// Left over from a run that was killed. Without durability its data may be corrupt.
		if err := evict(ctx, room); err != nil {
			return status, nil, err
		}
		defer func() {
			if err != nil {
				_ = demolish(room) // nothing is running there
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

// enter creates the room if necessary and locks its gate.
func enter(room string) (*os.File, error) {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the server runs as another user
	}
	for {
		err := os.Mkdir(room, mode)
		if err == nil {
			err = os.Chmod(room, mode) // regardless of the umask
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
		// In a world-writable directory, another user may have created the room.
		if info.Mode&unix.S_IFMT != unix.S_IFDIR || int(info.Uid) != os.Geteuid() {
			return nil, fmt.Errorf("%s belongs to another user", room)
		}
		gate, err := lockGate(room)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the watcher has just removed it
		}
		return gate, err
	}
}

// lockGate locks the gate of an existing room. It returns fs.ErrNotExist if the room disappears.
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

// demolish removes an evicted room. It renames it first, so that other processes see either a complete room or none.
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

// isGo reports whether process pid is the go command. Without /proc it returns false.
func isGo(pid int) bool {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return err == nil && strings.TrimSpace(string(name)) == "go"
}

// recordRun records the `go test` that started us, so that the cluster survives between two packages, while no test
// process is running.
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

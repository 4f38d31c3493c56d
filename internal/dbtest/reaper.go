package dbtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchVariable makes a test binary the watcher of the given room.
const watchVariable = "CXGCTL_DBTEST_WATCH"

const (
	watchEvery = 200 * time.Millisecond
	evictLimit = time.Minute
)

// The watcher runs the test binary again, since other programs may be missing. It must not reach main, because
// TestMain functions do not know about it.
func init() {
	if room := os.Getenv(watchVariable); room != "" {
		watch(room)
		os.Exit(0)
	}
}

// startWatcher starts the process that outlives all users of the room, and passes the watch lock to it. It does not
// inherit our streams, because `go test` waits until they are closed.
func startWatcher(room string, lock *os.File) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Args = []string{"cxgctl-dbtest-watcher"}
	cmd.Dir = "/"
	cmd.Env = []string{
		watchVariable + "=" + room,
		"PATH=" + os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0", // otherwise a race-enabled binary waits for a second at its end
	}
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// watch waits until the room is unused and every recorded `go test` has ended, then removes the room. If that fails,
// or the room is gone, it gives up: a later run removes the rest, and a server without files stops within a minute.
func watch(room string) {
	for {
		time.Sleep(watchEvery)
		gate, err := lockGate(room)
		if err != nil {
			return
		}
		if unused(room) {
			ctx, cancel := context.WithTimeout(context.Background(), evictLimit)
			defer cancel()
			if evict(ctx, room) == nil {
				_ = demolish(room)
			}
			return
		}
		_ = gate.Close()
	}
}

// unused reports whether the room's cluster can be removed. The caller holds the gate.
func unused(room string) bool {
	users, err := open(filepath.Join(room, usersFile))
	if err != nil {
		return false
	}
	defer func() { _ = users.Close() }() // also releases the lock
	if flock(users, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	runs, err := os.ReadDir(filepath.Join(room, runsFolder))
	if err != nil {
		return true
	}
	for _, run := range runs {
		if pid, err := strconv.Atoi(run.Name()); err == nil && isGo(pid) {
			return false
		}
	}
	return true
}

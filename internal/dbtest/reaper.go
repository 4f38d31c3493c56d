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

// watchVariable makes a test binary the watcher of the room that it names.
const watchVariable = "CXGCTL_DBTEST_WATCH"

const (
	watchEvery = 200 * time.Millisecond
	evictLimit = time.Minute
)

// The watcher is the test binary itself, started anew, for only its code is sure to be there, and it
// has to be turned aside before main: otherwise every TestMain in the tree would have to know of it.
func init() {
	if room := os.Getenv(watchVariable); room != "" {
		watch(room)
		os.Exit(0)
	}
}

// startWatcher starts the process that outlives all users of the room, and hands it the watch lock.
// Its streams are not ours, for `go test` waits until nobody holds those any more.
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
		"GORACE=atexit_sleep_ms=0", // a second that a race-enabled binary would linger after its work
	}
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// watch waits until nobody uses the room and no `go test` that did lives on, then removes it. Where
// that fails, or the room is gone, it ends: a later run clears what is left, and a server whose
// files are gone ends itself within a minute.
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

// unused says whether no process needs the room's cluster. The caller holds the gate.
func unused(room string) bool {
	users, err := open(filepath.Join(room, usersFile))
	if err != nil {
		return false
	}
	defer func() { _ = users.Close() }() // and the lock with it
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

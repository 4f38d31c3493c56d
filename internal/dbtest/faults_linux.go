package dbtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// StartLimited is Start with a limit to the size in bytes of files that the server can write, as if the disk were full.
// An ordinary user can do that too, unlike mount a small file system.
func (m *Restartable) StartLimited(tb testing.TB, bytes int) {
	tb.Helper()
	env := m.cluster.env
	m.cluster.env = append(slices.Clone(env), "bash", "-c", fmt.Sprintf(`ulimit -f %d && exec "$0" "$@"`, bytes>>10))
	m.Start(tb)
	m.cluster.env = env
}

// Clock is the clock of a server, which steps when a test sets it.
type Clock struct{ file string }

// NewRestartableWithClock is NewRestartable with a clock that the test can set. It needs Debian's libfaketime.
func NewRestartableWithClock(tb testing.TB, t Template) (*Restartable, Clock) {
	tb.Helper()
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(found) == 0 {
		tb.Fatal("dbtest: libfaketime is missing; .ci/test-packages installs it")
	}
	c, err := newCluster(tb, t)
	if err != nil {
		tb.Fatalf("dbtest: creating a server: %v", err)
	}
	clock := Clock{filepath.Join(c.root, "clock")}
	c.env = []string{"LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + clock.file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	clock.Step(tb, 0)
	m := &Restartable{cluster: c}
	m.Start(tb)
	return m, clock
}

// Step sets the clock to an offset from the real time.
func (c Clock) Step(tb testing.TB, offset time.Duration) {
	tb.Helper()
	next := c.file + ".next" // replaced as a whole: the server reads it all the time
	err := os.WriteFile(next, fmt.Appendf(nil, "%+d", offset/time.Second), 0o644)
	if err := errors.Join(err, os.Rename(next, c.file)); err != nil {
		tb.Fatalf("dbtest: setting the clock: %v", err)
	}
}

package devdb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// room returns options for the test's own dev database. Its directory can be entered by the server's user even if
// tests run as root, unlike t.TempDir, and is removed at the end.
func room(t *testing.T, below ...string) Options {
	t.Helper()
	top, err := os.MkdirTemp("", "devdb")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top, 0o711); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Dir:      filepath.Join(append([]string{top}, below...)...),
		Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB"},
	}
	if len(below) == 0 {
		o.Dir = filepath.Join(top, "dev")
	}
	t.Cleanup(func() {
		if err := Reset(context.Background(), o); err != nil && !fault.Is(err, fault.Database) {
			t.Error(err)
		}
		if err := os.RemoveAll(top); err != nil {
			t.Error(err)
		}
	})
	return o
}

func mustUp(t *testing.T, o Options) Status {
	t.Helper()
	s, err := Up(t.Context(), o)
	if err != nil {
		t.Fatalf("Up: %v (%v)", err, fault.From(err).Hint)
	}
	return s
}

func ask[T any](t *testing.T, dsn, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var answer T
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func wantFault(t *testing.T, err error, code fault.Code, parts ...string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got error %v, want %s", err, code)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error()+"\n"+fault.From(err).Hint, part) {
			t.Errorf("error %q with hint %q does not contain %q", err, fault.From(err).Hint, part)
		}
	}
}

// One cluster serves the whole test, because initdb takes most of the time.
func TestLifeOfADevDatabase(t *testing.T) {
	t.Parallel()
	o := room(t)
	ctx := t.Context()

	if Exists(o) {
		t.Fatal("Exists before the first Up")
	}
	if s, err := Inspect(o); err != nil || s.Running {
		t.Fatalf("Inspect of nothing: %+v, %v", s, err)
	}
	if err := Down(ctx, o); err != nil {
		t.Fatalf("Down of nothing: %v", err)
	}

	// Six concurrent first starts result in one server.
	pids := make([]int, 6)
	var wg sync.WaitGroup
	for i := range pids {
		wg.Go(func() {
			s, err := Up(ctx, o)
			if err != nil {
				t.Errorf("Up %d: %v", i, err)
			}
			pids[i] = s.PID
		})
	}
	wg.Wait()
	for _, pid := range pids {
		if pid == 0 || pid != pids[0] {
			t.Fatalf("six calls of Up returned the pids %v", pids)
		}
	}

	s, err := Inspect(o)
	if err != nil {
		t.Fatal(err)
	}
	if !Exists(o) || !s.Running || s.PID != pids[0] || s.Version == "" || time.Since(s.StartedAt) > time.Minute ||
		strings.Join(s.Databases, " ") != "mgmt tnnt" {
		t.Errorf("Inspect: %+v", s)
	}
	if got := ask[string](t, s.DSN("mgmt"), "SELECT current_user || ' ' || current_database()"); got != "cxgctl mgmt" {
		t.Errorf("DSN connects to %q", got)
	}
	if got := ask[string](t, s.DSN("tnnt"), "SELECT current_setting('shared_buffers')"); got != "16MB" {
		t.Errorf("shared_buffers = %s, want the setting of the options", got)
	}
	if again, err := Ensure(ctx, o); err != nil || again.PID != s.PID {
		t.Errorf("Ensure on a running server: %+v, %v", again, err)
	}

	// After kill -9 the postmaster is our zombie or its pid is free. Neither may prevent the next start.
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for running := true; running; _, running = (cluster{dir: s.Dir}).running() {
		time.Sleep(time.Millisecond)
	}
	after, err := Ensure(ctx, o)
	if err != nil {
		t.Fatalf("Ensure after kill -9: %v", err)
	}
	if after.PID == s.PID {
		t.Errorf("the killed server %d is reported as running", s.PID)
	}

	// A dropped database is created again.
	admin, err := pgx.Connect(ctx, after.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(ctx, "DROP DATABASE tnnt"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Close(ctx); err != nil {
		t.Fatal(err)
	}
	mustUp(t, o)

	for range 2 {
		if err := Down(ctx, o); err != nil {
			t.Fatalf("Down: %v", err)
		}
	}
	if s, err := Inspect(o); err != nil || s.Running || !Exists(o) {
		t.Errorf("after Down: %+v, %v", s, err)
	}

	// A stale pid file, whose pid now belongs to another process (here ours).
	stale := strings.Join([]string{strconv.Itoa(os.Getpid()), s.Dir + "/data", "1", "5432", s.SocketDir, "", "0 0", "ready", ""}, "\n")
	writeAs(t, s.Dir, filepath.Join(s.Dir, "data", "postmaster.pid"), stale)
	if s, err := Inspect(o); err != nil || s.Running {
		t.Errorf("with a stale pid file: %+v, %v", s, err)
	}
	if err := Down(ctx, o); err != nil {
		t.Fatalf("Down with a stale pid file: %v", err)
	}
	mustUp(t, o)

	// Data of another major version is refused and kept.
	if err := Down(ctx, o); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(s.Dir, "data", "PG_VERSION")
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Up(ctx, o)
	wantFault(t, err, fault.Database, "PostgreSQL 9", "cxgctl dev reset")

	if err := Reset(ctx, o); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Reset %s still exists: %v", s.Dir, err)
	}
	if err := Reset(ctx, o); err != nil {
		t.Errorf("second Reset: %v", err)
	}
}

// writeAs writes a file as the server's user.
func writeAs(t *testing.T, dir, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var owner unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "data"), &owner); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedUpCanBeRepeatedUnderALongPath(t *testing.T) {
	t.Parallel()
	// Too long for a unix socket, and with a comma, which clients parse as two hosts.
	o := room(t, strings.Repeat("long", 20), "a,b", strings.Repeat("longer", 10))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond) // expires during initdb
	defer cancel()
	_, err := Up(ctx, o)
	wantFault(t, err, fault.Database, "timed out")
	if Exists(o) {
		t.Error("Exists after an interrupted Up")
	}

	s := mustUp(t, o)
	if !strings.HasPrefix(s.SocketDir, "/tmp/cxgctl-") {
		t.Errorf("socket in %s", s.SocketDir)
	}
	if got := ask[string](t, s.DSN("tnnt"), "SELECT current_database()"); got != "tnnt" {
		t.Errorf("DSN connects to %q", got)
	}
	if err := Reset(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.SocketDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reset left %s: %v", s.SocketDir, err)
	}
}

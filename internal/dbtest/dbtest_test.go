package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// The children of TestTheClusterLivesAsLongAsItsUsers share a room of their own.
const (
	roomVariable = "DBTEST_ROOM"
	logVariable  = "DBTEST_LOG"
)

func TestMain(m *testing.M) {
	if room := os.Getenv(roomVariable); room != "" {
		clusterRoom = func() string { return room }
	}
	testscript.Main(m, map[string]func(){
		"rooms": func() { fmt.Println("a command without a database") },
	})
}

// items returns a template that logs each Build.
func items(log string) Template {
	return Template{Name: "items", Key: "1", Build: func(ctx context.Context, manager, tenants string) error {
		for _, dsn := range []string{manager, tenants} {
			if err := execute(ctx, dsn, "CREATE TABLE item (name text NOT NULL)"); err != nil {
				return err
			}
		}
		if log == "" {
			return nil
		}
		f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, "built")
		return errors.Join(err, f.Close())
	}}
}

func execute(ctx context.Context, dsn, sql string) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

func count(t *testing.T, dsn string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM item").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPairsAreIsolated(t *testing.T) {
	t.Parallel()
	one, two := New(t, items("")), New(t, items(""))
	if err := execute(t.Context(), one.Manager, "INSERT INTO item VALUES ('x')"); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]int{one.Manager: 1, one.Tenants: 0, two.Manager: 0, two.Tenants: 0} {
		if got := count(t, dsn); got != want {
			t.Errorf("%s has %d rows, want %d", dsn, got, want)
		}
	}
}

func TestTemplatesOfAnotherKeyAreOthers(t *testing.T) {
	t.Parallel()
	empty := New(t, Template{Name: "items", Key: "2"})
	if err := execute(t.Context(), empty.Manager, "CREATE TABLE item ()"); err != nil {
		t.Errorf("the template of another key was used: %v", err)
	}
}

func TestAFailedBuildFailsEveryUse(t *testing.T) {
	t.Parallel()
	broken := Template{Name: "broken", Key: t.Name(), Build: func(context.Context, string, string) error {
		return errors.New("no such migration")
	}}
	for range 2 {
		if _, err := Create(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "template broken: no such migration") {
			t.Errorf("Create: %v", err)
		}
	}
}

func TestPair_Drop(t *testing.T) {
	t.Parallel()
	pair, err := Create(t.Context(), items(""))
	if err != nil {
		t.Fatal(err)
	}
	pair.Drop()
	if err := execute(t.Context(), pair.Manager, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("after Drop: %v", err)
	}
}

func TestScriptsMayRunTheBinaryAsACommand(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			pair, err := Create(context.Background(), items(""))
			if err != nil {
				return err
			}
			env.Defer(pair.Drop)
			env.Setenv("MANAGER_DATABASE_URL", pair.Manager)
			return nil
		},
	})
}

// TestChild runs in the processes that TestTheClusterLivesAsLongAsItsUsers starts.
func TestChild(t *testing.T) {
	log := os.Getenv(logVariable)
	if log == "" {
		t.Skip("part of another test")
	}
	New(t, items(log))
	fmt.Println("server", serverPID(t))
	_, _ = os.Stdin.Read(make([]byte, 1)) // until our parent closes it or kills us
}

// serverPID returns the pid of the postmaster, the parent of every server process.
func serverPID(t *testing.T) int {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(clusterRoom(), pgFolder, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(pid), "\n")
	n, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheClusterLivesAsLongAsItsUsers(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	room := clusterRoom() + "-of-" + strconv.Itoa(os.Getpid())
	if err := os.Mkdir(room, 0o711); err != nil {
		t.Fatal(err)
	}
	// Leftovers of a run that was killed together with its watcher.
	if err := os.WriteFile(filepath.Join(room, usersFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	const children = 3
	said := make(chan string, children)
	var running []*exec.Cmd
	var inputs []interface{ Close() error }
	for range children {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
		cmd.Env = append(os.Environ(), roomVariable+"="+room, logVariable+"="+log)
		cmd.Stderr = os.Stderr
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		running, inputs = append(running, cmd), append(inputs, in)
		go func() {
			var word string
			var pid int
			n, err := fmt.Fscan(out, &word, &pid)
			said <- fmt.Sprint(word, " ", pid, " ", n, " ", err)
		}()
	}
	first := <-said
	for range children - 1 {
		if next := <-said; next != first {
			t.Errorf("one child printed %q and another %q", first, next)
		}
	}
	if b, err := os.ReadFile(log); string(b) != "built\n" {
		t.Errorf("three processes built the template: %q, %v", b, err)
	}
	var pid int
	if _, err := fmt.Sscanf(first, "server %d 2", &pid); err != nil {
		t.Fatalf("a child printed %q", first)
	}

	// One exits normally, the others are killed.
	_ = inputs[0].Close()
	for _, cmd := range running[1:] {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
	for _, cmd := range running {
		_ = cmd.Wait() // two of them were killed
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := os.Stat(room)
		if errors.Is(err, fs.ErrNotExist) && dead(pid) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster in %s outlived its users: server %d, %v", room, pid, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// dead reports whether process pid has ended; it may not have been reaped yet.
func dead(pid int) bool {
	cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err == nil {
		return len(cmdline) == 0
	}
	return syscall.Kill(pid, 0) != nil
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		New(b, items(""))
	}
}

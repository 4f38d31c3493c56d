package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/bcrypt"

	authcmd "github.com/cxgctl/cxgctl/internal/cli/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/importcmd"
	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// TestMain lets the test binary also run as cxgctl, for tests that need a process with real signals, terminals and
// environment.
func TestMain(m *testing.M) {
	cmdutil.HashCost, authcmd.RefusalTime, cmdutil.RetryPause = bcrypt.MinCost, 0, time.Millisecond // skip deliberate delays
	if d, err := time.ParseDuration(os.Getenv("TEST_COMPLETION_TIME")); err == nil {
		cmdutil.CompletionTime = d
	}
	if filepath.Base(os.Args[0]) == "cxgctl" {
		os.Exit(Main(WithSignals(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	// The command trees of thousands of runs are garbage that is cheap to keep for a while.
	importcmd.GCPercent, cmdutil.CompletionTime = -1, patience
	debug.SetGCPercent(importcmd.GCPercent)
	debug.SetMemoryLimit(1 << 30)
	h, err := newHost()
	if err != nil {
		fmt.Fprintln(os.Stderr, "the scripts' host:", err)
		os.Exit(1)
	}
	running = h
	go h.serve()
	code := m.Run()
	_ = os.RemoveAll(h.dir)
	os.Exit(code)
}

// migrated is the template of databases that cxgctl created.
var migrated = ours().template

// TestScripts runs every script.
func TestScripts(t *testing.T) {
	t.Parallel()
	runScripts(t, ours(), scripts(t, "plain"))
}

// scripts returns the scripts that run on plain or hostile databases or through a pooler. Those in smoke.txt run every
// command, and run in all three ways, the others on plain databases and in turns in one of the other ways, or in both
// with TEST_ALL_PAIRS. A short run only runs those in smoke.txt, each in one way.
func scripts(t *testing.T, where string) (list []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadFile("testdata/smoke.txt")
	if err != nil {
		t.Fatal(err)
	}
	smoke := strings.Fields(string(names))
	for i, name := range smoke {
		smoke[i] = "testdata/script/" + name + ".txtar"
	}
	if testing.Short() {
		files = smoke
	}
	for i, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Dev databases do not use a pooler, and PgBouncer does not pass roles on.
		isPoolable := !strings.Contains(string(text), "\ndevhome\n") && !strings.Contains(string(text), "&role=")
		var runs bool
		switch {
		case where == "pooled" && !isPoolable:
		case testing.Short():
			turn := "plain"
			if i%3 == 1 {
				turn = "hostile"
			} else if i%6 == 0 && isPoolable {
				turn = "pooled"
			}
			runs = turn == where
		case where == "plain" || slices.Contains(smoke, f) || !isPoolable:
			runs = true
		default:
			runs = oneOf(2) == 1 || (i%2 == 0) == (where == "pooled")
		}
		if runs {
			list = append(list, f)
		}
	}
	return list
}

// setup gives a script its own databases and an environment that is independent of the machine.
func (w world) setup(env *testscript.Env) error {
	pair, err := dbtest.Create(context.Background(), w.template)
	if err != nil {
		return err
	}
	env.Defer(pair.Drop)
	env.Defer(func() { running.recall(pair.Manager) })
	env.Values[inputKey] = new(string)
	if w.hostile {
		if pair, err = turnHostile(context.Background(), pair); err != nil {
			return err
		}
	}
	direct := pair
	if w.bouncer != nil {
		if pair, err = w.bouncer.Through(pair); err != nil {
			return err
		}
		env.Setenv("CXGCTL_DIRECT_DATABASE_URL", direct.Manager)
		env.Setenv("CXGCTL_DIRECT_TENANTS_DATABASE_URL", direct.Tenants)
	}
	home := filepath.Join(env.WorkDir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	for name, value := range running.environment() {
		env.Setenv(name, value)
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": filepath.Join(home, "data"), "XDG_STATE_HOME": "",
		"CXGCTL_MANAGER_DATABASE_URL": pair.Manager, "CXGCTL_TENANTS_DATABASE_URL": pair.Tenants,
		"CXGCTL_OPERATOR": "admin", "TERM": "xterm", "TZ": "Asia/Seoul", "ESC": "\x1b[31m", "RLO": "\u202e",
		"GORACE": "atexit_sleep_ms=0", // the default of the race detector is a second
	} {
		env.Setenv(name, value)
	}
	return nil
}

// definition matches statements that change tables or privileges, or end sessions, while commands have open sessions.
var definition = regexp.MustCompile(`\b(ALTER|CREATE|DROP|GRANT|REVOKE|pg_terminate_backend)\b`)

// runSQL runs statements on the manager database, or with -tenants on the tenants database, and prints the rows of the
// last one with tabs between the cells. Names in braces are replaced by the column names of this world.
func (w world) runSQL(ts *testscript.TestScript, neg bool, args []string) {
	dsn := cmp.Or(ts.Getenv("CXGCTL_DIRECT_DATABASE_URL"), ts.Getenv("CXGCTL_MANAGER_DATABASE_URL"))
	if len(args) > 0 && args[0] == "-tenants" {
		dsn = cmp.Or(ts.Getenv("CXGCTL_DIRECT_TENANTS_DATABASE_URL"), ts.Getenv("CXGCTL_TENANTS_DATABASE_URL"))
		args = args[1:]
	}
	if owner := ts.Getenv("OWNER_DATABASE_URL"); owner != "" {
		dsn = owner // the valid connection string in scripts that use invalid ones
	}
	if len(args) != 1 {
		ts.Fatalf("usage: sql [-tenants] statement")
	}
	if definition.MatchString(args[0]) {
		running.recall(dsn)
	}
	rows, err := query(context.Background(), dsn, w.macros.Replace(args[0]))
	if (err != nil) != neg {
		ts.Fatalf("sql: %v", err)
	}
	for _, r := range rows {
		_, _ = fmt.Fprintln(ts.Stdout(), strings.Join(r, "\t"))
	}
}

// runExits runs a command and checks its exit code: exits 3 cxgctl users get ghost.
func runExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command [args]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// runCxgctl runs cxgctl: cxgctl users list.
func runCxgctl(ts *testscript.TestScript, neg bool, args []string) {
	if got := exitCode(ts, append([]string{"cxgctl"}, args...)); (got != 0) != neg {
		ts.Fatalf("exit code %d", got)
	}
}

// inputKey is the key of the standard input for the script's next cxgctl.
const inputKey = "input"

// setInput sets the standard input of the next cxgctl, as testscript's stdin does for exec: input refs.txt.
func setInput(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: input file")
	}
	*ts.Value(inputKey).(*string) = ts.ReadFile(args[0])
}

// exitCode runs a command and returns its exit code. cxgctl runs in this process unless the script needs separate ones
// (makeDevHome).
func exitCode(ts *testscript.TestScript, args []string) int {
	input := ts.Value(inputKey).(*string)
	if args[0] != "cxgctl" || ts.Getenv("CXGCTL_TEST_HOST") == "" {
		err := ts.Exec(args[0], args[1:]...)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		ts.Check(err)
		return 0
	}
	status, err := running.run(ts.MkAbs("."), &cmdutil.Env{
		OpenDB: running.lend, Context: context.Background(), Args: args[1:], Getenv: ts.Getenv,
		Stdin: strings.NewReader(*input), Stdout: &shared{w: ts.Stdout()}, Stderr: &shared{w: ts.Stderr()},
	})
	ts.Check(err)
	*input = ""
	return status
}

// writeTOTP writes a password and the current TOTP code to a file, on two lines: totp SECRET password file.
func writeTOTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: totp secret password file")
	}
	code, err := totp.GenerateCode(args[0], time.Now())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(args[1]+"\n"+code+"\n"), 0o600))
}

// shared is a buffer for concurrent writes.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// checkBcrypt checks that a user's stored hash matches a password: bcrypt ada password.
func checkBcrypt(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: bcrypt username password")
	}
	rows, err := query(context.Background(), ts.Getenv("CXGCTL_MANAGER_DATABASE_URL"),
		"SELECT password FROM idam.users WHERE username = '"+args[0]+"'")
	ts.Check(err)
	if err := bcrypt.CompareHashAndPassword([]byte(rows[0][0]), []byte(args[1])); (err != nil) != neg {
		ts.Fatalf("bcrypt: %v", err)
	}
}

// makeDevHome gives the script a data home with a short path that the server's user can access, and removes its dev
// database at the end.
func makeDevHome(ts *testscript.TestScript, _ bool, _ []string) {
	dir, err := os.MkdirTemp("/tmp", "cxgdev")
	ts.Check(err)
	ts.Check(os.Chmod(dir, 0o755))
	ts.Setenv("XDG_DATA_HOME", dir)
	ts.Setenv("CXGCTL_TEST_HOST", "") // a server started by the test process would remain its child
	ts.Defer(func() {
		_ = ts.Exec("cxgctl", "dev", "down")
		_ = os.RemoveAll(dir)
	})
}

// replaceInFile replaces text in a file: replace old new file.
func replaceInFile(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: replace old new file")
	}
	path := ts.MkAbs(args[2])
	text := strings.ReplaceAll(ts.ReadFile(args[2]), args[0], args[1])
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
}

package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// newPhone is ada's phone after the changes of the failure tests.
const newPhone = "+82 2 555 0100"

// insertAda inserts the user that the failure tests change.
const insertAda = `
INSERT INTO idam.users (id, username, email, full_name, phone, created_at)
VALUES ('00000000-0000-4000-8000-0000000000ad', 'ada', 'ada@example.com', 'Ada', 'old', '2026-02-01T00:00:00Z')`

// patience limits waits on a busy machine. Tests do not measure it.
const patience = 30 * time.Second

// process is a run of cxgctl as a separate process.
type process struct {
	*exec.Cmd
	out, err bytes.Buffer
	columns  uint16 // width of its terminal
}

// cxgctl prepares a run of this test binary as cxgctl on the databases, without the environment of the machine.
func cxgctl(t *testing.T, pair dbtest.Pair, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), exe)}
	p.Args = append([]string{"cxgctl"}, args...)
	p.Dir = t.TempDir()
	p.Env = []string{
		"HOME=" + p.Dir, "PATH=" + os.Getenv("PATH"), "TERM=xterm", "PAGER=", "CXGCTL_OPERATOR=admin",
		"CXGCTL_MANAGER_DATABASE_URL=" + pair.Manager, "CXGCTL_TENANTS_DATABASE_URL=" + pair.Tenants,
		"GORACE=atexit_sleep_ms=10", // the default of the race detector is a second
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		p.Env = append(p.Env, "GOCOVERDIR="+dir)
	}
	p.Stdout, p.Stderr = &p.out, &p.err
	p.WaitDelay = time.Second
	return p
}

// env sets variables, each NAME=value.
func (p *process) env(set ...string) *process {
	p.Env = append(p.Env, set...)
	return p
}

// in gives the process its standard input.
func (p *process) in(text string) *process {
	p.Stdin = strings.NewReader(text)
	return p
}

func (p *process) start(t *testing.T) *process {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(patience, func() { _ = p.Process.Kill() }) // do not hang
	t.Cleanup(func() { end.Stop(); _ = p.Process.Kill() })
	return p
}

// exit waits for the process and returns the exit code, -1 if a signal killed it.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	err := p.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// code runs the command and returns its exit code. cxgctl runs in this process, which takes a fraction of the time, if
// nothing is about the process: start one to send it signals, or to give it a terminal, a pipe or a full disk.
func (p *process) code(t *testing.T) int {
	t.Helper()
	_, isFile := p.Stdout.(*os.File)
	if p.Path != running.binary || isFile {
		return p.start(t).exit(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	env := map[string]string{}
	for _, set := range p.Env {
		name, value, _ := strings.Cut(set, "=")
		env[name] = value
	}
	status, err := running.run(p.Dir, &cmdutil.Env{
		Context: ctx, Args: p.Args[1:], Stdin: cmp.Or[io.Reader](p.Stdin, strings.NewReader("")), Stdout: &shared{w: p.Stdout}, Stderr: &shared{w: p.Stderr},
		Getenv: func(name string) string { return env[name] },
	})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// exits runs the command and checks its exit code.
func (p *process) exits(t *testing.T, want int) *process {
	t.Helper()
	if got := p.code(t); got != want {
		t.Fatalf("%q exits with %d, want %d\n%s%s", p.Args, got, want, p.out.String(), p.err.String())
	}
	if !namesExitCode(p.Args[1:], strconv.Itoa(want)) {
		t.Errorf("the help of the command lacks the exit code %d of: %q", want, p.Args)
	}
	return p
}

// says checks that standard error contains a text.
func (p *process) says(t *testing.T, want string) {
	t.Helper()
	if !strings.Contains(p.err.String(), want) {
		t.Errorf("%q does not print %q to standard error:\n%s", p.Args, want, p.err.String())
	}
}

// ask returns the first cell of a query's result.
func ask(t *testing.T, dsn, sql string) string {
	t.Helper()
	rows, err := query(context.Background(), dsn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(rows) == 0 {
		return ""
	}
	return rows[0][0]
}

// askInt returns the number that a query returns.
func askInt(t *testing.T, dsn, sql string) int {
	t.Helper()
	n, err := strconv.Atoi(ask(t, dsn, sql))
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// eventually waits until a query returns t.
func eventually(t *testing.T, dsn, sql string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ask(t, dsn, sql) == "t" {
			return
		}
	}
	t.Fatalf("never true: %s", sql)
}

// waits is true while a session of cxgctl waits for a lock, away while cxgctl does not have a session.
const (
	waits = `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cxgctl%' AND wait_event_type = 'Lock'`
	away  = `SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cxgctl%'`
)

// hold runs a statement in a transaction that keeps its locks until release is called.
func hold(t *testing.T, dsn, sql string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; "+sql); err != nil {
		t.Fatal(err)
	}
	release = func() { _ = conn.Close(context.Background()) }
	t.Cleanup(release)
	return release
}

// untouched checks that ada did not change and that the log does not contain a change.
func untouched(t *testing.T, dsn string) {
	t.Helper()
	got := ask(t, dsn, `SELECT concat_ws(' ', phone, is_active, updated_at IS NULL) FROM idam.users WHERE username = 'ada'`)
	if got != "old t t" {
		t.Errorf("ada was changed: %s", got)
	}
	if ask(t, dsn, `SELECT to_regclass('audt.audit_logs') IS NOT NULL`) == "t" {
		if n := ask(t, dsn, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND event_type <> 'DATA_ACCESS'`); n != "0" {
			t.Errorf("%s audit rows without a change", n)
		}
	}
}

// changed checks that ada has the new phone and that the change has one audit row.
func changed(t *testing.T, dsn string) {
	t.Helper()
	got := ask(t, dsn, `SELECT concat_ws(' ', u.phone, (SELECT count(*) FROM audt.audit_logs l WHERE l.result = 'SUCCESS'
		AND l.resource_id = u.id::text AND l.extra_data->'after'->>'phone' = u.phone)) FROM idam.users u WHERE u.username = 'ada'`)
	if want := newPhone + " 1"; got != want {
		t.Errorf("ada's phone and number of audit rows: %q, want %q", got, want)
	}
}

// withAda returns new databases with the user ada.
func withAda(t *testing.T) dbtest.Pair {
	t.Helper()
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, insertAda); err != nil {
		t.Fatal(err)
	}
	return pair
}

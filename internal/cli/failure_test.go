package cli

import (
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

func TestCreate_OneOfSimultaneousWins(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	result := torture.Report(t, 5, "simultaneous processes that create one username")
	rivals, rounds := torture.Count(32, 8, 8), torture.Count(100, 1, 1)
	for round := range rounds {
		var ps []*process
		for i := range rivals {
			p := cxgctl(t, pair, "users", "create", "--username", fmt.Sprint("twin", round), "--email", fmt.Sprintf("twin%d-%d@example.com", round, i),
				"--full-name", "Twin", "--no-password")
			ps = append(ps, p.start(t))
			result.Attempts.Add(1)
		}
		codes := map[int]int{}
		for _, p := range ps {
			codes[p.exit(t)]++
		}
		if codes[0] != 1 || codes[4] != rivals-1 {
			t.Errorf("exit codes and how often: %v, want one 0 and %d 4", codes, rivals-1)
			result.Wrong.Add(1)
		}
	}
	result.Rows(t, askInt(t, pair.Manager, `SELECT count(*) FROM idam.users WHERE username LIKE 'twin%'`),
		askInt(t, pair.Manager, `SELECT count(DISTINCT username) FROM idam.users WHERE username LIKE 'twin%'`), rounds)
	got := ask(t, pair.Manager, `SELECT concat_ws(' ', count(*) FILTER (WHERE result = 'SUCCESS'), count(*) FILTER (WHERE result = 'FAILURE')) FROM audt.audit_logs`)
	if want := fmt.Sprintf("%d %d", rounds, rounds*(rivals-1)); got != want {
		t.Errorf("SUCCESS rows and FAILURE rows: %s, want %s", got, want)
		result.Unaudited.Add(1)
	}
}

// locks are locks of other sessions that block a command that writes.
var locks = map[string]string{
	"the row":       `SELECT FROM idam.users WHERE username = 'ada' FOR UPDATE`,
	"the audit log": `LOCK TABLE audt.audit_logs IN EXCLUSIVE MODE`,
	"the seals":     `LOCK TABLE cxg_audit.head IN EXCLUSIVE MODE`,
}

func TestSignal_DuringLockWaitChangesNothing(t *testing.T) {
	t.Parallel()
	for what, lock := range locks {
		for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGKILL: -1} {
			t.Run(fmt.Sprintf("%s/%s", what, sig), func(t *testing.T) {
				t.Parallel()
				pair := withAda(t)
				release := hold(t, pair.Manager, lock)
				p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone).start(t)
				eventually(t, pair.Manager, waits)
				if err := p.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				if got := p.exit(t); got != code {
					t.Errorf("exit code %d, want %d: %s", got, code, p.err.String())
				}
				release()
				eventually(t, pair.Manager, away)
				untouched(t, pair.Manager)
			})
		}
	}
}

func TestTimeout_LockedTable(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 12, "changes of locked rows and tables")
	for what, lock := range locks {
		result.Attempts.Add(1)
		result.Faults.Add(1)
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			release := hold(t, pair.Manager, lock)
			const limit = 2 * time.Second
			p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone, "--timeout", limit.String()).exits(t, 8)
			// the server's time-out, or ours if the lock was reached late
			if said := p.err.String(); !strings.Contains(said, "timed out waiting for a lock that another session holds") &&
				!strings.Contains(said, "the database did not answer within 2s") {
				t.Errorf("it says: %s", said)
			}
			p.says(t, "nothing was changed")
			release()
			untouched(t, pair.Manager)
		})
	}
}

// N12: exports name the lock that they wait for, like pages do.
func TestTimeout_LockedExport(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds; TestTimeout_LockedTable waits for other commands")
	}
	t.Parallel()
	pair := withAda(t)
	hold(t, pair.Manager, "LOCK TABLE bill.invoices, tnnt.tenants IN ACCESS EXCLUSIVE MODE")
	for _, command := range []string{
		"invoices list --all -o csv", "invoices list --all --output-file slow.csv", "invoices export --output-file slow.jsonl",
		"invoices summary", "tenants list --all", "tenants list -o json",
	} {
		cxgctl(t, pair, append(strings.Fields(command), "--timeout", "1s")...).exits(t, 8).
			says(t, "timed out waiting for a lock that another session holds")
	}
}

func TestAudit_NoChangeWithoutItsRow(t *testing.T) {
	t.Parallel()
	r := torture.Report(t, 4, "changes whose audit row cannot be written")
	for name, sabotage := range map[string]string{
		"table dropped":     `DROP TABLE audt.audit_logs`,
		"schema dropped":    `DROP SCHEMA audt CASCADE`,
		"row refused":       `ALTER TABLE audt.audit_logs ADD CONSTRAINT planted CHECK (description NOT LIKE '%ada%') NOT VALID`,
		"column wanted":     `ALTER TABLE audt.audit_logs ADD COLUMN planted text; ALTER TABLE audt.audit_logs ADD CONSTRAINT planted CHECK (planted IS NOT NULL) NOT VALID`,
		"column dropped":    `ALTER TABLE audt.audit_logs DROP COLUMN extra_data, ADD COLUMN must text; ALTER TABLE audt.audit_logs ALTER COLUMN must SET NOT NULL`,
		"column too short":  `ALTER TABLE audt.audit_logs ALTER COLUMN result TYPE varchar(3)`,
		"trigger fails":     `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$; CREATE TRIGGER no BEFORE INSERT ON audt.audit_logs FOR EACH ROW EXECUTE FUNCTION no()`,
		"refused at commit": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$; CREATE CONSTRAINT TRIGGER no AFTER INSERT ON audt.audit_logs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()`,
	} {
		t.Run(name, func(t *testing.T) {
			nothingChanges(t, r, sabotage, append(slices.Clone(changes), []string{"users", "update", "ada", "--phone", newPhone, "--dry-run"}))
		})
	}
}

// changes are commands that change ada.
var changes = [][]string{{"users", "update", "ada", "--phone", newPhone}, {"users", "delete", "ada", "--yes"}}

// nothingChanges checks that commands fail and change nothing if sabotage prevents audit rows.
func nothingChanges(t *testing.T, r *torture.Result, sabotage string, commands [][]string) {
	t.Helper()
	t.Parallel()
	r.Attempts.Add(int64(len(commands)))
	r.Faults.Add(1)
	pair := withAda(t)
	if _, err := query(t.Context(), pair.Manager, sabotage); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		p := cxgctl(t, pair, args...)
		if code := p.code(t); code == 0 {
			t.Errorf("%q exits with 0:\n%s%s", args, p.out.String(), p.err.String())
		}
		if p.out.Len() > 0 {
			t.Errorf("%q prints a record of what was not done: %s", args, p.out.String())
		}
		p.says(t, "cxgctl: error: ")
	}
	untouched(t, pair.Manager)
}

func TestAudit_RoleWithoutRightsMayNotChange(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	role := "cxgtest_" + strings.ToLower(rand.Text()) // roles are shared by the whole server
	for _, sql := range []string{
		"CREATE ROLE " + role,
		"GRANT USAGE ON SCHEMA idam, audt, bill, tnnt, cxg_audit TO " + role,
		"GRANT SELECT, INSERT, UPDATE ON idam.users, idam.roles, idam.permissions, idam.role_permissions, idam.user_roles TO " + role,
		"GRANT SELECT ON audt.audit_logs, cxg_audit.enforcement TO " + role,
	} {
		if _, err := query(t.Context(), pair.Manager, sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = query(context.Background(), pair.Manager, "DROP OWNED BY "+role+"; DROP ROLE "+role)
	})
	p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone)
	p.env("CXGCTL_MANAGER_DATABASE_URL="+withOption(t, pair.Manager, "options", "-c role="+role)).exits(t, 8)
	p.says(t, "the database role lacks a privilege: permission denied for table audit_logs")
	untouched(t, pair.Manager)
}

// withOption adds a parameter to a connection string.
func withOption(t *testing.T, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String()
}

// gone returns a pipe whose reader has closed it.
func gone(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestOutput_ClosedPipeEndsListQuietly(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	for _, args := range [][]string{
		{"users", "list"},
		{"users", "list", "--all", "-o", "jsonl"},
		{"users", "get", "ada", "-o", "json"},
		{"version"},
		{"help"},
		{"config", "view"},
	} {
		p := cxgctl(t, pair, args...)
		p.Stdout = gone(t)
		p.exits(t, brokenPipe)
		if p.err.Len() > 0 {
			t.Errorf("%q says %s", args, p.err.String())
		}
	}
	// a change is made, whether or not its output is read
	p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone)
	p.Stdout = gone(t)
	p.exits(t, 0)
	changed(t, pair.Manager)
}

func TestOutput_FullDiskIsAnError(t *testing.T) {
	t.Parallel()
	full := func() *os.File {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip("no /dev/full here")
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	pair := withAda(t)
	for _, args := range [][]string{
		{"users", "list"},
		{"users", "list", "--all", "-o", "csv"},
		{"users", "update", "ada", "--phone", newPhone, "--dry-run"},
		{"version"},
		{"help", "exit-codes"},
		{"users", "--help"},
		{"completion", "bash"},
	} {
		p := cxgctl(t, pair, args...)
		p.Stdout = full()
		p.exits(t, 74).says(t, "cxgctl: error: ")
	}
	untouched(t, pair.Manager)
	p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone)
	p.Stdout = full()
	p.exits(t, 74).says(t, "the change was made, but its record cannot be printed: cannot write to standard output: no space left on device")
	changed(t, pair.Manager)
}

// A reader that stops for longer than the time-out does not fail a batch that is already committed.
func TestTimeout_SlowReaderDoesNotFailCommittedBatch(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	_, err := query(t.Context(), pair.Manager, `INSERT INTO idam.users (username, email, full_name)
		SELECT 'user' || n, 'user' || n || '@example.com', repeat('long name ', 9) FROM generate_series(1, 150) n`)
	if err != nil {
		t.Fatal(err)
	}
	refs := "ghost\n"
	for n := range 150 {
		refs += fmt.Sprintf("user%d\n", n+1)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := cxgctl(t, pair, "users", "status", "--stdin", "--set", "INACTIVE", "--timeout", "2s", "-o", "jsonl").in(refs)
	p.Stdout = w
	p.start(t)
	_ = w.Close()
	eventually(t, pair.Manager, `SELECT count(*) = 150 FROM idam.users WHERE status = 'INACTIVE'`)
	time.Sleep(2500 * time.Millisecond) // until its time is up
	buf := make([]byte, 1<<16)
	for err == nil {
		_, err = r.Read(buf)
	}
	if code := p.exit(t); code != 9 {
		t.Errorf("exit code %d, want 9: %s", code, p.err.String())
	}
	p.says(t, "1 of 151 failed; the rest is done")
}

// hostile are names with an effect in terminals, files, shells, spreadsheets or SQL.
var hostile = []string{
	"tab\there", "line\nfeed", "carriage\rreturn", "\x1b[31mred\x1b[0m\a", "\u202eright-to-left\u202c", "zero\u200bwidth",
	"'; DROP TABLE idam.users; --", `back\slash "quotes" 'single'`, "=cmd|' /C calc'!A0", "쉼표, 한글과 👩‍👩‍👧 이모지\u2028", "\ufeffbom", "\\.",
}

func TestHostileNames_AreStoredAndPrintedSafely(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for i, name := range hostile {
		_, err := conn.Exec(t.Context(), "INSERT INTO idam.users (username, email, full_name, created_at) VALUES ($1, $2, $3, '2020-01-01')",
			fmt.Sprintf("h%02d", i), fmt.Sprintf("h%02d@example.com", i), name)
		if err != nil {
			t.Fatal(err)
		}
	}
	list := func(args ...string) string {
		return cxgctl(t, pair, append([]string{"users", "list", "--all", "--search", "@example.com", "--sort", "username"}, args...)...).exits(t, 0).out.String()
	}

	var doc struct {
		Data struct {
			Items []struct {
				FullName string `json:"full_name"`
			} `json:"items"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(list("-o", "json")), &doc); err != nil {
		t.Fatal(err)
	}
	var fromJSON []string
	for _, u := range doc.Data.Items {
		fromJSON = append(fromJSON, u.FullName)
	}
	if !slices.Equal(fromJSON, hostile) {
		t.Errorf("from json come %q", fromJSON)
	}

	rows, err := csv.NewReader(strings.NewReader(list("-o", "csv", "--columns", "full_name,username", "--no-headers"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var fromCSV []string
	for _, r := range rows {
		fromCSV = append(fromCSV, r[0])
	}
	if !slices.Equal(fromCSV, hostile) {
		t.Errorf("from csv come %q", fromCSV)
	}

	for _, args := range [][]string{nil, {"-o", "wide"}, {"-o", "json"}, {"-o", "yaml"}} {
		for i, line := range strings.Split(list(args...), "\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' || r == '\u2028' || r == '\ufeff' }) {
				t.Errorf("%q, line %d acts on a terminal: %q", args, i+1, line)
			}
		}
	}

	// and in changes: the record, the dry run, the audit row, and errors that contain them
	for i, name := range hostile {
		p := cxgctl(t, pair, "users", "update", fmt.Sprintf("h%02d", i), "--full-name", name, "--dry-run")
		p.code(t)
		for _, text := range []string{p.out.String(), p.err.String()} {
			if strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) {
				t.Errorf("the update to %q acts on a terminal: %q", name, text)
			}
		}
	}
}

// No output contains a secret: a given password, a hash, or the password of a connection string.
func TestSecrets_AreNotPrinted(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	const canary = "Canary-7-Secret"
	if _, err := query(t.Context(), pair.Manager, `UPDATE idam.users SET password = 'hash-canary', salt_key = 'salt-canary',
		mfa_secret = 'mfa-canary', backup_codes = '{code-canary}', phone = 'old' WHERE username = 'ada'`); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), canary) // the server uses trust, so it is never sent
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	create := []string{"users", "create", "--username", "newcomer", "--email", "new@example.com", "--full-name", "New"}
	runs := [][]string{
		append(slices.Clone(create), "--password-stdin", "-o", "json", "-v"),
		append(slices.Clone(create), "--password-stdin", "-v"), // taken now
		append(slices.Clone(create), "--password-file", secret, "--dry-run"),
		{"users", "create", "--username", "x", "--email", "y", "--full-name", "z", "--password-stdin", "-v"},
		{"users", "password", "ada", "--password-stdin", "-v"},
		{"users", "password", "ada", "--password-file", secret, "-o", "yaml"},
		{"users", "password", "ghost", "--password-stdin", "-v"},
		{"users", "password", "ada", "--password", canary, "-v"},
		{"users", "password", "ada", "--password-file", canary},
		{"users", "get", "ada", "-o", "json", "-v"},
		{"users", "list", "--all", "-o", "jsonl"},
		{"users", "list", "-o", "wide", "--columns", "password"},
		{"users", "delete", "ada", "--dry-run", "-o", "json"},
		{"users", "delete", "ada", "--yes", "-o", "json"},
		{"audit", "list", "--all", "-o", "json"},
		{"config", "view"},
		{"config", "view", "-o", "json"},
		{"migrate", "status", "-v"},
	}
	for _, args := range runs {
		// two pass it as an argument by mistake; the error must not repeat it
		for _, broken := range []string{"", "1"} {
			p := cxgctl(t, pair, args...).in(canary + "\n")
			p.env("CXGCTL_MANAGER_DATABASE_URL=" + u.String())
			if broken != "" {
				down := *u
				down.RawQuery = "host=127.0.0.1&port=1"
				p.env("CXGCTL_MANAGER_DATABASE_URL=" + down.String())
			}
			p.code(t)
			slip := slices.Contains(args, "--password-file") && slices.Contains(args, canary)
			for _, text := range []string{p.out.String(), p.err.String()} {
				if low := strings.ToLower(text); strings.Contains(low, "canary") && !slip || strings.Contains(text, "$2b$") {
					t.Errorf("%q shows a secret:\n%s", args, text)
				}
			}
		}
	}
	if n := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs l WHERE l::text ILIKE '%canary%' OR l::text LIKE '%$2b$%'`); n != "0" {
		t.Errorf("%s audit rows show a secret", n)
	}
	if n := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND extra_data->'after'->>'password' = 'changed'`); n != "3" {
		t.Errorf("%s audit rows say that a password changed, want 3", n)
	}
}

// A signal ends a command whose output is not read.
func TestSignal_EndsUnreadList(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	if _, err := query(t.Context(), pair.Manager, `INSERT INTO idam.users (username, email, full_name)
		SELECT 'user' || n, 'user' || n || '@example.com', repeat('long name ', 9) FROM generate_series(1, 2000) n`); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	p := cxgctl(t, pair, "users", "list", "--all", "-o", "jsonl")
	p.Stdout = w
	p.start(t)
	_ = w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it has started to write, and will block
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	_ = p.Process.Signal(syscall.SIGTERM)
	if code := p.exit(t); code != 143 {
		t.Errorf("exit code %d, want 143: %s", code, p.err.String())
	}
}

// A signal ends a command that waits for standard input.
func TestSignal_EndsReadingStandardInput(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	for _, args := range [][]string{
		{"users", "status", "--stdin", "--set", "INACTIVE"},
		{"users", "password", "ada", "--password-stdin"},
	} {
		eventually(t, pair.Manager, away) // the session of the process before
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := cxgctl(t, pair, args...)
		p.Stdin = r
		p.start(t)
		_ = r.Close()
		if _, err := w.WriteString("ada"); err != nil { // without a newline
			t.Fatal(err)
		}
		eventually(t, pair.Manager, "SELECT NOT ("+away+")")
		_ = p.Process.Signal(os.Interrupt)
		if code := p.exit(t); code != 130 {
			t.Errorf("%q: exit code %d, want 130: %s", args, code, p.err.String())
		}
		_ = w.Close()
	}
	untouched(t, pair.Manager)
}

// Migrations applied before a signal have their audit rows.
func TestSignal_DuringMigrationLeavesNoneUnrecorded(t *testing.T) {
	if testing.Short() {
		t.Skip("reverts and applies most migrations; TestSignal_DuringLockWaitChangesNothing interrupts other changes")
	}
	t.Parallel()
	pair := dbtest.New(t, migrated)
	last := func() string {
		return ask(t, pair.Manager, "SELECT count(*) FROM public.cxgctl_migrations WHERE version_id > 0")
	}
	for ask(t, pair.Manager, "SELECT max(version_id) > 7 FROM public.cxgctl_migrations") == "t" {
		cxgctl(t, pair, "migrate", "down", "--database", "manager", "--yes", "--discard-data").exits(t, 0) // the seals are data
	}
	left := last()
	hold(t, pair.Manager, "LOCK TABLE idam.roles IN ACCESS EXCLUSIVE MODE") // which 00009 fills, after 00008
	p := cxgctl(t, pair, "migrate", "up", "--database", "manager").start(t)
	eventually(t, pair.Manager, waits)
	_ = p.Process.Signal(syscall.SIGINT)
	if code := p.exit(t); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, p.err.String())
	}
	got := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE extra_data->'after'->>'database' = 'manager'`)
	if want := ask(t, pair.Manager, `SELECT count(*) - `+left+` FROM public.cxgctl_migrations WHERE version_id > 0`); got != want || got == "0" {
		t.Errorf("%s audit rows of %s migrations", got, want)
	}
}

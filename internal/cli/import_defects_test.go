package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/cli/importcmd"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/importer"
)

// defect is a kind of mistake: a row with it, and the field that the report must name.
type defect struct {
	row   func(n int) string
	field string
}

// goodRow returns a valid row, with the given cells replaced.
func goodRow(n int, cells ...string) string {
	values := map[string]string{
		"username": fmt.Sprintf("person%d", n), "email": fmt.Sprintf("person%d@example.com", n),
		"full_name": fmt.Sprintf("\"Nr. %d, 김\"", n), "phone": "", "user_type": "TENANT", "status": "ACTIVE", "mfa_enabled": "no", "last_login_at": "",
	}
	for i := 0; i < len(cells); i += 2 {
		values[cells[i]] = cells[i+1]
	}
	list := make([]string, len(defectColumns))
	for i, c := range defectColumns {
		list[i] = values[c]
	}
	return strings.Join(list, ",")
}

var defectColumns = []string{"username", "email", "full_name", "phone", "user_type", "status", "mfa_enabled", "last_login_at"}

func cell(field, value string) defect {
	return defect{func(n int) string { return goodRow(n, field, value) }, field}
}

// defects are the twenty kinds.
var defects = []defect{
	{func(n int) string { return fmt.Sprintf("person%d,person%d@example.com", n, n) }, ""},
	{func(n int) string { return goodRow(n) + ",surplus" }, ""},
	cell("full_name", "Nul\x00byte"),
	cell("full_name", "Latin \xe9"),
	cell("phone", `"12`),
	cell("full_name", `"Bob" Smith`),
	cell("full_name", strings.Repeat("x", 40000)),
	cell("username", ""),
	cell("username", "ab"),
	cell("username", "김민수"),
	cell("email", ""),
	cell("email", "nowhere"),
	cell("full_name", strings.Repeat("n", 101)),
	cell("full_name", "evil\u202etxt"),
	cell("phone", "123456789012345678901"),
	cell("user_type", "USER"),
	cell("status", "GONE"),
	cell("mfa_enabled", "maybe"),
	{func(n int) string { return goodRow(n, "username", fmt.Sprintf("person%d", n-3)) }, "username"}, // three lines above
	{func(n int) string { return goodRow(n, "email", "admin@cxg.example") }, "email"},                // in the database
}

// Of 100,000 rows (3,000 in a short run) 137 have a defect, of 20 kinds. Each is reported once and the rest is
// imported. The 137 are imported once they are fixed.
// mattermost#27972, #10754: an import fails without giving a reason; one bad row aborts the whole import.
func TestImport_ReportsEachDefect(t *testing.T) {
	t.Parallel()
	const bad = 137
	rows := 20_000 // many batches
	if testing.Short() {
		rows = 3000
	}
	apart := rows / (bad + 3)
	pair := dbtest.New(t, migrated)
	dir := t.TempDir()
	path, failed := filepath.Join(dir, "people.csv"), filepath.Join(dir, "failed.csv")
	planted := map[int64]defect{}
	var b strings.Builder
	b.WriteString(strings.Join(defectColumns, ",") + "\n")
	for n := range rows {
		line := int64(n + 2)
		if n%apart == apart/2 && len(planted) < bad {
			d := defects[len(planted)%len(defects)]
			planted[line] = d
			b.WriteString(d.row(n) + "\n")
			continue
		}
		b.WriteString(goodRow(n) + "\n")
	}
	if len(planted) != bad {
		t.Fatalf("%d defects are planted", len(planted))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var report struct{ Data importcmd.Report }
	run := func(want int, args ...string) {
		t.Helper()
		p := cxgctl(t, pair, append([]string{"users", "import", "--no-passwords", "-o", "json"}, args...)...)
		err := p.Run() // a busy machine may be slow
		if got := p.ProcessState.ExitCode(); got != want {
			t.Fatalf("exit %d, want %d: %v\n%s", got, want, err, p.err.String())
		}
		report.Data = importcmd.Report{}
		if err := json.Unmarshal(p.out.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
	}
	check := func(created int64) {
		t.Helper()
		r := report.Data
		if r.Created != created || r.Failed != bad || r.Rows != int64(rows) || len(r.Errors) != bad {
			t.Errorf("%d rows, %d created, %d failed, %d errors", r.Rows, r.Created, r.Failed, len(r.Errors))
		}
		seen := map[int64]importer.Failure{}
		for _, f := range r.Errors {
			seen[f.Line] = f
			if d, ok := planted[f.Line]; !ok || d.field != f.Field || f.Message == "" || f.Code == "" {
				t.Errorf("line %d has field %q, want %q: %s", f.Line, f.Field, d.field, f.Message)
			}
		}
		if len(seen) != bad {
			t.Errorf("%d lines are reported, want %d", len(seen), bad)
		}
	}
	run(9, path, "--dry-run")
	check(int64(rows - bad))
	if n := ask(t, pair.Manager, `SELECT count(*) FROM idam.users`); n != "1" {
		t.Fatalf("a dry run left %s users", n)
	}
	run(9, path, "--errors", failed)
	check(int64(rows - bad))

	// Fix the cells of each row in the error file, but keep the column with the errors.
	text, err := os.Open(failed)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	records, err := csv.NewReader(text).ReadAll()
	if err != nil || len(records) != bad+1 {
		t.Fatalf("the error file has %d records: %v", len(records), err)
	}
	mended := strings.Join(records[0], ",") + "\n"
	for i, r := range records[1:] {
		mended += goodRow(rows+i) + ",\"" + strings.ReplaceAll(r[len(r)-1], `"`, `""`) + "\"\n"
	}
	if err := os.WriteFile(failed, []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, failed)
	if r := report.Data; r.Created != bad || r.Failed != 0 {
		t.Errorf("fixed rows: %d created, %d failed", r.Created, r.Failed)
	}
	for what, sql := range map[string]string{
		"users":      `SELECT count(*) FROM idam.users WHERE username LIKE 'person%'`,
		"audit rows": `SELECT count(DISTINCT resource_id) FROM audt.audit_logs WHERE result = 'SUCCESS' AND action_performed = 'CREATE'`,
	} {
		if got := ask(t, pair.Manager, sql); got != fmt.Sprint(rows) {
			t.Errorf("%s: %s, want %d", what, got, rows)
		}
	}
}

// F38: a pipe that does not fit into memory needs a temporary file.
func TestImport_NoFolderForTemporaryFile(t *testing.T) {
	t.Parallel()
	p := cxgctl(t, withAda(t), "users", "import", "-", "--no-passwords").env("TMPDIR=/nonexistent")
	p.in("username,email,full_name\n" + strings.Repeat("eve,eve@example.com,Eve\n", 250_000))
	if code := p.start(t).exit(t); code != 74 { // TMPDIR is the process's
		t.Errorf("exit code %d", code)
	}
	const want = "cxgctl: error: cannot write a temporary file in /nonexistent: no such file or directory\n" +
		"cxgctl: hint: set TMPDIR to a folder with free space\n"
	if got := p.err.String(); got != want {
		t.Errorf("it prints %q", got)
	}
}

package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/cli/importcmd"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// billedTenant inserts a tenant with a subscription.
const billedTenant = `
INSERT INTO tnnt.tenants (id, code, name) VALUES ('10000000-0000-4000-8000-000000000001', 'acme', 'Acme');
INSERT INTO bill.plans (id, code, name, base_amount) VALUES ('20000000-0000-4000-8000-000000000001', 'STANDARD', 'Standard', 1);
INSERT INTO tnnt.subscriptions (id, tenant_id, plan_id, start_date, base_amount)
VALUES ('20000000-0000-4000-8000-0000000000a1', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000001', '2026-01-01', 1)`

func withTenant(t *testing.T) dbtest.Pair {
	t.Helper()
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, billedTenant); err != nil {
		t.Fatal(err)
	}
	return pair
}

// billsFile writes a csv file of n invoices of acme. number returns the number of the nth.
func billsFile(t *testing.T, name string, n int, number func(int) string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("invoice_no,tenant,subscription,invoice_date,due_date,start_date,close_date,base_amount,tax_amount,total_amount,user_count\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,acme,20000000-0000-4000-8000-0000000000a1,2026-02-01,2026-03-03,2026-01-01,2026-01-31,%[2]d.0001,0.1,%[2]d.1001,3\n", number(i), i)
	}
	return written(t, name+".csv", b.String())
}

// A killed import of invoices can be continued: each row is applied once, with its audit row and an exact total.
func TestInvoicesImport_SurvivesKills(t *testing.T) {
	if testing.Short() {
		t.Skip("TestImport_SurvivesKills does the same with users")
	}
	t.Parallel()
	result := torture.Report(t, 1, "imports of 6,000 invoices, kill -9")
	rows, points := torture.Count(6000, 6000, 4000), torture.Count(200, 12, 3)
	pair := withTenant(t)
	random := rand.New(rand.NewPCG(5, 12))
	imports, midway := 0, 0
	took := 600 * time.Millisecond
	kills := 0
	more := func() bool { return kills < points || midway == 0 && kills < 100 }
	for ; more(); imports++ {
		path := billsFile(t, fmt.Sprint("kill", imports), rows, func(i int) string { return fmt.Sprintf("K%d-%d", imports, i) })
		began := time.Now()
		for finished := false; !finished; {
			p := cxgctl(t, pair, "invoices", "import", path, "-q").start(t)
			result.Attempts.Add(1)
			var end *time.Timer
			if imports > 0 && more() { // the first one shows how long it takes
				kills++
				result.Faults.Add(1)
				end = time.AfterFunc(time.Duration(random.Int64N(int64(took))), func() { _ = p.Process.Kill() })
			}
			code := p.exit(t)
			if end != nil {
				end.Stop()
			}
			if code > 0 {
				t.Fatalf("exit %d\n%s", code, p.err.String())
			}
			finished = code == 0
			if n := ask(t, pair.Manager, fmt.Sprintf(`SELECT count(*) FROM bill.invoices WHERE invoice_no LIKE 'K%d-%%'`, imports)); n != "0" && n != fmt.Sprint(rows) {
				midway++
			}
		}
		if imports == 0 {
			took = time.Since(began)
		}
	}
	t.Logf("%d kills over %d imports, %d between the first batch and the last", kills, imports-1, midway)
	if midway == 0 {
		t.Error("no kill came while a file was half imported")
	}
	result.Rows(t, askInt(t, pair.Manager, `SELECT count(*) FROM bill.invoices WHERE total_amount = base_amount + usage_amount - discount_amount + tax_amount`),
		askInt(t, pair.Manager, `SELECT count(DISTINCT invoice_no) FROM bill.invoices`), rows*imports)
	for what, sql := range map[string]string{
		"audit rows":     `SELECT count(*) FROM audt.audit_logs`,
		"true images":    `SELECT count(*) FROM bill.invoices i JOIN audt.audit_logs l ON l.resource_id = i.id::text WHERE l.extra_data->'after'->>'total_amount' = i.total_amount::text AND l.tenant_id = i.tenant_id`,
		"rows on record": `SELECT sum(records) FROM cxg_import.rows`,
	} {
		if got, want := askInt(t, pair.Manager, sql), rows*imports; got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
			result.Unaudited.Add(1)
		}
	}
}

// Two files with the same invoice numbers are imported at once: each number goes to one of them, and the other reports
// who has it.
func TestInvoicesImport_Concurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("TestImport_OneRunAtATime does the same with users")
	}
	t.Parallel()
	const rows = 5000
	pair := withTenant(t)
	up := billsFile(t, "up", rows, func(i int) string { return fmt.Sprintf("R-%d", i) })
	down := billsFile(t, "down", rows, func(i int) string { return fmt.Sprintf("R-%d", rows-1-i) })
	a, b := cxgctl(t, pair, "invoices", "import", up, "-o", "json").start(t), cxgctl(t, pair, "invoices", "import", down, "-o", "json").start(t)
	created, failed := int64(0), int64(0)
	for _, p := range []*process{a, b} {
		if code := p.exit(t); code != 9 && code != 0 {
			t.Fatalf("exit %d\n%s", code, p.err.String())
		}
		var report struct{ Data importcmd.Report }
		if err := json.Unmarshal(p.out.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		created, failed = created+report.Data.Created, failed+report.Data.Failed
		for _, f := range report.Data.Errors {
			if f.Field != "invoice_no" || f.Holder == nil {
				t.Fatalf("a row fails for %q: %s", f.Field, f.Message)
			}
		}
	}
	if created != rows || failed != rows {
		t.Errorf("%d created, %d failed", created, failed)
	}
	if got := ask(t, pair.Manager, `SELECT concat_ws(' ', count(*), count(DISTINCT invoice_no), (SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS')) FROM bill.invoices`); got != "5000 5000 5000" {
		t.Errorf("invoices, numbers and audit rows: %s", got)
	}
}

// A report counts all failures but lists a limited number. --errors has all of them.
func TestImport_ReportIsBounded(t *testing.T) {
	t.Parallel()
	const rows = importcmd.ReportedFailures + 500
	pair := withTenant(t)
	path := billsFile(t, "same", rows, func(int) string { return "S-1" })
	failures := filepath.Join(t.TempDir(), "failed.csv")
	p := cxgctl(t, pair, "invoices", "import", path, "--errors", failures, "-o", "json").exits(t, 9)
	var report struct{ Data importcmd.Report }
	if err := json.Unmarshal(p.out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if r := report.Data; r.Created != 1 || r.Failed != rows-1 || len(r.Errors) != importcmd.ReportedFailures {
		t.Errorf("%d created, %d failed, %d listed", r.Created, r.Failed, len(r.Errors))
	}
	text, err := os.ReadFile(failures)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != rows { // a header, and all but one
		t.Errorf("the file of failures has %d lines", n)
	}
}

package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	auditcmd "github.com/cxgctl/cxgctl/internal/cli/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/pgtext"
	"github.com/cxgctl/cxgctl/internal/users"
)

// plant adds rows with values that encoders tend to get wrong.
func plant(t *testing.T, dsn string, g generations.Generation) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`UPDATE idam.users SET last_login_ip = '2001:db8::ff', last_login_at = '0044-03-15 12:00:00+00 BC', backup_codes = '{a}' WHERE username = 'admin'`)
	for i, name := range append(hostile, "", " ", " outer ", "a,b", `"`, "'+1", "-1", "@x", "null", "yes", "1", "각각", "-infinity") {
		exec(`INSERT INTO idam.users (username, email, full_name, user_type, phone, last_login_ip, last_login_at) VALUES ($1, $2, $3, 'TENANT', $4, '10.0.0.1', $5::timestamptz)`,
			fmt.Sprintf("p%02d", i), fmt.Sprintf("p%02d@example.com", i), name, []any{nil, ""}[i%2],
			[]string{"infinity", "-infinity", "10000-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"}[i%4])
	}
	exec(`ALTER TABLE bill.invoices ALTER used_storage TYPE numeric`)
	for _, c := range []string{"usage_amount", "discount_amount", "tax_amount", "used_storage", "api_calls"} {
		exec(`ALTER TABLE bill.invoices ALTER ` + c + ` DROP NOT NULL`)
	}
	infinity := "Infinity"
	if strings.HasPrefix(conn.PgConn().ParameterStatus("server_version"), "13.") {
		infinity = "1" // a numeric cannot be infinite
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		exec(`INSERT INTO bill.invoices (tenant_id, subscription_id, invoice_no, invoice_date, due_date, start_date, close_date, base_amount,
  usage_amount, discount_amount, tax_amount, total_amount, currency, user_count, used_storage, api_calls, paid_at, payment_method, status, `+g.InvoiceFlag+`)
SELECT tenant_id, subscription_id, $1, $2::date, 'infinity', $2::date, 'infinity', $3::numeric, $4::numeric, 'NaN', NULL, 99999999999999.9999,
  $5, 1, $6::numeric, $7, $8::timestamptz, NULL, 'PENDING', $9 FROM bill.invoices LIMIT 1`,
			fmt.Sprintf("P-%02d %s", i, hostile[i%len(hostile)]),
			[]string{"2026-02-28", "0044-03-15 BC", "-infinity", "10001-01-01", "0001-01-01"}[i%5],
			[]string{"0", "0.0001", "12000", "10000.0001"}[i%4], []any{nil, "1.5", "99999999999999.9999"}[i%3],
			[]string{"KRW", "US ", "usd", "  "}[i%4],
			[]any{nil, "-0.00000000000000000001", "1e30", "NaN", infinity, "-" + infinity, fmt.Sprint(rnd.Float64() * 1e6)}[i%7],
			[]any{nil, -5, 2147483647}[i%3], []any{nil, "infinity", "2026-01-01T00:00:00.1Z"}[i%3], i%6 == 0)
	}
	if g.Audit == generations.EventAudit {
		exec(`INSERT INTO audt.audit_logs (event_type, event_category, description, result, risk_level, status, deleted, extra_data, resource_id)
SELECT 'ADMIN_ACTION', 'DATA_MODIFICATION', 'x', 'SUCCESS', 'LOW', 'ACTIVE', false, e, 'x' FROM unnest(ARRAY[
  '{"operator": "홍길동", "resource": "user", "before": null, "after": {"b": 1.10, "a": "<\u2028\u202e\u0007", "z": [], "n": {"y": [1, {"k": null}]}}}',
  '{"before": {"x": "=1"}, "after": [], "reason": "a,\"b\"\n", "ticket": ""}', NULL, '{}']::jsonb[]) e`)
	}
}

// compare prints the rows of a noun as records and from the binary form, in every format and with every flag that
// matters, and fails the test if a byte differs. In a short run it takes every third of these, from the nth on.
func compare[T any](t *testing.T, n int, d *db.DB, v output.View, s db.ListQuery[T]) {
	t.Helper()
	fields := output.Fields[T]()
	var options []output.Options
	for _, f := range []output.Format{output.CSV, output.TSV, output.JSONL, output.JSON, output.YAML, output.ID} {
		options = append(options,
			output.Options{Format: f},
			output.Options{Format: f, NoHeaders: true, CSVBOM: true, CSVSafe: true},
			output.Options{Format: f, Columns: []string{fields[len(fields)-1], fields[0], fields[3]}},
			output.Options{Format: f, Columns: []string{fields[2]}, CSVSafe: true})
	}
	for _, f := range []output.Format{output.Table, output.Wide} {
		options = append(options, output.Options{Format: f}, output.Options{Format: f, Columns: fields}, output.Options{Format: f, Columns: fields, Mask: true})
	}
	rows := func(q db.Query) iter.Seq2[pgtext.Row, error] {
		return db.Export(t.Context(), d, time.Minute, func(ctx context.Context, r db.Reader, _ *db.IdleTimer) iter.Seq2[pgtext.Row, error] {
			return q.Rows(ctx, r)
		})
	}
	slow := sheetOf(t, func(p *output.Printer) error {
		q, err := s.All()
		if err == nil {
			_, err = output.Stream(p, v, db.Stream[T](t.Context(), d, time.Minute, q))
		}
		return err
	})
	fast := sheetOf(t, func(p *output.Printer) error {
		q, _, err := s.Export(fields)
		if err == nil {
			_, err = output.Export[T](p, v, rows(q))
		}
		return err
	})
	if slow != fast || len(fast) < 1000 {
		t.Errorf("the spreadsheets differ:\n%.2000s\n%.2000s", slow, fast)
	}
	for i, o := range options {
		if testing.Short() && i%3 != n%3 {
			continue
		}
		var slow, fast bytes.Buffer
		o.Stdout = &slow
		p, err := output.New(o)
		if err != nil {
			t.Fatal(err)
		}
		rq, err := s.All()
		if err != nil {
			t.Fatal(err)
		}
		n, err := output.Stream(p, v, db.Stream[T](t.Context(), d, time.Minute, rq))
		if err != nil {
			t.Fatal(err)
		}
		p.Stdout = &fast
		columns, err := output.Columns[T](p, v)
		if err != nil {
			t.Fatal(err)
		}
		q, ok, err := s.Export(columns)
		if err != nil || !ok {
			t.Fatalf("%v cannot be read in binary: %v", columns, err)
		}
		m, err := output.Export[T](p, v, rows(q))
		if err != nil {
			t.Fatal(err)
		}
		if n != m || n == 0 {
			t.Errorf("%s: %d records, %d rows", o.Format, n, m)
		}
		want, got := strings.Split(slow.String(), "\n"), strings.Split(fast.String(), "\n")
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("%s %v, line %d:\n%q, want\n%q", o.Format, o.Columns, i+1, got[min(i, len(got)-1)], want[i])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d lines, want %d", o.Format, len(got), len(want))
		}
	}
}

// sheetOf returns the first sheet of the workbook that print writes.
func sheetOf(t *testing.T, print func(*output.Printer) error) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.xlsx")
	p, err := output.New(output.Options{Format: output.XLSX, File: file})
	if err == nil {
		err = print(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	f, err := z.Open("xl/worksheets/sheet1.xml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "<row ", "\n<row ")
}

// Rows exported from the binary form equal printed records, byte for byte, on every generation.
func TestExport_EqualsRecords(t *testing.T) {
	t.Parallel()
	for k, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			d, cat := openPlanted(t, g)
			ctx := t.Context()
			ut, err := users.NewTable(cat)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, k, d, cmdutil.UserView, ut.List(users.Filter{IncludeDeleted: true}))
			it, err := invoices.NewTable(cat)
			if err != nil {
				t.Fatal(err)
			}
			is, err := it.Matching(ctx, d, invoices.Filter{IncludeDeleted: true})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, k, d, cmdutil.InvoiceView, is)
			if g.Audit == "" {
				return
			}
			log, err := audit.NewLog(cat)
			if err != nil {
				t.Fatal(err)
			}
			ls, err := log.Matching(ctx, d, audit.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, k, d, auditcmd.AuditView, ls)
		})
	}
}

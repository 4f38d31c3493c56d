package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"
	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
)

// keepWanted stores the result of a plain SELECT of the invoices, and creates a table for the rows read back.
func keepWanted(g generations.Generation) string {
	return `CREATE TABLE wanted AS
SELECT i.id, i.invoice_no, i.tenant_id, t.` + g.TenantCode + ` AS tenant_code, i.subscription_id, i.invoice_date, i.due_date, i.start_date, i.close_date,
       i.base_amount, i.usage_amount, i.discount_amount, i.tax_amount, i.total_amount::numeric, rtrim(i.currency) AS currency, i.user_count,
       i.used_storage, i.api_calls, i.status, i.paid_at, i.payment_method, i.` + g.InvoiceFlag + ` AS deleted, i.created_at, i.updated_at, i.created_by, i.updated_by
  FROM bill.invoices i LEFT JOIN tnnt.tenants t ON t.id = i.tenant_id;
CREATE TABLE got (LIKE wanted);`
}

// differing counts the rows that only one of the tables has. It compares text, because numerics of different scales are
// equal.
const differing = `SELECT count(*) FROM ((SELECT w::text FROM wanted w EXCEPT ALL SELECT g::text FROM got g)
 UNION ALL (SELECT g::text FROM got g EXCEPT ALL SELECT w::text FROM wanted w)) d`

// readBack inserts the rows of a file into the table got, by format.
var readBack = map[string]func(*testing.T, *pgx.Conn, []byte){
	"csv":   copyIn("COPY got FROM STDIN (FORMAT csv, HEADER)"),
	"tsv":   readTSV,
	"jsonl": readJSONL,
	"json":  readJSON,
	"yaml":  readYAML,
	"xlsx":  readXLSX,
}

// Other programs read the same values from exported invoices as SELECT returns, to the last digit. PostgreSQL reads
// csv, tsv, json and jsonl, libraries read yaml and xlsx. A short run reads every second format.
func TestInvoicesExport_EqualsSelect(t *testing.T) {
	t.Parallel()
	for k, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			pair := dbtest.New(t, found(g).template)
			plant(t, pair.Manager, g)
			conn := unchecked(t, pair.Manager)
			execute(t, conn, "DO $$ BEGIN IF to_regclass('idam.user_roles') IS NOT NULL THEN DELETE FROM idam.user_roles; END IF; END $$") // without grants a MASTER has all permissions
			execute(t, conn, "UPDATE bill.invoices SET currency = 'EUR' WHERE currency = ''")                                              // csv cannot distinguish '' from NULL
			execute(t, conn, keepWanted(g))
			for i, format := range []string{"csv", "tsv", "jsonl", "json", "yaml", "xlsx"} { // xlsx last, because it changes wanted
				if testing.Short() && i%2 != k%2 {
					continue
				}
				file := filepath.Join(t.TempDir(), "x."+format)
				cxgctl(t, pair, "invoices", "list", "--all", "--include-deleted", "-o", format, "--output-file", file).exits(t, 0)
				execute(t, conn, "TRUNCATE got")
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				readBack[format](t, conn, text)
				var wanted, different int
				if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM wanted), ("+differing+")").Scan(&wanted, &different); err != nil {
					t.Fatal(err)
				}
				if wanted < 60 || different > 0 {
					var first string
					err := conn.QueryRow(t.Context(), `SELECT string_agg(r, E'\n') FROM
 ((SELECT w::text AS r FROM wanted w EXCEPT SELECT g::text FROM got g LIMIT 2) UNION ALL (SELECT g::text FROM got g EXCEPT SELECT w::text FROM wanted w LIMIT 2)) r`).Scan(&first)
					t.Errorf("%s: %d of %d rows differ: %s %v", format, different, wanted, first, err)
				}
			}
		})
	}
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if len(args) == 0 { // allows several statements
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return
	}
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// copyIn loads a file with COPY.
func copyIn(statement string) func(*testing.T, *pgx.Conn, []byte) {
	return func(t *testing.T, conn *pgx.Conn, file []byte) {
		t.Helper()
		if _, err := conn.PgConn().CopyFrom(t.Context(), bytes.NewReader(file), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func readTSV(t *testing.T, conn *pgx.Conn, file []byte) {
	t.Helper()
	_, rows, _ := bytes.Cut(file, []byte("\n")) // COPY supports a header here only since PostgreSQL 15
	copyIn("COPY got FROM STDIN (FORMAT text, NULL '')")(t, conn, rows)
}

func readJSONL(t *testing.T, conn *pgx.Conn, file []byte) {
	t.Helper()
	execute(t, conn, "DROP TABLE IF EXISTS lines; CREATE TABLE lines (line jsonb)")
	copyIn(`COPY lines FROM STDIN (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')`)(t, conn, file) // each line unchanged
	execute(t, conn, "INSERT INTO got SELECT r.* FROM lines, jsonb_populate_record(null::got, line) r")
}

func readJSON(t *testing.T, conn *pgx.Conn, file []byte) {
	t.Helper()
	execute(t, conn, "INSERT INTO got SELECT * FROM jsonb_populate_recordset(null::got, $1::jsonb #> '{data,items}')", string(file))
}

func readYAML(t *testing.T, conn *pgx.Conn, file []byte) {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal(file, &doc); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	readJSON(t, conn, b)
}

func readXLSX(t *testing.T, conn *pgx.Conn, file []byte) {
	t.Helper()
	book, err := excelize.OpenReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	rows, err := book.GetRows(book.GetSheetName(0), excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	for n, row := range rows {
		row = append(row, make([]string, len(rows[0])-len(row))...) // excelize omits empty cells at the end
		for i, name := range rows[0] {
			day, err := strconv.Atoi(row[i])
			if n == 0 || err != nil || len(name) < 5 || name[len(name)-5:] != "_date" {
				continue
			}
			row[i] = time.Date(1899, 12, 30+day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) // spreadsheets store dates as days since then
		}
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	copyIn("COPY got FROM STDIN (FORMAT csv, HEADER)")(t, conn, text.Bytes())
	// A spreadsheet's numbers have no trailing zeros, and its text no control characters.
	for _, table := range []string{"wanted", "got"} {
		execute(t, conn, "UPDATE "+table+` SET total_amount = trim_scale(total_amount), used_storage = trim_scale(used_storage),
 invoice_no = regexp_replace(invoice_no, '[\x01-\x08\x0b\x0c\x0e-\x1f]', U&'\FFFD', 'g')`)
	}
}

package cli

import (
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// LibreOffice prints each workbook on landscape pages, all columns on one, without ### and with the values of the table (N9).
func TestWorkbooks_InLibreOffice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts LibreOffice; TestXLSX_Report reads a workbook as XML")
	}
	t.Parallel()
	pair := dbtest.New(t, demoData())
	// The oldest invoices are the last rows of a list, behind those that decide the widths of columns.
	execute(t, unchecked(t, pair.Manager), `
UPDATE bill.invoices i
   SET currency = w.currency, total_amount = w.amount
  FROM (VALUES (1, 'KRW', 99999999999999), (2, 'USD', 9999999999.9), (3, 'BHD', 1234567890.125), (4, 'JPY', 1)) w (n, currency, amount),
       (SELECT id, row_number() OVER (ORDER BY invoice_date, id) AS n FROM bill.invoices WHERE NOT deleted) oldest
 WHERE oldest.n = w.n AND i.id = oldest.id`)
	books := []struct {
		name, args, last string // last is the heading of the last column
		texts            []string
	}{
		{"users", "users list --all --columns username,full_name,status,mfa_enabled,failed_login_attempts,created_at", "created_at", nil},
		{"directory", "users export --status LOCKED,SUSPENDED", "sso_subject", nil}, // pdftotext gives up after 50,000 tiny characters
		{"invoices", "invoices list --page-size 100", "updated_by", nil},
		{"amounts", "invoices list --all --columns invoice_no,due_date,base_amount,total_amount,currency,user_count,status", "status", nil},
		{"months", "invoices export --month 2025-01 --columns invoice_no,invoice_date,total_amount,currency,deleted", "deleted", []string{"FALSE"}},
		{"summary", "invoices summary", "SUBGROUP", []string{"Invoices by currency", "as of 20"}},
		{"statuses", "invoices summary --by month,status", "OVER 90", []string{"Invoices by month and status", "as of 20"}},
		{"report", "invoices report", "OVERDUE", []string{"Unpaid amounts by tenant and age", "as of 20", "TOTAL"}},
		{"tenants", "tenants list --all", "updated_by", nil},
	}
	dir := t.TempDir()
	convert := exec.CommandContext(t.Context(), "soffice", "-env:UserInstallation=file://"+dir+"/profile", "--headless", "--convert-to", "pdf", "--outdir", dir)
	for _, b := range books {
		file := filepath.Join(dir, b.name+".xlsx")
		cxgctl(t, pair, append(strings.Fields(b.args), "--output-file", file)...).exits(t, 0)
		convert.Args = append(convert.Args, file)
	}
	convert.Env = append(os.Environ(), "HOME="+dir)
	if _, err := exec.LookPath("soffice"); err != nil {
		t.Fatalf("%v; .ci/test-packages installs it", err)
	}
	succeeds(t, convert)

	for _, b := range books {
		t.Run(b.name, func(t *testing.T) {
			pdf := filepath.Join(dir, b.name+".pdf")
			text := succeeds(t, exec.CommandContext(t.Context(), "pdftotext", "-layout", pdf, "-"))
			if strings.Contains(text, "###") {
				t.Errorf("a cell is too narrow for its number:\n%.2000s", text)
			}
			first, _, _ := strings.Cut(text, "\f")
			for _, want := range append(b.texts, b.last) {
				if !strings.Contains(first, want) {
					t.Errorf("the first page lacks %q:\n%.2000s", want, first)
				}
			}
			shown := map[string]bool{}
			for _, word := range strings.Fields(text) {
				shown[strings.ToLower(strings.TrimSuffix(word, "%"))] = true
			}
			table := cxgctl(t, pair, append(strings.Fields(b.args), "-o", "table", "--no-headers")...).exits(t, 0)
			for _, word := range strings.Fields(table.out.String()) {
				if word != "%" && !shown[strings.ToLower(word)] {
					t.Errorf("no page shows %s", word)
				}
			}
			checkPicture(t, pdf)
		})
	}
}

// checkPicture checks that the first page of a document is landscape A4, and not blank.
func checkPicture(t *testing.T, pdf string) {
	t.Helper()
	page := strings.TrimSuffix(pdf, ".pdf")
	succeeds(t, exec.CommandContext(t.Context(), "pdftoppm", "-png", "-r", "72", "-singlefile", pdf, page))
	file, err := os.Open(page + ".png")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	size, dark := picture.Bounds().Size(), 0
	for x := range size.X {
		for y := range size.Y {
			if r, g, b, _ := picture.At(x, y).RGBA(); r+g+b < 3*0x8000 {
				dark++
			}
		}
	}
	if size.X < 840 || size.X > 843 || size.Y < 594 || size.Y > 597 || dark < 100 {
		t.Errorf("the page is %v with %d dark points", size, dark)
	}
}

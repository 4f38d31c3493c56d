package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// hostileNames are names of tenants that would become elements or scripts of a careless page.
var hostileNames = []string{
	`<script>document.title = 'hijacked'</script>`,
	`<img src=https://evil.example/x onerror=alert(1)>`,
	`"><svg onload=fetch('https://evil.example')>`,
	`</style><style>@import url(https://evil.example/x.css)</style>`,
	"\u202egnp.exe {{.AsOf}} ${x}",
}

// Chromium shows the report without an error and without a request, in a window, on a phone and on paper. Hostile names
// are text.
func TestReport_InBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser several times; TestReport_FiguresEqualSummary and the script invoices_report read the page")
	}
	t.Parallel()
	pair := dbtest.New(t, demoData())
	for _, name := range hostileNames {
		if _, err := query(t.Context(), pair.Manager, `
UPDATE tnnt.tenants t
   SET name = '`+strings.ReplaceAll(name, "'", "''")+`'
 WHERE t.code = (SELECT t.code
                   FROM tnnt.tenants t JOIN bill.invoices i ON i.tenant_id = t.id
                  WHERE i.currency = 'KRW' AND i.status = 'OVERDUE' AND t.name !~ '[<"}]'
                  GROUP BY t.code
                  ORDER BY sum(i.total_amount) DESC
                  LIMIT 1)`); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	cxgctl(t, pair, "invoices", "report", "--html", file).exits(t, 0)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	page := server.URL + "/report.html"

	document := chromium(t, dir, page, "--dump-dom")
	for _, name := range hostileNames {
		shown := strings.NewReplacer("<", "&lt;", ">", "&gt;", "\u202e", `\u202e`).Replace(name)
		if !strings.Contains(document, shown) {
			t.Errorf("the page does not show %q", name)
		}
	}
	for _, element := range []string{"<script", "<img", "<style>@import"} {
		if strings.Contains(document, element) {
			t.Errorf("the page has the element %s", element)
		}
	}
	if !strings.Contains(document, "<title>Invoices as of ") || strings.Contains(document, "hijacked'</title>") {
		t.Error("the title is not the page's")
	}
	if got := requests(t, dir); !slices.Equal(got, []string{page}) {
		t.Errorf("the browser requests %q", got)
	}

	chromium(t, dir, page, "--window-size=360,800", "--screenshot="+filepath.Join(dir, "phone.png"))
	chromium(t, dir, page, "--no-pdf-header-footer", "--print-to-pdf="+filepath.Join(dir, "report.pdf"))
	pdf, err := os.ReadFile(filepath.Join(dir, "report.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	// Each of four currencies has at most three pages.
	if n := bytes.Count(pdf, []byte("/Type /Page\n")); n < 4 || n > 12 || !bytes.Contains(pdf, []byte("/MediaBox [0 0 594.95")) && !bytes.Contains(pdf, []byte("/MediaBox [0 0 595")) {
		t.Errorf("the page is printed on %d pages, or not on A4", n)
	}
}

// chromium opens a page without a window and returns its standard output. Errors in the page's console fail the test.
func chromium(t *testing.T, dir, page string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium-headless-shell", append([]string{
		"--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir=" + filepath.Join(dir, "profile"), "--log-net-log=" + filepath.Join(dir, "net.json"),
		"--enable-logging=stderr", "--no-sandbox", // it cannot start as root with a sandbox
	}, append(args, page)...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.WaitDelay = time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium %q: %v\n%s", args, err, log.String())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("chromium %q: %s", args, line)
		}
	}
	return out.String()
}

// requests returns the addresses that the page requested, from the browser's network log.
func requests(t *testing.T, dir string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "net.json"))
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Events []struct {
			Params struct{ URL string }
		}
	}
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Events {
		if u := e.Params.URL; u != "" && !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	return list
}

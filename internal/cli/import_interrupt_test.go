package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// Ctrl-C prints the operation, and the same command continues as another operation.
func TestImport_InterruptedPrintsOperation(t *testing.T) {
	if testing.Short() {
		t.Skip("TestImport_SurvivesKills ends imports too")
	}
	t.Parallel()
	pair := dbtest.New(t, migrated)
	path := filepath.Join(t.TempDir(), "people.csv")
	var b strings.Builder
	b.WriteString(strings.Join(defectColumns, ",") + "\n")
	for n := range 30_000 {
		b.WriteString(goodRow(n) + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := cxgctl(t, pair, "users", "import", path, "--no-passwords")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for ask(t, pair.Manager, `SELECT count(*) FROM cxg_import.rows`) == "0" {
		time.Sleep(2 * time.Millisecond)
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // the exit code is checked below
	if code := p.ProcessState.ExitCode(); code != 130 {
		t.Fatalf("exit %d\n%s", code, p.err.String())
	}
	if !strings.Contains(p.err.String(), "applied by operation ") || !strings.Contains(p.err.String(), "cxgctl users import --undo ") {
		t.Errorf("stderr:\n%s", p.err.String())
	}
	cxgctl(t, pair, "users", "import", path, "--no-passwords").exits(t, 0)
	if n := ask(t, pair.Manager, `SELECT count(DISTINCT op_id), sum(records) FROM cxg_import.rows`); !strings.HasPrefix(n, "2") {
		t.Errorf("operations and rows: %s", n)
	}
}

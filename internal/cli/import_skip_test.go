package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// N28: users that already exist cause no writes, however many there are.
func TestImport_SkipsKnownUsers(t *testing.T) {
	t.Parallel()
	const rows = 5000
	pair := dbtest.New(t, migrated)
	var b strings.Builder
	b.WriteString(strings.Join(defectColumns, ",") + "\n")
	for n := range rows {
		b.WriteString(goodRow(n) + "\n")
	}
	path, again := filepath.Join(t.TempDir(), "known.csv"), filepath.Join(t.TempDir(), "again.csv")
	for _, f := range []string{path, again} {
		if err := os.WriteFile(f, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		b.WriteString(goodRow(rows) + "\n")
	}
	cxgctl(t, pair, "users", "import", path, "--no-passwords").exits(t, 0).says(t, "5,000 created")
	cxgctl(t, pair, "users", "import", again, "--no-passwords", "--on-conflict", "skip").exits(t, 0).
		says(t, "1 created, 0 updated, 0 unchanged, 5,000 skipped, 0 failed in ")
	if n := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS'`); n != "5001" {
		t.Errorf("%s audit rows", n)
	}
}

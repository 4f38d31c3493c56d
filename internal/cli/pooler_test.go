package cli

import (
	"path/filepath"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// TestThroughPgBouncer runs every script through a pooler in transaction mode, whom no configuration names.
func TestThroughPgBouncer(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := ours()
	w.bouncer = dbtest.NewBouncer(t)
	w.facts["pooled"] = true
	runScripts(t, w, files)
}

package devdb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

func TestBinariesThatAreMissingOrUnfit(t *testing.T) {
	t.Parallel()
	o := room(t)
	o.BinDir = "/nonexistent"
	_, err := Up(t.Context(), o)
	wantFault(t, err, fault.Database, "/nonexistent has no initdb", "apt-get install postgresql", "make postgres")

	o.BinDir = filepath.Join(filepath.Dir(o.Dir), "bin")
	if err := os.Mkdir(o.BinDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		script := "#!/bin/sh\necho " + name + ": cannot load libpq >&2\nexit 127\n"
		if err := os.WriteFile(filepath.Join(o.BinDir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Up(t.Context(), o)
	wantFault(t, err, fault.Database, "cannot load libpq")
}

func TestCandidatesFollowTheSearchOrder(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	for _, file := range []string{"v15/postgres", "v16/postgres", "tools/pg_config"} {
		path := filepath.Join(top, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho "+top+"/v16\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := filepath.Join(top, "links")
	if err := os.Mkdir(links, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(top, "v15", "postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	c := cluster{Options: Options{Getenv: func(name string) string {
		return map[string]string{"PATH": "relative:" + links + ":" + filepath.Join(top, "tools")}[name]
	}}}
	got := c.candidates(t.Context())
	if len(got) < 2 || got[0] != filepath.Join(top, "v15") || got[1] != filepath.Join(top, "v16") {
		t.Errorf("candidates = %v", got)
	}
}

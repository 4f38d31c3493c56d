package devdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

func TestRootMayNotPutDataBehindAPrivateFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	private := t.TempDir() // below a directory with mode 0700
	_, err := Up(t.Context(), Options{Dir: filepath.Join(private, "dev")})
	wantFault(t, err, fault.Database, "cannot enter")
	getenv := func(string) string { return private }
	if got := DefaultDir(getenv); !strings.HasPrefix(got, rootDir+"-") {
		t.Errorf("DefaultDir = %s", got)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Parallel()
	env := map[string]string{"HOME": "/home/ada"}
	getenv := func(name string) string { return env[name] }
	want := "/home/ada/.local/share/cxgctl/dev"
	if os.Geteuid() == 0 {
		want = rootDir
	}
	if got := DefaultDir(getenv); got != want {
		t.Errorf("DefaultDir = %s, want %s", got, want)
	}
	env["XDG_DATA_HOME"] = "/srv/data"
	if got := DefaultDir(getenv); got != "/srv/data/cxgctl/dev" {
		t.Errorf("DefaultDir = %s with XDG_DATA_HOME", got)
	}
}

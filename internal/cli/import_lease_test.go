package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// A file is imported by one run at a time: of several runs started together, one imports it, and the others are BUSY or
// start later and find nothing left to do.
func TestImport_OneRunAtATime(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	path := peopleFile(t, "crowd", 3000)
	var crowd []*process
	for range 6 {
		crowd = append(crowd, cxgctl(t, pair, "users", "import", path, "--no-passwords").start(t))
	}
	for _, p := range crowd {
		if code := p.exit(t); code != 0 && code != 75 {
			t.Errorf("exit %d\n%s", code, p.err.String())
		}
	}
	cxgctl(t, pair, "users", "import", path, "--no-passwords").exits(t, 0).says(t, "all 3,000 rows were applied on ")
	if got := ask(t, pair.Manager, `SELECT concat_ws(' ', count(*), (SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS')) FROM idam.users WHERE username LIKE 'crowd%'`); got != "3000 3000" {
		t.Errorf("users and audit rows: %s", got)
	}

	// A run on another machine keeps its hold until the lease expires, but not for a day because the server's clock was set
	// back. A run on this machine loses it when its process ends.
	other := peopleFile(t, "held", 10)
	cxgctl(t, pair, "users", "import", other, "--no-passwords").exits(t, 0)
	hold := `UPDATE cxg_import.files SET leased_until = now() + interval '%s', host = '%s', process = '%s' WHERE name LIKE '%%held.csv'`
	for _, c := range []struct {
		until, host, process string
		want                 int
	}{{"1 minute", "elsewhere", "1/1", 75}, {"-1 second", "elsewhere", "1/1", 0}, {"1 day", "elsewhere", "1/1", 0}} {
		if _, err := query(t.Context(), pair.Manager, fmt.Sprintf(hold, c.until, c.host, c.process)); err != nil {
			t.Fatal(err)
		}
		p := cxgctl(t, pair, "users", "import", other, "--no-passwords").exits(t, c.want)
		if c.want == 75 && !strings.Contains(p.err.String(), "another run is importing") {
			t.Errorf("it says %s", p.err.String())
		}
	}
}

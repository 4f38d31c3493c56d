package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clipperhouse/displaywidth"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/seed"
)

// listings are the commands that print records without changing any.
var listings = map[string]struct {
	args []string
	keys string // columns that are never cut
}{
	"audit list":                 {nil, "action,resource,result"},
	"audit reconcile":            {nil, ""},
	"config view":                {nil, "key"},
	"doctor":                     {nil, ""},
	"invoices history":           {[]string{"{invoice}"}, ""},
	"invoices list":              {nil, "invoice_no,tenant_code,status"},
	"invoices overdue":           {nil, ""},
	"invoices report":            {nil, "tenant_code"},
	"invoices summary":           {[]string{"--by", "tenant"}, "group"},
	"keys list":                  {nil, "key_name,username,status"},
	"logins list":                {nil, ""},
	"migrate status":             {nil, "version,state"},
	"roles grants":               {nil, ""},
	"roles list":                 {nil, "code"},
	"sessions list":              {nil, "id,username"},
	"tenants databases":          {nil, "tenant"},
	"tenants get":                {[]string{"{tenant}"}, ""},
	"tenants history":            {[]string{"{tenant}"}, ""},
	"tenants list":               {nil, "code"},
	"tenants members list":       {[]string{"{tenant}"}, "username,role"},
	"tenants subscriptions list": {[]string{"{tenant}"}, "id"},
	"users get":                  {[]string{"admin"}, ""},
	"users history":              {[]string{"admin"}, ""},
	"users list":                 {nil, "username"},
}

var colors = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// B-1, B-2, N13, N42: no line of a list is wider than the screen, and no key is cut.
func TestTables_FitScreen(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, "DELETE FROM idam.users"); err != nil {
		t.Fatal(err)
	}
	if _, err := seed.Load(t.Context(), pair.Manager, pair.Tenants, seed.Size{Users: 60, Invoices: 300}); err != nil {
		t.Fatal(err)
	}
	if _, err := query(t.Context(), pair.Manager, `UPDATE idam.users SET full_name = repeat('가나다 ', 20), department = repeat('부서', 30) WHERE username LIKE '%a%'`); err != nil {
		t.Fatal(err)
	}
	if _, err := query(t.Context(), pair.Manager, "INSERT INTO idam.sessions (session_id, user_id, session_type, ip_address, status, expires_at, last_activity_at) "+
		"SELECT 's' || username, id, 'WEB', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff', 'ACTIVE', now() + interval '1 day', now() FROM idam.users"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"users", "update", "admin", "--department", strings.Repeat("부서", 20), "--reason", strings.Repeat("이유 ", 20)},
		{"auth", "token", "--create", "--name", "job", "--permissions", "USER_LIST"},
	} {
		if p := cxgctl(t, pair, args...); p.code(t) != 0 {
			t.Fatal(&p.err)
		}
	}
	replace := strings.NewReplacer(
		"{invoice}", ask(t, pair.Manager, "SELECT min(invoice_no) FROM bill.invoices"),
		"{tenant}", ask(t, pair.Manager, "SELECT min(tenant_id::text) FROM tnnt.subscriptions"))
	var missing []string
	cmdutil.Leaves(newRoot(&cmdutil.Env{Getenv: func(string) string { return "" }}), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
		_, listed := listings[path]
		if cmd.Flags().Lookup("columns") != nil && cmd.Name() == "list" && !listed {
			missing = append(missing, path)
		}
	})
	if len(missing) > 0 {
		t.Errorf("these commands are not tested: %s", missing)
	}
	widths := []uint16{60, 80, 120, 200}
	if testing.Short() {
		widths = widths[1:2]
	}
	for path, c := range listings {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(path)
			for _, arg := range c.args {
				args = append(args, replace.Replace(arg))
			}
			var keys []string
			if c.keys != "" {
				p := cxgctl(t, pair, append(args, "-o", "csv", "--no-headers", "--columns", c.keys)...)
				p.code(t)
				keys = strings.FieldsFunc(p.out.String(), func(r rune) bool { return r == ',' || r == '\n' })
				if len(keys) == 0 {
					t.Errorf("no keys: %s", &p.err)
				}
			}
			for _, format := range []string{"table", "wide"} {
				for _, width := range widths {
					p := cxgctl(t, pair, append(args, "-q", "-o", format)...)
					p.columns = width
					screen := p.onTerminal(t)
					screen.exit(t)
					<-screen.dark
					seen := colors.ReplaceAllString(screen.sees(), "")
					for line := range strings.SplitSeq(seen, "\r\n") {
						if w := displaywidth.String(line); w > int(width) || strings.HasSuffix(line, " ") {
							t.Fatalf("-o %s in %d columns: a line is %d wide:\n%s", format, width, w, seen)
						}
					}
					for _, key := range keys {
						if !strings.Contains(seen, key) {
							t.Fatalf("-o %s in %d columns: %q is cut:\n%s", format, width, key, seen)
						}
					}
				}
			}
		})
	}
}

// A-33, N14: after a change a terminal shows the fields and names the row, and its last line is the way back.
func TestChange_ShowsFieldsAndUndo(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	for _, c := range []struct {
		args          []string
		fields, shows string
	}{
		{[]string{"users", "update", "ada", "--department", "개발부"}, `department: null → "개발부"`, "updated user ada"},
		{[]string{"users", "status", "ada", "--set", "LOCKED"}, `status: "ACTIVE" → "LOCKED"`, "updated user ada"},
		{[]string{"users", "delete", "ada", "--yes"}, "is_active: true → false", "deleted user ada"},
	} {
		p := cxgctl(t, pair, c.args...)
		p.columns = 100
		screen := p.onTerminal(t)
		screen.leaves(t, 0)
		lines := strings.Split(strings.TrimSpace(colors.ReplaceAllString(screen.sees(), "")), "\r\n")
		last := lines[len(lines)-1]
		if len(lines) > 8 || !slices.Contains(lines, "  "+c.fields) || !strings.HasPrefix(last, c.shows+" (undo: cxgctl audit undo ") {
			t.Fatalf("%s shows\n%s", c.args, strings.Join(lines, "\n"))
		}
		words := strings.Fields(strings.TrimSuffix(last, ")"))
		cxgctl(t, pair, "audit", "undo", words[len(words)-1], "--yes").exits(t, 0)
	}
}

// A-32, B-11, N22a: a dry run names the rows and their changes, and its last line is the summary.
func TestDryRun_EndsWithSummary(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	ask(t, pair.Manager, `INSERT INTO idam.users (username, email, full_name) SELECT 'u' || n, 'u' || n || '@example.com', 'U' FROM generate_series(1, 30) n RETURNING 1`)
	if _, err := unchecked(t, pair.Manager).Exec(t.Context(), insertInvoice, "INV-1", 1); err != nil {
		t.Fatal(err)
	}
	for args, c := range map[string]struct{ row, field, summary string }{
		"users delete u1 u2":                         {"would delete user u2 (", "  is_active: true → false", "2 rows"},
		"users delete --search u --user-type TENANT": {"would delete user u30 (", "  is_active: true → false", "30 rows"},
		"users status ada --set LOCKED":              {"would update user ada (", `  status: "ACTIVE" → "LOCKED"`, "1 row"},
		"users update ada --department x":            {"would update user ada (", `  department: null → "x"`, "1 row"},
		"users password ada --no-password":           {"would update user ada (", "  password", "1 row"},
		"invoices delete INV-1":                      {"would delete invoice INV-1 (", "  deleted: false → true", "1 row"},
		"invoices update INV-1 --used-storage 2.5":   {"would update invoice INV-1 (", "  used_storage", "1 row"},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := cxgctl(t, pair, append(strings.Fields(args), "--dry-run")...)
			p.columns = 80
			screen := p.onTerminal(t)
			screen.leaves(t, 0)
			lines := strings.Split(strings.TrimSpace(colors.ReplaceAllString(screen.sees(), "")), "\r\n")
			begins := func(prefix string) func(string) bool {
				return func(line string) bool { return strings.HasPrefix(line, prefix) }
			}
			if lines[len(lines)-1] != "dry run: "+c.summary+" would change, nothing was changed" ||
				!slices.ContainsFunc(lines, begins(c.row)) || !slices.ContainsFunc(lines, begins(c.field)) {
				t.Errorf("it shows\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

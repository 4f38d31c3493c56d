package cli

import (
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// H7, D6: a database in another encoding than UTF-8 stores the characters of its encoding, and the error names any other.
func TestEncoding_OtherThanUTF8(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t)
	for _, c := range []struct{ encoding, has, lacks, character string }{
		{"EUC_KR", "새사람", "Café", "é"},
		{"LATIN1", "Café", "새사람", "새"},
	} {
		template := ours().template
		template.Name, template.Encoding = "migrated in "+c.encoding, c.encoding
		for _, way := range []string{"direct", "pooled"} {
			t.Run(c.encoding+"/"+way, func(t *testing.T) {
				t.Parallel()
				pair := dbtest.New(t, template)
				owner := pair
				if way == "pooled" {
					var err error
					if pair, err = bouncer.Through(pair); err != nil {
						t.Fatal(err)
					}
				}
				cxgctl(t, pair, "users", "create", "--username", "ada", "--email", "ada@example.com", "--full-name", c.has, "--no-password").exits(t, 0)
				if got := cxgctl(t, pair, "users", "get", "ada", "-o", "json").exits(t, 0).out.String(); !strings.Contains(got, `"full_name":"`+c.has+`"`) {
					t.Errorf("json: %s", got)
				}
				if got := cxgctl(t, pair, "users", "list", "--all", "-o", "csv", "--columns", "full_name").exits(t, 0).out.String(); !strings.Contains(got, c.has) {
					t.Errorf("csv: %s", got)
				}
				cxgctl(t, pair, "users", "update", "ada", "--full-name", c.has+"x").exits(t, 0)
				cxgctl(t, pair, "users", "update", "ada", "--full-name", c.lacks).exits(t, 5).
					says(t, "--full-name: the database's encoding "+c.encoding+` has no character "`+c.character+`"`)
				cxgctl(t, pair, "audit", "verify").exits(t, 0)
				if got := ask(t, owner.Manager, "SELECT full_name FROM idam.users WHERE username = 'ada'"); got != c.has+"x" {
					t.Errorf("stored: %q", got)
				}
				if way == "direct" {
					if got := cxgctl(t, pair, "doctor").exits(t, 9).out.String(); !strings.Contains(got, "the database's encoding "+c.encoding+" does not have all characters") {
						t.Errorf("doctor: %s", got)
					}
				}
			})
		}
	}
}

// M7: doctor reports a setting that lets commits of other software return before they are on disk.
func TestDoctor_ReportsAsynchronousCommit(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, "ALTER DATABASE "+ask(t, pair.Manager, "SELECT current_database()")+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	if got := cxgctl(t, pair, "doctor", "-o", "wide").exits(t, 0).out.String(); !strings.Contains(got, "synchronous_commit is off") {
		t.Errorf("doctor: %s", got)
	}
}

// L11: the error for a number out of range states the range.
func TestFlags_NumbersOutOfRange(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	for _, timeout := range []string{"2562047h", "999999h", "24h1ns", "1us", "-1s"} {
		cxgctl(t, pair, "users", "list", "--timeout", timeout).exits(t, 5)
	}
	cxgctl(t, pair, "users", "list", "--timeout", "999999h").exits(t, 5).says(t, "--timeout must be 1ms to 24h, or 0 for none")
	for _, timeout := range []string{"24h", "0", "10s"} {
		cxgctl(t, pair, "users", "list", "--timeout", timeout).exits(t, 0)
	}
	cxgctl(t, pair, "users", "delete", "admin", "--yes", "--expect", "-1").exits(t, 5).says(t, "0 or more")
	cxgctl(t, pair, "users", "delete", "admin", "--yes", "--max-affected", "-1").exits(t, 5).says(t, "0 or more")
}

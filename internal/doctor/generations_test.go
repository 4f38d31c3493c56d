package doctor

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

// migrated is a freshly migrated pair of databases.
var migrated = dbtest.Template{
	Name: "doctor's migrated",
	Key:  migrate.Hash(migrate.Manager) + migrate.Hash(migrate.Tenants),
	Build: func(ctx context.Context, manager, tenants string) error {
		for which, dsn := range map[migrate.Database]string{migrate.Manager: manager, migrate.Tenants: tenants} {
			cfg, err := pgx.ParseConfig(dsn)
			if err != nil {
				return err
			}
			if _, err := migrate.Up(ctx, cfg, which); err != nil {
				return err
			}
		}
		return nil
	},
}

// examine runs every check on a pair of databases.
func examine(t *testing.T, pair dbtest.Pair) []Result {
	t.Helper()
	results, err := Run(t.Context(), Input{Names: true, Operator: Operator{Name: "admin", Accept: accept}, Targets: []Target{
		{Database: migrate.Manager, Required: true, Options: db.Options{Name: "manager", URL: pair.Manager, Timeout: 30 * time.Second}},
		{Database: migrate.Tenants, Options: db.Options{Name: "tenants", URL: pair.Tenants, Timeout: 30 * time.Second}},
	}})
	if results == nil {
		t.Fatal(err)
	}
	return results
}

// bad returns the number of defects by target and check. Pending migrations are ignored here.
func bad(t *testing.T, results []Result) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, r := range results {
		if !r.Bad() || r.Check == "migrations" {
			continue
		}
		counts[r.Target+" "+r.Check] = r.Count
		// a missing audit log is one defect without an example
		if want := min(r.Count, 3); len(r.Examples) != want && r.Check != "audit-log" {
			t.Errorf("%s has %d examples: %q", r.Check, len(r.Examples), r.Examples)
		}
		if r.Remedy == "" {
			t.Errorf("no remedy in %+v", r)
		}
	}
	return counts
}

// reporters maps the fixtures' defects to the checks that find them.
var reporters = map[string]string{
	"user-type-default":     "manager user-type-default",
	"audit-cascade":         "manager audit-cascade",
	"email-case":            "manager email-case",
	"username-case":         "manager username-case",
	"username-is-id":        "manager ambiguous-username",
	"empty-password":        "manager empty-password",
	"active-locked":         "manager active-locked",
	"unknown-user-type":     "manager user-type",
	"unknown-status":        "manager user-status",
	"duplicate-grant":       "manager repeated-grant",
	"wrong-total":           "manager invoice-total",
	"paid-without-date":     "manager paid-without-date",
	"paid-without-method":   "manager paid-without-method",
	"tenant-email-case":     "tenants email-case",
	"tenant-username-case":  "tenants username-case",
	"tenant-username-is-id": "tenants ambiguous-username",
	"tenant-empty-password": "tenants empty-password",
}

func TestEveryGeneration(t *testing.T) {
	t.Parallel()
	for _, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			want := map[string]int{"manager user-type-default": g.Defects["user-type-default"]}
			if n := g.Defects["audit-cascade"]; n > 0 {
				want["manager audit-cascade"] = n
			}
			if g.UserFlag == "" {
				want["manager soft-delete"] = 1
			}
			if g.Audit == "" {
				want["manager schema"], want["manager audit-log"] = 1, 1
			} else {
				want["manager audit-seals"] = 2
			}
			results := examine(t, dbtest.New(t, g.With(g.Rows, "").Template()))
			if got := bad(t, results); !maps.Equal(got, want) {
				t.Errorf("without bad rows: got %v, want %v", got, want)
			}
			if f := find(t, results, "drift"); f.Status != OK {
				t.Errorf("drift: %+v", f)
			}

			for defect, check := range reporters {
				if n := g.Defects[defect]; n > 0 && want[check] != n {
					want[check] += n
				}
			}
			nasty := g.With(g.Rows, "").With(g.NastyRows())
			if got := bad(t, examine(t, dbtest.New(t, nasty.Template()))); !maps.Equal(got, want) {
				t.Errorf("with the nasty rows: got %v, want %v", got, want)
			}
		})
	}
}

// The declared columns match the migrations.
func TestAMigratedDatabaseIsAsExpected(t *testing.T) {
	t.Parallel()
	results := examine(t, dbtest.New(t, migrated))
	if got := bad(t, results); len(got) > 0 {
		t.Errorf("found %v", got)
	}
}

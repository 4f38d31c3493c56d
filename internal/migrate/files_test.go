package migrate

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/migrations"
)

// constant matches defaults that add a column without rewriting the table.
var constant = regexp.MustCompile(`^(true|false|-?\d+|'[^']*'.*)$`)

func TestStatementsKeepTheRules(t *testing.T) {
	t.Parallel()
	for which, cfg := range configs(t) {
		list, err := load(which)
		if err != nil {
			t.Fatal(err)
		}
		d := stdlib.OpenDB(*cfg)
		t.Cleanup(func() { _ = d.Close() })
		tx, err := d.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ideal, found, err := rehearse(t.Context(), tx, list, &state{})
		if err != nil || len(found.tables) > 0 {
			t.Fatal(found.tables, err)
		}
		seen := map[string]bool{}
		for _, m := range list {
			made := map[string]bool{}
			for _, s := range m.statements {
				if s.kind == "" && strings.Contains(s.text, " ADD COLUMN IF NOT EXISTS ") {
					continue // the file's own CREATE TABLE adds it to a new database
				}
				if s.kind == "" || s.code != "" || !s.adds && s.kind != KindSchema && s.kind != KindRows {
					t.Errorf("%s: the rehearsal does not see what this adds, %s: %s", m.name, s.reason, s.text)
				}
				key := string(s.kind) + s.object
				if s.kind == KindRows {
					key += m.name // the version distinguishes rows of several files in the record
				}
				if seen[key] {
					t.Errorf("%s: %s %s is defined twice, which makes the record ambiguous", m.name, s.kind, s.object)
				}
				seen[key] = true
				if s.kind != KindRows && s.kind != KindConstraint && strings.Count(s.text, "IF NOT EXISTS") != 1 {
					t.Errorf("%s: %s is not IF NOT EXISTS", m.name, s.object)
				}
				switch s.kind {
				case KindTable:
					made[s.table] = true
					if n := strings.Count(s.text, "CHECK (") + strings.Count(s.text, "REFERENCES"); n > strings.Count(s.text, "CONSTRAINT") {
						t.Errorf("%s: a constraint of %s has no name", m.name, s.object)
					}
				case KindColumn:
					a, _ := ideal.tables[s.table].column(strings.TrimPrefix(s.object, s.table+"."))
					if a.notNull && a.fallback == "" || a.fallback != "" && !constant.MatchString(a.fallback) {
						t.Errorf("%s: %s would refuse the backend's rows, or rewrite them", m.name, s.object)
					}
				case KindIndex:
					if text, table := indexOf(list, s.object); text != s.text || table != s.table {
						t.Errorf("%s: %s cannot be found again by its name", m.name, s.object)
					}
					if ideal.indexes[s.object].unique && !made[s.table] {
						t.Errorf("%s: %s is unique on a table that the file does not create", m.name, s.object)
					}
				case KindConstraint:
					if !strings.HasSuffix(s.text, "NOT VALID") {
						t.Errorf("%s: existing rows can violate %s", m.name, s.object)
					}
				case KindRows:
					if m.statements[0].kind != KindRows {
						t.Errorf("%s: rows and other objects are in one file", m.name)
					}
					if !strings.HasSuffix(s.text, "ON CONFLICT DO NOTHING") {
						t.Errorf("%s: rows of %s can conflict", m.name, s.object)
					}
				case KindSchema:
				}
			}
		}
	}
}

// Running the files directly creates the same schema as deciding about each statement.
func TestFilesAloneMakeTheSameSchema(t *testing.T) {
	t.Parallel()
	decided, alone := configs(t), configs(t)
	for _, which := range Databases {
		if _, err := UpWith(t.Context(), decided[which], which, []string{"search"}); err != nil {
			t.Fatal(err)
		}
		files, err := map[Database]func() (fs.FS, error){
			Manager: func() (fs.FS, error) { return fs.Sub(migrations.Manager, "manager") },
			Tenants: func() (fs.FS, error) { return fs.Sub(migrations.Tenant, "tenant") },
		}[which]()
		if err != nil {
			t.Fatal(err)
		}
		cfg := alone[which].Copy()
		delete(cfg.RuntimeParams, "default_transaction_read_only")
		d := stdlib.OpenDB(*cfg)
		t.Cleanup(func() { _ = d.Close() })
		p, err := goose.NewProvider(goose.DialectPostgres, d, files, goose.WithTableName(Table),
			goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if query[string](t, decided[which], objects) != query[string](t, alone[which], objects) {
			t.Errorf("%s: the schema differs", which)
		}
	}
}

// An optional migration is applied on request and can be reverted regardless of its position.
func TestOptionalMigrationsComeAndGo(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	const indexes = `SELECT count(*) FROM pg_class WHERE relname ~ '_(bi|tri)grams_idx$'`
	up := func(with ...string) int {
		t.Helper()
		done, err := UpWith(t.Context(), cfg, Manager, with)
		if err != nil {
			t.Fatal(err)
		}
		return len(done)
	}
	if up() == 0 || query[int](t, cfg, indexes) != 0 {
		t.Error("up applied an optional migration")
	}
	if n := up("search"); n != 1 || query[int](t, cfg, indexes) != 3 {
		t.Errorf("with search: %d migrations created %d indexes", n, query[int](t, cfg, indexes))
	}
	if n := up("search"); n != 0 {
		t.Errorf("the second run applied %d migrations", n)
	}
	if plan, err := PlanUp(t.Context(), cfg, Manager); err != nil || len(plan.Items) != 0 {
		t.Errorf("the plan is not empty: %v, %v", plan.Items, err)
	}
	done, err := Down(t.Context(), cfg, Manager, "search", false)
	if err != nil || len(done) != 1 || done[0].Name != "00011_search.sql" || query[int](t, cfg, indexes) != 0 {
		t.Errorf("reverted: %v, %v", done, err)
	}
	if _, err := UpWith(t.Context(), cfg, Manager, []string{"nothing"}); fault.Status(err) != 5 {
		t.Errorf("an unknown name: %v", err)
	}
	if done, err := Down(t.Context(), cfg, Manager, "", false); err != nil || len(done) != 1 {
		t.Errorf("the last required migration: %v, %v", done, err)
	}
}

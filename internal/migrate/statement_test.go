package migrate

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/cxgctl/cxgctl/internal/fault"

	"github.com/jackc/pgx/v5/stdlib"
)

// constant matches defaults that add a column without rewriting the table.
var constant = regexp.MustCompile(`^(true|false|-?\d+|'[^']*')$`)

func TestStatementsKeepTheRules(t *testing.T) {
	t.Parallel()
	for _, which := range Databases {
		list, err := load(which)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, m := range list {
			made := map[string]bool{}
			for _, s := range m.statements {
				key := string(s.kind) + s.object
				if s.kind == KindRows {
					key += m.name // the version distinguishes rows of several files in the record
				}
				if seen[key] {
					t.Errorf("%s: %s %s is defined twice, which makes the record ambiguous", m.name, s.kind, s.object)
				} else {
					seen[key] = true
				}
				switch s.kind {
				case KindTable:
					made[s.table] = true
					if n := strings.Count(s.text, "CHECK (") + strings.Count(s.text, "REFERENCES"); n > strings.Count(s.text, "CONSTRAINT") {
						t.Errorf("%s: a constraint of %s has no name", m.name, s.object)
					}
				case KindColumn:
					d := s.columns[0]
					if d.notNull && d.fallback == "" || d.fallback != "" && !constant.MatchString(d.fallback) {
						t.Errorf("%s: %s would refuse the backend's rows, or rewrite them", m.name, s.object)
					}
				case KindIndex:
					if len(s.needs) == 0 {
						t.Errorf("%s: %s does not name a column of %s", m.name, s.object, s.table)
					}
					if s.unique && !made[s.table] {
						t.Errorf("%s: %s is unique on a table that the file does not create", m.name, s.object)
					}
				case KindSchema, KindRows:
				}
			}
		}
	}
}

func TestWhatAnIndexNeeds(t *testing.T) {
	t.Parallel()
	list, err := load(Manager)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"audt.audit_logs_op_id_idx":                  "extra_data",
		"audt.audit_logs_result_created_at_idx":      "result created_at id",
		"audt.audit_logs_noun_created_at_idx":        "extra_data created_at id",
		"audt.audit_logs_noun_action_created_at_idx": "extra_data action_performed created_at id",
		"tnnt.tenants_code_key":                      "code is_deleted",
		"idam.users_locked_until_idx":                "locked_until id",
		"idam.role_permissions_permission_id_idx":    "permission_id",
	}
	for _, m := range list {
		for _, s := range m.statements {
			if w, ok := want[s.object]; ok && s.kind == KindIndex {
				delete(want, s.object)
				if got := strings.Join(s.needs, " "); got != w {
					t.Errorf("%s needs %q, want %q", s.object, got, w)
				}
				if s.plain != (s.object == "idam.role_permissions_permission_id_idx") {
					t.Errorf("%s: plain is %t", s.object, s.plain)
				}
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

func TestParseRefusesOtherForms(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"DROP TABLE idam.users;", "CREATE TABLE idam.users (id uuid);", "CREATE SCHEMA IF NOT EXISTS idam",
		"ALTER TABLE idam.users ADD COLUMN is_active boolean;", "INSERT INTO idam.roles (code) VALUES ('a');",
		"CREATE TABLE IF NOT EXISTS idam.users (id);",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%s: parsed without an error", text)
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
		files, err := which.files()
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
	done, err := DownOf(t.Context(), cfg, Manager, "search", false)
	if err != nil || len(done) != 1 || done[0].Name != "00011_search.sql" || query[int](t, cfg, indexes) != 0 {
		t.Errorf("reverted: %v, %v", done, err)
	}
	if _, err := UpWith(t.Context(), cfg, Manager, []string{"nothing"}); fault.Status(err) != 5 {
		t.Errorf("an unknown name: %v", err)
	}
	if done, err := Down(t.Context(), cfg, Manager, false); err != nil || len(done) != 1 {
		t.Errorf("the last required migration: %v, %v", done, err)
	}
}

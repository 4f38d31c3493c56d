package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Action is what a run of up does with an object.
type Action string

// The actions. Skipped objects differ from what the migrations would create.
const (
	Exists Action = "exists"
	Add    Action = "add"
	Skip   Action = "leave"
)

// Item is one line of a plan.
type Item struct {
	Version int64 // of the migration
	Action  Action
	Kind    Kind
	Object  string // qualified: idam.users, idam.users.is_active, idam.users_created_at_idx; for rows, their table
	Detail  string // generation of a table, definition of a column, or the reason; may be empty
}

// Plan is what Up would do with a database.
type Plan struct {
	Database Database
	Steps    []Step // all migrations by version
	// Adopts is true if pending migrations find existing tables from other software.
	Adopts bool
	// Interrupted is true if the build of an index was interrupted.
	Interrupted bool
	Items       []Item // in the order in which Up handles them
	// Newer is the error with which Up refuses a database that a newer cxgctl migrated, or nil.
	Newer error
}

const interrupted = "the build was interrupted and starts again"

// PlanUp returns what Up would do with a database: objects to add, tables that exist, and differences that are left
// alone. It changes nothing and takes no lock that blocks others. It includes the optional migrations in with. With
// pending migrations, it needs the right to create temporary tables.
func PlanUp(ctx context.Context, cfg *pgx.ConnConfig, which Database, with ...string) (Plan, error) {
	plan := Plan{Database: which}
	if err := checkOptions(with); err != nil {
		return plan, err
	}
	list, err := load(which)
	if err != nil {
		return plan, err
	}
	cfg = cfg.Copy()
	db.Pin(cfg.RuntimeParams)
	d := stdlib.OpenDB(*cfg)
	defer func() { _ = d.Close() }() // planned has reported its errors
	state, err := readState(ctx, d)
	if err == nil {
		plan.Steps = steps(list, state.applied)
		plan.Interrupted = len(state.unfinished) > 0
		plan.Newer = newer(which, list, state)
		plan.Items, err = planned(ctx, d, selected(list, with, state), state)
	}
	plan.Adopts = slices.ContainsFunc(plan.Items, func(i Item) bool { return i.Action == Exists })
	return plan, translate(err, which, "")
}

// planned returns the plan for a database, and sets the action of each statement of a pending migration.
func planned(ctx context.Context, d *sql.DB, list []*migration, state *state) ([]Item, error) {
	items := slices.Clone(state.unfinished)
	if !slices.ContainsFunc(list, func(m *migration) bool { return !state.has(m) }) {
		return items, nil
	}
	tx, err := d.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to commit
	ideal, found, err := rehearse(ctx, tx, list, state)
	if err != nil {
		return nil, err
	}
	rest := "G1"
	for name, t := range found.tables {
		if g := generation(name, t, ""); (g == "Gx" || g == "G2" || g == "G0" && rest == "G1") && name != "sys.users" {
			rest = g
		}
	}
	added := map[string]bool{}
	for _, m := range list {
		for _, s := range m.statements {
			if s.kind == KindColumn {
				added[s.object] = true
			}
		}
	}
	for _, m := range list {
		if state.has(m) {
			continue
		}
		for _, s := range m.statements {
			item := Item{Version: m.version, Kind: s.kind, Object: s.object}
			item.Action, item.Detail = m.decide(s, ideal, found)
			s.action = item.Action
			if item.Action != "" {
				items = append(items, item)
			}
			if t := found.tables[s.table]; item.Action == Exists {
				items[len(items)-1].Detail = "looks like " + generation(s.table, t, rest)
				if t.kind != "r" && t.kind != "p" {
					items[len(items)-1].Detail += fmt.Sprintf(", not a table (%s)", t.kind)
				}
				for _, i := range differences(s.table, t, ideal.tables[s.table], added) {
					i.Version = m.version
					items = append(items, i)
				}
			}
		}
	}
	return items, nil
}

// softDeleteColumns are the columns with which the generations mark deleted rows. A table with any of them needs no
// other.
var softDeleteColumns = []string{"is_active", "is_deleted", "deleted"}

func (r *relation) marksDeleted() bool {
	return r != nil && slices.ContainsFunc(softDeleteColumns, func(n string) bool { return r.has(n) })
}

// decide returns what to do about a statement after a rehearsal, and the definition of a column or the reason. Without
// an action there is nothing to do or to report.
func (m *migration) decide(s *statement, ideal, found *catalog) (Action, string) {
	t := found.tables[s.table]
	switch s.kind {
	case "":
		return "", ""
	case KindSchema:
		if found.schemas[s.object] {
			return "", ""
		}
	case KindTable:
		if t != nil {
			return Exists, ""
		}
	case KindColumn:
		name := strings.TrimPrefix(s.object, s.table+".")
		if !s.adds && s.code == "" || slices.Contains(softDeleteColumns, name) && t.marksDeleted() {
			return "", ""
		}
		if s.code == "" {
			a, _ := ideal.tables[s.table].column(name)
			return Add, a.String()
		}
	case KindConstraint:
		const duplicateObject = "42710"
		if s.code == duplicateObject {
			return "", ""
		}
	case KindIndex:
		if action, reason := decideIndex(s, ideal.indexes[s.object], found); action != Add {
			return action, reason
		}
	case KindRows:
		// Either all reference rows of a file or none, because they refer to each other.
		for _, s := range m.statements {
			if s.kind == KindRows && unfit(s.code) {
				return Skip, s.reason
			}
		}
		return Add, "missing rows"
	}
	if s.kind != KindTable && unfit(s.code) {
		return Skip, s.reason
	}
	return Add, ""
}

// unfit reports whether a SQLSTATE says that a statement does not fit the tables that it found. With any other error,
// such as one about the values of a row, Up fails.
func unfit(code string) bool {
	const notNullViolation, cannotInsertIntoView = "23502", "55000"
	return strings.HasPrefix(code, "42") && code != db.InsufficientRights || code == notNullViolation || code == cannotInsertIntoView
}

// decideIndex skips indexes that exist, and unique indexes on existing tables, because their rows, or later ones from
// the backend, may violate them.
func decideIndex(s *statement, ideal index, found *catalog) (Action, string) {
	if x, ok := found.indexes[s.object]; ok {
		switch {
		case x.table != s.table:
			return Skip, "the name is taken by an index of " + x.table
		case !x.valid:
			return Skip, "it is invalid and not cxgctl's; repair it with REINDEX INDEX CONCURRENTLY"
		}
		return "", ""
	}
	t := found.tables[s.table]
	switch {
	case t == nil:
		return Add, ""
	case ideal.unique:
		return Skip, s.table + " keeps its existing uniqueness"
	case t.kind != "r":
		return Skip, s.table + " is not a plain table"
	case unfit(s.code):
		return Skip, s.reason
	}
	for _, name := range slices.Sorted(maps.Keys(found.indexes)) {
		x := found.indexes[name]
		if x.table == s.table && x.valid && ideal.plain != "" && strings.HasPrefix(x.plain, ideal.plain) {
			return Skip, name + " serves the same purpose"
		}
	}
	return Add, ""
}

// differences reports how an existing table differs from the files. They are kept. added holds the columns that files
// add to existing tables.
func differences(name string, t, ideal *relation, added map[string]bool) []Item {
	var items []Item
	leave := func(kind Kind, object, format string, args ...any) {
		items = append(items, Item{Action: Skip, Kind: kind, Object: object, Detail: fmt.Sprintf(format, args...)})
	}
	var lacks []string
	marked := t.marksDeleted()
	for _, want := range ideal.columns {
		object := name + "." + want.name
		have, ok := t.column(want.name)
		switch {
		case !ok && !added[object] && (!marked || !slices.Contains(softDeleteColumns, want.name)):
			lacks = append(lacks, want.name)
		case ok && have.typ != want.typ:
			leave(KindColumn, object, "is %s, not %s", have.typ, want.typ)
		}
		if object == "idam.users.user_type" && strings.HasPrefix(have.fallback, "'USER'") {
			leave(KindColumn, object, "has the default 'USER', which is not a valid type")
		}
	}
	if len(lacks) > 0 {
		leave(KindTable, name, "lacks %s", strings.Join(lacks, ", "))
	}
	return items
}

// marks are the columns that distinguish the generations of a table, the first match first.
var marks = map[string][][2]string{
	"idam.users":       {{"is_active", "G0"}, {"is_deleted", "G2"}, {"password_reset_token", "G2"}},
	"bill.invoices":    {{"is_deleted", "G2"}},
	"tnnt.tenants":     {{"tenant_code", "Gx"}},
	"idam.roles":       {{"role_code", "Gx"}},
	"idam.permissions": {{"permission_code", "Gx"}},
	"audt.audit_logs":  {{"target_entity", "the backend's model"}},
}

// generation guesses the generation of a table. rest is the answer of the other tables, for a table without a
// distinguishing column.
func generation(table string, t *relation, rest string) string {
	if table == "sys.users" {
		return TenantGeneration(t.has("tenant_id"))
	}
	for _, m := range marks[table] {
		if t.has(m[0]) {
			return m[1]
		}
	}
	return rest
}

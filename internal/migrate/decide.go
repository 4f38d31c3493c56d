package migrate

import (
	"fmt"
	"slices"
	"strings"
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

// decide returns what to do about a statement in the current database. An item without an action means that there is
// nothing to do or to report. Both Up and PlanUp use it.
func (m *migration) decide(c *catalog, s *statement) Item {
	item := Item{Version: m.version, Kind: s.kind, Object: s.object}
	t := c.tables[s.table]
	switch {
	case s.kind == KindSchema:
		if !c.schemas[s.object] {
			item.Action = Add
		}
	case s.kind == KindTable && t == nil:
		item.Action = Add
	case s.kind == KindTable:
		item.Action = Exists
	case t == nil: // it was dropped after its migration
		item.Action, item.Detail = Skip, s.table+" does not exist"
	case s.kind == KindColumn:
		item.Action, item.Detail = s.decideColumn(t)
	case s.kind == KindConstraint && t.kind != "r" && t.kind != "p":
		item.Action, item.Detail = Skip, s.table+" is not a table"
	case s.kind == KindConstraint && !c.constraints[s.object]:
		item.Action = Add
	case s.kind == KindIndex:
		item.Action, item.Detail = s.decideIndex(c, t)
	case s.kind == KindRows:
		item.Action, item.Detail = m.decideRows(c)
	}
	return item
}

func (s *statement) decideColumn(t *relation) (Action, string) {
	d := s.columns[0]
	if t.has(d.name) || slices.ContainsFunc(s.unless, func(n string) bool { return t.has(n) }) {
		return "", ""
	}
	if t.kind != "r" && t.kind != "p" {
		return Skip, s.table + " is not a table"
	}
	_, text, _ := strings.Cut(s.text, "IF NOT EXISTS "+d.name+" ")
	return Add, text
}

// decideIndex skips indexes that exist, indexes without a table, and unique indexes on existing tables, because their
// rows, or later ones from the backend, may violate them.
func (s *statement) decideIndex(c *catalog, t *relation) (Action, string) {
	if x := c.indexes[s.object]; x != nil {
		switch {
		case x.table != s.table:
			return Skip, "the name is taken by an index of " + x.table
		case !x.valid:
			return Skip, "it is invalid and not cxgctl's; repair it with REINDEX INDEX CONCURRENTLY"
		}
		return "", ""
	}
	if s.unique && !t.made {
		return Skip, s.table + " keeps its existing uniqueness"
	}
	if t.kind != "r" {
		return Skip, s.table + " is not a plain table"
	}
	if lacks := t.missing(s.needs); len(lacks) > 0 {
		return Skip, s.table + " has no " + strings.Join(lacks, ", ")
	}
	for _, d := range s.columns {
		if a, _ := t.column(d.name); family(a.typ) != family(d.typ) {
			return Skip, fmt.Sprintf("%s.%s is %s", s.table, d.name, a.typ)
		}
	}
	if by := s.servedBy(c); by != "" {
		return Skip, by + " serves the same purpose"
	}
	return Add, ""
}

// servedBy returns an index that starts with the columns of s, or "".
func (s *statement) servedBy(c *catalog) string {
	if !s.plain || s.unique {
		return ""
	}
	best := ""
	for name, x := range c.indexes {
		n := len(s.needs)
		if x.table == s.table && x.valid && len(x.plain) >= n && slices.Equal(x.plain[:n], s.needs) && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

// decideRows adds either all reference rows of a file or none, because they refer to each other.
func (m *migration) decideRows(c *catalog) (Action, string) {
	for _, s := range m.statements {
		if s.kind != KindRows {
			continue
		}
		t := c.tables[s.table]
		if t == nil {
			return Skip, s.table + " does not exist"
		}
		if t.kind != "r" && t.kind != "p" {
			return Skip, s.table + " is not a table"
		}
		if lacks := t.missing(append([]string{"id"}, s.needs...)); len(lacks) > 0 {
			return Skip, s.table + " has no " + strings.Join(lacks, ", ")
		}
		for _, a := range t.columns {
			given := slices.Contains(s.needs, a.name) || slices.Contains(s.keys, a.name)
			if a.notNull && !given && (a.fallback == "" || s.keys != nil) { // jsonb_populate_record ignores defaults
				return Skip, fmt.Sprintf("%s requires a value for %s", s.table, a.name)
			}
		}
	}
	return Add, "missing rows"
}

// softDeleteColumns are the columns with which the generations mark deleted rows. A table with any of them needs no
// other.
var softDeleteColumns = []string{"is_active", "is_deleted", "deleted"}

// differences reports how an existing table differs from the file. They are kept. added holds the columns that files
// add to existing tables.
func (s *statement) differences(t *relation, added map[string]bool) []Item {
	var items []Item
	leave := func(kind Kind, object, format string, args ...any) {
		items = append(items, Item{Action: Skip, Kind: kind, Object: object, Detail: fmt.Sprintf(format, args...)})
	}
	var lacks []string
	marked := slices.ContainsFunc(softDeleteColumns, func(n string) bool { return t.has(n) })
	for _, d := range s.columns {
		object := s.table + "." + d.name
		a, ok := t.column(d.name)
		switch {
		case !ok && !added[object] && (!marked || !slices.Contains(softDeleteColumns, d.name)):
			lacks = append(lacks, d.name)
		case ok && a.typ != d.typ:
			leave(KindColumn, object, "is %s, not %s", a.typ, d.typ)
		}
		if object == "idam.users.user_type" && strings.HasPrefix(a.fallback, "'USER'") {
			leave(KindColumn, object, "has the default 'USER', which is not a valid type")
		}
	}
	if len(lacks) > 0 {
		leave(KindTable, s.table, "lacks %s", strings.Join(lacks, ", "))
	}
	return items
}

// generation guesses the generation of a table. rest is the answer of the other tables, for a table without a
// distinguishing column.
func generation(table string, t *relation, rest string) string {
	switch table {
	case "idam.users":
		switch {
		case t.has("is_active"):
			return "G0"
		case t.has("is_deleted"), t.has("password_reset_token"):
			return "G2"
		}
	case "bill.invoices":
		if t.has("is_deleted") {
			return "G2"
		}
	case "tnnt.tenants":
		if t.has("tenant_code") {
			return "Gx"
		}
	case "idam.roles":
		if t.has("role_code") {
			return "Gx"
		}
	case "idam.permissions":
		if t.has("permission_code") {
			return "Gx"
		}
	case "audt.audit_logs":
		if t.has("action", "target_entity") {
			return "the backend's model"
		}
	case "sys.users":
		return TenantGeneration(t.has("tenant_id"))
	}
	return rest
}

package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Plan is what Up would do with a database.
type Plan struct {
	Database Database
	// Adopts is true if pending migrations find existing tables from other software.
	Adopts bool
	Items  []Item // in the order in which Up handles them
	// Newer is the error with which Up refuses a database that a newer cxgctl migrated, or nil.
	Newer error
}

// Unfinished returns the number of indexes whose build was interrupted.
func (p Plan) Unfinished() int {
	n := 0
	for _, i := range p.Items {
		if i.Detail == interrupted {
			n++
		}
	}
	return n
}

const interrupted = "the build was interrupted and starts again"

// PlanUp returns what Up would do with a database: objects to add, tables that exist, and differences that are left
// alone. It changes nothing and takes no lock that blocks others. It includes the optional migrations in with. It
// fails as Status does.
func PlanUp(ctx context.Context, cfg *pgx.ConnConfig, which Database, with ...string) (Plan, error) {
	plan := Plan{Database: which}
	if err := checkOptions(with); err != nil {
		return plan, err
	}
	list, err := load(which)
	if err != nil {
		return plan, err
	}
	err = readOnly(ctx, cfg, func(tx *sql.Tx) error {
		state, err := readState(ctx, tx)
		if err != nil {
			return err
		}
		plan.Newer = newer(which, list, state.applied)
		plan.Items, err = planned(ctx, tx, selected(list, with, state.applied), state)
		return err
	})
	plan.Adopts = slices.ContainsFunc(plan.Items, func(i Item) bool { return i.Action == Exists })
	return plan, translate(err, which, "")
}

// readOnly runs fn in a read-only transaction with a consistent snapshot.
func readOnly(ctx context.Context, cfg *pgx.ConnConfig, fn func(*sql.Tx) error) error {
	d := stdlib.OpenDB(*cfg)
	defer func() { _ = d.Close() }() // fn has reported its errors
	tx, err := d.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to commit
	// Not a session parameter, because a pooler would refuse it and planning may go through one.
	if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '`+lockTimeout+`'`); err != nil {
		return err
	}
	return fn(tx)
}

// planned simulates the pending migrations on a copy of the catalog.
func planned(ctx context.Context, r reader, list []*migration, state *state) ([]Item, error) {
	var pending []*migration
	var statements []*statement
	added := map[string]bool{}
	for _, m := range list {
		if !state.applied[m.version] {
			pending = append(pending, m)
		}
		for _, s := range m.statements {
			statements = append(statements, s)
			if s.kind == KindColumn {
				added[s.object] = true
			}
		}
	}
	c, err := readCatalog(ctx, r, statements)
	if err != nil {
		return nil, err
	}
	rest := "G1"
	for name, t := range c.tables {
		if g := generation(name, t, ""); (g == "Gx" || g == "G2" || g == "G0" && rest == "G1") && name != "sys.users" {
			rest = g
		}
	}
	var items []Item
	for _, m := range list {
		for _, s := range m.statements {
			if s.kind == KindIndex && slices.Contains(state.unfinished, s.object) {
				items = append(items, Item{Version: m.version, Action: Add, Kind: s.kind, Object: s.object, Detail: interrupted})
			}
		}
	}
	for _, m := range pending {
		for _, s := range m.statements {
			item := m.decide(c, s)
			var more []Item
			if item.Action == Exists {
				t := c.tables[s.table]
				item.Detail = "looks like " + generation(s.table, t, rest)
				if t.kind != "r" && t.kind != "p" {
					item.Detail += fmt.Sprintf(", not a table (%s)", t.kind)
				}
				more = s.differences(t, added)
			}
			if item.Action != "" {
				items = append(items, item)
			}
			for _, i := range more {
				i.Version = m.version
				items = append(items, i)
			}
			if item.Action == Add {
				c.note(s)
			}
		}
	}
	return items, nil
}

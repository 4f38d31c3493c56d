package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Loss is data that would be lost by reverting a migration.
type Loss struct {
	Version int64
	Object  string // the table or column
	Rows    int64  // number of affected rows
	Reason  string // describes the rows after their number: "rows", "rows that refer to idam.roles"
}

func (l Loss) String() string { return fmt.Sprintf("%s has %d %s", l.Object, l.Rows, l.Reason) }

// PlanDown returns the data that the next Down would lose: rows of tables created by Up, values other than the default
// in added columns, and reference rows that were changed or are referenced. It changes nothing, and fails as Status
// does.
func PlanDown(ctx context.Context, cfg *pgx.ConnConfig, which Database) ([]Loss, error) {
	list, err := load(which)
	if err != nil {
		return nil, err
	}
	var losses []Loss
	err = readOnly(ctx, cfg, func(tx *sql.Tx) error {
		var versions, added bool
		if err := tx.QueryRowContext(ctx, tablesExist).Scan(&versions, &added); err != nil || !versions || !added {
			return err
		}
		state, err := readState(ctx, tx)
		if err != nil || len(state.applied) == 0 {
			return err
		}
		last := slices.Max(slices.Collect(maps.Keys(state.applied)))
		i := slices.IndexFunc(list, func(m *migration) bool { return m.version == last })
		if i < 0 {
			return nil // Down reports it
		}
		recorded, err := list[i].recorded(ctx, tx)
		if err != nil {
			return err
		}
		losses, err = list[i].losses(ctx, tx, recorded)
		return err
	})
	return losses, translate(err, which, "")
}

// recorded returns the statements whose recorded objects still exist. Recorded objects without a statement are left
// alone, because only the files define what cxgctl creates.
func (m *migration) recorded(ctx context.Context, r reader) ([]*statement, error) {
	c, err := readCatalog(ctx, r, m.statements)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	var kind, object string
	err = each(ctx, r, `SELECT DISTINCT kind, object FROM `+Added+` WHERE version = $1`, []any{m.version}, []any{&kind, &object},
		func() { found[kind+" "+object] = true })
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(m.statements), func(s *statement) bool {
		if !found[string(s.kind)+" "+s.object] {
			return true
		}
		switch t := c.tables[s.table]; s.kind {
		case KindSchema:
			return !c.schemas[s.object]
		case KindIndex:
			return c.indexes[s.object] == nil || c.indexes[s.object].table != s.table
		case KindColumn:
			return t == nil || !t.has(s.columns[0].name)
		case KindConstraint:
			return !c.constraints[s.object]
		default:
			return t == nil
		}
	}), nil
}

// ours selects the reference rows of a table that a version added.
const ours = `(SELECT row_id FROM ` + Added + ` WHERE version = $1 AND kind = 'rows' AND object = '%s')`

const readReferences = `
SELECT n.nspname, c.relname, a.attname
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
 WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = to_regclass($1) AND cardinality(k.conkey) = 1
 ORDER BY 1, 2, 3`

// losses counts the data that would be dropped with the statements' objects.
func (m *migration) losses(ctx context.Context, r reader, recorded []*statement) ([]Loss, error) {
	var losses []Loss
	count := func(object, reason, query string, args ...any) error {
		var n int64
		if err := r.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
			return &failure{object, err}
		}
		if n > 0 {
			losses = append(losses, Loss{m.version, object, n, reason})
		}
		return nil
	}
	filled := map[string]bool{} // tables with reference rows
	for _, s := range recorded {
		filled[s.table] = filled[s.table] || s.kind == KindRows
	}
	for _, s := range recorded {
		var err error
		switch s.kind {
		case KindTable:
			err = count(s.object, "rows", `SELECT count(*) FROM `+s.object)
		case KindColumn:
			d := s.columns[0]
			err = count(s.object, "rows with a value other than "+cmp.Or(d.fallback, "null"),
				`SELECT count(*) FROM `+s.table+` WHERE `+d.name+` IS DISTINCT FROM `+cmp.Or(d.fallback, "NULL"))
		case KindRows:
			err = m.rowLosses(ctx, r, s, filled, count)
		case KindSchema, KindIndex, KindConstraint:
		}
		if err != nil {
			return nil, err
		}
	}
	return losses, nil
}

func (m *migration) rowLosses(ctx context.Context, r reader, s *statement, filled map[string]bool,
	count func(object, reason, query string, args ...any) error,
) error {
	mine := fmt.Sprintf(ours, s.table)
	err := count(s.table, "changed reference rows",
		`SELECT count(*) FROM `+s.table+` AS t WHERE id IN `+mine+` AND to_jsonb(t) ->> 'updated_at' IS NOT NULL`, m.version)
	if err != nil {
		return err
	}
	type reference struct{ schema, table, column string }
	var ref reference
	var all []reference
	err = each(ctx, r, readReferences, []any{s.table}, []any{&ref.schema, &ref.table, &ref.column}, func() { all = append(all, ref) })
	if err != nil {
		return err
	}
	for _, ref := range all {
		object := ref.schema + "." + ref.table
		query := `SELECT count(*) FROM ` + pgx.Identifier{ref.schema, ref.table}.Sanitize() + ` WHERE ` +
			pgx.Identifier{ref.column}.Sanitize() + ` IN ` + mine
		if filled[object] {
			query += ` AND id NOT IN ` + fmt.Sprintf(ours, object)
		}
		if err := count(object, "rows that refer to "+s.table, query, m.version); err != nil {
			return err
		}
	}
	return nil
}

// down removes what the migration is recorded to have added, in reverse order, and nothing else.
func (m *migration) down(ctx context.Context, tx *sql.Tx, which Database, discard bool) error {
	recorded, err := m.recorded(ctx, tx)
	if err != nil {
		return err
	}
	if !discard {
		// First without locks: most refusals happen here, without blocking other sessions.
		if err := m.refuse(ctx, tx, which, recorded); err != nil {
			return err
		}
	}
	for _, s := range recorded {
		if err := m.hold(ctx, tx, s); err != nil {
			return &failure{s.object, err}
		}
	}
	if !discard {
		// Earlier writers have committed and new ones are locked out now.
		if err := m.refuse(ctx, tx, which, recorded); err != nil {
			return err
		}
	}
	for _, s := range slices.Backward(recorded) {
		if err := m.takeBack(ctx, tx, s); err != nil {
			return &failure{s.object, err}
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM `+Added+` WHERE version = $1`, m.version)
	return err
}

// refuse returns a CONFLICT that lists the data that would be lost, if any.
func (m *migration) refuse(ctx context.Context, tx *sql.Tx, which Database, recorded []*statement) error {
	losses, err := m.losses(ctx, tx, recorded)
	if err != nil {
		return err
	}
	return Refusal(which, m.name, losses)
}

// Refusal returns the CONFLICT for losses without --discard-data, or nil if there are none. name is the migration's
// name.
func Refusal(which Database, name string, losses []Loss) error {
	if len(losses) == 0 {
		return nil
	}
	said := make([]string, len(losses))
	for i, l := range losses {
		said[i] = l.String()
	}
	return fault.New(fault.Conflict, "reverting %s of the %s database would lose data: %s", name, which, strings.Join(said, ", ")).
		WithHint("nothing was changed; save the data you need, then add --discard-data").
		With("database", string(which)).With("migration", name).With("losses", said)
}

// hold prevents others from adding data to an object that will be dropped.
func (m *migration) hold(ctx context.Context, tx *sql.Tx, s *statement) error {
	var err error
	switch s.kind {
	case KindTable, KindColumn, KindConstraint:
		_, err = tx.ExecContext(ctx, `LOCK TABLE `+s.table+` IN ACCESS EXCLUSIVE MODE`)
	case KindRows:
		// conflicts with the lock that a new referencing row needs
		_, err = tx.ExecContext(ctx, `SELECT FROM `+s.table+` WHERE id IN `+fmt.Sprintf(ours, s.table)+` FOR UPDATE`, m.version)
	case KindSchema, KindIndex:
	}
	return err
}

// takeBack removes one object. It never uses CASCADE, so objects that depend on it are kept.
func (m *migration) takeBack(ctx context.Context, tx *sql.Tx, s *statement) error {
	var err error
	switch s.kind {
	case KindRows:
		_, err = tx.ExecContext(ctx, `DELETE FROM `+s.table+` WHERE id IN `+fmt.Sprintf(ours, s.table), m.version)
	case KindIndex:
		_, err = tx.ExecContext(ctx, `DROP INDEX `+s.object)
	case KindColumn:
		_, err = tx.ExecContext(ctx, `ALTER TABLE `+s.table+` DROP COLUMN `+s.columns[0].name)
	case KindConstraint:
		_, name, _ := strings.Cut(s.object, s.table+".")
		_, err = tx.ExecContext(ctx, `ALTER TABLE `+s.table+` DROP CONSTRAINT `+name)
	case KindTable:
		_, err = tx.ExecContext(ctx, `DROP TABLE `+s.object)
	case KindSchema:
		err = dropEmptySchema(ctx, tx, s.object)
	}
	return err
}

// dropEmptySchema drops a schema unless it contains other objects.
func dropEmptySchema(ctx context.Context, tx *sql.Tx, name string) error {
	const dependentObjects = "2BP01"
	if _, err := tx.ExecContext(ctx, `SAVEPOINT schema`); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DROP SCHEMA `+name)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == dependentObjects {
		_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT schema`)
	}
	return err
}

// forget drops the version table and the record once nothing is applied or recorded, which restores the database's
// original state.
func forget(ctx context.Context, d *sql.DB) error {
	return within(ctx, d, func(tx *sql.Tx) error {
		var used bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM `+Table+` WHERE version_id > 0) OR EXISTS (SELECT FROM `+Added+`)`).Scan(&used)
		if err != nil || used {
			return err
		}
		_, err = tx.ExecContext(ctx, `DROP TABLE `+Table+`, `+Added)
		return err
	})
}

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
// in added columns, and reference rows that were changed or are referenced. It changes nothing.
func PlanDown(ctx context.Context, cfg *pgx.ConnConfig, which Database) ([]Loss, error) {
	list, err := load(which)
	if err != nil {
		return nil, err
	}
	var losses []Loss
	err = readOnly(ctx, cfg, func(tx *sql.Tx) error {
		state, err := readState(ctx, tx)
		if err != nil || len(state.applied) == 0 || !state.recorded {
			return err
		}
		last := slices.Max(slices.Collect(maps.Keys(state.applied)))
		i := slices.IndexFunc(list, func(m *migration) bool { return m.version == last })
		if i < 0 {
			return nil // Down reports it
		}
		additions, err := list[i].additions(ctx, tx)
		if err != nil {
			return err
		}
		losses, err = list[i].losses(ctx, tx, additions)
		return err
	})
	return losses, translate(err, which, "")
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
	if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '`+lockTimeout+`'`); err != nil {
		return err
	}
	return fn(tx)
}

// addition is an object that a migration is recorded to have added.
type addition struct {
	kind     Kind
	object   string // as recorded
	relation string // quoted: its table; for an index, itself
	name     string // quoted: of a schema, column or constraint
	fallback string // the default of a column, or null
}

// readAdditions reads the recorded objects that still exist, in the order in which they were added.
const readAdditions = `
SELECT a.kind, a.object, coalesce(c.oid::regclass::text, ''), quote_ident(a.name), coalesce(pg_get_expr(d.adbin, 0), 'null')
  FROM (SELECT kind, object, min(id) AS id, substring(object FROM '[^.]+$') AS name,
               CASE WHEN kind IN ('column', 'constraint') THEN substring(object FROM '^(.+)[.]') ELSE object END AS relation
          FROM ` + Added + `
         WHERE version = $1
         GROUP BY kind, object) AS a
  LEFT JOIN pg_class c ON c.oid = to_regclass(a.relation)
  LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = a.name AND NOT t.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum
 WHERE CASE a.kind
           WHEN 'schema' THEN EXISTS (SELECT FROM pg_namespace WHERE nspname = a.object)
           WHEN 'column' THEN t.attnum IS NOT NULL
           WHEN 'constraint' THEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND conname = a.name)
           WHEN 'index' THEN c.relkind IN ('i', 'I')
           WHEN 'table' THEN c.oid IS NOT NULL
           WHEN 'rows' THEN c.oid IS NOT NULL
       END
 ORDER BY a.id`

func (m *migration) additions(ctx context.Context, r reader) ([]addition, error) {
	var list []addition
	var a addition
	err := each(ctx, r, readAdditions, []any{m.version}, []any{&a.kind, &a.object, &a.relation, &a.name, &a.fallback},
		func() { list = append(list, a) })
	return list, err
}

// ours selects the reference rows of the table $2 that the version $1 added.
const ours = `(SELECT row_id FROM ` + Added + ` WHERE version = $1 AND kind = 'rows' AND object = $2)`

const readReferences = `
SELECT n.nspname, c.relname, a.attname
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
 WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = to_regclass($1) AND cardinality(k.conkey) = 1
 ORDER BY 1, 2, 3`

// losses counts the data that would be dropped with the objects.
func (m *migration) losses(ctx context.Context, r reader, additions []addition) ([]Loss, error) {
	var losses []Loss
	count := func(object, reason, query string, args ...any) error {
		var n int64
		if err := r.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
			return &failure{object, err}
		}
		if n == 1 {
			reason = strings.NewReplacer("rows that refer", "row that refers", "rows", "row").Replace(reason)
		}
		if n > 0 {
			losses = append(losses, Loss{m.version, object, n, reason})
		}
		return nil
	}
	filled := map[string]bool{} // tables with reference rows
	for _, a := range additions {
		filled[a.object] = filled[a.object] || a.kind == KindRows
	}
	for _, a := range additions {
		var err error
		switch a.kind {
		case KindTable:
			err = count(a.object, "rows", `SELECT count(*) FROM `+a.relation)
		case KindColumn:
			err = count(a.object, "rows with a value other than "+a.fallback,
				`SELECT count(*) FROM `+a.relation+` WHERE `+a.name+` IS DISTINCT FROM `+a.fallback)
		case KindRows:
			err = m.rowLosses(ctx, r, a, filled, count)
		case KindSchema, KindIndex, KindConstraint:
		}
		if err != nil {
			return nil, err
		}
	}
	return losses, nil
}

func (m *migration) rowLosses(ctx context.Context, r reader, a addition, filled map[string]bool,
	count func(object, reason, query string, args ...any) error,
) error {
	err := count(a.object, "changed reference rows",
		`SELECT count(*) FROM `+a.relation+` AS t WHERE id IN `+ours+` AND to_jsonb(t) ->> 'updated_at' IS NOT NULL`, m.version, a.object)
	if err != nil {
		return err
	}
	type reference struct{ schema, table, column string }
	var ref reference
	var all []reference
	err = each(ctx, r, readReferences, []any{a.relation}, []any{&ref.schema, &ref.table, &ref.column}, func() { all = append(all, ref) })
	if err != nil {
		return err
	}
	for _, ref := range all {
		object := ref.schema + "." + ref.table
		query := `SELECT count(*) FROM ` + pgx.Identifier{ref.schema, ref.table}.Sanitize() + ` WHERE ` +
			pgx.Identifier{ref.column}.Sanitize() + ` IN ` + ours
		args := []any{m.version, a.object}
		if filled[object] {
			query += ` AND id NOT IN ` + strings.Replace(ours, "$2", "$3", 1)
			args = append(args, object)
		}
		if err := count(object, "rows that refer to "+a.object, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// down removes what the migration is recorded to have added, in reverse order, and nothing else.
func (m *migration) down(ctx context.Context, tx *sql.Tx, which Database, discard bool) error {
	additions, err := m.additions(ctx, tx)
	if err != nil {
		return err
	}
	// First without locks: most refusals happen here, without blocking other sessions. Then again, when earlier writers
	// have committed and new ones are locked out.
	for _, held := range [][]addition{nil, additions} {
		for _, a := range held {
			if err := m.hold(ctx, tx, a); err != nil {
				return &failure{a.object, err}
			}
		}
		if discard {
			continue
		}
		losses, err := m.losses(ctx, tx, additions)
		if err == nil {
			err = Refusal(which, m.name, losses)
		}
		if err != nil {
			return err
		}
	}
	for _, a := range slices.Backward(additions) {
		if err := m.takeBack(ctx, tx, a); err != nil {
			return &failure{a.object, err}
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM `+Added+` WHERE version = $1`, m.version)
	return err
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
func (m *migration) hold(ctx context.Context, tx *sql.Tx, a addition) error {
	var err error
	switch a.kind {
	case KindTable, KindColumn, KindConstraint:
		_, err = tx.ExecContext(ctx, `LOCK TABLE `+a.relation+` IN ACCESS EXCLUSIVE MODE`)
	case KindRows:
		// conflicts with the lock that a new referencing row needs
		_, err = tx.ExecContext(ctx, `SELECT FROM `+a.relation+` WHERE id IN `+ours+` FOR UPDATE`, m.version, a.object)
	case KindSchema, KindIndex:
	}
	return err
}

// takeBack removes one object. It never uses CASCADE, so objects that depend on it are kept, and a schema with other
// objects stays.
func (m *migration) takeBack(ctx context.Context, tx *sql.Tx, a addition) error {
	statement := map[Kind]string{
		KindIndex:      `DROP INDEX ` + a.relation,
		KindTable:      `DROP TABLE ` + a.relation,
		KindColumn:     `ALTER TABLE ` + a.relation + ` DROP COLUMN ` + a.name,
		KindConstraint: `ALTER TABLE ` + a.relation + ` DROP CONSTRAINT ` + a.name,
		KindSchema:     `DO $$ BEGIN DROP SCHEMA ` + a.name + `; EXCEPTION WHEN dependent_objects_still_exist THEN END $$`,
	}[a.kind]
	if a.kind == KindRows {
		_, err := tx.ExecContext(ctx, `DELETE FROM `+a.relation+` WHERE id IN `+ours, m.version, a.object)
		return err
	}
	_, err := tx.ExecContext(ctx, statement)
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

package migrate

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// reader is implemented by transactions and handles.
type reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// catalog holds the existing objects that migrations refer to.
type catalog struct {
	schemas map[string]bool
	tables  map[string]*relation // by qualified name; includes views and other relations with columns
	indexes map[string]*index    // every index in the schemas, by qualified name

	constraints map[string]bool // by qualified table name and constraint name
}

// relation is an object with columns.
type relation struct {
	kind    string // pg_class.relkind: r is a table, p is partitioned, v is a view, …
	columns []attribute
	made    bool // created by the current migration
}

// attribute is a column in the catalog.
type attribute struct {
	name, typ string
	notNull   bool
	fallback  string // the expression, or ""
}

type index struct {
	table string
	valid bool
	plain []string // the columns of a full B-tree over plain columns in default order
}

func (r *relation) column(name string) (attribute, bool) {
	i := slices.IndexFunc(r.columns, func(a attribute) bool { return a.name == name })
	if i < 0 {
		return attribute{}, false
	}
	return r.columns[i], true
}

func (r *relation) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { _, ok := r.column(n); return !ok })
}

// missing returns the names that are not columns of the relation.
func (r *relation) missing(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return r.has(n) })
}

const readSchemas = `SELECT nspname FROM pg_namespace WHERE nspname = ANY ($1)`

// Only system catalogs are read, so planning does not wait for table locks. pg_get_expr would lock a given table;
// defaults do not refer to columns, so it needs none.
const readColumns = `
SELECT n.nspname || '.' || c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       CASE WHEN a.attidentity <> '' OR a.attgenerated <> '' THEN 'generated' ELSE coalesce(pg_get_expr(d.adbin, 0), '') END
  FROM pg_namespace n
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE n.nspname = ANY ($1) AND n.nspname || '.' || c.relname = ANY ($2)
 ORDER BY c.oid, a.attnum`

const readIndexes = `
SELECT n.nspname || '.' || c.relname, tn.nspname || '.' || t.relname, x.indisvalid,
       CASE WHEN am.amname = 'btree' AND x.indpred IS NULL AND x.indexprs IS NULL
             AND NOT EXISTS (SELECT FROM unnest(x.indoption::int2[]) AS o WHERE o <> 0)
             AND NOT EXISTS (SELECT FROM unnest(x.indclass::oid[]) AS o JOIN pg_opclass p ON p.oid = o WHERE NOT p.opcdefault)
            THEN (SELECT string_agg(a.attname, ',' ORDER BY k.pos)
                    FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (num, pos)
                    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.num
                   WHERE k.pos <= x.indnkeyatts)
            ELSE '' END
  FROM pg_namespace n
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('i', 'I')
  JOIN pg_am am ON am.oid = c.relam
  JOIN pg_index x ON x.indexrelid = c.oid
  JOIN pg_class t ON t.oid = x.indrelid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE n.nspname = ANY ($1)`

const readConstraints = `
SELECT n.nspname || '.' || c.relname || '.' || k.conname
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY ($1) AND n.nspname || '.' || c.relname = ANY ($2)`

// readCatalog reads the objects that the statements refer to.
func readCatalog(ctx context.Context, r reader, statements []*statement) (*catalog, error) {
	c := &catalog{schemas: map[string]bool{}, tables: map[string]*relation{}, indexes: map[string]*index{}, constraints: map[string]bool{}}
	var schemas, tables []string
	for _, s := range statements {
		schema, _, _ := strings.Cut(s.object, ".")
		schemas = append(schemas, schema)
		if s.table != "" {
			tables = append(tables, s.table)
		}
	}
	slices.Sort(schemas)
	slices.Sort(tables)
	schemas, tables = slices.Compact(schemas), slices.Compact(tables)

	var name string
	err := each(ctx, r, readSchemas, []any{schemas}, []any{&name}, func() { c.schemas[name] = true })
	if err != nil {
		return nil, err
	}
	var kind string
	var a attribute
	err = each(ctx, r, readColumns, []any{schemas, tables}, []any{&name, &kind, &a.name, &a.typ, &a.notNull, &a.fallback}, func() {
		if c.tables[name] == nil {
			c.tables[name] = &relation{kind: kind}
		}
		c.tables[name].columns = append(c.tables[name].columns, a)
	})
	if err != nil {
		return nil, err
	}
	if err := each(ctx, r, readConstraints, []any{schemas, tables}, []any{&name}, func() { c.constraints[name] = true }); err != nil {
		return nil, err
	}
	var x index
	var plain string
	err = each(ctx, r, readIndexes, []any{schemas}, []any{&name, &x.table, &x.valid, &plain}, func() {
		found := x
		if plain != "" {
			found.plain = strings.Split(plain, ",")
		}
		c.indexes[name] = &found
	})
	return c, err
}

// each runs a query and calls fn after scanning each row into dest.
func each(ctx context.Context, r reader, query string, args, dest []any, fn func()) error {
	rows, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err has the error
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		fn()
	}
	return rows.Err()
}

// note adds the result of a statement to the catalog.
func (c *catalog) note(s *statement) {
	switch s.kind {
	case KindSchema:
		c.schemas[s.object] = true
	case KindTable, KindColumn:
		t := c.tables[s.table]
		if t == nil {
			t = &relation{kind: "r", made: true}
			c.tables[s.table] = t
		}
		for _, d := range s.columns {
			t.columns = append(t.columns, attribute{d.name, d.typ, d.notNull, d.fallback})
		}
	case KindIndex:
		x := &index{table: s.table, valid: true}
		if s.plain {
			x.plain = s.needs
		}
		c.indexes[s.object] = x
	case KindConstraint:
		c.constraints[s.object] = true
	case KindRows:
	}
}

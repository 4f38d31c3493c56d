package migrate

import (
	"context"
	"database/sql"
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// rehearsalSQL prepares a rehearsal and sets the savepoint new_database.
//
//go:embed rehearse.sql
var rehearsalSQL string

// rehearse runs all migrations in a new database, to find out what each statement adds, and then the pending ones in
// copies of the tables of this database, to find out which statements fit them. It returns both catalogs.
func rehearse(ctx context.Context, tx *sql.Tx, list []*migration, state *state) (ideal, found *catalog, err error) {
	var all []*statement
	var texts, pending, schemas []string
	for _, m := range list {
		for _, s := range m.statements {
			if s.kind == KindSchema {
				schemas = append(schemas, s.object)
			}
		}
	}
	qualified := regexp.MustCompile(`\b(` + strings.Join(schemas, "|") + `)\.(\w+)`)
	for _, m := range list {
		for _, s := range m.statements {
			text := ""
			if s.kind != KindSchema {
				text = qualified.ReplaceAllString(s.text, `pg_temp."$1.$2"`)
			}
			all, texts = append(all, s), append(texts, text)
			if state.has(m) {
				text = ""
			}
			pending = append(pending, text)
		}
	}
	if _, err := tx.ExecContext(ctx, `SET TRANSACTION READ WRITE; `+rehearsalSQL); err != nil {
		return nil, nil, err
	}
	if err := runAll(ctx, tx, all, texts); err != nil {
		return nil, nil, err
	}
	if ideal, found, err = readCatalogs(ctx, tx); err != nil || len(found.tables) == 0 && len(state.applied) == 0 {
		return ideal, found, err // this is a new database
	}
	if _, err := tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT new_database`); err != nil {
		return nil, nil, err
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_temp.copy_relations($1::text[])`, slices.Collect(maps.Keys(found.tables))); err != nil {
		return nil, nil, err
	}
	return ideal, found, runAll(ctx, tx, all, pending)
}

// runAll runs the texts of the statements in the rehearsal and sets their outcomes.
func runAll(ctx context.Context, r reader, all []*statement, texts []string) error {
	for _, s := range all {
		s.adds = false
	}
	var i int
	var kind, object, table, code, reason string
	return each(ctx, r, `SELECT * FROM pg_temp.rehearse($1::text[])`, []any{texts}, []any{&i, &kind, &object, &table, &code, &reason}, func() {
		s := all[i-1]
		if kind != "" {
			s.kind, s.object, s.table = Kind(kind), object, table
		}
		s.adds, s.code, s.reason = kind != "", code, reason
	})
}

// catalog holds the objects that migrations refer to, by qualified name.
type catalog struct {
	schemas map[string]bool
	tables  map[string]*relation // includes views and other relations with columns
	indexes map[string]index     // every index in the schemas
}

// relation is an object with columns.
type relation struct {
	kind    string // pg_class.relkind: r is a table, p is partitioned, v is a view, …
	columns []attribute
}

// attribute is a column in the catalog.
type attribute struct {
	name, typ string
	notNull   bool
	fallback  string // the default's expression, "generated", or ""
}

// String returns the definition of the column without its name.
func (a attribute) String() string {
	text := a.typ
	if a.notNull {
		text += " NOT NULL"
	}
	if a.fallback != "" {
		text += " DEFAULT " + a.fallback
	}
	return text
}

type index struct {
	table  string
	valid  bool
	unique bool
	plain  string // see rehearse.sql
}

func (r *relation) column(name string) (attribute, bool) {
	i := slices.IndexFunc(r.columns, func(a attribute) bool { return a.name == name })
	if i < 0 {
		return attribute{}, false
	}
	return r.columns[i], true
}

func (r *relation) has(name string) bool {
	_, ok := r.column(name)
	return ok
}

const readColumns = `
SELECT rehearsed, belongs_to, kind, name, type, not_null, fallback
  FROM pg_temp.columns
 WHERE belongs_to IN (SELECT name FROM pg_temp.relations WHERE rehearsed)`

const readIndexes = `
SELECT rehearsed, name, belongs_to, valid, uniq, plain
  FROM pg_temp.indexes
 WHERE split_part(name, '.', 1) IN (SELECT split_part(name, '.', 1) FROM pg_temp.relations WHERE rehearsed)`

// readCatalogs reads the tables of the rehearsal, the relations of the database with their names, and the indexes in
// the schemas of both.
func readCatalogs(ctx context.Context, r reader) (rehearsed, found *catalog, err error) {
	rehearsed = &catalog{tables: map[string]*relation{}, indexes: map[string]index{}}
	found = &catalog{schemas: map[string]bool{}, tables: map[string]*relation{}, indexes: map[string]index{}}
	var name string
	err = each(ctx, r, `SELECT nspname FROM pg_namespace`, nil, []any{&name}, func() { found.schemas[name] = true })
	if err != nil {
		return nil, nil, err
	}
	of := map[bool]*catalog{true: rehearsed, false: found}
	var mine bool
	var kind string
	var a attribute
	err = each(ctx, r, readColumns, nil, []any{&mine, &name, &kind, &a.name, &a.typ, &a.notNull, &a.fallback}, func() {
		c := of[mine]
		if c.tables[name] == nil {
			c.tables[name] = &relation{kind: kind}
		}
		c.tables[name].columns = append(c.tables[name].columns, a)
	})
	if err != nil {
		return nil, nil, err
	}
	var x index
	err = each(ctx, r, readIndexes, nil, []any{&mine, &name, &x.table, &x.valid, &x.unique, &x.plain}, func() { of[mine].indexes[name] = x })
	return rehearsed, found, err
}

// Package schema reads what a database's tables really look like. The same table exists in several
// generations (cxg-databases.md), so no statement may assume a column that it has not seen here.
package schema

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
	"github.com/cxgctl/cxgctl/migrations"
)

// Tables that commands ask for, by qualified name.
const (
	Users         = "idam.users"
	Invoices      = "bill.invoices"
	Tenants       = "tnnt.tenants"
	TenantUsers   = "tnnt.tenant_users"
	Subscriptions = "tnnt.subscriptions"
	AuditLogs     = "audt.audit_logs"

	Roles           = "idam.roles"
	Permissions     = "idam.permissions"
	RolePermissions = "idam.role_permissions"
	UserRoles       = "idam.user_roles"
	Sessions        = "idam.sessions"
	LoginLogs       = "idam.login_logs"
	APIKeys         = "idam.api_keys"

	ImportFiles = "cxg_import.files"
	ImportRows  = "cxg_import.rows"
	SealHead    = "cxg_audit.head"
	Seals       = "cxg_audit.seal"
	Intents     = "cxg_audit.intent"
	Enforcement = "cxg_audit.enforcement"
)

// Tables of a tenant's database.
const (
	SysUsers = "sys.users"
	Applied  = "cxg_audit.applied"
)

// AuditTables are what writing the audit log takes: the log and, where they are, its seals.
var AuditTables = []string{AuditLogs, SealHead, Seals}

// Grants are the tables that permissions rest on.
var Grants = []string{Roles, Permissions, RolePermissions, UserRoles}

// Column is one column as the catalog has it.
type Column struct {
	Name    string
	Type    string // as format_type prints it: character varying(100), uuid, …
	NotNull bool
	place   int16 // among the table's columns
}

// Table is one table as it stands in this database.
type Table struct {
	Name    string
	Columns []Column
}

// Catalog holds the tables that a command asked for and that exist.
type Catalog map[string]*Table

// Every command pays for this query in a session whose caches are cold. What counts is how many catalogs it
// touches: joined to an unnest of the names, or to pg_class and pg_namespace, it took three times as long,
// and sorted on the server a tenth more. {names} and {numbers} become one item per table.
const readCatalog = `
SELECT CASE a.attrelid {numbers} END, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
  FROM pg_attribute a
 WHERE a.attrelid IN ({names}) AND a.attnum > 0 AND NOT a.attisdropped`

// Read asks the catalog, in one round trip, for the named tables; one that does not exist is absent
// from the result.
func Read(ctx context.Context, r db.Reader, tables ...string) (Catalog, error) {
	cat := Catalog{}
	q := cat.Question(tables...)
	args := []any{pgx.QueryExecModeExec}
	for _, name := range tables {
		args = append(args, name)
	}
	rows, err := r.Query(ctx, q.SQL, args...)
	if err != nil {
		return nil, err
	}
	return cat, q.Read(rows)
}

// Question is what Read asks, to be sent together with others; its answer goes into c.
func (c Catalog) Question(tables ...string) db.PipelineQuery {
	names, numbers := make([]string, len(tables)), make([]string, len(tables))
	for i := range tables {
		names[i] = fmt.Sprintf("to_regclass($%d)::oid", i+1)
		numbers[i] = fmt.Sprintf("WHEN %s THEN %d", names[i], i)
	}
	sql := strings.NewReplacer("{names}", strings.Join(names, ", "), "{numbers}", strings.Join(numbers, " ")).Replace(readCatalog)
	return db.PipelineQuery{SQL: sql, Args: tables, Read: func(rows pgx.Rows) error { return c.read(rows, tables) }}
}

func (c Catalog) read(rows pgx.Rows, tables []string) error {
	var table int
	var column Column
	_, err := pgx.ForEachRow(rows, []any{&table, &column.place, &column.Name, &column.Type, &column.NotNull}, func() error {
		name := tables[table]
		if c[name] == nil {
			c[name] = &Table{Name: name}
		}
		c[name].Columns = append(c[name].Columns, column)
		return nil
	})
	for _, t := range c {
		slices.SortFunc(t.Columns, func(a, b Column) int { return cmp.Compare(a.place, b.place) })
	}
	return err
}

// Table returns the named table, or a DATABASE_ERROR that says what to do about its absence.
func (c Catalog) Table(name string) (*Table, error) {
	if t, ok := c[name]; ok {
		return t, nil
	}
	return nil, fault.New(fault.Database, "table %s does not exist in the manager database", name).
		WithHint("is this the right database? cxgctl doctor tells; cxgctl migrate up creates what is missing").
		With("table", name)
}

// Has says whether the table has the column.
func (t *Table) Has(column string) bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == column })
}

// Need returns a DATABASE_ERROR that names the first of the columns which the table lacks.
func (t *Table) RequireColumns(columns []string) error {
	for _, column := range columns {
		if !t.Has(column) {
			f := fault.New(fault.Database, "table %s has no column %s", t.Name, column).With("column", column)
			if migrations.AddsColumn(t.Name, column) {
				f.WithHint("add it with: cxgctl migrate up --database manager")
			}
			return f
		}
	}
	return nil
}

// OneOf returns the first of the names that is a column of the table, for those that go by several; ""
// where none is.
func (t *Table) FirstOf(names ...string) string {
	for _, n := range names {
		if t.Has(n) {
			return n
		}
	}
	return ""
}

// Column returns the column of that name.
func (t *Table) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Field is one field of a noun's record: the column that it is read from, the type to read NULL as
// where the column is missing, and, where the bare column will not do, the expression over it.
type Field struct {
	Name string
	Type string
	Expr string // %s stands for the qualified column; "" means the column itself
	// WayIn says that the field decides who can sign in as a user.
	WayIn bool
	// Also are the names that the column has in other generations.
	Also []string
	// Binary is the kind of types (see wire.Reads) whose bare column a binary stream reads in place of
	// Expr; "" means that Expr will do there too, or else Type.
	Binary string
}

// of returns the name of the field's column; "" where the table has none.
func (t *Table) of(f Field) string {
	if t.Has(f.Name) {
		return f.Name
	}
	return t.FirstOf(f.Also...)
}

// Called returns the columns of those of the fields that are called otherwise in this table, by the fields' names.
func (t *Table) Called(fields []Field) map[string]string {
	called := map[string]string{}
	for _, f := range fields {
		if name := t.of(f); name != "" && name != f.Name {
			called[f.Name] = name
		}
	}
	return called
}

// Select returns the select list that reads the fields from the table under the alias, in order;
// a column that this database lacks reads as NULL.
func (t *Table) Select(alias string, fields []Field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		name := t.of(f)
		col := alias + "." + name
		switch {
		case name == "":
			list[i] = "NULL::" + f.Type + " AS " + f.Name
		case f.Expr != "":
			list[i] = strings.ReplaceAll(f.Expr, "%s", col) + " AS " + f.Name
		case name != f.Name:
			list[i] = col + " AS " + f.Name
		default:
			list[i] = col
		}
	}
	return strings.Join(list, ", ")
}

// Binary returns, by field, the expression that a binary stream reads it from, in which the server does as
// little as it can; false where a column's type is such that only Select can read it.
func (t *Table) Binary(alias string, fields []Field) (map[string]string, bool) {
	exprs := make(map[string]string, len(fields))
	for _, f := range fields {
		name := t.of(f)
		col := alias + "." + name
		c, ok := t.Column(name)
		switch {
		case !ok:
			exprs[f.Name] = "NULL::" + f.Type
		case f.Binary != "" || f.Expr == "":
			if !pgtext.CanDecode(cmp.Or(f.Binary, f.Type), c.Type) {
				return nil, false
			}
			exprs[f.Name] = col
		default:
			exprs[f.Name] = strings.ReplaceAll(f.Expr, "%s", col)
		}
	}
	return exprs, true
}

// Changed adds to w the predicates of an increment over the table's rows under the alias.
func (t *Table) Changed(w *db.Where, alias string, i db.Increment) {
	i.Bind(w, alias, slices.DeleteFunc([]string{"created_at", "updated_at"}, func(c string) bool { return !t.Has(c) }))
}

// flag is a soft-delete column: its name and the value that it has on a live row.
type flag struct {
	column string
	live   bool
}

// The soft-delete flags of every generation: G0's is_active, G2's is_deleted, G1's and Gx's deleted.
var flags = []flag{{"is_active", true}, {"is_deleted", false}, {"deleted", false}}

// Live returns the predicate that holds for rows that are not deleted, under the alias: "true" where
// the table has no flag. A flag that may be NULL counts as live when it is NULL.
func (t *Table) NotDeleted(alias string) string {
	var parts []string
	for _, f := range flags {
		c, ok := t.Column(f.column)
		if !ok {
			continue
		}
		col := alias + "." + f.column
		switch {
		case c.NotNull && f.live:
			parts = append(parts, col)
		case c.NotNull:
			parts = append(parts, "NOT "+col)
		case f.live:
			parts = append(parts, col+" IS NOT FALSE")
		default:
			parts = append(parts, col+" IS NOT TRUE")
		}
	}
	if len(parts) == 0 {
		return "true"
	}
	return strings.Join(parts, " AND ")
}

// CanBeMarked says whether a migration adds a soft-delete column to the table.
func (t *Table) CanBeMarked() bool {
	return slices.ContainsFunc(flags, func(f flag) bool { return migrations.AddsColumn(t.Name, f.column) })
}

// LiveValues returns the soft-delete columns of every generation with the values of a live row, for Insert.
func LiveValues() [][2]string {
	list := make([][2]string, len(flags))
	for i, f := range flags {
		list[i] = [2]string{f.column, strconv.FormatBool(f.live)}
	}
	return list
}

// SetLive returns the assignments that delete a row (live false) or restore it (live true); a table
// without any flag gives a DATABASE_ERROR, since a row is never deleted physically.
func (t *Table) SetDeleted(live bool) (string, error) {
	var parts []string
	for _, f := range flags {
		if t.Has(f.column) {
			parts = append(parts, f.column+" = "+strconv.FormatBool(f.live == live))
		}
	}
	if len(parts) == 0 {
		f := fault.New(fault.Database, "table %s has no column that marks a row as deleted", t.Name).With("table", t.Name)
		if t.CanBeMarked() {
			f.WithHint("add it with: cxgctl migrate up --database manager")
		}
		return "", f
	}
	return strings.Join(parts, ", "), nil
}

// Sortable returns those of the names that have a column in the table, with its expression under the alias, and the
// list of them. called has the names of columns that are called otherwise.
func (t *Table) Sortable(alias string, names []string, called map[string]string) (db.Sortable, []string) {
	sortable := db.Sortable{}
	var known []string
	for _, n := range names {
		column := cmp.Or(called[n], n)
		if c, ok := t.Column(column); ok {
			sortable[n] = db.Sort{Expr: alias + "." + column, Type: c.Type, NotNull: c.NotNull}
			known = append(known, n)
		}
	}
	return sortable, known
}

// MaxLength returns N of character varying(N) or character(N), else 0.
func (c Column) MaxLength() int {
	var n int
	if _, err := fmt.Sscanf(c.Type, "character varying(%d)", &n); err == nil {
		return n
	}
	if _, err := fmt.Sscanf(c.Type, "character(%d)", &n); err == nil {
		return n
	}
	return 0
}

// Kind returns the type as fields name it, without its length.
func (c Column) Kind() string {
	if c.Type == "timestamp with time zone" {
		return "timestamptz"
	}
	name, _, _ := strings.Cut(c.Type, "(")
	return name
}

// Numeric returns p and s of numeric(p,s): how many digits the column keeps, and how many of them after the
// point; ok is false for every other type, numeric without bounds among them.
func (c Column) Numeric() (precision, scale int, ok bool) {
	_, err := fmt.Sscanf(c.Type, "numeric(%d,%d)", &precision, &scale)
	return precision, scale, err == nil
}

// Insert returns the INSERT statement, without RETURNING, for pairs of a column and the expression
// that the new row gets in it; pairs whose column the table lacks are left out.
func (t *Table) Insert(values [][2]string) string {
	columns, exprs := t.split(values)
	return "INSERT INTO " + t.Name + " (" + columns + ") VALUES (" + exprs + ")"
}

// InsertWhere is Insert of a row that is made only where the predicate holds.
func (t *Table) InsertWhere(values [][2]string, predicate string) string {
	columns, exprs := t.split(values)
	return "INSERT INTO " + t.Name + " (" + columns + ") SELECT " + exprs + " WHERE " + predicate
}

func (t *Table) split(values [][2]string) (string, string) {
	var columns, exprs []string
	for _, v := range values {
		if t.Has(v[0]) {
			columns = append(columns, v[0])
			exprs = append(exprs, v[1])
		}
	}
	return strings.Join(columns, ", "), strings.Join(exprs, ", ")
}

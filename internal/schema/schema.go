// Package schema reads the actual tables of a database. The same table exists in several generations, so a statement
// may only use columns that were found here.
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

// Qualified names of the tables that commands use.
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

// AuditTables are needed to write the audit log. The tables of the seals are optional.
var AuditTables = []string{AuditLogs, SealHead, Seals}

// Grants are the tables that permissions are computed from.
var Grants = []string{Roles, Permissions, RolePermissions, UserRoles}

// Column is a column in the catalog.
type Column struct {
	Name    string
	Type    string // as printed by format_type: character varying(100), uuid, …
	NotNull bool
}

// Table is a table in this database.
type Table struct {
	Name    string
	Columns []Column
	Rules   *Rules // nil if not read
}

// Catalog holds the requested tables that exist.
type Catalog map[string]*Table

const readCatalog = `
SELECT t.name, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
  FROM (SELECT DISTINCT unnest($1::text[]) AS name) t
  JOIN pg_attribute a ON a.attrelid = to_regclass(t.name)
 WHERE a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum`

// Read reads the named tables from the catalog in one round trip. Tables that do not exist are absent from the result.
func Read(ctx context.Context, r db.Reader, tables ...string) (Catalog, error) {
	cat := Catalog{}
	err := cat.Question(tables...).Ask(ctx, r)
	return cat, err
}

// Question returns Read's query, to be sent together with others. Its result goes into c.
func (c Catalog) Question(tables ...string) db.PipelineQuery {
	return db.PipelineQuery{SQL: readCatalog, Args: []any{tables}, Read: func(rows pgx.Rows) error {
		var table string
		var column Column
		_, err := pgx.ForEachRow(rows, []any{&table, &column.Name, &column.Type, &column.NotNull}, func() error {
			if c[table] == nil {
				c[table] = &Table{Name: table}
			}
			c[table].Columns = append(c[table].Columns, column)
			return nil
		})
		return err
	}}
}

// Table returns the named table, or a DATABASE_ERROR with a hint if it does not exist.
func (c Catalog) Table(name string) (*Table, error) {
	if t, ok := c[name]; ok {
		return t, nil
	}
	return nil, fault.New(fault.Database, "table %s does not exist in the manager database", name).
		WithHint("check that this is the right database with cxgctl doctor; create missing tables with: cxgctl migrate up").
		With("table", name)
}

// Has reports whether the table has the column.
func (t *Table) Has(column string) bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == column })
}

// RequireColumns returns a DATABASE_ERROR that names the first missing column.
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

// FirstOf returns the first of the names that is a column of the table, or "".
func (t *Table) FirstOf(names ...string) string {
	for _, n := range names {
		if t.Has(n) {
			return n
		}
	}
	return ""
}

// Column returns the column with that name.
func (t *Table) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Field is a field of a record: its column, the type of NULL if the column is missing, and optionally an expression
// over the column.
type Field struct {
	Name string
	Type string
	Expr string // %s is replaced by the qualified column; "" means the column itself
	// Also lists the column's names in other generations.
	Also []string
	// Binary is the kind of types (see pgtext.CanDecode) for which a binary stream reads the bare column instead of
	// Expr; "" means Expr works there, or else Type.
	Binary string
}

// of returns the name of the field's column, or "" if the table has none.
func (t *Table) of(f Field) string {
	if t.Has(f.Name) {
		return f.Name
	}
	return t.FirstOf(f.Also...)
}

// Called returns the column names of the fields that have another name in this table, by field.
func (t *Table) Called(fields []Field) map[string]string {
	called := map[string]string{}
	for _, f := range fields {
		if name := t.of(f); name != "" && name != f.Name {
			called[f.Name] = name
		}
	}
	return called
}

// Select returns the select list that reads the fields from the table under the alias, in order. Missing columns read
// as NULL.
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

// Binary returns, by field, the expression that a binary stream reads, with as little work for the server as possible.
// It returns false if only Select can read one of the columns.
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

// Changed adds an increment's predicates for the table's rows under the alias to w.
func (t *Table) Changed(w *db.Where, alias string, i db.Increment) {
	i.Bind(w, alias, slices.DeleteFunc([]string{"created_at", "updated_at"}, func(c string) bool { return !t.Has(c) }))
}

// flag is a soft-delete column and its value on a live row.
type flag struct {
	column string
	live   bool
}

// flags are the soft-delete columns of every generation: G0's is_active, G2's is_deleted, G1's and Gx's deleted.
var flags = []flag{{"is_active", true}, {"is_deleted", false}, {"deleted", false}}

// NotDeleted returns the predicate for live rows under the alias, or "true" if the table has no soft-delete column. A
// row with a NULL flag is live.
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

// CanBeMarked reports whether a migration adds a soft-delete column to the table.
func (t *Table) CanBeMarked() bool {
	return slices.ContainsFunc(flags, func(f flag) bool { return migrations.AddsColumn(t.Name, f.column) })
}

// LiveValues returns every generation's soft-delete columns with the values of a live row, for Insert.
func LiveValues() [][2]string {
	list := make([][2]string, len(flags))
	for i, f := range flags {
		list[i] = [2]string{f.column, strconv.FormatBool(f.live)}
	}
	return list
}

// SetDeleted returns the assignments that delete a row (live false) or restore it (live true). Rows are never deleted
// physically, so a table without a soft-delete column gives a DATABASE_ERROR.
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

// Sortable returns the names that have a column in the table, with its expression under the alias, and the list of
// them. called maps names to columns with another name.
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

// MaxLength returns N for character varying(N) or character(N), or 0.
func (c Column) MaxLength() int {
	name, length, _ := strings.Cut(strings.TrimSuffix(c.Type, ")"), "(")
	if name != "character varying" && name != "character" {
		return 0
	}
	n, _ := strconv.Atoi(length)
	return n
}

// Kind returns the type in the form used by Field, without its length.
func (c Column) Kind() string {
	if c.Type == "timestamp with time zone" {
		return "timestamptz"
	}
	name, _, _ := strings.Cut(c.Type, "(")
	return name
}

// Numeric returns p and s of numeric(p,s): the total number of digits and the number after the decimal point. ok is
// false for other types and for numeric without limits.
func (c Column) Numeric() (precision, scale int, ok bool) {
	_, err := fmt.Sscanf(c.Type, "numeric(%d,%d)", &precision, &scale)
	return precision, scale, err == nil
}

// Insert returns an INSERT statement for pairs of a column and an expression. It omits columns that the table lacks.
func (t *Table) Insert(values [][2]string) string {
	columns, exprs := t.split(values)
	return "INSERT INTO " + t.Name + " (" + columns + ") VALUES (" + exprs + ")"
}

// InsertWhere is Insert, but only inserts the row if the predicate holds.
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

package tenants

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
)

// Filter selects tenants; the zero value selects all live ones.
type Filter struct {
	Statuses, Types []string // any of them; empty means all
	Search          string   // literal text in code, name or business number, case-insensitive
	IncludeDeleted  bool
	Changed         db.Increment
	Sort            []string  // FIELD or FIELD:desc
	Since, Until    time.Time // created_at, inclusive and exclusive
}

// Empty reports whether the filter selects every live tenant.
func (f Filter) Empty() bool {
	return len(f.Statuses) == 0 && len(f.Types) == 0 && f.Search == "" && f.Since.IsZero() && f.Until.IsZero()
}

// SortFields are the sortable fields, in a database that has them all.
var SortFields = []string{
	"code", "name", "type", "biz_no", "employee_count", "start_date", "close_date", "status", "suspended_date",
	"created_at", "updated_at", "id",
}

const newestFirst = "created_at:desc"

// Find looks up every REF, in order. by is the name of a key, or "" for any. A REF that matches no row, only a
// deleted row (unless deleted is set) or several rows has an error; the others have their tenant.
func (t *Table) Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[Tenant], error) {
	const find = `SELECT {columns} FROM {table} t WHERE t.id = ANY (@id::text[]::uuid[]) OR {code} = ANY (@code::text[]) ORDER BY t.id`
	rows, err := db.Collect[Tenant](ctx, r, t.sql(find), pgx.QueryExecModeExec, Kind.Args(refs, by))
	if err != nil {
		return nil, err
	}
	return Kind.Matches(refs, by, rows, deleted), nil
}

const (
	listTenants  = `SELECT {columns} FROM {table} t WHERE {where} ORDER BY {order}`
	countTenants = `SELECT count(*) FROM {table} t WHERE {where}`
)

// Matching returns the query for the tenants that the filter selects, newest first by default.
func (t *Table) Matching(f Filter) db.ListQuery[Tenant] {
	var w db.Where
	var problems fault.Problems
	if !f.IncludeDeleted {
		w.Add("{live}")
	}
	if v := problems.Choices("status", f.Statuses, Statuses); len(v) > 0 {
		w.Bind("t.status = ANY (@statuses::text[])", "statuses", v)
	}
	if v := problems.Choices("type", f.Types, Types); len(v) > 0 {
		w.Bind("{type} = ANY (@types::text[])", "types", v)
	}
	t.shape.Changed(&w, "t", f.Changed)
	w.Between("t.created_at", f.Since, f.Until)
	if f.Search != "" {
		db.Search{Text: f.Search, Columns: []string{"{code}", "{name}", "{biz_no}"}}.Bind(&w)
	}
	sortable, names := t.shape.Sortable("t", SortFields, t.called)
	w.Replace(t.sql)
	order := sortable.OrderBy(f.Sort, newestFirst, "id", names, &problems)
	binary, ok := t.shape.Binary("t", t.fields)
	if ok {
		binary["deleted"] = "NOT (" + t.live + ")"
	}
	return db.ListQuery[Tenant]{
		Problems: problems, ID: Kind.ID, Binary: binary,
		SQL: listTenants, Count: countTenants, Columns: t.columns, Table: t.shape.Name, Key: "t.id",
		Where: w, Order: order,
	}
}

// Select returns every tenant that the filter selects, ordered by code. With deleted it returns only deleted tenants.
func (t *Table) Select(ctx context.Context, d *db.DB, idle time.Duration, f Filter, deleted bool) ([]Tenant, error) {
	f.IncludeDeleted, f.Sort = deleted, []string{"id"}
	if t.shape.Has(t.column("code")) {
		f.Sort = []string{"code"}
	}
	q, err := t.Matching(f).All()
	if err != nil {
		return nil, err
	}
	return db.CollectWhere(ctx, d, idle, q, func(x Tenant) bool { return x.Deleted == deleted })
}

// Codes returns up to 100 codes of live (or deleted) tenants that begin with prefix, for completion.
func (t *Table) Codes(ctx context.Context, r db.Reader, prefix string, live bool) ([]string, error) {
	const codes = `SELECT {code} FROM {table} t WHERE {code} LIKE @prefix AND {live} = @live ORDER BY 1 LIMIT 100`
	rows, err := r.Query(ctx, t.sql(codes), pgx.NamedArgs{"prefix": db.LikePrefix(prefix), "live": live})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

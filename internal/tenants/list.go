package tenants

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Filter selects tenants; the zero value selects all live ones.
type Filter struct {
	Statuses, Types []string // any of them; empty means all
	Search          string   // literal text in code, name or business number, case-insensitive
	IncludeDeleted  bool
	Changed         db.Increment
	Sort            []string  // FIELD, -FIELD or FIELD:desc
	Since, Until    time.Time // created_at, inclusive and exclusive
}

// Empty reports whether the filter selects every live tenant.
func (f Filter) Empty() bool {
	return len(f.Statuses) == 0 && len(f.Types) == 0 && f.Search == "" && f.Since.IsZero() && f.Until.IsZero()
}

const newestFirst = "created_at:desc"

const (
	findTenants   = `SELECT {columns} FROM {table} t WHERE t.id = ANY (@id::text[]::uuid[]) OR {code} = ANY (@code::text[]) ORDER BY t.id`
	completeCodes = `SELECT {code}, {name} FROM {table} t WHERE {code} LIKE @prefix AND {live} = @live ORDER BY 1 {direction} LIMIT @limit`
)

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
	w.AnyOf("t.status", "statuses", "text", problems.Choices("status", f.Statuses, Statuses))
	w.AnyOf("{type}", "types", "text", problems.Choices("type", f.Types, Types))
	t.Shape.Changed(&w, "t", f.Changed)
	w.Between("t.created_at", f.Since, f.Until)
	if f.Search != "" {
		db.Search{Text: f.Search, Columns: []string{"{code}", "{name}", "{biz_no}"}}.Bind(&w)
	}
	sortable, names := t.Shape.Sortable("t", SortFields, t.called)
	w.Replace(t.sql)
	order := sortable.OrderBy(f.Sort, newestFirst, "id", names, &problems)
	binary, ok := t.Shape.Binary("t", t.read)
	if ok {
		binary["deleted"] = "NOT (" + t.live + ")"
	}
	return db.ListQuery[Tenant]{
		Problems: problems, ID: Kind.ID, Binary: binary,
		SQL: listTenants, Count: countTenants, Columns: t.Columns, Table: t.Shape.Name, Key: "t.id",
		Where: w, Order: order,
	}
}

// Select returns every tenant that the filter selects, ordered by code. With deleted it returns only deleted tenants.
func (t *Table) Select(ctx context.Context, d *db.DB, idle time.Duration, f Filter, deleted bool) ([]Tenant, error) {
	f.IncludeDeleted, f.Sort = deleted, []string{"id"}
	if t.Shape.Has(t.column("code")) {
		f.Sort = []string{"code"}
	}
	return t.Collect(ctx, d, idle, t.Matching(f), deleted)
}

// MemberFilter selects the members of a tenant, by default all except those who have LEFT.
type MemberFilter struct {
	Tenant   uuid.UUID
	Statuses []string
	Search   string    // literal text in username, full name or e-mail
	Since    time.Time // created_at, inclusive
	Until    time.Time // exclusive
}

// primaryFirst is the order of memberships.
var primaryFirst = db.Order{
	{Sort: db.Sort{Expr: "m.is_primary", NotNull: true}, Desc: true},
	{Sort: db.Sort{Expr: "m.is_admin", NotNull: true}, Desc: true},
	{Sort: db.Sort{Expr: "u.username", NotNull: true}},
	{Sort: db.Sort{Expr: "m.id", NotNull: true}},
}

const (
	listMembers  = `SELECT {columns} FROM {table} m {join} WHERE {where} ORDER BY {order}`
	countMembers = `SELECT count(*) FROM {table} m {join} WHERE {where}`
)

// Matching returns the query for the members that the filter selects, the primary member first.
func (m *Members) Matching(f MemberFilter) db.ListQuery[Member] {
	var w db.Where
	var problems fault.Problems
	w.Bind("m.tenant_id = @tenant", "tenant", f.Tenant)
	if v := problems.Choices("status", f.Statuses, MemberStatuses); len(v) > 0 {
		w.Bind(m.status+" = ANY (@statuses::text[])", "statuses", v)
	} else {
		w.Add(m.status + " IS DISTINCT FROM 'LEFT'")
	}
	w.Between("m.created_at", f.Since, f.Until)
	if f.Search != "" {
		db.Search{Text: f.Search, Columns: []string{"u.username", "u.full_name", "u.email"}}.Bind(&w)
	}
	return db.ListQuery[Member]{
		Problems: problems,
		SQL:      listMembers, Count: countMembers, Columns: m.columns, Table: m.shape.Name, Join: m.join,
		Where: w, Order: primaryFirst,
	}
}

// latestFirst is the order of subscriptions.
var latestFirst = db.Order{
	{Sort: db.Sort{Expr: "s.start_date", NotNull: true}, Desc: true},
	{Sort: db.Sort{Expr: "s.id", NotNull: true}},
}

const (
	listSubscriptions  = `SELECT {columns} FROM {table} s WHERE {where} ORDER BY {order}`
	countSubscriptions = `SELECT count(*) FROM {table} s WHERE {where}`
)

// MatchingSubscriptions returns the query for the live subscriptions of a tenant, latest first, or a DATABASE_ERROR
// if the table does not exist.
func MatchingSubscriptions(cat schema.Catalog, tenant uuid.UUID, since, until time.Time) (db.ListQuery[Subscription], error) {
	shape, err := cat.Table(schema.Subscriptions)
	if err != nil {
		return db.ListQuery[Subscription]{}, err
	}
	var w db.Where
	w.Bind("s.tenant_id = @tenant", "tenant", tenant)
	w.Add(shape.NotDeleted("s"))
	w.Between("s.start_date", since, until)
	return db.ListQuery[Subscription]{
		SQL: listSubscriptions, Count: countSubscriptions, Columns: shape.Select("s", subscriptionFields), Table: shape.Name,
		Where: w, Order: latestFirst,
	}, nil
}

// Subscriptions returns the live subscriptions of a tenant, latest first. It returns none if the database has no such
// table.
func Subscriptions(ctx context.Context, r db.Reader, cat schema.Catalog, tenant uuid.UUID) ([]Subscription, error) {
	if cat[schema.Subscriptions] == nil {
		return []Subscription{}, nil
	}
	list, err := MatchingSubscriptions(cat, tenant, time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	q, err := list.All()
	if err != nil {
		return nil, err
	}
	rows, err := db.Collect[Subscription](ctx, r, q.SQL, q.Args)
	if rows == nil {
		rows = []Subscription{}
	}
	return rows, err
}

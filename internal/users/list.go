package users

import (
	"context"
	"slices"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Filter selects users; the zero value selects all live ones.
type Filter struct {
	Statuses, Types []string // any of them; empty means all
	Search          string   // literal text in username, full_name or email, case-insensitive
	Grams           int      // the result of Grams; 0 searches without the optional indexes
	CreatedAfter    time.Time
	Since, Until    time.Time // created_at, inclusive and exclusive
	LastLoginBefore time.Time // excludes users who never logged in
	Locked          bool      // by status, or by a locked_until in the future
	MemberOf        string    // predicate over the alias u, see tenants.Membership; "" selects all users
	IncludeDeleted  bool
	Changed         db.Increment
	Sort            []string // FIELD, -FIELD or FIELD:desc
}

// Empty reports whether the filter selects every live user.
func (f Filter) Empty() bool {
	return len(f.Statuses) == 0 && len(f.Types) == 0 && f.Search == "" && f.CreatedAfter.IsZero() &&
		f.LastLoginBefore.IsZero() && f.Since.IsZero() && f.Until.IsZero() && !f.Locked && f.MemberOf == ""
}

// searched lists the searched columns of the manager's users.
var searched = []string{"u.username", "u.full_name", "u.email"}

// searched returns the columns that a search looks in.
func (t *Table) searched() []string {
	if !t.namesInParts() {
		return searched
	}
	return slices.DeleteFunc([]string{"u.username", joinedName(t.Shape), "u.email"}, func(c string) bool { return c == "" })
}

// Grams returns the smallest gram size that an index of the searched columns supports, or 0 if the optional migration
// is not applied.
func (t *Table) Grams(ctx context.Context, r db.Reader) (int, error) {
	if t.tenant != nil {
		return 0, nil
	}
	has, err := db.HasIndex(ctx, r, "idam.users_bigrams_idx")
	if !has {
		return 0, err
	}
	return 2, err
}

const newestFirst = "created_at:desc"

const (
	listUsers  = `SELECT {columns} FROM {table} u WHERE {where} ORDER BY {order}`
	countUsers = `SELECT count(*) FROM {table} u WHERE {where}`
)

// List returns the query for the users that the filter selects, newest first by default.
func (t *Table) List(f Filter) db.ListQuery[User] {
	var w db.Where
	var problems fault.Problems
	if !f.IncludeDeleted {
		w.Add("{live}")
	}
	if t.tenant != nil {
		w.Add("{mine}")
		if len(f.Types) > 0 {
			t.refuse(&problems, []string{"user_type"})
		}
	}
	w.AnyOf("{status}", "statuses", "text", db.Spellings(problems.Choices("status", f.Statuses, t.statuses())))
	w.AnyOf("u.user_type", "types", "text", db.Spellings(problems.Choices("user_type", f.Types, Types)))
	if f.MemberOf != "" {
		w.Add(f.MemberOf)
	}
	t.Shape.Changed(&w, "u", f.Changed)
	if f.Search != "" {
		db.Search{Text: f.Search, Columns: t.searched(), Grams: f.Grams}.Bind(&w)
	}
	if !f.CreatedAfter.IsZero() {
		w.Bind("u.created_at > @created_after", "created_after", f.CreatedAfter)
	}
	w.Between("u.created_at", f.Since, f.Until)
	if !f.LastLoginBefore.IsZero() {
		w.Bind("u.last_login_at < @last_login_before", "last_login_before", f.LastLoginBefore)
	}
	switch {
	case f.Locked && t.tenant != nil && !t.Shape.Has("locked_until"):
		problems.Add("locked", "users of tenant %s cannot be locked: %s has no locked_until", t.tenant.Code, t.Shape.Name)
	case f.Locked && t.tenant != nil:
		w.Add("u.locked_until > now()")
	case f.Locked:
		w.Add("(u.status = 'LOCKED' OR u.locked_until > now())")
	}
	sortable, names := t.Shape.Sortable("u", SortFields, nil)
	if t.tenant != nil {
		sortable["status"] = db.Sort{Expr: t.sql("{status}"), Type: "text", NotNull: true}
		names = append(names, "status")
	}
	if name := joinedName(t.Shape); t.namesInParts() && name != "" {
		sortable["full_name"] = db.Sort{Expr: name, Type: "text"}
		names = append(names, "full_name")
	}
	w.Replace(t.sql)
	order := sortable.OrderBy(f.Sort, newestFirst, "id", names, &problems)
	binary, ok := t.Shape.Binary("u", t.read)
	if ok {
		binary["is_active"] = "(" + t.live + ")"
	}
	return db.ListQuery[User]{
		Problems: problems, ID: Kind.ID, Binary: binary,
		SQL: listUsers, Count: countUsers, Columns: t.Columns, Table: t.Shape.Name, Key: "u.id",
		Where: w, Order: order,
	}
}

// Select returns every user that the filter selects, ordered by id. With deleted it returns only deleted users.
func (t *Table) Select(ctx context.Context, d *db.DB, idle time.Duration, f Filter, deleted bool) ([]User, error) {
	f.IncludeDeleted, f.Sort = deleted, []string{"id"}
	return t.Collect(ctx, d, idle, t.List(f), deleted)
}

// The range condition lets the index start at the first match.
const completeUsernames = `
SELECT u.username, {full_name} FROM {table} u
 WHERE u.username >= @from AND u.username LIKE @prefix AND ({live}) = @live AND {mine}
 ORDER BY u.username {direction} LIMIT @limit`

package tenants

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Membership holds the fields of a membership to create or change; a nil field was not given.
type Membership struct {
	Member
	Unset []string // optional fields that become NULL
}

// check normalizes the given fields, and returns them and those to unset, or what is wrong with them as a change of seen.
func (x *Membership) check(seen Member) (schema.FieldsOf[Member], error) {
	var p fault.Problems
	memberFields.CheckTexts(&p, &x.Member, false)
	given := memberFields.Given(&x.Member)
	for _, f := range given {
		f.Copy(&seen, &x.Member)
	}
	if is(seen.IsPrimary) && !is(seen.IsAdmin) {
		p.Add("is_primary", "the primary member of a tenant must be an administrator; add --admin")
	}
	isGiven := func(name string) bool { return len(given.Named(name)) > 0 }
	rowupdate.ApplyUnset(&p, x.Unset, UnsettableMember, isGiven, func(name string) { given = append(given, memberFields.Named(name)...) })
	return given, p.Err()
}

func is(b *bool) bool { return b != nil && *b }

// Check reports what is wrong with a new membership.
func (x *Membership) Check() error {
	_, err := x.check(Member{})
	return err
}

// IsOf reports whether a member has the given values already.
func (x *Membership) IsOf(seen Member) bool {
	given, err := x.check(seen)
	return err == nil && rowupdate.SetFields(given, &x.Member, nil).IsNoop(seen)
}

// User is the user of a membership.
type User struct {
	ID   uuid.UUID
	Name string
}

// Add makes a user a member of a tenant. A user who has LEFT becomes a member again, with the values of a new one. A
// member is left alone, whatever their values.
func (m *Members) Add(ctx context.Context, l *audit.Ledger, cat schema.Catalog, tenant Tenant, user User, x Membership) (Member, error) {
	var made Member
	if err := x.Check(); err != nil {
		return made, err
	}
	about := audit.Subject{Resource: memberNoun.Name, Name: user.Name + " of " + Kind.DisplayName(tenant), TenantID: &tenant.ID}
	err := l.Write(ctx, audit.Intent{Subject: about, Action: audit.Create}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if _, err := Lock(ctx, tx, cat, tenant.ID.String()); err != nil {
			return nil, err
		}
		is, err := m.of(ctx, tx, tenant.ID, user.ID)
		if err != nil {
			return nil, err
		}
		if len(is) > 0 && !is[0].left() {
			made = is[0]
			return nil, nil
		}
		var change audit.Change
		made, change, err = m.enroll(ctx, tx, about, is, tenant.ID, user, x)
		if db.UniqueViolation(err) != "" {
			return nil, fault.New(fault.Conflict, "user %q has just been added to tenant %q", user.Name, Kind.DisplayName(tenant)).Because(err)
		}
		if err != nil {
			return nil, err
		}
		return []audit.Change{change}, nil
	})
	return made, err
}

// enroll inserts a membership, or renews the one in is if the user has LEFT.
func (m *Members) enroll(ctx context.Context, tx *audit.Tx, about audit.Subject, is []Member, tenant uuid.UUID, user User,
	x Membership,
) (Member, audit.Change, error) {
	change := audit.Change{Subject: about, Action: audit.Create}
	args := pgx.NamedArgs{"tenant": tenant, "user": user.ID, "now": tx.Now, "by": tx.By.ID, "today": db.On(tx.Now)}
	for _, f := range changeable {
		if args[f.Name] = f.Arg(&x.Member); args[f.Name] == nil && f.Default != "" {
			args[f.Name] = f.Default
		}
	}
	var err error
	if len(is) == 0 {
		args["id"] = tx.NewID()
		err = tx.Insert(ctx, m.shape, about.Name, memberValues, args)
	} else {
		args["id"], change.Action, change.Before = is[0].ID, audit.Update, is[0]
		err = tx.Update(ctx, m.shape, about.Name, comeBack, args, is[0].ID)
	}
	if err != nil {
		return Member{}, change, err
	}
	rows, err := m.of(ctx, tx, tenant, user.ID)
	if err != nil {
		return Member{}, change, err
	}
	change.ID, change.After = rows[0].ID, rows[0]
	return rows[0], change, nil
}

// Rejoin is Add inside a transaction, for a user who has LEFT. The change is nil if the membership is not LEFT.
func (m *Members) Rejoin(ctx context.Context, tx *audit.Tx, about audit.Subject, tenant uuid.UUID, user User,
	x Membership,
) (*audit.Change, error) {
	if err := x.Check(); err != nil {
		return nil, err
	}
	is, err := m.of(ctx, tx, tenant, user.ID)
	if err != nil || len(is) == 0 || !is[0].left() {
		return nil, err
	}
	_, change, err := m.enroll(ctx, tx, about, is, tenant, user, x)
	return &change, err
}

// The columns of a new membership, and those to set when a user who has LEFT becomes a member again.
var (
	memberValues = append([][2]string{
		{"id", "@id"},
		{"created_at", "@now"},
		{"created_by", "@by"},
		{"tenant_id", "@tenant"},
		{"user_id", "@user"},
		{"start_date", "@today"},
	}, changeableValues()...)
	comeBack = slices.Concat([][2]string{
		{"start_date", "@today"},
		{"close_date", "NULL"},
		{"updated_at", "@now"},
		{"updated_by", "@by"},
	}, changeableValues(), schema.LiveValues())
)

func changeableValues() (list [][2]string) {
	for _, f := range changeable {
		list = append(list, [2]string{f.Name, "@" + f.Name})
	}
	return list
}

// Update changes a membership as the caller saw it. An update without fields is a USAGE_ERROR.
func (m *Members) Update(ctx context.Context, l *audit.Ledger, seen Member, x Membership) (Member, error) {
	given, err := x.check(seen)
	if err != nil {
		return seen, err
	}
	if len(given) == 0 {
		return seen, rowupdate.ErrNothingToChange("tenants members update")
	}
	e := rowupdate.SetFields(given, &x.Member, nil)
	if live, err := m.shape.SetDeleted(true); err == nil && x.Status != nil {
		e.Set += ", " + live // a membership that is marked as deleted counts as LEFT, whatever its status
	}
	return m.apply(ctx, l, seen, e)
}

// Remove ends a membership as the caller saw it. The row stays with the status LEFT, and is neither primary nor
// admin.
func (m *Members) Remove(ctx context.Context, l *audit.Ledger, seen Member, today db.Date) (Member, error) {
	return m.apply(ctx, l, seen, rowupdate.Update[Member]{
		Action: audit.Delete, Set: "status = 'LEFT', close_date = @set_today, is_primary = false, is_admin = false",
		Args: pgx.NamedArgs{"set_today": today}, Columns: []string{"status", "close_date", "is_primary", "is_admin"},
		IsNoop: Member.left,
	})
}

// Reverse undoes audited changes of memberships. See audit.Undo. A new membership ends as Remove ends it.
func (m *Members) Reverse(ctx context.Context, tx *audit.Tx, rows []audit.Reversal, force bool) ([]audit.Change, []audit.Drift, error) {
	return m.rows().Reverse(ctx, tx, rows, force)
}

func (m *Members) rows() rowupdate.Table[Member] {
	return rowupdate.Table[Member]{
		Noun: &memberNoun, Shape: m.shape, Alias: "m", Columns: m.columns, Join: m.join,
		Tenant: func(x Member) *uuid.UUID { return &x.TenantID },
		Gone:   "status = 'LEFT', close_date = @now::timestamptz::date, is_primary = false, is_admin = false",
	}
}

func (m *Members) apply(ctx context.Context, l *audit.Ledger, seen Member, e rowupdate.Update[Member]) (Member, error) {
	after, err := m.rows().Apply(ctx, l, []Member{seen}, e)
	if err != nil {
		return seen, err
	}
	return after[0], nil
}

package users

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// ImportTables lists the tables that an import reads besides users, the audit log and those of every import.
var ImportTables = append([]string{schema.Tenants, schema.TenantUsers}, schema.Grants...)

// tenancy resolves and applies the columns tenant, tenant_role and roles.
type tenancy struct {
	cat     schema.Catalog
	named   bool
	tenants map[string]resource.Match[tenants.Ref] // by REF
	roles   map[string]resource.Match[roles.Role]
	members *schema.Table
	grants  *schema.Table

	need func(tenant, roles bool) error // checks the operator's permission to grant the row's tenant or roles
}

// links are the resolved tenant and roles of a row.
type links struct {
	tenant *tenants.Ref
	roles  []roles.Role
}

// member is a membership's record.
type member struct {
	ID       uuid.UUID `json:"id" db:"id"`
	TenantID uuid.UUID `json:"tenant_id" db:"tenant_id"`
	UserID   uuid.UUID `json:"user_id" db:"user_id"`
	Role     *string   `json:"role" db:"role"`
	Status   string    `json:"status" db:"status"`
}

// newTenancy prepares the columns that the file has; it needs the other tables only then.
func newTenancy(cat schema.Catalog, has func(string) bool) *tenancy {
	return &tenancy{
		cat: cat, named: has("tenant") || has("roles"), tenants: map[string]resource.Match[tenants.Ref]{}, roles: map[string]resource.Match[roles.Role]{},
		members: cat[schema.TenantUsers], grants: cat[schema.UserRoles],
	}
}

// resolve looks up the tenants and roles of the rows, and fails rows that name unknown ones.
func (x *tenancy) resolve(ctx context.Context, tx *audit.Tx, rows []*incoming) error {
	if !x.named {
		return nil
	}
	for _, in := range rows {
		in.links = links{}
		if err := x.need(in.tenant != "", len(in.roles) > 0); err != nil {
			f := fault.From(err)
			return fault.New(f.Code, "line %d: %s", in.Raw.Line, f.Message).WithHint("%s", f.Hint).With("line", in.Raw.Line).Because(err)
		}
		if in.tenant != "" {
			t, err := x.tenant(ctx, tx, in.tenant)
			switch {
			case err != nil && fault.From(err).Code == fault.Database:
				return err
			case err != nil:
				in.Fail("tenant", in.tenant, err, nil)
				continue
			}
			in.links.tenant = &t
		}
		for _, name := range in.roles {
			r, err := x.role(ctx, tx, name)
			if err == nil {
				err = mayGrant(r, in)
			}
			switch {
			case err != nil && fault.From(err).Code == fault.Database:
				return err
			case err != nil:
				in.Fail("roles", name, err, nil)
			default:
				in.links.roles = append(in.links.roles, r)
			}
		}
	}
	return nil
}

// mayGrant decides whether a row may have a role.
func mayGrant(r roles.Role, in *incoming) error {
	if isOfTenant(r) && in.links.tenant == nil {
		return fault.New(fault.Validation, "role %q applies within a tenant, but the row has no tenant", r.Code)
	}
	return nil
}

func isOfTenant(r roles.Role) bool { return r.Scope != nil && *r.Scope == "TENANT" }

// once returns what find finds, or what it found before.
func once[T any](known map[string]resource.Match[T], name string, find func() (T, error)) (T, error) {
	m, found := known[name]
	if !found {
		m.Row, m.Err = find()
		if _, refused := errors.AsType[*fault.Error](m.Err); refused || m.Err == nil { // other errors may pass
			known[name] = m
		}
	}
	return m.Row, m.Err
}

func (x *tenancy) tenant(ctx context.Context, r db.Reader, name string) (tenants.Ref, error) {
	if _, err := x.cat.Table(schema.TenantUsers); err != nil {
		return tenants.Ref{}, err
	}
	return once(x.tenants, name, func() (tenants.Ref, error) { return tenants.Find(ctx, r, x.cat, name, false) })
}

func (x *tenancy) role(ctx context.Context, r db.Reader, name string) (roles.Role, error) {
	t, err := roles.NewTable(x.cat)
	if err != nil {
		return roles.Role{}, err
	}
	return once(x.roles, name, func() (roles.Role, error) {
		role, err := t.Get(ctx, r, name)
		if err == nil && role.Status != nil && *role.Status != "ACTIVE" {
			err = fault.New(fault.NotFound, "role %q is not ACTIVE", name)
		}
		return role, err
	})
}

// link adds missing memberships and grants of applied rows, and returns a change for each.
func (x *tenancy) link(ctx context.Context, tx *audit.Tx, rows []*incoming) ([]audit.Change, error) {
	if !x.named {
		return nil, nil
	}
	var list []linked
	for _, in := range rows {
		if !in.Applied() {
			continue
		}
		if t := in.links.tenant; t != nil {
			m := member{ID: uuid.Must(uuid.NewV7()), TenantID: t.ID, UserID: in.New.ID, Status: "ACTIVE"}
			if in.tenantRole != "" {
				m.Role = &in.tenantRole
			}
			args := pgx.NamedArgs{"id": m.ID, "tenant": m.TenantID, "user": m.UserID, "role": m.Role, "now": tx.Now, "by": tx.By.ID}
			change := audit.Change{
				Subject: audit.Subject{Resource: "member", ID: m.ID, Name: in.New.Username + " of " + in.tenant, TenantID: &m.TenantID},
				Action:  audit.Create, After: m,
			}
			list = append(list, linked{in: in, of: t.ID, sql: x.insertMember(), args: args, change: change})
		}
		for _, r := range in.links.roles {
			scope, now := "GLOBAL", db.At(tx.Now)
			g := roles.Grant{
				ID: uuid.Must(uuid.NewV7()), UserID: in.New.ID, Username: in.New.Username, RoleID: r.ID, Role: r.Code, Level: r.Level,
				Scope: &scope, GrantedAt: &now, GrantedBy: &tx.By.ID,
			}
			if isOfTenant(r) {
				scope, g.TenantID = "TENANT", &in.links.tenant.ID
			}
			args := pgx.NamedArgs{
				"id": g.ID, "user": g.UserID, "role": g.RoleID, "scope": scope, "tenant": g.TenantID, "now": tx.Now, "by": tx.By.ID,
			}
			change := audit.Change{
				Subject: audit.Subject{Resource: "role", ID: g.ID, Name: r.Code + " of " + in.New.Username, TenantID: g.TenantID},
				Action:  audit.Create, Event: audit.PermissionChange, After: g,
			}
			list = append(list, linked{in: in, of: r.ID, code: r.Code, within: g.TenantID, sql: x.insertGrant(), args: args, change: change})
		}
	}
	return x.write(ctx, tx, list)
}

// insertMember inserts a membership if there is none. See tenancy.revive for one that was LEFT.
func (x *tenancy) insertMember() string {
	return x.members.InsertWhere([][2]string{
		{"id", "@id::uuid"},
		{"tenant_id", "@tenant::uuid"},
		{"user_id", "@user::uuid"},
		{"role", "@role::text"},
		{"start_date", "@now::timestamptz::date"},
		{"status", "'ACTIVE'"},
		{"is_primary", "false"},
		{"is_admin", "false"},
		{"created_at", "@now"},
		{"created_by", "@by::uuid"},
	}, "NOT EXISTS (SELECT FROM tnnt.tenant_users m WHERE m.tenant_id = @tenant AND m.user_id = @user)")
}

// insertGrant inserts a grant if there is none. The unique constraint does not cover grants whose tenant is NULL.
func (x *tenancy) insertGrant() string {
	return x.grants.InsertWhere([][2]string{
		{"id", "@id::uuid"},
		{"user_id", "@user::uuid"},
		{"role_id", "@role::uuid"},
		{"scope", "@scope::text"},
		{"tenant_context", "@tenant::uuid"},
		{"granted_at", "@now::timestamptz"},
		{"granted_by", "@by::uuid"},
		{"status", "'ACTIVE'"},
		{"created_at", "@now"},
		{"created_by", "@by::uuid"},
	}, "NOT EXISTS (SELECT FROM idam.user_roles g WHERE g.user_id = @user AND g.role_id = @role AND g.tenant_context IS NOT DISTINCT FROM @tenant)")
}

// linked is a membership or a grant that a row asks for.
type linked struct {
	in     *incoming
	of     uuid.UUID // the tenant or the role
	code   string    // of the role
	within *uuid.UUID
	sql    string
	args   pgx.NamedArgs
	change audit.Change
}

// write inserts memberships and grants, and returns a change for each that is new, as the database stored it. It
// fails rows whose membership or grant the server refuses or does not store.
func (x *tenancy) write(ctx context.Context, tx *audit.Tx, list []linked) ([]audit.Change, error) {
	if len(list) == 0 {
		return nil, nil
	}
	err := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error { return send(ctx, save, list) })
	if err != nil {
		if err = x.refusals(ctx, tx, list, err); err == nil {
			err = importer.ErrAgain
		}
		return nil, err
	}
	made, err := x.readBack(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(l linked) bool { return l.in.Failure != nil }) {
		return nil, importer.ErrAgain
	}
	return made, nil
}

func send(ctx context.Context, tx pgx.Tx, list []linked) error {
	batch := &pgx.Batch{}
	for _, l := range list {
		batch.Queue(l.sql, l.args)
	}
	batch.Queue("SET CONSTRAINTS ALL IMMEDIATE")
	return tx.SendBatch(ctx, batch).Close()
}

// refusals fails the rows whose membership or grant the server refuses. It returns cause if the error is not about a
// row.
func (x *tenancy) refusals(ctx context.Context, tx *audit.Tx, list []linked, cause error) error {
	of, err := importer.OfRow(ctx, tx, cause, func(save pgx.Tx) error { return send(ctx, save, nil) })
	if err != nil {
		return err
	}
	if !of {
		return cause
	}
	failed := false
	for i, l := range list {
		err := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error { return send(ctx, save, list[i:i+1]) })
		if err == nil {
			continue
		}
		if !db.MayBeOfRow(err) && !db.OfRow(err) {
			return err
		}
		field, value := "tenant", l.in.tenant
		if l.change.Resource == "role" {
			field, value = "roles", l.change.Name
		}
		l.in.Fail(field, value, fault.From(db.Translate(err)), nil)
		failed = true
	}
	if !failed {
		return cause
	}
	return nil
}

const (
	readMembers = `
SELECT m.id, m.tenant_id AS of, m.user_id, NULL::uuid AS within, m.role, m.status, {status} IS DISTINCT FROM 'LEFT' AS counts
  FROM tnnt.tenant_users m
 WHERE (m.tenant_id, m.user_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))`
	readGrants = `
SELECT g.id, g.role_id AS of, g.user_id, g.tenant_context AS within, NULL::text AS role, g.status,
       {status} = 'ACTIVE' AND (g.expires_at IS NULL OR g.expires_at > now()) AS counts
  FROM idam.user_roles g
 WHERE (g.role_id, g.user_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))`
)

// there is a membership or a grant as stored.
type there struct {
	ID     uuid.UUID  `db:"id"`
	Of     uuid.UUID  `db:"of"`
	UserID uuid.UUID  `db:"user_id"`
	Within *uuid.UUID `db:"within"`
	Role   *string    `db:"role"`
	Status string     `db:"status"`
	Counts bool       `db:"counts"` // in force: not LEFT, revoked, expired or marked as deleted
}

// readBack returns a change for each membership or grant that was inserted, revives existing ones that are not in
// force, and fails the rows whose membership or grant is missing.
func (x *tenancy) readBack(ctx context.Context, tx *audit.Tx, list []linked) ([]audit.Change, error) {
	var of, who [2][]uuid.UUID // of memberships, and of grants
	kind := func(l linked) int {
		if l.change.Resource == "role" {
			return 1
		}
		return 0
	}
	for _, l := range list {
		k := kind(l)
		of[k], who[k] = append(of[k], l.of), append(who[k], l.in.New.ID)
	}
	type link struct {
		kind     int
		of, user uuid.UUID
		within   uuid.UUID
	}
	ids := map[uuid.UUID]there{}
	links := map[link]bool{} // whether it is in force
	for k, sql := range []string{readMembers, readGrants} {
		if len(of[k]) == 0 {
			continue
		}
		status := [...]func() string{
			func() string { return x.members.LiveStatus("m", "LEFT") }, func() string { return x.grants.LiveStatus("g", "INACTIVE") },
		}[k]()
		sql = strings.Replace(sql, "{status}", status, 1)
		found, err := db.Collect[there](ctx, tx, sql, of[k], who[k])
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			ids[f.ID] = f
			key := link{k, f.Of, f.UserID, orZero(f.Within)}
			links[key] = links[key] || f.Counts
		}
	}
	var made []audit.Change
	done := func(l linked, change audit.Change) {
		made = append(made, change)
		if l.in.Outcome == importer.Unchanged {
			l.in.Outcome = importer.Updated
		}
	}
	for _, l := range list {
		is, mine := ids[l.change.ID]
		counts, there := links[link{kind(l), l.of, l.in.New.ID, orZero(l.within)}]
		switch {
		case mine:
			switch record := l.change.After.(type) {
			case member:
				record.Role, record.Status = is.Role, is.Status
				l.change.After = record
			case roles.Grant:
				record.Status = &is.Status
				l.change.After = record
			}
			done(l, l.change)
		case there && !counts:
			change, err := x.revive(ctx, tx, l)
			if err != nil {
				return nil, err
			}
			if change != nil {
				done(l, *change)
			}
		case !there:
			table := [...]string{schema.TenantUsers, schema.UserRoles}[kind(l)]
			l.in.Fail([...]string{"tenant", "roles"}[kind(l)], l.change.Name,
				db.NotStored(ctx, tx, table, db.Insert, "kept "+l.change.Resource+" "+l.change.Name+" from being stored"), nil)
		}
	}
	return made, nil
}

// revive renews a grant that was revoked, has expired or is marked as deleted, or a membership that was LEFT, as
// `roles grant` and `tenants members add` do. It fails the row if that is refused or not stored.
func (x *tenancy) revive(ctx context.Context, tx *audit.Tx, l linked) (change *audit.Change, err error) {
	user := &l.in.New
	field, value := "tenant", l.in.tenant
	err = pgx.BeginFunc(ctx, tx, func(pgx.Tx) error {
		if l.change.Resource == "role" {
			field, value = "roles", l.change.Name
			table, err := roles.NewTable(x.cat)
			if err != nil {
				return err
			}
			_, change, err = table.Give(ctx, tx, roles.Given{
				Role: roles.Role{ID: l.of, Code: l.code}, To: roles.Holder{ID: user.ID, Name: user.Username}, Tenant: l.within, Keep: true,
			})
			return err
		}
		table, err := tenants.NewMembers(x.cat)
		if err != nil {
			return err
		}
		var said tenants.Membership
		if l.in.tenantRole != "" {
			said.Role = &l.in.tenantRole
		}
		change, err = table.Rejoin(ctx, tx, l.change.Subject, l.of, tenants.User{ID: user.ID, Name: user.Username}, said)
		return err
	})
	_, ours := errors.AsType[*fault.Error](err)
	if err != nil && (ours || db.OfRow(err) || db.MayBeOfRow(err)) {
		l.in.Fail(field, value, fault.From(db.Translate(err)), nil)
		return nil, nil
	}
	return change, err
}

func orZero(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

package users

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// ImportTables lists the tables that an import reads besides users, the audit log and those of every import.
var ImportTables = append([]string{schema.Tenants, schema.TenantUsers}, schema.Grants...)

// tenancy resolves and applies the columns tenant, tenant_role and roles.
type tenancy struct {
	cat     schema.Catalog
	named   bool
	tenants map[string]tenants.Ref
	roles   map[string]role
	missing map[string]error // by REF, with a prefix for tenant or role
	members *schema.Table
	grants  *schema.Table
	rolesIn *schema.Table

	need func(tenant, roles bool) error // checks the operator's permission to grant the row's tenant or roles
}

// role is what a grant needs to know about a role.
type role struct {
	ID    uuid.UUID `db:"id"`
	Code  string    `db:"code"`
	Scope string    `db:"scope"`
	Level *int      `db:"level"`
}

// links are the resolved tenant and roles of a row.
type links struct {
	tenant *tenants.Ref
	roles  []role
}

// member is a membership's record.
type member struct {
	ID       uuid.UUID `json:"id" db:"id"`
	TenantID uuid.UUID `json:"tenant_id" db:"tenant_id"`
	UserID   uuid.UUID `json:"user_id" db:"user_id"`
	Role     *string   `json:"role" db:"role"`
	Status   string    `json:"status" db:"status"`
}

// grant is the record of a granted role, in the form that `roles grant` records. The escalation check reads it.
type grant struct {
	ID        uuid.UUID  `json:"id"`
	UserID    uuid.UUID  `json:"user_id"`
	Username  string     `json:"username"`
	RoleID    uuid.UUID  `json:"role_id"`
	Role      string     `json:"role"`
	Level     *int       `json:"level"`
	Scope     string     `json:"scope"`
	TenantID  *uuid.UUID `json:"tenant_id"`
	Status    string     `json:"status"`
	GrantedAt db.Time    `json:"granted_at"`
	GrantedBy uuid.UUID  `json:"granted_by"`
}

// newTenancy prepares the columns that the file has; it needs the other tables only then.
func newTenancy(cat schema.Catalog, has func(string) bool) *tenancy {
	x := &tenancy{cat: cat, tenants: map[string]tenants.Ref{}, roles: map[string]role{}, missing: map[string]error{}}
	x.named = has("tenant") || has("roles")
	x.members, x.grants, x.rolesIn = cat[schema.TenantUsers], cat[schema.UserRoles], cat[schema.Roles]
	return x
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
func mayGrant(r role, in *incoming) error {
	if r.Scope == "TENANT" && in.links.tenant == nil {
		return fault.New(fault.Validation, "role %q applies within a tenant, but the row has no tenant", r.Code)
	}
	return nil
}

func (x *tenancy) tenant(ctx context.Context, r db.Reader, name string) (tenants.Ref, error) {
	if t, ok := x.tenants[name]; ok {
		return t, nil
	}
	if err, ok := x.missing["tenant "+name]; ok {
		return tenants.Ref{}, err
	}
	if x.members == nil {
		_, err := x.cat.Table(schema.TenantUsers)
		return tenants.Ref{}, err
	}
	t, err := tenants.Find(ctx, r, x.cat, name, false)
	if err != nil {
		x.missing["tenant "+name] = err
		return t, err
	}
	x.tenants[name] = t
	return t, nil
}

func (x *tenancy) role(ctx context.Context, r db.Reader, name string) (role, error) {
	if found, ok := x.roles[name]; ok {
		return found, nil
	}
	if err, ok := x.missing["role "+name]; ok {
		return role{}, err
	}
	if x.rolesIn == nil || x.grants == nil {
		_, err := x.cat.Table(schema.Roles)
		if err == nil {
			_, err = x.cat.Table(schema.UserRoles)
		}
		return role{}, err
	}
	code := "code"
	if !x.rolesIn.Has(code) {
		code = "role_code"
	}
	scope := "'GLOBAL'"
	if x.rolesIn.Has("scope") {
		scope = "r.scope"
	}
	level := "NULL::int"
	if x.rolesIn.Has("level") {
		level = "r.level"
	}
	sql := fmt.Sprintf(`SELECT r.id, r.%s AS code, %s AS scope, %s AS level FROM idam.roles r WHERE (r.%s = $1 OR r.id::text = $1) AND %s`,
		code, scope, level, code, x.rolesIn.NotDeleted("r"))
	if x.rolesIn.Has("status") {
		sql += " AND r.status = 'ACTIVE'"
	}
	list, err := db.Collect[role](ctx, r, sql, name)
	if err != nil {
		return role{}, err
	}
	if len(list) != 1 {
		err = fault.New(fault.NotFound, "role %q not found", name)
		x.missing["role "+name] = err
		return role{}, err
	}
	x.roles[name] = list[0]
	return list[0], nil
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
			g := grant{
				ID: uuid.Must(uuid.NewV7()), UserID: in.New.ID, Username: in.New.Username, RoleID: r.ID, Role: r.Code, Level: r.Level,
				Scope: r.Scope, Status: "ACTIVE", GrantedAt: db.At(tx.Now), GrantedBy: tx.By.ID,
			}
			if r.Scope == "TENANT" {
				g.TenantID = &in.links.tenant.ID
			}
			args := pgx.NamedArgs{
				"id": g.ID, "user": g.UserID, "role": g.RoleID, "scope": g.Scope, "tenant": g.TenantID, "now": tx.Now, "by": tx.By.ID,
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

package users

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// A tenant's users stand in sys.users of its database. They have no user_type, no status and no MFA, so that the
// record reads their status from is_active and locked_until, and what they lack is refused by name.

// Tenancy is whose users a Table has.
type Tenancy struct {
	ID     uuid.UUID
	Code   string
	Shared bool // the database is other tenants' too, and tenant_id parts their rows
}

// TenantStatuses are the values that the status of a tenant's user can have.
var TenantStatuses = []string{"ACTIVE", "INACTIVE", "LOCKED"}

// statusOfTenants returns the status as two columns have it, under the alias u. Old tenants have no locked_until.
func statusOfTenants(shape *schema.Table) string {
	active := "CASE WHEN u.is_active IS FALSE THEN 'INACTIVE' ELSE 'ACTIVE' END"
	if !shape.Has("is_active") {
		active = "'ACTIVE'"
	}
	if !shape.Has("locked_until") {
		return active
	}
	return "CASE WHEN u.locked_until > now() THEN 'LOCKED' ELSE " + active + " END"
}

// joinedName returns the full name of users whose table has its parts, under the alias u; "" where it has neither.
func joinedName(shape *schema.Table) string {
	var parts []string
	for _, c := range []string{"first_name", "last_name"} {
		if shape.Has(c) {
			parts = append(parts, "nullif(u."+c+", '')")
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "nullif(concat_ws(' ', " + strings.Join(parts, ", ") + "), '')"
}

// tenantFields are fields as they are read from sys.users.
func tenantFields(shape *schema.Table) []schema.Field {
	list := slices.Clone(fields)
	for i := range list {
		switch list[i].Name {
		case "status":
			list[i].Also, list[i].Expr = []string{"is_active"}, statusOfTenants(shape)
		case "full_name":
			if !shape.Has("full_name") {
				list[i].Also, list[i].Expr = []string{"first_name", "last_name"}, joinedName(shape)
			}
		case "last_login_ip":
			list[i].Expr = ""
		}
	}
	return list
}

// InTenant returns a tenant's users, cat being the tables of its database; one without sys.users gives a
// DATABASE_ERROR.
func NewTenantTable(cat schema.Catalog, of Tenancy) (*Table, error) {
	shape, ok := cat[schema.SysUsers]
	if !ok {
		return nil, fault.New(fault.Database, "table %s does not exist in the database of tenant %s", schema.SysUsers, of.Code).
			WithHint("is this the right database? cxgctl migrate up --tenant %s creates what is missing", of.Code).With("table", schema.SysUsers)
	}
	gone := "u.is_deleted IS TRUE"
	if !shape.Has("is_deleted") {
		gone = "false"
	}
	mine := "true"
	switch {
	case shape.Has("tenant_id") && of.Shared:
		mine = "u.tenant_id = '" + of.ID.String() + "'::uuid"
	case shape.Has("tenant_id"): // in a database of its own the column may have been left empty
		mine = "(u.tenant_id IS NULL OR u.tenant_id = '" + of.ID.String() + "'::uuid)"
	}
	t := &Table{shape: shape, fields: tenantFields(shape), live: shape.NotDeleted("u"), gone: gone, tenant: &of}
	return t.prepare(mine, "NOT ("+gone+")", "("+statusOfTenants(shape)+")"), nil
}

// Split says whether the rows of a database that tenants share can be told apart.
func (t *Table) Separable() bool {
	return t.tenant == nil || !t.tenant.Shared || t.shape.Has("tenant_id")
}

// lacks are the fields that users of a tenant do not have, those of old tenants at least.
var lacks = []string{
	"user_type", "full_name", "mfa_enabled", "department", "position", "timezone", "locale", "force_password_change",
}

// refuse adds those of the fields that this table's users do not have to problems.
func (t *Table) refuse(p *fault.Problems, given map[string]bool) {
	if t.tenant == nil {
		return
	}
	for _, name := range lacks {
		if given[name] && !t.shape.Has(name) {
			p.Add(name, "a tenant's users have no such field")
		}
	}
}

// namesInParts says whether users have a first and a last name in place of a full one.
func (t *Table) namesInParts() bool { return t.tenant != nil && !t.shape.Has("full_name") }

// passwordColumn is the column of the password's hash; "" for none.
func (t *Table) passwordColumn() string { return t.shape.FirstOf("password", "password_hash") }

// statuses are those that users of this table can have.
func (t *Table) statuses() []string {
	switch {
	case t.tenant == nil:
		return Statuses
	case !t.shape.Has("locked_until"):
		return TenantStatuses[:2]
	}
	return TenantStatuses
}

// Check normalises a new user and refuses values, and fields that this table's users do not have.
func (t *Table) Check(n *New) error {
	if t.tenant == nil {
		return n.Check()
	}
	var p fault.Problems
	t.refuse(&p, map[string]bool{
		"user_type": n.UserType != "", "full_name": n.FullName != "", "mfa_enabled": n.MFA, "department": n.Department != "", "position": n.Position != "",
		"timezone": n.Timezone != "", "locale": n.Locale != "", "force_password_change": n.ForcePasswordChange,
	})
	n.check(&p, t.namesInParts())
	return p.Err()
}

// needsPassword refuses a user without a password where the table wants one.
func (t *Table) needsPassword(hash string) error {
	if c, ok := t.shape.Column(t.passwordColumn()); ok && c.NotNull && hash == "" {
		var p fault.Problems
		p.Add("password", "a tenant's user has one")
		return p.Err()
	}
	return nil
}

// subject is what the audit row of a change of these users is about.
func (t *Table) subject(name string) audit.Subject {
	s := audit.Subject{Resource: Kind.Name, Name: name}
	if t.tenant != nil {
		s.TenantID = &t.tenant.ID
	}
	return s
}

// image is a user as audit rows show it: of a tenant's, is_active alone would not say that it was deleted.
func (t *Table) image() func(User) any {
	if t.tenant == nil {
		return nil
	}
	return func(u User) any {
		return struct {
			User
			IsDeleted bool `json:"is_deleted"`
		}{u, u.Deleted}
	}
}

// assignStatus returns the assignments that give a status, with the columns that they name.
func (t *Table) assignStatus(status string, args pgx.NamedArgs) (set string, needs []string) {
	if t.tenant != nil {
		if status == "LOCKED" {
			return "locked_until = 'infinity'", []string{"locked_until"}
		}
		set = "is_active = " + strconv.FormatBool(status == "ACTIVE")
		if t.shape.Has("locked_until") {
			set += ", locked_until = NULL"
		}
		return set, []string{"is_active"}
	}
	args["set_status"] = status
	return "status = @set_status", []string{"status"}
}

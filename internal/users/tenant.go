package users

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The users of a tenant are in sys.users of its database. They have no user_type, status or MFA: the record derives the
// status from is_active and locked_until, and fields that do not exist are refused by name.

// Tenancy identifies the tenant whose users a Table has.
type Tenancy struct {
	ID     uuid.UUID
	Code   string
	Shared bool // several tenants share the database, and tenant_id separates their rows
}

// TenantStatuses are the possible statuses of a tenant's user.
var TenantStatuses = []string{"ACTIVE", "INACTIVE", "LOCKED"}

// statusOfTenants returns the expression that derives the status from two columns, under the alias u. Old tenants
// have no locked_until.
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

// joinedName returns the expression that joins first and last name, under the alias u, or "" if the table has
// neither.
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

// tenantFields returns the fields as read from sys.users.
func tenantFields(shape *schema.Table) []schema.Field {
	list := fields.Fields(shape)
	for i := range list {
		switch list[i].Name {
		case "status":
			list[i].Also, list[i].Expr = []string{"is_active"}, statusOfTenants(shape)
		case "full_name":
			if !shape.Has("full_name") {
				list[i].Also, list[i].Expr = []string{"first_name", "last_name"}, joinedName(shape)
			}
		}
	}
	return list
}

// NewTenantTable returns the users of a tenant. cat describes the tables of the tenant's database; without sys.users
// it returns a DATABASE_ERROR.
func NewTenantTable(cat schema.Catalog, of Tenancy) (*Table, error) {
	shape, ok := cat[schema.SysUsers]
	if !ok {
		return nil, fault.New(fault.Database, "table %s does not exist in the database of tenant %s", schema.SysUsers, of.Code).
			WithHint("is this the right database? Create missing tables with: cxgctl migrate up --tenant %s", of.Code).With("table", schema.SysUsers)
	}
	gone := "u.is_deleted IS TRUE"
	if !shape.Has("is_deleted") {
		gone = "false"
	}
	mine := "true"
	switch {
	case shape.Has("tenant_id") && of.Shared:
		mine = "u.tenant_id = '" + of.ID.String() + "'::uuid"
	case shape.Has("tenant_id"): // a database with one tenant may leave the column empty
		mine = "(u.tenant_id IS NULL OR u.tenant_id = '" + of.ID.String() + "'::uuid)"
	}
	t := &Table{Table: rowupdate.Table[User]{Shape: shape}, read: tenantFields(shape), live: shape.NotDeleted("u"), gone: gone, tenant: &of}
	return t.prepare(mine, "NOT ("+gone+")", "("+statusOfTenants(shape)+")"), nil
}

// Separable reports whether the rows of a shared database can be attributed to tenants.
func (t *Table) Separable() bool {
	return t.tenant == nil || !t.tenant.Shared || t.Shape.Has("tenant_id")
}

// refuse adds a problem for each given field that this table does not have.
func (t *Table) refuse(p *fault.Problems, given []string) {
	if t.tenant == nil {
		return
	}
	for _, f := range fields.Named(given...) {
		if f.Name != "status" && !t.Shape.Has(f.Name) {
			p.Add(f.Name, "users of a tenant do not have this field")
		}
	}
}

// namesInParts reports whether users have a first and a last name instead of a full name.
func (t *Table) namesInParts() bool { return t.tenant != nil && !t.Shape.Has("full_name") }

// passwordColumn returns the column of the password hash, or "".
func (t *Table) passwordColumn() string { return t.Shape.FirstOf("password", "password_hash") }

// statuses returns the possible statuses of users of this table.
func (t *Table) statuses() []string {
	switch {
	case t.tenant == nil:
		return Statuses
	case !t.Shape.Has("locked_until"):
		return TenantStatuses[:2]
	}
	return TenantStatuses
}

// needsPassword refuses a user without a password if the table requires one.
func (t *Table) needsPassword(hash string) error {
	if c, ok := t.Shape.Column(t.passwordColumn()); ok && c.NotNull && hash == "" {
		var p fault.Problems
		p.Add("password", "users of a tenant need a password")
		return p.Err()
	}
	return nil
}

// subject returns the audit subject of a change of these users.
func (t *Table) subject(name string) audit.Subject {
	s := audit.Subject{Resource: Kind.Name, Name: name}
	if t.tenant != nil {
		s.TenantID = &t.tenant.ID
	}
	return s
}

// image returns the form of a user in audit rows. For users of a tenant it adds is_deleted, because is_active alone
// does not show a deletion.
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

// assignStatus returns the assignments that set a status, and the columns that they need.
func (t *Table) assignStatus(status string, args pgx.NamedArgs) (set string, needs []string) {
	if t.tenant != nil {
		if status == "LOCKED" {
			return "locked_until = 'infinity'", []string{"locked_until"}
		}
		set = "is_active = " + strconv.FormatBool(status == "ACTIVE")
		if t.Shape.Has("locked_until") {
			set += ", locked_until = NULL"
		}
		return set, []string{"is_active"}
	}
	args["set_status"] = status
	return "status = @set_status", []string{"status"}
}

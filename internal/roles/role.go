// Package roles holds the roles of the platform and their grants. What a role permits in cxgctl is decided by package
// auth.
package roles

import (
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Role is a role's record.
type Role struct {
	ID          uuid.UUID `json:"id" db:"id" table:"key"`
	Code        string    `json:"code" db:"code" table:"key"`
	Name        *string   `json:"name" db:"name"`
	Description *string   `json:"description" db:"description"`
	Category    *string   `json:"category" db:"category"`
	Level       *int      `json:"level" db:"level"` // lower is stronger
	Scope       *string   `json:"scope" db:"scope"`
	IsDefault   *bool     `json:"is_default" db:"is_default"`
	Status      *string   `json:"status" db:"status"`
	Permissions []string  `json:"permissions" db:"permissions"` // codes, sorted
	Holders     int64     `json:"holders" db:"holders"`         // users with a grant in force
	CreatedAt   *db.Time  `json:"created_at" db:"created_at"`
	UpdatedAt   *db.Time  `json:"updated_at" db:"updated_at"`
}

// Grant is the record of a role given to a user.
type Grant struct {
	ID        uuid.UUID  `json:"id" db:"id" table:"key"`
	UserID    uuid.UUID  `json:"user_id" db:"user_id"`
	Username  string     `json:"username" db:"username" table:"key"`
	RoleID    uuid.UUID  `json:"role_id" db:"role_id"`
	Role      string     `json:"role" db:"role" table:"key"`
	Level     *int       `json:"level" db:"level"`
	Scope     *string    `json:"scope" db:"scope"`         // GLOBAL or TENANT
	TenantID  *uuid.UUID `json:"tenant_id" db:"tenant_id"` // where the grant holds; null means everywhere
	Status    *string    `json:"status" db:"status"`
	GrantedAt *db.Time   `json:"granted_at" db:"granted_at"`
	GrantedBy *uuid.UUID `json:"granted_by" db:"granted_by" table:"user"`
	ExpiresAt *db.Time   `json:"expires_at" db:"expires_at"`
}

// Tables are the tables that this package needs.
var Tables = append([]string{schema.Users}, schema.Grants...)

// Table is the role tables of one database.
type Table struct {
	shape, grants *schema.Table // of roles, and of their grants
	placeholders  *strings.Replacer
}

// NewTable returns the manager database's roles, or a DATABASE_ERROR if one of the tables does not exist.
func NewTable(cat schema.Catalog) (*Table, error) {
	tables := make([]*schema.Table, len(Tables))
	for i, name := range Tables {
		t, err := cat.Table(name)
		if err != nil {
			return nil, err
		}
		tables[i] = t
	}
	roles, permissions, contents, grants := tables[1], tables[2], tables[3], tables[4]
	code, permission := roles.FirstOf("code", "role_code"), permissions.FirstOf("code", "permission_code")
	if code == "" || permission == "" {
		return nil, fault.New(fault.Database, "the role tables have no column for the code").
			WithHint("see: cxgctl doctor")
	}
	level := "NULL::integer"
	if roles.Has("level") {
		level = "r.level"
	}
	return &Table{shape: roles, grants: grants, placeholders: strings.NewReplacer(
		"{columns}", roles.Select("r", fields), "{code}", "r."+code,
		"{live}", "("+roles.NotDeleted("r")+")", "{permission}", "p."+permission,
		"{usable}", "p.status = 'ACTIVE' AND "+permissions.NotDeleted("p")+" AND "+contents.NotDeleted("rp"),
		"{in force}", "g.status = 'ACTIVE' AND (g.expires_at IS NULL OR g.expires_at > now()) AND "+grants.NotDeleted("g"),
		"{rank}", roles.RoleRank("r"), "{grant status}", grants.LiveStatus("g", "INACTIVE"),
		"{user live}", "("+tables[0].NotDeleted("u")+")",
		"{grant}", "g.id, g.user_id, u.username, g.role_id, {code} AS role, "+level+" AS level, g.scope, g.tenant_context AS tenant_id, "+
			"{grant status} AS status, g.granted_at, g.granted_by, g.expires_at",
	)}, nil
}

// fields are the fields of the record that are columns of the table.
var fields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "code", Type: "text", Also: []string{"role_code"}},
	{Name: "name", Type: "text", Also: []string{"role_name"}},
	{Name: "description", Type: "text"},
	{Name: "category", Type: "text", Also: []string{"role_type"}},
	{Name: "level", Type: "integer"},
	{Name: "scope", Type: "text"},
	{Name: "is_default", Type: "boolean"},
	{Name: "status", Type: "text"},
	{Name: "created_at", Type: "timestamptz"},
	{Name: "updated_at", Type: "timestamptz"},
}

// sql replaces the placeholders of a statement. A placeholder's value may contain others.
func (t *Table) sql(statement string) string {
	return t.placeholders.Replace(t.placeholders.Replace(statement))
}

package roles

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// superAdmin are the columns of the role SUPER_ADMIN, with the column names of every generation.
var superAdmin = append([][2]string{
	{"id", "@id"},
	{"created_at", "@now"},
	{"code", "'SUPER_ADMIN'"},
	{"role_code", "'SUPER_ADMIN'"},
	{"name", "'Super administrator'"},
	{"role_name", "'Super administrator'"},
	{"description", "'Everything, on the whole platform'"},
	{"category", "'MANAGER_ADMIN'"},
	{"role_type", "'SYSTEM'"},
	{"level", "1"},
	{"scope", "'GLOBAL'"},
	{"is_default", "false"},
	{"priority", "1"},
	{"status", "'ACTIVE'"},
}, schema.LiveValues()...)

// SuperAdmin returns the role SUPER_ADMIN for a first operator. It creates the role if there is none, as in databases that
// the migrations could not add it to. The change is nil if the role exists.
func (t *Table) SuperAdmin(ctx context.Context, tx *audit.Tx) (Role, *audit.Change, error) {
	role, err := t.Get(ctx, tx, "SUPER_ADMIN")
	if !fault.Is(err, fault.NotFound) {
		return role, nil, err
	}
	id := tx.NewID()
	if err := tx.Insert(ctx, t.shape, "role SUPER_ADMIN", superAdmin, pgx.NamedArgs{"id": id, "now": tx.Now}); err != nil {
		return role, nil, err
	}
	role, err = t.Get(ctx, tx, id.String())
	return role, &audit.Change{
		Subject: audit.Subject{Resource: "role", ID: id, Name: role.Code}, Action: audit.Create, Event: audit.PermissionChange, After: role,
	}, err
}

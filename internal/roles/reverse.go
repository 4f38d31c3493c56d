package roles

import (
	"context"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// grantNoun names grants in messages and audit rows.
var grantNoun = resource.Kind[Grant]{
	Name:        "role",
	ID:          func(g Grant) uuid.UUID { return g.ID },
	IsLive:      func(g Grant) bool { return g.Status != nil && *g.Status == "ACTIVE" },
	DisplayName: func(g Grant) string { return g.Role + " of " + g.Username },
	Keys: []resource.Key[Grant]{
		{Name: "id", Of: func(g Grant) string { return g.ID.String() }},
		{Name: "role", Of: func(g Grant) string { return g.Role }},
	},
}

// Resource is how audit undo reverses changes of grants.
var Resource = audit.Resource{
	Name:   grantNoun.Name,
	Update: []string{"PERMISSION_MANAGE"},
	Tables: Tables,
	Open:   func(cat schema.Catalog) (audit.Reverser, error) { return NewTable(cat) },
}

// Reverse undoes audited changes of grants. See audit.Undo. A new grant becomes INACTIVE, like a revoked one.
func (t *Table) Reverse(ctx context.Context, tx *audit.Tx, rows []audit.Reversal, force bool) ([]audit.Change, []audit.Drift, error) {
	return rowupdate.Table[Grant]{
		Noun:        &grantNoun,
		Shape:       t.grants,
		Alias:       "g",
		Columns:     t.sql("{grant}"),
		Join:        "JOIN idam.roles r ON r.id = g.role_id JOIN idam.users u ON u.id = g.user_id",
		ColumnNames: map[string]string{"tenant_id": "tenant_context"},
		Tenant:      func(g Grant) *uuid.UUID { return g.TenantID },
		Gone:        "status = 'INACTIVE'",
		Event:       audit.PermissionChange,
	}.Reverse(ctx, tx, rows, force)
}

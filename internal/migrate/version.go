package migrate

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Version returns the highest migration applied to a database, or nil if cxgctl never migrated it.
func Version(ctx context.Context, r db.Reader) (*int64, error) {
	var exists bool
	if err := r.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, Table).Scan(&exists); err != nil || !exists {
		return nil, err
	}
	var v *int64
	err := r.QueryRow(ctx, `SELECT max(version_id) FROM `+Table+` WHERE version_id > 0 AND is_applied`).Scan(&v)
	return v, err
}

// TenantGeneration names the generation of a tenant's database, depending on whether its users have tenant_id.
func TenantGeneration(hasTenantID bool) string {
	if hasTenantID {
		return "G0"
	}
	return "G1"
}

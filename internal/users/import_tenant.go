package users

import (
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
)

// What is different about an import into a tenant's users.

// importHome is the database that an import applies rows in.
func (t *Table) importHome() importer.Target {
	if t.tenant == nil {
		return importer.Target{}
	}
	return importer.Target{Tenant: t.tenant.ID, Code: t.tenant.Code}
}

// notOfTenants are the fields of a row that lead to tenants and roles of the platform.
var notOfTenants = []string{"tenant", "tenant_role", "roles"}

// importable refuses what an import into a tenant's users does not do.
func (t *Table) importable(o ImportOptions, r *rowReader) error {
	if t.tenant == nil {
		return nil
	}
	for _, column := range notOfTenants {
		if r.source.Has(column) && !r.source.Objects { // rows of json have fields of their own
			return fault.New(fault.Validation, "header: a tenant's users have no %q", column).WithHint("leave the column out with --map '%s=-'", column)
		}
	}
	switch {
	case o.OnConflict == importer.Update:
		return fault.New(fault.Usage, "--on-conflict update does not go with --tenant").WithHint("users update --tenant changes a user who is there")
	case o.NoPasswords && t.needsPassword("") != nil:
		return fault.New(fault.Usage, "--no-passwords does not go with --tenant: a tenant's user has one").
			WithHint("--generate-passwords --passwords-out F makes them up")
	}
	return nil
}

// tenantColumns are those of a new user's row that only a tenant's users have, or that mean something else there.
func (t *Table) tenantColumns() []importer.Column[*incoming] {
	col := importer.Col[*incoming]
	id := pgtype.UUID{Bytes: t.tenant.ID, Valid: true}
	return []importer.Column[*incoming]{
		col("tenant_id", func(*incoming) any { return id }),
		col("is_system_user", func(*incoming) any { return false }),
		col("is_active", func(in *incoming) any { return in.user.IsActive }),
		col("is_deleted", func(*incoming) any { return false }),
	}
}

// tenantStatus refuses what a tenant's user does not have, and reads the status, which two columns hold: INACTIVE is is_active false, LOCKED a
// locked_until to come.
func tenantStatus(p *importer.Fields, u *User, statuses []string) {
	for _, field := range notOfTenants {
		if p.Text(field) != "" {
			p.Add(field, "a tenant's users have no such field")
		}
	}
	v := strings.ToUpper(p.Text("status"))
	switch {
	case v != "" && !slices.Contains(statuses, v):
		p.Choices("status", []string{v}, statuses)
	case v == "LOCKED" && u.LockedUntil == nil:
		u.LockedUntil = &db.Time{Infinity: pgtype.Infinity}
	}
	if v == "" && !u.IsActive {
		v = "INACTIVE"
	}
	u.IsActive = v != "INACTIVE"
	switch {
	case u.LockedUntil != nil && u.LockedUntil.After(time.Now()):
		v = "LOCKED"
	case v == "" || v == "LOCKED":
		v = "ACTIVE"
	}
	u.Status = &v
	p.Fill("status", v)
}

package users

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// What is different about an import into a tenant's users.

// importTables says what is missing of the tables in which an import keeps what it has applied.
func (t *Table) importTables(cat schema.Catalog) error {
	for _, name := range []string{schema.ImportFiles, schema.ImportRows} {
		switch _, err := cat.Table(name); {
		case err != nil && t.tenant != nil:
			return fault.New(fault.Database, "table %s does not exist in the database of tenant %s", name, t.tenant.Code).
				WithHint("an import keeps there what it has applied; cxgctl migrate up --tenant %s creates it", t.tenant.Code).With("table", name)
		case err != nil:
			return fault.From(err).WithHint("an import keeps there what it has applied; cxgctl migrate up --database manager creates it")
		}
	}
	return nil
}

// importKey is what a file is known by where its rows are applied: of tenants who share a database, each has its own.
func (t *Table) importKey(f *intake.File) []byte {
	if t.tenant == nil {
		return f.Sum[:]
	}
	sum := sha256.Sum256(append(f.Sum[:], t.tenant.ID[:]...))
	return sum[:]
}

// notOfTenants are the fields of a row that lead to tenants and roles of the platform.
var notOfTenants = []string{"tenant", "tenant_role", "roles"}

// importable refuses what an import into a tenant's users does not do.
func (t *Table) importable(o ImportOptions, r *rowReader) error {
	if t.tenant == nil {
		return nil
	}
	for _, column := range notOfTenants {
		if r.has(column) && !r.json { // rows of json have fields of their own
			return fault.New(fault.Validation, "header: a tenant's users have no %q", column).WithHint("leave the column out with --map '%s=-'", column)
		}
	}
	switch {
	case o.OnConflict == ConflictUpdate:
		return fault.New(fault.Usage, "--on-conflict update does not go with --tenant").WithHint("users update --tenant changes a user who is there")
	case o.NoPasswords && t.needsPassword("") != nil:
		return fault.New(fault.Usage, "--no-passwords does not go with --tenant: a tenant's user has one").
			WithHint("--generate-passwords --passwords-out F makes them up")
	}
	return nil
}

// tenantColumns are those of a new user's row that only a tenant's users have, or that mean something else there.
func (t *Table) tenantColumns() []copyColumn {
	id := pgtype.UUID{Bytes: t.tenant.ID, Valid: true}
	return []copyColumn{
		{"tenant_id", func(*incoming) any { return id }},
		{"is_system_user", func(*incoming) any { return false }},
		{"is_active", func(in *incoming) any { return in.user.IsActive }},
		{"is_deleted", func(*incoming) any { return false }},
	}
}

// tenantStatus refuses what a tenant's user does not have, and reads the status, which two columns hold: INACTIVE is is_active false, LOCKED a
// locked_until to come.
func (p *problems) tenantStatus(u *User) {
	for _, field := range notOfTenants {
		if p.text(field) != "" {
			p.Add(field, "a tenant's users have no such field")
		}
	}
	v := strings.ToUpper(p.text("status"))
	switch {
	case v != "" && !slices.Contains(TenantStatuses, v):
		p.Choices("status", []string{v}, TenantStatuses)
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
}

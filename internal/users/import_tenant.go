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

// The differences of an import into a tenant's users.

// importTarget returns the database in which an import applies rows.
func importTarget(t *Table) importer.Database {
	if t.tenant == nil {
		return importer.Database{}
	}
	return importer.Database{Tenant: t.tenant.ID, Code: t.tenant.Code}
}

// notOfTenants are the fields that refer to tenants and roles of the platform.
var notOfTenants = []string{"tenant", "tenant_role", "roles"}

// importable refuses options and columns that an import of a tenant's users does not support.
func importable(t *Table, o ImportOptions, r *rowReader) error {
	if t.tenant == nil {
		return nil
	}
	for _, column := range notOfTenants {
		if r.source.Has(column) && !r.source.Objects { // rows of json have their own fields
			return fault.New(fault.Validation, "header: a tenant's users have no %q", column).WithHint("ignore the column with --map '%s=-'", column)
		}
	}
	switch {
	case o.OnConflict == importer.Update:
		return fault.New(fault.Usage, "--on-conflict update cannot be combined with --tenant").WithHint("change an existing user with: cxgctl users update --tenant")
	case o.NoPasswords && t.needsPassword("") != nil:
		return fault.New(fault.Usage, "--no-passwords cannot be combined with --tenant: users of a tenant need a password").
			WithHint("to generate passwords, add --generate-passwords --passwords-out FILE")
	}
	return nil
}

// extraColumns returns the columns of a new user that the record does not show, or that have another meaning in a
// tenant's table.
func extraColumns(t *Table) []importer.Column[*incoming] {
	orNil := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	list := []importer.Column[*incoming]{
		{Name: "sso_subject", Value: func(in *incoming) any { return orNil(in.sso) }},
		{Name: "password", Value: func(in *incoming) any { return orNil(in.hash) }},
		{Name: "password_hash", Value: func(in *incoming) any { return orNil(in.hash) }},
		{Name: "user_code", Value: func(in *incoming) any { return in.New.Username }},
	}
	if t.tenant == nil {
		return list
	}
	id := pgtype.UUID{Bytes: t.tenant.ID, Valid: true}
	return append(list,
		importer.Column[*incoming]{Name: "tenant_id", Value: func(*incoming) any { return id }},
		importer.Column[*incoming]{Name: "is_system_user", Value: func(*incoming) any { return false }},
		importer.Column[*incoming]{Name: "is_active", Value: func(in *incoming) any { return in.New.IsActive }},
	)
}

// tenantStatus refuses fields that a tenant's user does not have, and reads the status. Two columns store it:
// INACTIVE is is_active = false, LOCKED is a locked_until in the future.
func tenantStatus(p *importer.Fields, u *User, statuses []string) {
	for _, field := range notOfTenants {
		if p.Text(field) != "" {
			p.Add(field, "users of a tenant do not have this field")
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

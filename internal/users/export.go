package users

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Exported is a user's record plus what an import needs to recreate the user.
type Exported struct {
	User
	SSOSubject *string `json:"sso_subject" db:"sso_subject"`
}

// WithHash is Exported plus the password hash. No other record holds a secret.
type WithHash struct {
	Exported
	PasswordHash *string `json:"password_hash" db:"password_hash"`
}

// exportColumns returns the columns that an export reads after those of the record.
func (t *Table) exportColumns(hashes bool) string {
	list := []schema.Field{{Name: "sso_subject", Type: "text"}}
	columns := ", " + t.Shape.Select("u", list)
	if !hashes {
		return columns
	}
	if column := t.passwordColumn(); column != "" {
		return columns + ", nullif(u." + column + ", '') AS password_hash"
	}
	return columns + ", NULL::text AS password_hash"
}

// ExportQuery returns the query for the users that the filter selects, in the form that Import reads. Its rows are of
// type Exported, or WithHash if hashes is set. See RecordHashes.
func (t *Table) ExportQuery(f Filter, hashes bool) (db.Query, error) {
	return t.List(f).SelectSQL(t.Columns + t.exportColumns(hashes))
}

// RecordHashes records that password hashes are about to be read. The ledger's authorizer decides who may do that; a
// refusal leaves a BLOCKED row.
func RecordHashes(ctx context.Context, l *audit.Ledger) error {
	return l.Record(ctx, []audit.Change{{
		Subject: audit.Subject{Resource: Kind.Name, Name: "all, with their passwords' hashes"}, Action: audit.Read, Event: audit.DataAccess, After: map[string]string{"password": "read"},
	}})
}

package users

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Exported is a user's record and what import needs beside it to make the same user.
type Exported struct {
	User
	SSOSubject *string `json:"sso_subject" db:"sso_subject"`
}

// WithHash is Exported with the password's hash: the one record that holds a secret.
type WithHash struct {
	Exported
	PasswordHash *string `json:"password_hash" db:"password_hash"`
}

// exportColumns are read after the record's.
func (t *Table) exportColumns(hashes bool) string {
	list := []schema.Field{{Name: "sso_subject", Type: "text"}}
	columns := ", " + t.shape.Select("u", list)
	if !hashes {
		return columns
	}
	if column := t.passwordColumn(); column != "" {
		return columns + ", nullif(u." + column + ", '') AS password_hash"
	}
	return columns + ", NULL::text AS password_hash"
}

// Importable returns the query for the users that the filter selects, as Import reads them: for records
// of type Exported, or WithHash, see RecordHashes.
func (t *Table) ExportQuery(f Filter, hashes bool) (db.Query, error) {
	return t.List(f).SelectSQL(t.columns + t.exportColumns(hashes))
}

// RecordHashes records that the passwords' hashes are about to be read. The ledger's gate decides who may; an operator
// who is refused leaves a BLOCKED row.
func RecordHashes(ctx context.Context, l *audit.Ledger) error {
	return l.Record(ctx, []audit.Change{{
		Subject: audit.Subject{Resource: Kind.Name, Name: "all, with their passwords' hashes"}, Action: audit.Read, Event: audit.DataAccess, After: map[string]string{"password": "read"},
	}})
}

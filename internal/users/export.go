package users

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
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
	if t.shape.Has("password") {
		return columns + ", nullif(u.password, '') AS password_hash"
	}
	return columns + ", NULL::text AS password_hash"
}

// Importable returns the query for the users that the filter selects, as Import reads them: for records
// of type Exported, or WithHash, see MayExportHashes.
func (t *Table) Importable(f Filter, hashes bool) (db.Query, error) {
	return t.Matching(f).Reading(t.columns + t.exportColumns(hashes))
}

const typeOf = `SELECT u.user_type FROM {table} u WHERE u.id = @id`

// MayExportHashes lets a MASTER read the passwords' hashes, and records that before the first is read.
// Anybody else is refused, which leaves a BLOCKED row.
func (t *Table) MayExportHashes(ctx context.Context, l *audit.Ledger) error {
	about := audit.Subject{Resource: "user", Name: "all, with their passwords' hashes"}
	var kind *string
	if err := l.Reader().QueryRow(ctx, t.sql(typeOf), pgx.NamedArgs{"id": l.By().ID}).Scan(&kind); err != nil {
		return err
	}
	if kind == nil || *kind != "MASTER" {
		err := fault.New(fault.PermissionDenied, "only a MASTER may export the passwords' hashes").WithHint("leave out --with-hashes")
		l.Failed(ctx, audit.Intent{Subject: about, Action: audit.Read}, err)
		return err
	}
	return l.Record(ctx, []audit.Change{{
		Subject: about, Action: audit.Read, Event: audit.DataAccess, After: map[string]string{"password": "read"},
	}})
}

// Package sessions holds the platform's sessions, its log of logins, and the API keys of services. No record contains
// a token, a hash of one or a session's secret id.
package sessions

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Session is a session's record.
type Session struct {
	ID             uuid.UUID  `json:"id" db:"id" table:"key"`
	UserID         uuid.UUID  `json:"user_id" db:"user_id"`
	Username       *string    `json:"username" db:"username" table:"key"`
	TenantID       *uuid.UUID `json:"tenant_id" db:"tenant_id"`
	Type           *string    `json:"session_type" db:"session_type"`
	Status         *string    `json:"status" db:"status"`
	IPAddress      *string    `json:"ip_address" db:"ip_address" table:"whole"`
	UserAgent      *string    `json:"user_agent" db:"user_agent"`
	CreatedAt      *db.Time   `json:"created_at" db:"created_at"`
	LastActivityAt *db.Time   `json:"last_activity_at" db:"last_activity_at"`
	ExpiresAt      *db.Time   `json:"expires_at" db:"expires_at"`
}

// Login is the record of an attempt to log in or out.
type Login struct {
	ID            uuid.UUID  `json:"id" db:"id" table:"key"`
	CreatedAt     *db.Time   `json:"created_at" db:"created_at"`
	UserID        *uuid.UUID `json:"user_id" db:"user_id"`
	Username      *string    `json:"username" db:"username" table:"key"`
	UserType      *string    `json:"user_type" db:"user_type"`
	AttemptType   *string    `json:"attempt_type" db:"attempt_type"`
	Success       *bool      `json:"success" db:"success"`
	FailureReason *string    `json:"failure_reason" db:"failure_reason"`
	IPAddress     *string    `json:"ip_address" db:"ip_address" table:"whole"`
	UserAgent     *string    `json:"user_agent" db:"user_agent"`
	MFAUsed       *bool      `json:"mfa_used" db:"mfa_used"`
}

// Key is the record of a service's key.
type Key struct {
	ID             uuid.UUID  `json:"id" db:"id" table:"whole"`
	KeyID          string     `json:"key_id" db:"key_id"`
	KeyName        *string    `json:"key_name" db:"key_name" table:"key"`
	UserID         uuid.UUID  `json:"user_id" db:"user_id"`
	Username       *string    `json:"username" db:"username" table:"key"`
	TenantID       *uuid.UUID `json:"tenant_id" db:"tenant_id"`
	ServiceAccount *string    `json:"service_account" db:"service_account"`
	Scopes         []string   `json:"scopes" db:"scopes"`
	Status         *string    `json:"status" db:"status"`
	ExpiresAt      *db.Time   `json:"expires_at" db:"expires_at"`
	LastUsedAt     *db.Time   `json:"last_used_at" db:"last_used_at"`
	UsageCount     *int64     `json:"usage_count" db:"usage_count"`
	CreatedAt      *db.Time   `json:"created_at" db:"created_at"`
}

// The records' fields as they are read.
const (
	sessionColumns = `x.id, x.user_id, u.username, x.tenant_context AS tenant_id, x.session_type, x.status, host(x.ip_address) AS ip_address,
       x.user_agent, x.created_at, x.last_activity_at, x.expires_at`
	loginColumns = `x.id, x.created_at, x.user_id, x.username, x.user_type, x.attempt_type, x.success, x.failure_reason,
       host(x.ip_address) AS ip_address, x.user_agent, x.mfa_used`
	keyColumns = `x.id, x.key_id, x.key_name, x.user_id, u.username, x.tenant_context AS tenant_id, x.service_account, array_remove(x.scopes, NULL) AS scopes, x.status,
       x.expires_at, x.last_used_at, x.usage_count, x.created_at`
)

// Kind is a kind of row: what audit rows call it, and its table.
type Kind[T any] struct {
	Noun, Table string
	columns     string
	Statuses    []string // the values of status in lists
}

// The kinds of this package.
var (
	SessionKind = Kind[Session]{"session", schema.Sessions, sessionColumns, []string{"ACTIVE", "EXPIRED", "REVOKED"}}
	LoginKind   = Kind[Login]{"login", schema.LoginLogs, loginColumns, nil}
	KeyKind     = Kind[Key]{"key", schema.APIKeys, keyColumns, []string{"ACTIVE", "EXPIRED", "INACTIVE", "REVOKED"}}
)

// Table is the table of a kind in one database.
type Table[T any] struct {
	Kind[T]
	live  string // the predicate of rows not marked as deleted
	shape *schema.Table
}

// Open returns the table of a kind, or a DATABASE_ERROR if it does not exist.
func (k Kind[T]) Open(cat schema.Catalog) (Table[T], error) {
	shape, err := cat.Table(k.Table)
	if err != nil {
		return Table[T]{}, err
	}
	return Table[T]{k, shape.NotDeleted("x"), shape}, nil
}

// sql replaces the placeholders of a statement.
func (t Table[T]) sql(statement string) string {
	return strings.NewReplacer("{table}", t.Table, "{columns}", t.columns, "{live}", t.live).Replace(statement)
}

// Find returns the ids of rows by id, and for keys also by key id or name. An unknown one is RESOURCE_NOT_FOUND. A
// name that several unrevoked keys have is a VALIDATION_ERROR.
func (t Table[T]) Find(ctx context.Context, r db.Reader, refs []string) ([]uuid.UUID, error) {
	list := make([]uuid.UUID, len(refs))
	for i, text := range refs {
		id, err := uuid.Parse(text)
		switch {
		case err == nil:
			list[i], err = t.findID(ctx, r, id)
		case t.Table == schema.APIKeys:
			list[i], err = t.findKey(ctx, r, text)
		default:
			err = fault.New(fault.Validation, "sessions are identified by id").WithHint( // not quoted, because it may be a secret
				"list ids with: cxgctl sessions list")
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (t Table[T]) findID(ctx context.Context, r db.Reader, id uuid.UUID) (uuid.UUID, error) {
	err := r.QueryRow(ctx, t.sql("SELECT x.id FROM {table} x WHERE {live} AND x.id = $1"), id).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fault.New(fault.NotFound, "%s %q not found", t.Noun, id).With("id", id.String())
	}
	return id, err
}

// findKey finds a key by its key id or name. Among revoked keys it returns the newest, if no unrevoked one matches.
func (t Table[T]) findKey(ctx context.Context, r db.Reader, ref string) (uuid.UUID, error) {
	type found struct {
		ID      uuid.UUID
		KeyID   string
		Revoked bool
	}
	const find = `
SELECT x.id, x.key_id, x.status = 'REVOKED' FROM {table} x
 WHERE {live} AND (x.key_id = @ref OR x.key_name = @name)
 ORDER BY x.key_id = @ref DESC, x.status = 'REVOKED', x.created_at DESC LIMIT 2`
	args := pgx.NamedArgs{"ref": ref, "name": strings.TrimPrefix(ref, "svc-")}
	keys, err := db.CollectAs(ctx, r, pgx.RowToStructByPos[found], t.sql(find), args)
	switch {
	case err != nil:
		return uuid.Nil, err
	case len(keys) == 0:
		return uuid.Nil, fault.New(fault.NotFound, "key %q not found", ref).WithHint("list ids and names with: cxgctl keys list").With("id", ref)
	case len(keys) == 2 && keys[0].KeyID != ref && !keys[1].Revoked:
		return uuid.Nil, fault.New(fault.Validation, "%q matches more than one key: %s and %s", ref, keys[0].KeyID, keys[1].KeyID).
			WithHint("use a key id: cxgctl keys revoke %s", fault.Word(keys[0].KeyID))
	}
	return keys[0].ID, nil
}

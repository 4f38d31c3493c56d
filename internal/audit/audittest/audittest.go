// Package audittest makes databases with an audit log for tests.
package audittest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Migrated is the template of databases created by our migrations.
var Migrated = dbtest.Template{
	Name: "audit", Key: migrate.Hash(migrate.Manager),
	Build: func(ctx context.Context, manager, _ string) error { return up(ctx, manager) },
}

// Adopted is the template of databases of a generation, with our migrations applied.
func Adopted(name string) dbtest.Template {
	g := generations.Named(name)
	base := g.With(g.Rows, "").Template()
	return dbtest.Template{
		Name: "audit " + name, Key: base.Key + migrate.Hash(migrate.Manager),
		Build: func(ctx context.Context, manager, tenants string) error {
			if err := base.Build(ctx, manager, tenants); err != nil {
				return err
			}
			return up(ctx, manager)
		},
	}
}

func up(ctx context.Context, dsn string) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err == nil {
		_, err = migrate.Up(ctx, cfg, migrate.Manager)
	}
	return err
}

// World is the databases of one test.
type World struct {
	T   testing.TB
	DSN string
	DB  *db.DB
	Cat schema.Catalog

	owner *pgx.Conn
}

// New returns databases made from the template. Its methods fail the test on an error.
func New(t testing.TB, template dbtest.Template) *World {
	t.Helper()
	w := &World{T: t, DSN: dbtest.New(t, template).Manager}
	var err error
	if w.DB, err = db.Open(t.Context(), db.Options{Name: "manager", URL: w.DSN}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.DB.Close)
	w.Look()
	return w
}

// Look reads the tables' columns; call it again after changing them.
func (w *World) Look() {
	w.T.Helper()
	var err error
	if w.Cat, err = ReadCatalog(w.T.Context(), w.DB); err != nil {
		w.T.Fatal(err)
	}
}

// ReadCatalog reads the columns of the tables that the log needs.
func ReadCatalog(ctx context.Context, d *db.DB) (schema.Catalog, error) {
	return schema.Read(ctx, d, schema.Users, schema.AuditLogs, schema.SealHead, schema.Seals)
}

// Ledger returns the ledger of one command of the operator.
func (w *World) Ledger() *audit.Ledger {
	w.T.Helper()
	l, err := OpenLedger(w.T.Context(), w.DB, w.Cat)
	if err != nil {
		w.T.Fatal(err)
	}
	return l
}

// OpenLedger returns the ledger of one command of the operator.
func OpenLedger(ctx context.Context, d *db.DB, cat schema.Catalog) (*audit.Ledger, error) {
	by := audit.Operator{ID: uuid.MustParse(generations.OperatorID), Name: "admin", AuthMethod: "claim", Claimed: "admin"}
	return audit.Open(ctx, d, cat, by, audit.Origin{OSUser: "root", Host: "host", PID: 1, Version: "1.0", Command: "users update"})
}

// Exec runs statements as the databases' owner, bypassing the ledger.
func (w *World) Exec(sql string, args ...any) {
	w.T.Helper()
	if w.owner == nil {
		var err error
		if w.owner, err = pgx.Connect(w.T.Context(), w.DSN); err != nil {
			w.T.Fatal(err)
		}
		w.T.Cleanup(func() { _ = w.owner.Close(context.Background()) })
	}
	mode := pgx.QueryExecModeExec
	if len(args) == 0 {
		mode = pgx.QueryExecModeSimpleProtocol // for several statements
	}
	if _, err := w.owner.Exec(w.T.Context(), sql, append([]any{mode}, args...)...); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
}

// Ask returns the result of a query for one value.
func Ask[T any](w *World, sql string, args ...any) (v T) {
	w.T.Helper()
	if err := w.DB.QueryRow(w.T.Context(), sql, args...).Scan(&v); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
	return v
}

// account returns an image like that of a user.
func account(i int) map[string]any {
	return map[string]any{
		"id": uuid.Must(uuid.NewV7()), "username": fmt.Sprintf("eunji.kang%d", i), "full_name": "강은지",
		"email": fmt.Sprintf("eunji.kang%d@example.co.kr", i), "phone": fmt.Sprintf("+82 10 %04d %04d", i*7919%10000, i*104729%10000),
		"user_type": "TENANT", "status": "ACTIVE", "mfa_enabled": false, "sso_provider": nil, "email_verified": false,
		"phone_verified": false, "last_login_at": nil, "last_login_ip": nil, "failed_login_attempts": 0, "locked_until": nil,
		"password_changed_at": "2026-11-24T10:22:56.123456Z", "force_password_change": false, "timezone": "UTC", "locale": "ko-KR",
		"department": "Engineering", "position": "Manager", "is_active": true, "created_at": "2026-11-24T10:22:56.123456Z",
		"updated_at": nil, "created_by": generations.OperatorID, "updated_by": nil, "password": "changed",
	}
}

// Record writes the audit rows of n changes.
func (w *World) Record(n int) {
	w.T.Helper()
	if err := w.Ledger().Record(w.T.Context(), Changes(n)); err != nil {
		w.T.Fatal(err)
	}
}

// Changes returns n changes, alternately of new users and updates.
func Changes(n int) []audit.Change {
	changes := make([]audit.Change, n)
	for i := range changes {
		a := account(i)
		s := audit.Subject{Resource: "user", ID: a["id"].(uuid.UUID), Name: a["username"].(string)}
		changes[i] = audit.Change{Subject: s, Action: audit.Create, After: a}
		if i%2 == 1 {
			b := account(i)
			b["id"], b["status"], b["updated_at"], b["updated_by"] = a["id"], "LOCKED", "2026-11-24T11:22:56.654321Z", generations.OperatorID
			changes[i] = audit.Change{Subject: s, Action: audit.Update, Before: a, After: b}
		}
	}
	return changes
}

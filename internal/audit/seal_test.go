package audit

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// migrated is the template of databases created by our migrations.
var migrated = dbtest.Template{
	Name: "audit", Key: migrate.Hash(migrate.Manager),
	Build: func(ctx context.Context, manager, _ string) error { return up(ctx, manager) },
}

func adopted(name string) dbtest.Template {
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

// world is the databases of one test.
type world struct {
	t   testing.TB
	dsn string
	db  *db.DB
	cat schema.Catalog

	owner *pgx.Conn
}

func newWorld(t testing.TB, template dbtest.Template) *world {
	t.Helper()
	w := &world{t: t, dsn: dbtest.New(t, template).Manager}
	var err error
	if w.db, err = db.Open(t.Context(), db.Options{Name: "manager", URL: w.dsn}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.db.Close)
	w.look()
	return w
}

// look reads the tables' columns; call it again after changing them.
func (w *world) look() {
	w.t.Helper()
	var err error
	if w.cat, err = readShapes(w.t.Context(), w.db); err != nil {
		w.t.Fatal(err)
	}
}

func readShapes(ctx context.Context, d *db.DB) (schema.Catalog, error) {
	return schema.Read(ctx, d, schema.Users, schema.AuditLogs, schema.SealHead, schema.Seals)
}

// ledger returns the ledger of one command of the operator.
func (w *world) ledger() *Ledger {
	w.t.Helper()
	l, err := openLedger(w.t.Context(), w.db, w.cat)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func openLedger(ctx context.Context, d *db.DB, cat schema.Catalog) (*Ledger, error) {
	by := Operator{ID: uuid.MustParse(generations.OperatorID), Name: "admin", AuthMethod: "claim", Claimed: "admin"}
	return Open(ctx, d, cat, by, Origin{OSUser: "root", Host: "host", PID: 1, Version: "1.0", Command: "users update"})
}

// exec runs statements as the databases' owner, bypassing the ledger.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if w.owner == nil {
		var err error
		if w.owner, err = pgx.Connect(w.t.Context(), w.dsn); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = w.owner.Close(context.Background()) })
	}
	mode := pgx.QueryExecModeExec
	if len(args) == 0 {
		mode = pgx.QueryExecModeSimpleProtocol // for several statements
	}
	if _, err := w.owner.Exec(w.t.Context(), sql, append([]any{mode}, args...)...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.db.QueryRow(w.t.Context(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
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

// record writes the audit rows of n changes.
func (w *world) record(n int) {
	w.t.Helper()
	if err := w.ledger().Record(w.t.Context(), changesOf(n)); err != nil {
		w.t.Fatal(err)
	}
}

// changesOf returns n changes, alternately of new users and updates.
func changesOf(n int) []Change {
	changes := make([]Change, n)
	for i := range changes {
		a := account(i)
		s := Subject{Resource: "user", ID: a["id"].(uuid.UUID), Name: a["username"].(string)}
		changes[i] = Change{Subject: s, Action: Create, After: a}
		if i%2 == 1 {
			b := account(i)
			b["id"], b["status"], b["updated_at"], b["updated_by"] = a["id"], "LOCKED", "2026-11-24T11:22:56.654321Z", generations.OperatorID
			changes[i] = Change{Subject: s, Action: Update, Before: a, After: b}
		}
	}
	return changes
}

// A seal takes at most 600 bytes of the table and its indexes, whatever the size of its row.
func TestSeal_Size(t *testing.T) {
	t.Parallel()
	w := newWorld(t, migrated)
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		w.record(1000)
	}
	if n := ask[int](w, `SELECT pg_total_relation_size('cxg_audit.seal') / count(*) FROM cxg_audit.seal`); n > 600 {
		t.Errorf("%d bytes", n)
	}
}

// If a trigger changes an audit row, the changed row is sealed.
func TestSeal_RowsChangedByTrigger(t *testing.T) {
	t.Parallel()
	const function = `CREATE FUNCTION audt.change() RETURNS trigger LANGUAGE plpgsql AS `
	for name, trigger := range map[string]string{
		"before": function + `$$BEGIN NEW.description := 'changed'; RETURN NEW; END$$;
CREATE TRIGGER change BEFORE INSERT ON audt.audit_logs FOR EACH ROW EXECUTE FUNCTION audt.change()`,
		"after": function + `$$BEGIN UPDATE audt.audit_logs SET description = 'changed' WHERE id = NEW.id; RETURN NULL; END$$;
CREATE TRIGGER change AFTER INSERT ON audt.audit_logs FOR EACH ROW EXECUTE FUNCTION audt.change()`,
		"elsewhere": `CREATE TABLE audt.audit_logs_2026 () INHERITS (audt.audit_logs); ` + function +
			`$$BEGIN INSERT INTO audt.audit_logs_2026 SELECT NEW.*; UPDATE audt.audit_logs SET description = 'changed'; RETURN NULL; END$$;
CREATE TRIGGER change BEFORE INSERT ON audt.audit_logs FOR EACH ROW EXECUTE FUNCTION audt.change()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, migrated)
			w.exec(trigger)
			w.look()
			w.record(1)
			w.record(3)
			if n := ask[int](w, `SELECT count(*) FROM audt.audit_logs WHERE description = 'changed'`); n != 4 {
				t.Fatalf("the trigger changed %d rows", n)
			}
			if v := w.verify(""); !v.OK || v.Seals != 4 || v.Unsealed != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}

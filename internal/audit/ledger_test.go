package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/audittest"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// record is a record like those of an import.
type record struct {
	ID     uuid.UUID   `json:"id"`
	Name   string      `json:"full_name"`
	Phone  *string     `json:"phone"`
	Number json.Number `json:"number"`
}

// hostile lists texts that JSON, jsonb or COPY might change.
var hostile = []string{
	"강은지", "a\tb\nc\\d\"e", "<script>&\u2028\u2029", "\x1b[31m", "e\u0301\u202e", "😀", "bad\xff\xfeutf8", "", `\u0041 \N \. $1`, "=1+1",
}

// hostileChanges returns so many changes that create records that their audit rows are written by COPY.
func hostileChanges() (changes []audit.Change) {
	for len(changes) <= schema.InsertMost {
		for i, name := range hostile {
			for _, n := range []json.Number{"0", "12000.50", "-0", "1e3", "9007199254740993", "-0.000", "1E-7"} {
				r := &record{uuid.Must(uuid.NewV7()), fmt.Sprint(name, i), &hostile[i], n}
				changes = append(changes, audit.Change{Subject: audit.Subject{Resource: "user", ID: r.ID, Name: r.Name}, Action: audit.Create, After: r})
			}
		}
	}
	return changes
}

// write writes the audit rows of changes in one transaction: by COPY if they are many.
func write(w *audittest.World, changes ...audit.Change) error {
	w.T.Helper()
	intent := audit.Intent{Subject: changes[0].Subject, Action: audit.Create}
	return w.Ledger().Write(w.T.Context(), intent, func(context.Context, *audit.Tx) ([]audit.Change, error) { return changes, nil })
}

const countSealed = "SELECT count(*) FROM audt.audit_logs l JOIN cxg_audit.seal s ON s.audit_id = l.id AND s.origin = 'cli'"

// checkSealed fails unless the log has n rows, each with a valid seal.
func checkSealed(w *audittest.World, n int) {
	w.T.Helper()
	if got := audittest.Ask[int](w, countSealed); got != n {
		w.T.Errorf("%d rows are sealed, want %d", got, n)
	}
	v, err := seal.Verify(w.T.Context(), w.DB, w.Cat, seal.Verification{})
	if err != nil || !v.OK || v.Seals < int64(n) {
		w.T.Errorf("verify: %+v, %v", v, err)
		if v.Problem != nil {
			w.T.Error(*v.Problem)
		}
	}
}

// A row is sealed as stored, even if the log changes rows.
func TestLedger_SealsStoredRow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql string }{
		{"unchanged", ""},
		{"a trigger that alters rows", `CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.user_agent := 'other'; RETURN NEW; END$$;
			CREATE TRIGGER other BEFORE INSERT ON audt.audit_logs FOR EACH ROW EXECUTE FUNCTION other()`},
		{"a column with a default", `ALTER TABLE audt.audit_logs ADD COLUMN more text DEFAULT 'more'`},
		{"a generated column", `ALTER TABLE audt.audit_logs ADD COLUMN more text GENERATED ALWAYS AS (description || '!') STORED`},
		{"an identity column", `ALTER TABLE audt.audit_logs ADD COLUMN more bigint GENERATED ALWAYS AS IDENTITY`},
		{"a column that rounds times", `ALTER TABLE audt.audit_logs ALTER COLUMN created_at TYPE timestamptz(3)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := audittest.New(t, audittest.Migrated)
			if c.sql != "" {
				w.Exec(c.sql)
				w.Look()
			}
			changes := hostileChanges()
			for _, some := range [][]audit.Change{changes, changes[:100]} {
				if err := write(w, some...); err != nil {
					t.Fatal(err)
				}
			}
			checkSealed(w, len(changes)+100)
		})
	}
}

func TestLedger_SealsRowsOfGenerations(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"g1", "g1alt", "g2", "gx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := audittest.New(t, audittest.Adopted(name))
			before := audittest.Ask[int](w, countSealed)
			changes := hostileChanges()
			for _, some := range [][]audit.Change{changes, changes[:100]} {
				if err := write(w, some...); err != nil {
					t.Fatal(err)
				}
			}
			checkSealed(w, before+len(changes)+100)
		})
	}
}

// A log that discards a row refuses the change.
func TestLedger_DiscardedRow(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, audittest.Migrated)
	w.Exec(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER no BEFORE INSERT ON audt.audit_logs FOR EACH ROW WHEN (NEW.description LIKE '%강은지0') EXECUTE FUNCTION no()`)
	changes := hostileChanges()
	for _, some := range [][]audit.Change{changes, changes[:1]} {
		if err := write(w, some...); err == nil {
			t.Errorf("a discarded row among %d went unnoticed", len(some))
		}
	}
	w.Exec(`DROP TRIGGER no ON audt.audit_logs`)
	checkSealed(w, 0)
}

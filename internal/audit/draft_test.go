package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
)

// draftee is a record like those of an import.
type draftee struct {
	ID     uuid.UUID   `json:"id"`
	Name   string      `json:"full_name"`
	Phone  *string     `json:"phone"`
	Number json.Number `json:"number"`
}

// hostile lists texts that JSON, jsonb or COPY might change.
var hostile = []string{
	"강은지", "a\tb\nc\\d\"e", "<script>&\u2028\u2029", "\x1b[31m", "e\u0301\u202e", "😀", "bad\xff\xfeutf8", "", `\u0041 \N \. $1`, "=1+1",
}

func draftees() []*draftee {
	var list []*draftee
	for i, name := range hostile {
		for _, n := range []json.Number{"0", "12000.50", "-0", "1e3", "9007199254740993", "-0.000", "1E-7"} {
			list = append(list, &draftee{uuid.Must(uuid.NewV7()), fmt.Sprint(name, i), &hostile[i], n})
		}
	}
	return list
}

// drafted writes the audit rows of new records, every second one from a draft.
func (w *world) drafted(list []*draftee) (*Draft, error) {
	w.t.Helper()
	l := w.ledger()
	l.DiscardEntries = true
	d, err := l.Drafter(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var all, some []Change
	for i, r := range list {
		c := Change{Subject: Subject{Resource: "user", ID: r.ID, Name: r.Name}, Action: Create, After: r}
		if all = append(all, c); i%2 == 0 {
			some = append(some, c)
		}
	}
	var draft *Draft
	if d != nil {
		if draft, err = d.Draft(some, time.Now()); err != nil {
			w.t.Fatal(err)
		}
	}
	return draft, l.Write(w.t.Context(), Intent{all[0].Subject, Create}, func(_ context.Context, tx *Tx) ([]Change, error) {
		tx.Take(draft)
		return all, nil
	})
}

// sealed fails unless the log has n more rows than before, each with a valid seal.
func (w *world) sealed(before, n int) {
	w.t.Helper()
	if got := ask[int](w, "SELECT count(*) FROM audt.audit_logs l JOIN cxg_audit.seal s ON s.audit_id = l.id AND s.origin = 'cli'"); got != before+n {
		w.t.Errorf("%d rows are sealed, want %d", got, before+n)
	}
	v, err := Verify(w.t.Context(), w.db, w.cat, Verification{})
	if err != nil || !v.OK || v.Seals < int64(n) {
		w.t.Errorf("verify: %+v, %v", v, err)
		if v.Problem != nil {
			w.t.Error(*v.Problem)
		}
	}
}

// A drafted row is sealed as stored, even if the log changes rows.
func TestDraft_SealsStoredRow(t *testing.T) {
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
			w := newWorld(t, migrated)
			if c.sql != "" {
				w.exec(c.sql)
				w.look()
			}
			list := draftees()
			draft, err := w.drafted(list)
			if err != nil {
				t.Fatal(err)
			}
			w.sealed(0, len(list))
			if c.sql != "" {
				return
			}
			read := 0
			for _, row := range draft.of {
				if !row.sealed {
					read++
				}
			}
			if read == 0 || read == len(draft.of) {
				t.Errorf("%d of %d rows were read back", read, len(draft.of))
			}
			if got := ask[int](w, "SELECT count(*) FROM audt.audit_logs WHERE created_at = $1", draft.at); got != len(list) {
				t.Errorf("%d of %d rows have the draft's time", got, len(list))
			}
		})
	}
}

// Logs of other generations, and a log that discards a row, are written as without drafts.
func TestDraft_DiscardedRow(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"g1", "g1alt", "g2", "gx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, adopted(name))
			before := ask[int](w, "SELECT count(*) FROM cxg_audit.seal WHERE origin = 'cli'")
			list := draftees()
			if _, err := w.drafted(list); err != nil {
				t.Fatal(err)
			}
			w.sealed(before, len(list))
		})
	}
	w := newWorld(t, migrated)
	w.exec(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER no BEFORE INSERT ON audt.audit_logs FOR EACH ROW WHEN (NEW.description LIKE '%강은지0') EXECUTE FUNCTION no()`)
	if _, err := w.drafted(draftees()); err == nil {
		t.Error("a discarded row went unnoticed")
	}
	w.exec(`DROP TRIGGER no ON audt.audit_logs`)
	w.sealed(0, 0)
}

// A draft is not used for a change that differs from the drafted one.
func TestDraft_MatchesChange(t *testing.T) {
	t.Parallel()
	r := &draftee{ID: uuid.New()}
	row := drafted{change: Change{Action: Create, After: r}}
	for name, c := range map[string]Change{
		"another record": {Action: Create, After: &draftee{ID: r.ID}},
		"an update":      {Action: Update, Before: r, After: r},
		"a secret":       {Action: Create, After: r, Secrets: []string{"password"}},
		"an undoing":     {Action: Create, After: r, Undoes: []uuid.UUID{r.ID}},
		"from a map":     {Action: Create, After: map[string]any{"number": math.Pi}},
	} {
		if row.isFor(c) {
			t.Error(name)
		}
	}
	if !row.isFor(Change{Action: Create, After: r}) {
		t.Error("its own change does not match")
	}
}

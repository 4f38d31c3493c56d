package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/audittest"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
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

// writeDraftees writes the audit rows of new records, every second one from a draft.
func writeDraftees(w *audittest.World, list []*draftee) (*audit.Draft, error) {
	w.T.Helper()
	l := w.Ledger()
	l.DiscardEntries = true
	d, err := l.Drafter(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	var all, some []audit.Change
	for i, r := range list {
		c := audit.Change{Subject: audit.Subject{Resource: "user", ID: r.ID, Name: r.Name}, Action: audit.Create, After: r}
		if all = append(all, c); i%2 == 0 {
			some = append(some, c)
		}
	}
	var draft *audit.Draft
	if d != nil {
		if draft, err = d.Draft(some, time.Now()); err != nil {
			w.T.Fatal(err)
		}
	}
	intent := audit.Intent{Subject: all[0].Subject, Action: audit.Create}
	return draft, l.Write(w.T.Context(), intent, func(_ context.Context, tx *audit.Tx) ([]audit.Change, error) {
		tx.Take(draft)
		return all, nil
	})
}

// checkSealed fails unless the log has n more rows than before, each with a valid seal.
func checkSealed(w *audittest.World, before, n int) {
	w.T.Helper()
	const count = "SELECT count(*) FROM audt.audit_logs l JOIN cxg_audit.seal s ON s.audit_id = l.id AND s.origin = 'cli'"
	if got := audittest.Ask[int](w, count); got != before+n {
		w.T.Errorf("%d rows are sealed, want %d", got, before+n)
	}
	v, err := seal.Verify(w.T.Context(), w.DB, w.Cat, seal.Verification{})
	if err != nil || !v.OK || v.Seals < int64(n) {
		w.T.Errorf("verify: %+v, %v", v, err)
		if v.Problem != nil {
			w.T.Error(*v.Problem)
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
			w := audittest.New(t, audittest.Migrated)
			if c.sql != "" {
				w.Exec(c.sql)
				w.Look()
			}
			list := draftees()
			draft, err := writeDraftees(w, list)
			if err != nil {
				t.Fatal(err)
			}
			checkSealed(w, 0, len(list))
			if c.sql != "" {
				return
			}
			read, all := draft.ReadBack()
			if read == 0 || read == all {
				t.Errorf("%d of %d rows were read back", read, all)
			}
			const count = "SELECT count(*) FROM audt.audit_logs WHERE created_at = $1"
			if got := audittest.Ask[int](w, count, draft.At()); got != len(list) {
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
			w := audittest.New(t, audittest.Adopted(name))
			before := audittest.Ask[int](w, "SELECT count(*) FROM cxg_audit.seal WHERE origin = 'cli'")
			list := draftees()
			if _, err := writeDraftees(w, list); err != nil {
				t.Fatal(err)
			}
			checkSealed(w, before, len(list))
		})
	}
	w := audittest.New(t, audittest.Migrated)
	w.Exec(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER no BEFORE INSERT ON audt.audit_logs FOR EACH ROW WHEN (NEW.description LIKE '%강은지0') EXECUTE FUNCTION no()`)
	if _, err := writeDraftees(w, draftees()); err == nil {
		t.Error("a discarded row went unnoticed")
	}
	w.Exec(`DROP TRIGGER no ON audt.audit_logs`)
	checkSealed(w, 0, 0)
}

// A draft is not used for a change that differs from the drafted one.
func TestDraft_MatchesChange(t *testing.T) {
	t.Parallel()
	r := &draftee{ID: uuid.New()}
	own := audit.Change{Action: audit.Create, After: r}
	for name, c := range map[string]audit.Change{
		"another record": {Action: audit.Create, After: &draftee{ID: r.ID}},
		"an update":      {Action: audit.Update, Before: r, After: r},
		"a secret":       {Action: audit.Create, After: r, Secrets: []string{"password"}},
		"an undoing":     {Action: audit.Create, After: r, Undoes: []uuid.UUID{r.ID}},
		"from a map":     {Action: audit.Create, After: map[string]any{"number": math.Pi}},
	} {
		if audit.Matches(own, c) {
			t.Error(name)
		}
	}
	if !audit.Matches(own, own) {
		t.Error("its own change does not match")
	}
}

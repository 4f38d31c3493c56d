package seal_test

import (
	"testing"

	"github.com/cxgctl/cxgctl/internal/audit/audittest"
)

// A seal takes at most 600 bytes of the table and its indexes, whatever the size of its row.
func TestSeal_Size(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		w.Record(1000)
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
			w := newWorld(t, audittest.Migrated)
			w.Exec(trigger)
			w.Look()
			w.Record(1)
			w.Record(3)
			if n := ask[int](w, `SELECT count(*) FROM audt.audit_logs WHERE description = 'changed'`); n != 4 {
				t.Fatalf("the trigger changed %d rows", n)
			}
			if v := w.verify(""); !v.OK || v.Seals != 4 || v.Unsealed != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}

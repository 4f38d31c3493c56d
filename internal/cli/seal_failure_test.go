package cli

import (
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// unsealable are statements after which audit rows cannot be sealed, or disappear.
var unsealable = map[string]string{
	"head deleted":        `INSERT INTO cxg_audit.seal VALUES (1, gen_random_uuid(), 1, 'cli', now(), '', '', '')`,
	"head refuses":        `ALTER TABLE cxg_audit.head ADD CONSTRAINT planted CHECK (seq < 0) NOT VALID`,
	"head lost a column":  `ALTER TABLE cxg_audit.head DROP COLUMN chain`,
	"seal refused":        `ALTER TABLE cxg_audit.seal ADD CONSTRAINT planted CHECK (seq < 0) NOT VALID`,
	"seal lost a column":  `ALTER TABLE cxg_audit.seal DROP COLUMN leaf`,
	"seal's number taken": `INSERT INTO cxg_audit.head VALUES (1, 0, '', now(), now(), gen_random_uuid(), now()); INSERT INTO cxg_audit.seal VALUES (1, gen_random_uuid(), 1, 'cli', now(), '', '', '')`,
	"seal refused at commit": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT ON cxg_audit.seal DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()`,
	"audit row discarded": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER no BEFORE INSERT ON audt.audit_logs FOR EACH ROW EXECUTE FUNCTION no()`,
	"audit row discarded by a rule":    `CREATE RULE no AS ON INSERT TO audt.audit_logs DO INSTEAD NOTHING`,
	"M20: audit row deleted by a rule": `CREATE RULE no AS ON INSERT TO audt.audit_logs DO ALSO DELETE FROM audt.audit_logs WHERE id = new.id`,
	"M20: audit row deleted at commit": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM audt.audit_logs WHERE id = new.id; RETURN NULL; END$$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT ON audt.audit_logs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()`,
	"M20: seal discarded": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER no BEFORE INSERT ON cxg_audit.seal FOR EACH ROW EXECUTE FUNCTION no()`,
	"M20: seal deleted at commit": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM cxg_audit.seal WHERE seq = new.seq; RETURN NULL; END$$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT ON cxg_audit.seal DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()`,
	"M20: head kept": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER no BEFORE UPDATE ON cxg_audit.head FOR EACH ROW EXECUTE FUNCTION no()`,
	"M20: audit row deleted, and no seals": `DROP SCHEMA cxg_audit CASCADE;
		CREATE RULE no AS ON INSERT TO audt.audit_logs DO ALSO DELETE FROM audt.audit_logs WHERE id = new.id`,
	"L13: no extra_data": `ALTER TABLE audt.audit_logs DROP COLUMN extra_data`,
}

func TestSeal_FailureRefusesChange(t *testing.T) {
	t.Parallel()
	r := torture.Report(t, 4, "changes whose audit row cannot be sealed")
	for name, sabotage := range unsealable {
		t.Run(name, func(t *testing.T) { nothingChanges(t, r, sabotage, changes) })
	}
}

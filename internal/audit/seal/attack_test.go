package seal_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/audittest"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// asAttacker runs statements as a role that may only insert into the log and the seals, like every operator's role.
func (w *world) asAttacker(sql string) {
	w.T.Helper()
	w.Exec(`BEGIN; SET LOCAL ROLE NONE;
		DO $$ BEGIN CREATE ROLE cxg_attacker; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; COMMIT;
		GRANT USAGE ON SCHEMA audt, cxg_audit TO cxg_attacker; GRANT SELECT, INSERT ON audt.audit_logs, cxg_audit.seal TO cxg_attacker;
		GRANT SELECT ON cxg_audit.head TO cxg_attacker`)
	w.Exec(`BEGIN; SET LOCAL ROLE cxg_attacker; ` + sql + `; COMMIT`)
}

// planted is the id of the row that an attack inserts.
const planted = "00000000-0000-4000-8000-00000000dead"

// forge returns an INSERT of a copy of the row of seal 1, with another id and these members changed.
func forge(changes string) string {
	return `INSERT INTO audt.audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object('id', '` + planted + `') || ` + changes + `)).*
		FROM audt.audit_logs l JOIN cxg_audit.seal s ON s.audit_id = l.id WHERE s.seq = 1`
}

// claimSeal returns an INSERT of a seal with this number for the planted row, a copy of the first seal.
func claimSeal(seq string) string {
	return `; INSERT INTO cxg_audit.seal SELECT ` + seq + `, '` + planted + `', ver, origin, sealed_at, canon, leaf, chain FROM cxg_audit.seal WHERE seq = 1`
}

// H5, M4: rows and seals inserted by an attacker are found, whatever their time and number, and audit seal does not
// seal them.
func TestVerify_InsertedRows(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]string{
		"H5: a seal below the chain":          forge(`jsonb_build_object('created_at', now())`) + claimSeal("-5"),
		"H5: a seal of number 0":              forge(`jsonb_build_object('created_at', now())`) + claimSeal("0"),
		"H5: a seal beyond the chain":         forge(`jsonb_build_object('created_at', now())`) + claimSeal("12"),
		"H5: a seal with the largest number":  forge(`jsonb_build_object('created_at', now())`) + claimSeal("9223372036854775807"),
		"H5: a seal with the smallest number": forge(`jsonb_build_object('created_at', now())`) + claimSeal("-9223372036854775808"),
		"M4: a row older than the seals":      forge(`jsonb_build_object('created_at', '2020-01-01T00:00:00Z')`),
		"M4: a row at -infinity":              forge(`jsonb_build_object('created_at', '-infinity')`),
		"M4: a row at infinity":               forge(`jsonb_build_object('created_at', 'infinity')`),
		"a row at now()":                      forge(`jsonb_build_object('created_at', now())`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, audittest.Migrated)
			w.Exec(`ALTER TABLE cxg_audit.seal DROP CONSTRAINT seal_seq_check`)
			w.Record(10)
			point := w.point()
			w.asAttacker(attack)
			if _, err := audit.Seal(t.Context(), w.DB, w.Cat, 100, false); err != nil {
				t.Fatal(err)
			}
			v := w.verify("", point)
			if v.OK || v.FirstBad == nil || v.FirstBad.String() != planted {
				t.Errorf("%+v", v)
			}
			if n := ask[int](w, `SELECT count(*) FROM cxg_audit.seal WHERE origin = 'foreign'`); n != 0 {
				t.Errorf("%d rows were sealed", n)
			}
		})
	}
}

// H5: the database refuses numbers below 1. M4: the head's columns do not affect which rows count as forged.
func TestVerify_ManipulatedHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	if def := ask[string](w, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'seal_seq_check'`); !strings.Contains(def, "seq > 0") {
		t.Errorf("the constraint is %s", def)
	}
	w.Exec(`UPDATE cxg_audit.head SET created_at = 'infinity'`)
	w.asAttacker(forge(`'{}'`))
	if v := w.verify(""); v.OK || v.FirstBad == nil || v.FirstBad.String() != planted {
		t.Errorf("%+v", v)
	}
}

// H5: a seal with the next number stops changes, because every change needs a seal. The error is not a conflict.
func TestWrite_NextSealTaken(t *testing.T) {
	t.Parallel()
	for _, changes := range []int{1, 1 + schema.InsertMost} {
		w := newWorld(t, audittest.Migrated)
		w.Record(3)
		w.asAttacker(forge(`'{}'`) + claimSeal("4"))
		err := w.Ledger().Record(t.Context(), audittest.Changes(changes))
		if !fault.Is(err, fault.Database) || !strings.Contains(err.Error(), "cxg_audit.seal contains a seal that is not part of the chain") {
			t.Errorf("%d changes: %v", changes, err)
		}
		if n := ask[int](w, `SELECT count(*) FROM audt.audit_logs`); n != 4 {
			t.Errorf("%d changes: %d rows in the log", changes, n)
		}
	}
}

// L3: if all seals are gone, the time of the migration that created them shows it.
func TestVerify_AllSealsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	w.Exec(`DELETE FROM cxg_audit.seal; DELETE FROM cxg_audit.head`)
	if v := w.verify(""); v.OK || v.Bad != 3 {
		t.Errorf("%+v", v)
	}
	w.Exec(`UPDATE audt.audit_logs SET created_at = '2020-01-01'`)
	if v := w.verify(""); !v.OK || v.Unsealed != 3 {
		t.Errorf("rows older than the seals: %+v", v)
	}
}

// M4: unsealed rows of cxgctl that predate seals are sealed once, by the migration, with origin foreign.
func TestSealOlder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(5)
	w.Exec(`DELETE FROM cxg_audit.seal; DELETE FROM cxg_audit.head`)
	l := w.Ledger()
	changes := audittest.Changes(1)
	intent := audit.Intent{Subject: changes[0].Subject, Action: audit.Execute}
	err := l.Write(t.Context(), intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		n, err := tx.SealOlder(ctx)
		if n != 5 {
			t.Errorf("%d rows", n)
		}
		return changes, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := w.verify(""); !v.OK || v.Seals != 6 || v.Unsealed != 0 {
		t.Errorf("%+v", v)
	}
	if got := ask[string](w, `SELECT string_agg(origin, ' ' ORDER BY seq) FROM cxg_audit.seal`); got != strings.Repeat("foreign ", 5)+"cli" {
		t.Errorf("the seals are %s", got)
	}
}

// L2: a checkpoint of a signer whose clock was slow does not mean that the chain shrank.
func TestVerify_CheckpointOfSlowClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	first := w.point()
	w.Record(3)
	second := w.point()
	second.Time = db.At(first.Time.Instant.Add(-time.Hour))
	v := w.verify("", first, second)
	if !v.OK || v.Checkpoints != 2 || len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "clock") {
		t.Errorf("%+v", v)
	}
}

// L4: decompressing a seal is limited by the size of its row.
func TestVerify_CompressionBomb(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	bomb := seal.Compress(make([]byte, 256<<20))
	w.Exec(`UPDATE cxg_audit.seal SET canon = $1 WHERE seq = 2`, bomb)
	if v := w.verify(""); v.OK || v.Bad != 1 || *v.FirstBadSeq != 2 {
		t.Errorf("%+v", v)
	}
	for name, packed := range map[string][]byte{
		"one frame":   bomb,
		"many frames": slices.Repeat(seal.Compress(make([]byte, 1<<20)), 100),
	} {
		if b, err := seal.Decompress(packed, 1<<20); err == nil || cap(b) > 4<<20 {
			t.Errorf("%s: %d bytes, %v", name, cap(b), err)
		}
	}
}

// F40: what the platform and its administrators may do to the table is not tampering.
func TestVerify_PermittedTableChanges(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"archived":                      `UPDATE audt.audit_logs SET status = 'ARCHIVED', updated_at = now(), updated_by = gen_random_uuid(), deleted = true`,
		"a column with a default":       `ALTER TABLE audt.audit_logs ADD COLUMN a_new_one text DEFAULT 'x'`,
		"rewritten":                     `CLUSTER audt.audit_logs USING audit_logs_pkey`,
		"vacuumed":                      `VACUUM FULL audt.audit_logs`,
		"a column dropped":              `ALTER TABLE audt.audit_logs DROP COLUMN user_agent`,
		"uuid to text":                  `ALTER TABLE audt.audit_logs ALTER user_id TYPE text`,
		"uuid to varchar":               `ALTER TABLE audt.audit_logs ALTER created_by TYPE varchar(40)`,
		"varchar to text":               `ALTER TABLE audt.audit_logs ALTER resource_id TYPE text`,
		"text to varchar":               `ALTER TABLE audt.audit_logs ALTER user_agent TYPE varchar(500)`,
		"text to uuid":                  `ALTER TABLE audt.audit_logs ALTER resource_id TYPE uuid USING resource_id::uuid`,
		"varchar to inet":               `ALTER TABLE audt.audit_logs ALTER source_ip TYPE inet USING source_ip::inet`,
		"jsonb to json":                 `ALTER TABLE audt.audit_logs ALTER extra_data TYPE json`,
		"timestamptz to timestamp":      `SET TimeZone = 'UTC'; ALTER TABLE audt.audit_logs ALTER created_at TYPE timestamp`,
		"timestamptz to timestamptz(6)": `ALTER TABLE audt.audit_logs ALTER created_at TYPE timestamptz(6)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, audittest.Migrated)
			w.Exec(`DROP INDEX IF EXISTS audt.audit_logs_resource_id_created_at_idx`)
			w.Record(10)
			for _, one := range strings.Split(sql, "; ") {
				w.Exec(one)
			}
			w.Look()
			if v := w.verify(""); !v.OK || v.Seals != 10 {
				t.Errorf("%+v %v", v, v.Problem)
			}
		})
	}
}

// M4: a column is added with a default, rows are written, and the column is dropped again.
func TestVerify_ColumnAddedAndDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	w.Exec(`ALTER TABLE audt.audit_logs ADD COLUMN a_new_one text DEFAULT 'x'`)
	w.Look()
	w.Record(3)
	w.Exec(`ALTER TABLE audt.audit_logs DROP COLUMN a_new_one`)
	w.Look()
	w.Record(3)
	if v := w.verify(""); !v.OK || v.Seals != 9 {
		t.Errorf("%+v", v)
	}
}

// A seal of version 1, which also covers the life-cycle columns, can still be verified.
func TestVerify_SealVersion1(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(1)
	at := ask[time.Time](w, `SELECT sealed_at FROM cxg_audit.seal WHERE seq = 1`)
	canon, leaf, chain, err := seal.Version1(t.Context(), w.DB, w.Cat, w.rowAt(1), at)
	if err != nil {
		t.Fatal(err)
	}
	w.Exec(`UPDATE cxg_audit.seal SET ver = 1, canon = $1, leaf = $2, chain = $3`, canon, leaf, chain)
	w.Exec(`UPDATE cxg_audit.head SET chain = $1`, chain)
	if v := w.verify(""); !v.OK {
		t.Fatalf("%+v", v)
	}
	w.Record(2)
	w.Exec(`UPDATE audt.audit_logs SET status = 'ARCHIVED'`)
	if v := w.verify(""); !v.OK || v.Seals != 3 {
		t.Errorf("%+v", v)
	}
	w.Exec(`UPDATE audt.audit_logs SET description = 'other' WHERE id = $1`, w.rowAt(1))
	if v := w.verify(""); v.OK || *v.FirstBadSeq != 1 || !strings.Contains(*v.Problem, "description") {
		t.Errorf("%+v", v)
	}
}

// H4a, H4b: deep, huge or many rows of other software do not stop changes, and audit seal reports those it cannot read.
func TestSeal_ForeignRows(t *testing.T) {
	t.Parallel()
	const row = `INSERT INTO audt.audit_logs (id, created_at, event_type, event_category, description, extra_data)
		SELECT %id%, now() - interval '2 min', 'API_CALL', 'DATA_MODIFICATION', 'x', %extra% FROM generate_series(1, %n%)`
	insert := func(id, extra, n string) string {
		return strings.NewReplacer("%id%", id, "%extra%", extra, "%n%", n).Replace(row)
	}
	for name, step := range map[string]struct {
		sql             string
		sealed, skipped int64
	}{
		"deep": {insert("'"+planted+"'", `(repeat('[',12000)||repeat(']',12000))::jsonb`, "1"), 0, 1},
		"huge": {insert("gen_random_uuid()", `to_jsonb(repeat('x', 4000000))`, "3"), 3, 0},
		"many": {insert("gen_random_uuid()", `'{}'`, "2000"), 1900, 0}, // SealOthers seals 100
		"deep among others": {
			insert("'"+planted+"'", `(repeat('[',12000)||repeat(']',12000))::jsonb`, "1") + "; " + insert("gen_random_uuid()", `'{}'`, "10"), 0, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, audittest.Migrated)
			w.Exec(step.sql)
			l := w.Ledger()
			if err := l.Record(t.Context(), audittest.Changes(1)); err != nil {
				t.Fatal(err)
			}
			if n := ask[int](w, `SELECT count(*) FROM cxg_audit.seal`); n != 1 {
				t.Errorf("the change sealed %d rows", n)
			}
			if _, err := l.SealOthers(t.Context()); err != nil {
				t.Error(err)
			}
			done, err := audit.Seal(t.Context(), w.DB, w.Cat, 5000, false)
			if err != nil || done.Sealed != step.sealed || int64(len(done.Skipped)) != step.skipped {
				t.Errorf("%d rows sealed, %v skipped, %v", done.Sealed, done.Skipped, err)
			}
			if step.skipped > 0 && done.Skipped[0].ID.String() != planted {
				t.Errorf("%v was skipped", done.Skipped)
			}
			if v := w.verify(""); !v.OK || v.Unsealed != step.skipped {
				t.Errorf("%+v", v)
			}
			l = w.Ledger()
			if err := l.Record(t.Context(), audittest.Changes(1)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A sealed row that becomes unreadable is a problem in the verdict, not an error of verify.
func TestVerify_UnreadableRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	w.Exec(`UPDATE audt.audit_logs SET extra_data = (repeat('[',12000)||repeat(']',12000))::jsonb WHERE id = $1`, w.rowAt(2))
	if v := w.verify(""); v.OK || *v.FirstBadSeq != 2 {
		t.Errorf("%+v", v)
	}
}

// M3: an undo accepts only rows that are sealed by cxgctl and match their seals.
func TestMismatches(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(w *world) uuid.UUID{
		"": nil,
		"an inserted row": func(w *world) uuid.UUID {
			w.asAttacker(forge(`'{}'`))
			return uuid.MustParse(planted)
		},
		"an inserted row with a seal beyond the chain": func(w *world) uuid.UUID {
			w.asAttacker(forge(`'{}'`) + claimSeal("12"))
			return uuid.MustParse(planted)
		},
		"a changed row": func(w *world) uuid.UUID {
			w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, w.rowAt(5))
			return w.rowAt(5)
		},
		"a foreign row": func(w *world) uuid.UUID {
			w.Exec(`UPDATE cxg_audit.seal SET origin = 'foreign' WHERE seq = 5`)
			return w.rowAt(5)
		},
		"a seal that is not linked": func(w *world) uuid.UUID {
			w.Exec(`UPDATE cxg_audit.seal SET chain = decode(repeat('00', 32), 'hex') WHERE seq = 5`)
			return w.rowAt(5)
		},
		"the last seal with another hash in the head": func(w *world) uuid.UUID {
			w.Exec(`UPDATE cxg_audit.head SET chain = decode(repeat('00', 32), 'hex')`)
			return w.rowAt(10)
		},
	} {
		t.Run("M3: "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, audittest.Migrated)
			w.Record(10)
			sealer := seal.New(w.Cat)
			var all []uuid.UUID
			for seq := range int64(10) {
				all = append(all, w.rowAt(seq+1))
			}
			var want []uuid.UUID
			if attack != nil {
				want = append(want, attack(w))
				all = append(all[:3], want...)
			}
			if bad, err := sealer.Mismatches(t.Context(), w.DB, all); err != nil || !slices.Equal(bad, want) {
				t.Errorf("%v, want %v: %v", bad, want, err)
			}
		})
	}
}

// An undo checks the seals of rows just written by an import, with statistics from before the import.
func TestMismatches_ReadByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(10)
	w.Exec("ANALYZE audt.audit_logs; ANALYZE cxg_audit.seal")
	w.Record(3000)
	ids := ask[[]uuid.UUID](w, `SELECT array_agg(id) FROM audt.audit_logs`)
	rows, err := w.DB.Query(t.Context(), "EXPLAIN "+seal.New(w.Cat).ReadSealOf(), ids)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(lines, "\n"); strings.Count(plan, "Seq Scan") > 0 || strings.Count(plan, "Index Scan") < 4 {
		t.Errorf("want index lookups for each row, got:\n%s", plan)
	}
}

// F40: pruned rows are in the archive, the record is signed and sealed, and verify passes afterwards.
func TestPrune(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{".jsonl.gz", ".jsonl.zst"} {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, audittest.Migrated)
			dir := t.TempDir()
			key := filepath.Join(dir, "key")
			if _, err := seal.Keygen(key); err != nil {
				t.Fatal(err)
			}
			keys, err := seal.ReadKeys("", key+".pub")
			if err != nil {
				t.Fatal(err)
			}
			w.Record(20)
			w.Exec(backendRows(w.Cat))
			if _, err := audit.Seal(t.Context(), w.DB, w.Cat, 1000, false); err != nil {
				t.Fatal(err)
			}
			point := w.point()
			prune := func(before time.Time, name string) (seal.PruneRecord, error) {
				p := seal.Pruning{Before: before, Archive: filepath.Join(dir, name), Key: key}
				plan, err := seal.PlanPrune(t.Context(), w.DB, w.Cat, p)
				if err != nil {
					return seal.PruneRecord{}, err
				}
				return audit.Prune(t.Context(), w.Ledger(), plan)
			}
			first, second := "a"+ending, "b"+ending
			r, err := prune(time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), first)
			if err != nil || r.Rows != 59 {
				t.Fatalf("%+v %v", r, err)
			}
			w.Record(1)
			if r, err = prune(time.Now().Add(time.Hour), second); err != nil || r.Rows != 62 {
				t.Fatalf("%+v %v", r, err)
			}
			if _, err := prune(time.Now(), second); !fault.Is(err, fault.AlreadyExists) {
				t.Errorf("an archive was overwritten: %v", err)
			}
			w.Record(1)
			check := func(v seal.Verification) seal.Verdict {
				t.Helper()
				verdict, err := seal.Verify(t.Context(), w.DB, w.Cat, v)
				if err != nil {
					t.Fatal(err)
				}
				return verdict
			}
			files, folder, err := seal.FindArchives(dir)
			if err != nil || !folder || len(files) != 2 {
				t.Fatal(files, err)
			}
			all := seal.Verification{Checkpoints: []seal.Checkpoint{point}, Archives: files, AllArchives: true, Keys: keys}
			if v := check(all); !v.OK || v.Pruned != 121 || v.Archives != 2 || len(v.Notes) > 0 {
				t.Fatalf("%+v", v)
			}
			if v := check(seal.Verification{}); !v.OK || len(v.Notes) == 0 {
				t.Errorf("without keys and archives: %+v", v)
			}
			other := filepath.Join(dir, "other")
			if _, err := seal.Keygen(other); err != nil {
				t.Fatal(err)
			}
			strange, err := seal.ReadKeys("", other+".pub")
			if err != nil {
				t.Fatal(err)
			}
			if v := check(seal.Verification{Keys: []note.Verifier{strange[0]}}); v.OK {
				t.Error("a record signed by another key is trusted")
			}
			// a changed archive, by itself and in its folder
			text, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], append(text, 0), 0o600); err != nil {
				t.Fatal(err)
			}
			if v := check(all); v.OK || !strings.Contains(*v.Problem, "missing") {
				t.Errorf("a changed archive in the folder: %+v", v)
			}
			if v := check(seal.Verification{Archives: files[:1]}); v.OK || !strings.Contains(*v.Problem, "was changed") {
				t.Errorf("a changed archive: %+v", v)
			}
			// another row is removed in the same way
			id := ask[uuid.UUID](w, `SELECT audit_id FROM cxg_audit.seal WHERE ver > 0 AND NOT EXISTS (
				SELECT FROM audt.audit_logs l WHERE l.id = audit_id AND l.extra_data->>'resource' = 'audit') ORDER BY seq LIMIT 1`)
			w.Exec(`UPDATE cxg_audit.seal SET ver = 0, canon = (SELECT canon FROM cxg_audit.seal WHERE seq = 1) WHERE audit_id = $1`, id)
			w.Exec(`DELETE FROM audt.audit_logs WHERE id = $1`, id)
			if v := check(seal.Verification{}); v.OK {
				t.Error("a row missing beyond the record was not found")
			}
		})
	}
}

// A row that does not match its seal stops a prune.
func TestPrune_BadRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	dir := t.TempDir()
	if _, err := seal.Keygen(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	w.Record(5)
	id := w.rowAt(3)
	w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, id)
	plan, err := seal.PlanPrune(t.Context(), w.DB, w.Cat, seal.Pruning{
		Before: time.Now().Add(time.Hour), Archive: filepath.Join(dir, "a.gz"), Key: filepath.Join(dir, "key"),
	})
	if err != nil || plan.Rows != 5 {
		t.Fatalf("%+v %v", plan, err)
	}
	_, err = audit.Prune(t.Context(), w.Ledger(), plan)
	if !fault.Is(err, fault.PartialFailure) || !strings.Contains(err.Error(), id.String()) {
		t.Errorf("%v", err)
	}
	if n := ask[int](w, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS'`); n != 5 {
		t.Errorf("%d rows remain", n)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("the folder contains %v, %v", list, err)
	}
}

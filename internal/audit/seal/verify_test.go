package seal_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/audittest"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// world holds the databases of one test.
type world struct{ *audittest.World }

func newWorld(t testing.TB, template dbtest.Template) *world {
	t.Helper()
	return &world{audittest.New(t, template)}
}

func ask[T any](w *world, sql string, args ...any) T {
	w.T.Helper()
	return audittest.Ask[T](w.World, sql, args...)
}

// verify returns the verdict on the log.
func (w *world) verify(skip string, points ...seal.Checkpoint) seal.Verdict {
	w.T.Helper()
	v, err := seal.VerifyWithout(w.T.Context(), w.DB, w.Cat, seal.Verification{Checkpoints: points}, skip)
	if err != nil {
		w.T.Fatal(err)
	}
	return v
}

// point returns a checkpoint of the current chain.
func (w *world) point() seal.Checkpoint {
	return seal.Checkpoint{
		Size: ask[int64](w, `SELECT seq FROM cxg_audit.head`), Chain: ask[[]byte](w, `SELECT chain FROM cxg_audit.head`),
		Time: db.At(time.Now()),
	}
}

// reseal does what an attacker with rights on every table can do: it rebuilds leaf and chain from the current rows,
// starting at seal seq, and moves the head.
func (w *world) reseal(seq int64) {
	w.T.Helper()
	ctx := w.T.Context()
	tx, err := w.DB.BeginWrite(ctx)
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	rows, err := tx.Query(ctx, `SELECT audit_id FROM cxg_audit.seal WHERE seq >= $1 ORDER BY seq`, seq)
	if err != nil {
		w.T.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		w.T.Fatal(err)
	}
	chain := make([]byte, sha256.Size)
	if seq > 1 {
		chain = ask[[]byte](w, `SELECT chain FROM cxg_audit.seal WHERE seq = $1`, seq-1)
	}
	_, err = tx.Exec(ctx, `DELETE FROM cxg_audit.seal WHERE seq >= $1`, seq)
	if err == nil {
		err = seal.New(w.Cat).SealAfter(ctx, tx, seq-1, chain, ids)
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

// rowAt returns the id of a seal's audit row.
func (w *world) rowAt(seq int64) uuid.UUID {
	w.T.Helper()
	return ask[uuid.UUID](w, `SELECT audit_id FROM cxg_audit.seal WHERE seq = $1`, seq)
}

// logged returns a template with a log of a thousand rows, the last hundred of them written by the backend.
func logged(base dbtest.Template) dbtest.Template {
	return dbtest.Template{
		Name: base.Name + " log", Key: base.Key + program(),
		Build: func(ctx context.Context, manager, tenants string) error {
			if err := base.Build(ctx, manager, tenants); err != nil {
				return err
			}
			return writeLog(ctx, manager)
		},
	}
}

// program is a hash of the test binary, since the template depends on what it writes.
var program = sync.OnceValue(func() string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
})

func writeLog(ctx context.Context, dsn string) error {
	d, err := db.Open(ctx, db.Options{Name: "manager", URL: dsn})
	if err != nil {
		return err
	}
	defer d.Close()
	cat, err := audittest.ReadCatalog(ctx, d)
	if err != nil {
		return err
	}
	for range 3 {
		l, err := audittest.OpenLedger(ctx, d, cat)
		if err != nil {
			return err
		}
		if err := l.Record(ctx, audittest.Changes(300)); err != nil {
			return err
		}
	}
	owner, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = owner.Exec(ctx, backendRows(cat))
	if err := errors.Join(err, owner.Close(ctx)); err != nil {
		return err
	}
	n, err := audit.Seal(ctx, d, cat, 30, false)
	if err == nil && n.Sealed != 100 {
		err = fmt.Errorf("%d of the backend's 100 rows are sealed", n.Sealed)
	}
	return err
}

// logOf returns a world with such a log, of a generation or of our own migrations.
func logOf(t *testing.T, template string) *world {
	t.Helper()
	base := audittest.Migrated
	if template != "" {
		base = audittest.Adopted(template)
	}
	w := newWorld(t, logged(base))
	if v := w.verify(""); !v.OK || v.Seals != 1000 || v.Unsealed != 0 {
		t.Fatalf("verdict on an intact log: %+v", v)
	}
	return w
}

// backendRows returns an INSERT of a hundred rows like the backend's, in either form of the log.
func backendRows(cat schema.Catalog) string {
	if cat["audt.audit_logs"].Has("request_path") {
		return `INSERT INTO audt.audit_logs (id, created_at, user_id, action, target_entity, request_path, request_method, ip_address, risk_level, extra_data, status, deleted)
			SELECT gen_random_uuid(), '2026-01-01'::timestamptz + i * interval '1 minute', NULL, 'LOGIN', 'session', '/login', 'POST', '10.0.0.1', 'LOW',
			       '{"b": 1e2, "aa": [1.10, -0, "\u00e9\n"], "a": null}', 'ACTIVE', false FROM generate_series(1, 100) i`
	}
	return `INSERT INTO audt.audit_logs (id, created_at, event_type, event_category, description, result, risk_level, extra_data, status, deleted)
		SELECT gen_random_uuid(), '2026-01-01'::timestamptz + i * interval '1 minute', 'LOGIN', 'AUTHENTICATION', 'log in', 'SUCCESS', 'LOW',
		       CASE WHEN i % 2 = 0 THEN '{"b": 1e2, "aa": [1.10, -0, "\u00e9\n"], "a": null}'::jsonb END, 'ACTIVE', false FROM generate_series(1, 100) i`
}

// other returns an expression for a different value of a column.
func other(column, typ string) string {
	switch {
	case strings.HasPrefix(typ, "uuid"):
		return "gen_random_uuid()"
	case strings.HasPrefix(typ, "timestamp"):
		return "coalesce(" + column + ", now()) + interval '1 microsecond'"
	case typ == "boolean":
		return "NOT " + column
	case typ == "jsonb":
		return `coalesce(` + column + `, '{}') || '{"command": "another"}'`
	case typ == "inet":
		return "'10.9.9.9'"
	case typ == "bytea":
		return "set_byte(" + column + ", 0, get_byte(" + column + ", 0) # 1)"
	case typ == "bigint":
		return column + " + 1000000"
	case typ == "smallint":
		return column + " + 1"
	}
	return "CASE WHEN " + column + " IS NULL THEN '' ELSE left(" + column + ", -1) END"
}

// Every column of every table is changed, at the start, in the middle and at the end of the log. A short run changes
// each column at one of these places, in our own tables.
func TestVerify_AnyColumnChanged(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 6, "values changed in logs of 1,000 rows")
	for _, generation := range []string{"", "g1alt", "g0"} {
		if testing.Short() && generation != "" {
			break
		}
		t.Run("generation "+generation, func(t *testing.T) {
			t.Parallel()
			w := logOf(t, generation)
			w.Exec(dropChecks)
			tried, columns := 0, 0
			places := []int64{1, 517, 1000}
			each := torture.Count(len(places), 1, 1)
			for _, table := range []string{"audt.audit_logs", "cxg_audit.seal"} {
				key := map[string]string{"audt.audit_logs": "id", "cxg_audit.seal": "audit_id"}[table]
				for _, c := range w.Cat[table].Columns {
					columns++
					free := table == "audt.audit_logs" && slices.Contains(seal.LifeCycle, c.Name) // F40
					for i := range each {
						seq := places[(columns+i)%len(places)]
						id := w.rowAt(seq)
						w.Exec(fmt.Sprintf(`CREATE TABLE kept AS SELECT * FROM %s WHERE %s = '%s'`, table, key, id))
						w.Exec(fmt.Sprintf(`UPDATE %s SET %s = %s WHERE %s = '%s'`, table, c.Name, other(c.Name, c.Type), key, id))
						v := w.verify("")
						want := id
						if free {
							if !v.OK {
								t.Errorf("%s.%s may change: %+v", table, c.Name, v)
							}
						} else if v.OK || v.FirstBadSeq == nil || *v.FirstBadSeq != seq && c.Name != "seq" {
							t.Errorf("%s.%s of seal %d: %+v", table, c.Name, seq, v)
						} else if table == "audt.audit_logs" && c.Name != "id" && (v.FirstBad == nil || *v.FirstBad != want) {
							t.Errorf("%s.%s of row %s: the first bad row is %v", table, c.Name, want, v.FirstBad)
						}
						if !free && table == "audt.audit_logs" && c.Name != "id" && !strings.Contains(*v.Problem, c.Name) {
							t.Errorf("%s.%s: the problem does not name it: %s", table, c.Name, *v.Problem)
						}
						w.Exec(fmt.Sprintf(`DELETE FROM %[1]s WHERE ctid IN (SELECT x.ctid FROM %[1]s x LEFT JOIN kept k ON k.%[2]s = x.%[2]s WHERE k.%[2]s IS NOT NULL);
							DELETE FROM %[1]s x WHERE %[3]s; INSERT INTO %[1]s SELECT * FROM kept; DROP TABLE kept`, table, key, stray(table)))
						tried++
						result.Attempts.Add(1)
						result.Faults.Add(1)
					}
				}
			}
			if v := w.verify(""); !v.OK || v.Seals != 1000 {
				t.Fatalf("after restoring everything: %+v", v)
			}
			if tried < 20*each {
				t.Errorf("only %d changes were tried", tried)
			}
		})
	}
}

// stray returns the predicate for the row that lost its key by tampering.
func stray(table string) string {
	if table == "audt.audit_logs" {
		return `NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = x.id)`
	}
	return `NOT EXISTS (SELECT FROM audt.audit_logs l WHERE l.id = x.audit_id) OR x.seq > 1000000`
}

// dropChecks drops constraints, so that a test can store anything.
const dropChecks = `DO $$DECLARE c record; BEGIN
	FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
	          WHERE conrelid IN ('audt.audit_logs'::regclass, 'cxg_audit.seal'::regclass) AND contype IN ('c', 'f') LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
	END LOOP; END$$`

// attacks are ways to tamper with a log of 1,000 sealed rows. Each has the only check that finds it, the first bad seal
// (0 for a row without one), and whether that seal's row is reported.
var attacks = []struct {
	name, check string
	do          func(w *world)
	seq         int64
	row         bool
}{
	{"row changed", seal.CheckCanon, func(w *world) {
		w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, w.rowAt(400))
	}, 400, true},
	{"row deleted", seal.CheckRow, func(w *world) { w.Exec(`DELETE FROM audt.audit_logs WHERE id = $1`, w.rowAt(400)) }, 400, true},
	{"rows swapped", seal.CheckCanon, func(w *world) {
		a, b := w.rowAt(400), w.rowAt(402)
		w.Exec(`UPDATE audt.audit_logs a SET extra_data = b.extra_data, description = b.description FROM audt.audit_logs b
			WHERE a.id IN ($1, $2) AND b.id IN ($1, $2) AND a.id <> b.id`, a, b)
	}, 400, true},
	{"row and canonical form changed", seal.CheckLeaf, func(w *world) {
		w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, w.rowAt(400))
		w.recanon(400, false)
	}, 400, true},
	{"row and seal changed, chain kept", seal.CheckChain, func(w *world) {
		w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, w.rowAt(400))
		w.recanon(400, true)
	}, 400, true},
	{"seals swapped, chain rebuilt", seal.CheckCheckpoint, func(w *world) {
		w.Exec(`UPDATE cxg_audit.seal SET seq = seq + 1000000 WHERE seq IN (400, 401)`)
		w.Exec(`UPDATE cxg_audit.seal SET seq = CASE seq WHEN 1000400 THEN 401 ELSE 400 END WHERE seq > 1000000`)
		w.reseal(400)
	}, 1000, true},
	{"row changed, everything resealed", seal.CheckCheckpoint, func(w *world) {
		w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, w.rowAt(400))
		w.reseal(400)
	}, 1000, true},
	{"row and seal deleted, chain rebuilt around the gap", seal.CheckGap, func(w *world) {
		id := w.rowAt(400)
		w.Exec(`DELETE FROM cxg_audit.seal WHERE seq = 400`)
		w.Exec(`DELETE FROM audt.audit_logs WHERE id = $1`, id)
		w.rechain(401)
	}, 400, false},
	{"tail deleted", seal.CheckHead, func(w *world) { w.cut(950) }, 951, false},
	{"tail deleted, head moved back", seal.CheckSize, func(w *world) {
		w.cut(950)
		w.Exec(`UPDATE cxg_audit.head SET seq = 950, chain = (SELECT chain FROM cxg_audit.seal WHERE seq = 950)`)
	}, 951, false},
	{"everything deleted", seal.CheckSize, func(w *world) {
		w.cut(0)
		w.Exec(`DELETE FROM cxg_audit.head`)
	}, 1, false},
	{"head deleted", seal.CheckHead, func(w *world) { w.Exec(`DELETE FROM cxg_audit.head`) }, 1001, false},
	{"hash of the head changed", seal.CheckHead, func(w *world) { w.Exec(`UPDATE cxg_audit.head SET chain = decode(repeat('00', 32), 'hex')`) }, 1000, true},
	{"row inserted", seal.CheckForged, func(w *world) {
		w.Exec(`INSERT INTO audt.audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object('id', '00000000-0000-4000-8000-00000000dead', 'created_at', now()))).*
			FROM audt.audit_logs l WHERE id = $1`, w.rowAt(400))
	}, 0, true},
	{"seal inserted beyond the chain", seal.CheckOutside, func(w *world) {
		w.Exec(`WITH f AS (INSERT INTO audt.audit_logs (event_type, event_category, description) VALUES ('LOGIN', 'AUTHENTICATION', 'x') RETURNING id)
			INSERT INTO cxg_audit.seal SELECT 5000, f.id, ver, 'foreign', sealed_at, canon, leaf, chain FROM cxg_audit.seal, f WHERE seq = 1000`)
	}, 5000, false},
	{"row deleted as if pruned", seal.CheckPrune, func(w *world) {
		w.Exec(`DELETE FROM audt.audit_logs WHERE id = $1`, w.rowAt(400))
		w.Exec(`UPDATE cxg_audit.seal SET ver = 0, canon = decode(repeat('ab', 16), 'hex') WHERE seq = 400`)
	}, 400, false},
}

// recanon rebuilds a seal's canonical form from the current row, and optionally its leaf.
func (w *world) recanon(seq int64, leaf bool) {
	w.T.Helper()
	ctx := w.T.Context()
	tx, err := w.DB.BeginWrite(ctx)
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	at := ask[time.Time](w, `SELECT sealed_at FROM cxg_audit.seal WHERE seq = $1`, seq)
	canon, hash, err := seal.New(w.Cat).CanonOf(ctx, tx, w.rowAt(seq), at)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE cxg_audit.seal SET canon = $2, leaf = CASE WHEN $3 THEN $4 ELSE leaf END WHERE seq = $1`, seq, canon, leaf, hash)
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

// rechain links the seals from seq on to the seal before them, whatever its number.
func (w *world) rechain(seq int64) {
	w.Exec(`WITH RECURSIVE c AS (
			SELECT max(seq) AS seq, (SELECT chain FROM cxg_audit.seal WHERE seq = (SELECT max(seq) FROM cxg_audit.seal WHERE seq < $1::bigint)) AS chain
			  FROM cxg_audit.seal WHERE seq < $1::bigint
			UNION ALL
			SELECT s.seq, sha256('\x02'::bytea || c.chain || s.leaf) FROM c JOIN cxg_audit.seal s ON s.seq = (SELECT min(seq) FROM cxg_audit.seal n WHERE n.seq > c.seq))
		UPDATE cxg_audit.seal s SET chain = c.chain FROM c WHERE c.seq = s.seq`, seq)
	w.Exec(`UPDATE cxg_audit.head SET chain = (SELECT chain FROM cxg_audit.seal ORDER BY seq DESC LIMIT 1)`)
}

// cut deletes all rows and seals after seq.
func (w *world) cut(seq int64) {
	w.Exec(`DELETE FROM audt.audit_logs WHERE id IN (SELECT audit_id FROM cxg_audit.seal WHERE seq > $1)`, seq)
	w.Exec(`DELETE FROM cxg_audit.seal WHERE seq > $1`, seq)
}

// Every attack is found by exactly one check: without it, verify misses the attack.
func TestVerify_EveryCheckIsNeeded(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 6, "attacks on logs of 1,000 rows, each found by one check")
	needed := map[string]bool{}
	for _, a := range attacks {
		result.Attempts.Add(2) // with and without the check
		result.Faults.Add(1)
		needed[a.check] = true
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			w := logOf(t, "")
			var points []seal.Checkpoint
			if a.check == seal.CheckSize || a.check == seal.CheckCheckpoint {
				points = append(points, w.point())
			}
			want := uuid.MustParse("00000000-0000-4000-8000-00000000dead")
			if a.row && a.seq > 0 {
				want = w.rowAt(a.seq)
			}
			a.do(w)
			v := w.verify("", points...)
			switch {
			case v.OK:
				t.Fatal("the attack was not found")
			case a.seq > 0 && (v.FirstBadSeq == nil || *v.FirstBadSeq != a.seq):
				t.Errorf("the first bad seal is not %d: %+v", a.seq, v)
			case a.row && a.check != seal.CheckCheckpoint && (v.FirstBad == nil || *v.FirstBad != want):
				t.Errorf("the first bad row is %v, want %s", v.FirstBad, want)
			}
			if v := w.verify(a.check, points...); !v.OK {
				t.Errorf("without check %s, the attack is still found: %s", a.check, *v.Problem)
			}
		})
	}
	for _, check := range []string{
		seal.CheckGap, seal.CheckRow, seal.CheckCanon, seal.CheckLeaf, seal.CheckChain, seal.CheckHead,
		seal.CheckCheckpoint, seal.CheckSize, seal.CheckForged, seal.CheckOutside, seal.CheckPrune,
	} {
		if !needed[check] {
			t.Errorf("check %s is not needed by any attack", check)
		}
	}
}

// A log that shrank between two checkpoints and has grown since is found by the larger checkpoint.
func TestVerify_ShrunkBetweenCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(5)
	first := w.point()
	w.cut(2)
	w.Exec(`UPDATE cxg_audit.head SET seq = 2, chain = (SELECT chain FROM cxg_audit.seal WHERE seq = 2)`)
	second := w.point()
	w.Record(1)
	v := w.verify(seal.CheckCheckpoint, first, second)
	if v.OK || !strings.Contains(*v.Problem, "the chain shrank") {
		t.Errorf("%+v", v)
	}
	if v := w.verify(seal.CheckSize, second); !v.OK {
		t.Errorf("the second checkpoint alone: %+v", v)
	}
}

func TestVerify_Since(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(50)
	w.Exec(`UPDATE audt.audit_logs SET description = 'nothing' WHERE id = $1`, w.rowAt(20))
	for since, ok := range map[int64]bool{0: false, 20: false, 21: true, 50: true} {
		v, err := seal.Verify(t.Context(), w.DB, w.Cat, seal.Verification{Since: since})
		if err != nil || v.OK != ok {
			t.Errorf("since %d: %+v %v", since, v, err)
		}
	}
	for _, since := range []int64{51, 999999999} { // L1
		_, err := seal.Verify(t.Context(), w.DB, w.Cat, seal.Verification{Since: since})
		if !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "50 seals") {
			t.Errorf("since %d: %v", since, err)
		}
	}
	point := w.point()
	w.cut(40)
	w.Exec(`UPDATE cxg_audit.head SET seq = 40, chain = (SELECT chain FROM cxg_audit.seal WHERE seq = 40)`)
	v, err := seal.Verify(t.Context(), w.DB, w.Cat, seal.Verification{Since: 30, Checkpoints: []seal.Checkpoint{point}})
	if err != nil || v.OK || !strings.Contains(*v.Problem, "the chain shrank") {
		t.Errorf("with a checkpoint of the tail: %+v %v", v, err)
	}
}

// F40: columns may be added and dropped. Values in dropped columns are not compared, which the verdict notes.
func TestVerify_AddedAndDroppedColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	w.Record(3)
	w.Exec(`ALTER TABLE audt.audit_logs ADD COLUMN a_new_one text; ALTER TABLE audt.audit_logs DROP COLUMN session_id`)
	w.Look()
	w.Record(3)
	if v := w.verify(""); !v.OK || v.Seals != 6 {
		t.Errorf("%+v", v)
	}
	w.Exec(`ALTER TABLE audt.audit_logs DROP COLUMN user_agent`)
	w.Look()
	if v := w.verify(""); !v.OK || len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "user_agent") {
		t.Errorf("%+v", v)
	}
}

func TestCheckpoint_SignedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, audittest.Migrated)
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if _, err := seal.Keygen(key); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Keygen(key); !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v %v", info, err)
	}
	out := filepath.Join(dir, "a", "new", "folder")
	write := func() string {
		_, file, err := seal.WriteCheckpoint(t.Context(), w.DB, w.Cat, key, out, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	write()
	w.Record(3)
	file := write()
	keys := func(dir, file string) []note.Verifier {
		list, err := seal.ReadKeys(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	points, err := seal.ReadCheckpoints(out, keys(out, ""))
	if err != nil || len(points) != 2 || points[0].Size != 0 || points[1].Size != 3 {
		t.Fatalf("%+v %v", points, err)
	}
	if v := w.verify("", points...); !v.OK || v.Checkpoints != 2 {
		t.Errorf("%+v", v)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, forged := range map[string]string{
		"size":    strings.Replace(string(text), "\n3\n", "\n2\n", 1),
		"nothing": "",
		"cut":     string(text[:len(text)-20]),
	} {
		if err := os.WriteFile(file, []byte(forged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.ReadCheckpoints(out, keys(out, "")); !fault.Is(err, fault.Validation) {
			t.Errorf("a forged checkpoint (%s): %v", what, err)
		}
	}
	// another key
	if _, err := seal.Keygen(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadCheckpoints(out, keys("", filepath.Join(dir, "other.pub"))); !fault.Is(err, fault.Validation) {
		t.Errorf("signed by another key: %v", err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.WriteCheckpoint(t.Context(), w.DB, w.Cat, key, out, time.Now()); !fault.Is(err, fault.Validation) {
		t.Errorf("a key that others can read was used: %v", err)
	}
}

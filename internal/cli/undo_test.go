package cli

import (
	"fmt"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// usersDigest hashes all users except updated_at and updated_by, which an undo changes too.
const usersDigest = `SELECT md5(string_agg((to_jsonb(u) - 'updated_at' - 'updated_by')::text, ',' ORDER BY u.id))
	FROM idam.users u`

// An undo of 5,000 rows (a tenth of them in a short run) restores the table, and the undo of the undo restores the
// change.
func TestUndo_ManyRows(t *testing.T) {
	t.Parallel()
	rows := 5000
	if testing.Short() {
		rows = 500
	}
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, `INSERT INTO idam.users (id, username, email, full_name, user_type, phone, last_login_at, locked_until, last_login_ip, failed_login_attempts)
		SELECT gen_random_uuid(), 'many' || i, 'many' || i || '@example.com', E'Many "\\\t' || i, 'TENANT', CASE WHEN i % 2 = 0 THEN i::text END, now(),
		       CASE i % 3 WHEN 0 THEN 'infinity'::timestamptz WHEN 1 THEN now() + i * interval '1 second' END, '10.0.0.1', i FROM generate_series(1, `+fmt.Sprint(rows)+`) i`); err != nil {
		t.Fatal(err)
	}
	image := func() string { return ask(t, pair.Manager, usersDigest) }
	run := func(args ...string) {
		t.Helper()
		cxgctl(t, pair, append(args, "--yes", "-q", "--timeout", "5m", "-o", "id")...).exits(t, 0)
	}
	undoLast := func() {
		t.Helper()
		op := ask(t, pair.Manager, `SELECT extra_data->>'op_id' FROM audt.audit_logs ORDER BY created_at DESC, id DESC LIMIT 1`)
		began := time.Now()
		run("audit", "undo", "--op", op, "--expect", fmt.Sprint(rows))
		t.Logf("%d rows in %s", rows, time.Since(began).Round(time.Millisecond))
	}
	for _, change := range [][]string{
		{"users", "unlock", "--user-type", "TENANT"},
		{"users", "delete", "--user-type", "TENANT"},
	} {
		before := image()
		run(change...)
		changed := image()
		if before == changed {
			t.Fatalf("%q changed nothing", change)
		}
		undoLast()
		if image() != before {
			t.Errorf("the undo of %q does not restore the users", change)
		}
		undoLast()
		if image() != changed {
			t.Errorf("the undo of the undo of %q does not restore the change", change)
		}
	}
	run("audit", "verify")
}

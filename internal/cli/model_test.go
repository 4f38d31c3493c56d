package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// account is a user in the model.
type account struct {
	before        string // status before the deletion
	phone, status string
	live          bool
}

// model is the expected state of the platform and the expected number of audit rows of changes.
type model struct {
	users map[string]*account
	names int // of which a command uses one
	rows  int
}

// command returns a random command, its expected exit code, and its effect on the model.
func (m *model) command(r *rand.Rand) (args []string, code int, effect func()) {
	name := fmt.Sprintf("user%d", r.IntN(m.names))
	u := m.users[name]
	there := u != nil && u.live
	nothing := func() {}
	missing := func(args ...string) ([]string, int, func()) { return args, 3, nothing }
	changed := func(n int, fn func()) func() { return func() { fn(); m.rows += n } }
	switch r.IntN(8) {
	case 0, 1:
		args := []string{"users", "create", "--username", name, "--email", name + "@example.com", "--full-name", "User", "--no-password"}
		if u != nil { // deleted users keep their names
			return args, 4, nothing
		}
		return args, 0, changed(1, func() { m.users[name] = &account{status: "ACTIVE", live: true} })
	case 2, 3:
		phone := fmt.Sprint(r.IntN(3))
		args := []string{"users", "update", name, "--phone", phone}
		if !there {
			return missing(args...)
		}
		if u.phone == phone {
			return args, 0, nothing
		}
		return args, 0, changed(1, func() { u.phone = phone })
	case 4:
		args := []string{"users", "delete", name, "--yes"}
		if u == nil {
			return missing(args...)
		}
		if !u.live {
			return args, 0, nothing
		}
		return args, 0, changed(1, func() { u.live, u.status, u.before = false, "INACTIVE", u.status })
	case 5:
		args := []string{"users", "restore", name}
		if u == nil {
			return missing(args...)
		}
		if u.live {
			return args, 0, nothing
		}
		return args, 0, changed(1, func() { u.live, u.status = true, u.before })
	case 6: // a batch by filter
		from, to := "ACTIVE", "LOCKED"
		if r.IntN(2) == 0 {
			from, to = to, from
		}
		var hit []*account
		for _, u := range m.users {
			if u.live && u.status == from {
				hit = append(hit, u)
			}
		}
		args := []string{"users", "status", "--status", from, "--user-type", "TENANT", "--set", to, "--yes"}
		if r.IntN(3) == 0 {
			return append(args, "--expect", fmt.Sprint(len(hit)+1)), 4, nothing
		}
		return args, 0, changed(len(hit), func() {
			for _, u := range hit {
				u.status = to
			}
		})
	}
	args = []string{"users", "update", name, "--phone", strings.Repeat("9", 21)} // too long
	if there || u == nil || !u.live {
		return args, 5, nothing
	}
	return args, 3, nothing
}

// changesOf selects the audit rows of changes, in the order of their seals.
const (
	changesOf = `SELECT l.resource_id, coalesce(l.extra_data->'before', 'null'), coalesce(l.extra_data->'after', 'null'), l.extra_data->>'op_id'
		FROM audt.audit_logs l JOIN cxg_audit.seal s ON s.audit_id = l.id WHERE l.result = 'SUCCESS' ORDER BY s.seq`
	usersNow = `SELECT u.id, u.username, coalesce(u.phone, ''), u.status, u.is_active FROM idam.users u WHERE u.username LIKE 'user%'`
)

// Every changed row has exactly one audit row with correct images. Dry runs and failures change nothing. Every row of
// the log is sealed. No command leaves a goroutine.
func TestChanges_MatchModelAndAuditLog(t *testing.T) {
	result := torture.Report(t, 3, "random commands against a model")
	pair := dbtest.New(t, migrated)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 6))
	t.Logf("seed %d", seed)
	m := &model{users: map[string]*account{}, names: torture.Count(60, 12, 12)}
	run := func(want int, args ...string) {
		t.Helper()
		if code, said := runOnce(t, pair, "", args...); code != want {
			t.Fatalf("%q exits with %d, want %d:\n%s", args, code, want, said)
		}
	}
	run(0, "users", "list")
	goroutines := runtime.NumGoroutine()
	for range torture.Count(10_000, 250, 80) {
		result.Attempts.Add(1)
		args, code, effect := m.command(r)
		if code == 0 && r.IntN(4) == 0 {
			run(0, append(args, "--dry-run")...)
			continue
		}
		run(code, args...)
		if code == 0 {
			effect()
		}
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("the commands left %d goroutines", runtime.NumGoroutine()-goroutines)
			break
		}
	}
	replay(t, result, pair.Manager, m)
	run(0, "audit", "verify", "-q", "-o", "id")

	// Undo every operation, latest first, and then each undo.
	rows, err := query(t.Context(), pair.Manager, changesOf)
	if err != nil {
		t.Fatal(err)
	}
	before := ask(t, pair.Manager, `SELECT md5(string_agg(concat_ws('|', username, phone, status, is_active), ',' ORDER BY username)) FROM idam.users`)
	last := rows[len(rows)-1][3]
	run(0, "audit", "undo", "--op", last, "--yes")
	undo := ask(t, pair.Manager, `SELECT extra_data->>'op_id' FROM audt.audit_logs l JOIN cxg_audit.seal s ON s.audit_id = l.id ORDER BY s.seq DESC LIMIT 1`)
	run(0, "audit", "undo", "--op", undo, "--yes")
	after := ask(t, pair.Manager, `SELECT md5(string_agg(concat_ws('|', username, phone, status, is_active), ',' ORDER BY username)) FROM idam.users`)
	if before != after {
		t.Error("the undo of an undo does not restore the users")
	}
}

// replay applies the audit log to an empty table and compares the result with the table and the model.
func replay(t *testing.T, result *torture.Result, dsn string, m *model) {
	t.Helper()
	rows, err := query(t.Context(), dsn, changesOf)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != m.rows {
		t.Errorf("%d audit rows of changes, want %d", len(rows), m.rows)
		result.Unaudited.Add(1)
	}
	states := map[string]map[string]any{}
	once := map[string]bool{}
	for i, row := range rows {
		id := row[0]
		if key := id + row[3]; once[key] {
			t.Errorf("row %s has two audit rows of one command", id)
		} else {
			once[key] = true
		}
		var before, after map[string]any
		if err := json.Unmarshal([]byte(row[1]), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(row[2]), &after); err != nil {
			t.Fatal(err)
		}
		state := states[id]
		if (state == nil) != (before == nil) {
			t.Fatalf("audit row %d of %s: before is %v, want %v", i, id, before, state)
		}
		if state == nil {
			state = map[string]any{}
			states[id] = state
		}
		for field, v := range before {
			if state[field] != v {
				t.Errorf("audit row %d of %s: before has %s %v, want %v", i, id, field, v, state[field])
			}
		}
		for field, v := range after {
			state[field] = v
		}
	}
	now, err := query(t.Context(), dsn, usersNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(now) != len(m.users) {
		t.Errorf("%d users, want %d", len(now), len(m.users))
	}
	for _, u := range now {
		state, want := states[u[0]], m.users[u[1]]
		phone, _ := state["phone"].(string)
		told := fmt.Sprint(phone, state["status"], state["is_active"])
		is := fmt.Sprint(u[2], u[3], u[4] == "t")
		ought := fmt.Sprint(want.phone, want.status, want.live)
		if told != is || is != ought {
			t.Errorf("%s is %s in the table, %s in the audit log, %s in the model", u[1], is, told, ought)
		}
	}
}

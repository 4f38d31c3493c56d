package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// runOnce runs a command in this process with its own connections, and returns the exit code and standard error.
func runOnce(t *testing.T, pair dbtest.Pair, stdin string, args ...string) (code int, said string) {
	t.Helper()
	vars := map[string]string{
		"HOME": t.TempDir(), "CXGCTL_OPERATOR": "admin", "CXGCTL_MANAGER_DATABASE_URL": pair.Manager, "CXGCTL_TENANTS_DATABASE_URL": pair.Tenants,
	}
	var errOut bytes.Buffer
	code = runAndForget(&cmdutil.Env{
		Context: context.Background(), Args: args, Stdin: strings.NewReader(stdin), Stdout: io.Discard, Stderr: &errOut,
		Getenv: func(name string) string { return vars[name] },
	})
	return code, errOut.String()
}

// attempt is a command that met a fault, with what it reported and what it did.
type attempt struct {
	what             string
	code             int
	said             string
	changed, audited int   // rows that it changed, and its audit rows
	want             int   // rows that it changes if it succeeds
	codes            []int // exit codes with which it may fail; nil means 8, and 9 for a part
}

// judge adds to the result whether the command reported what it did.
func (a attempt) judge(t *testing.T, result *torture.Result) {
	t.Helper()
	result.Attempts.Add(1)
	open := strings.Contains(a.said, "outcome is unknown") || strings.Contains(a.said, "was made") || a.code == 9
	if a.codes == nil {
		a.codes = []int{8, 9}
	}
	var wrong *atomic.Int64
	switch {
	case a.changed != a.audited:
		wrong = &result.Unaudited
	case a.changed > a.want:
		wrong = &result.Doubled
	case a.code == 0 && a.changed < a.want:
		wrong = &result.Lost
	case a.code != 0 && a.changed > 0 && !open, a.code != 0 && !slices.Contains(a.codes, a.code):
		wrong = &result.Wrong
	default:
		return
	}
	wrong.Add(1)
	t.Errorf("%s: exit code %d, %d of %d rows changed, %d audit rows: %s", a.what, a.code, a.changed, a.want, a.audited, a.said)
}

// cutter forwards connections and cuts one of them at a message, in either direction, before it forwards that.
type cutter struct {
	mu         sync.Mutex
	fromServer bool // the direction of the message
	left       int  // number of messages in that direction before it
	happened   bool
}

// arm sets the message of the next cut.
func (c *cutter) arm(fromServer bool, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fromServer, c.left, c.happened = fromServer, n, false
}

// cuts reports whether the connection is cut at this message.
func (c *cutter) cuts(fromServer bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.happened || fromServer != c.fromServer {
		return false
	}
	c.left--
	c.happened = c.left < 0
	return c.happened
}

func (c *cutter) serve(client, server net.Conn) {
	forward := func(to, from net.Conn, fromServer bool) {
		defer func() { _, _ = client.Close(), server.Close() }()
		for startup := !fromServer; ; startup = false {
			message, err := receive(from, startup)
			if err != nil || c.cuts(fromServer) {
				return
			}
			if _, err := to.Write(message); err != nil {
				return
			}
		}
	}
	go forward(client, server, true)
	forward(server, client, false)
}

// subject describes a command in the tests of cuts: {n} is the number of the run.
type subject struct {
	args, stdin string
	want        int    // rows that it changes
	changed     string // query for the number of rows that it has changed
	tenant      bool   // changes the tenants' database
}

var subjects = []subject{
	{
		args: "users create --username new{n} --email new{n}@example.com --full-name New --no-password", want: 1,
		changed: `SELECT count(*) FROM idam.users WHERE username = 'new{n}'`,
	},
	{args: "users update u{n} --phone 555", want: 1, changed: `SELECT count(*) FROM idam.users WHERE username = 'u{n}' AND phone = '555'`},
	{
		args: "users status u{n} v{n} w{n} --set LOCKED", want: 3,
		changed: `SELECT count(*) FROM idam.users WHERE username IN ('u{n}', 'v{n}', 'w{n}') AND status = 'LOCKED'`,
	},
	{args: "users delete u{n} --yes", want: 1, changed: `SELECT count(*) FROM idam.users WHERE username = 'u{n}' AND NOT is_active`},
	{
		args: "users import - --format csv --no-passwords", want: 2,
		stdin:   "username,email,full_name\none{n},one{n}@example.com,One\ntwo{n},two{n}@example.com,Two\n",
		changed: `SELECT count(*) FROM idam.users WHERE username IN ('one{n}', 'two{n}')`,
	},
	{args: "users update t{n} --tenant acme --phone 02-5551", want: 1, changed: `SELECT count(*) FROM sys.users WHERE username = 't{n}' AND phone = '02-5551'`, tenant: true},
}

// insertSubjects adds users for n runs.
func insertSubjects(t *testing.T, pair dbtest.Pair, n int) {
	t.Helper()
	for dsn, sql := range map[string]string{
		pair.Manager: insertAcme + fmt.Sprintf(`; INSERT INTO idam.users (username, email, full_name)
			SELECT p || n, p || n || '@example.org', 'U' FROM generate_series(0, %d) n, unnest('{u,v,w}'::text[]) p`, n),
		pair.Tenants: fmt.Sprintf(`INSERT INTO sys.users (id, created_at, tenant_id, username, password, full_name, email)
			SELECT gen_random_uuid(), '2026-02-01', '10000000-0000-4000-8000-000000000001', 't' || n, '$2b$04$x', 'T', 't' || n || '@example.org' FROM generate_series(0, %d) n`, n),
	} {
		if _, err := query(t.Context(), dsn, sql); err != nil {
			t.Fatal(err)
		}
	}
}

// attempt runs the command through a faulty connection, and returns what it reported and did.
func (s subject) attempt(t *testing.T, pair, faulty dbtest.Pair, n int) attempt {
	t.Helper()
	a := s.start(t, faulty, n)
	s.look(t, pair, &a, n)
	return a
}

func (s subject) start(t *testing.T, pair dbtest.Pair, n int) attempt {
	fill := strings.NewReplacer("{n}", fmt.Sprint(n))
	code, said := runOnce(t, pair, fill.Replace(s.stdin), append(strings.Fields(fill.Replace(s.args)), "--reason", fmt.Sprint("run ", n))...)
	return attempt{what: fmt.Sprintf("run %d, %s", n, s.args), code: code, said: said, want: s.want}
}

// look counts the rows that the command has changed and its audit rows. It settles the intent of a change in a tenant's
// database.
func (s subject) look(t *testing.T, pair dbtest.Pair, a *attempt, n int) {
	t.Helper()
	at := pair.Manager
	if s.tenant {
		at = pair.Tenants
		if code, said := runOnce(t, pair, "", "audit", "reconcile", "--older-than", "1ms"); code != 0 {
			t.Fatalf("reconcile: %s", said)
		}
	}
	a.changed = askInt(t, at, strings.ReplaceAll(s.changed, "{n}", fmt.Sprint(n)))
	a.audited = askInt(t, pair.Manager, fmt.Sprintf(`SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND extra_data->>'reason' = 'run %d'`, n))
}

// The connection of a change is cut at each message of the protocol, in either direction. What the command reports is
// what happened.
func TestChange_CutAtAnyMessage(t *testing.T) {
	if testing.Short() {
		t.Skip("runs hundreds of commands; TestCommit_LostAnswerIsResolved cuts at the commit")
	}
	t.Parallel()
	result := torture.Report(t, 2, "changes whose connection is cut at a message")
	every := torture.Count(1, 40, 240)
	for _, s := range subjects {
		t.Run(s.args, func(t *testing.T) {
			t.Parallel()
			pair := dbtest.New(t, migrated)
			insertSubjects(t, pair, 4000)
			n := 0
			for _, tenant := range []bool{false, true} {
				if tenant && !s.tenant {
					continue
				}
				c := &cutter{}
				faulty := pair
				if tenant {
					faulty.Tenants = relay(t, pair.Tenants, "tcp", c.serve)
				} else {
					faulty.Manager = relay(t, pair.Manager, "tcp", c.serve)
				}
				for _, fromServer := range []bool{false, true} {
					for at := n % every; at < 1000; at += every { // a command has some hundred messages
						c.arm(fromServer, at)
						a := s.attempt(t, pair, faulty, n)
						a.what = fmt.Sprintf("%s, cut at message %d, of the server: %v, in the tenant's database: %v", a.what, at, fromServer, tenant)
						a.judge(t, result)
						n++
						if !c.happened {
							break
						}
						result.Faults.Add(1)
					}
				}
			}
			if code, said := runOnce(t, pair, "", "audit", "verify"); code != 0 {
				t.Errorf("verify: %s", said)
			}
		})
	}
}

// The server stops at once, without writing what it has in memory, after it has answered a COMMIT or at a random moment.
// Its own setting allows it to answer before the WAL is written, and so does a trigger. What was reported as changed is
// found after the restart.
func TestChange_ServerStopsAfterCommit(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 2, "changes, WAL cut after COMMIT was reported")
	server := dbtest.NewRestartable(t, migrated, "synchronous_commit=off", "wal_writer_delay=10s")
	pair := server.Pair()
	points := torture.Count(200, 12, 6)
	insertSubjects(t, pair, points)
	for dsn, table := range map[string]string{pair.Manager: "idam.users", pair.Tenants: "sys.users"} {
		ask(t, dsn, `CREATE FUNCTION public.hurry() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NEW; END$$;
			CREATE TRIGGER hurry BEFORE INSERT OR UPDATE ON `+table+` FOR EACH ROW EXECUTE FUNCTION public.hurry()`)
	}
	began := time.Now()
	subjects[1].attempt(t, pair, pair, points)
	took := time.Since(began)
	for n := range points {
		s := subjects[n/2%len(subjects)]
		answer, stopped := make(chan struct{}), make(chan struct{})
		faulty := pair
		_, faulty.Manager = newProxy(t, pair, "unix", "COMMIT\x00", func(client, server net.Conn, message []byte) {
			_, _ = server.Write(message)
			_ = server.SetReadDeadline(time.Now().Add(patience))
			buf := make([]byte, 1<<16)
			got, _ := server.Read(buf)
			close(answer)
			<-stopped
			_, _ = client.Write(buf[:got])
			_ = client.Close()
		})
		if n%2 == 1 {
			faulty = pair
		}
		done := make(chan attempt, 1)
		go func() { done <- s.start(t, faulty, n) }()
		if n%2 == 0 {
			<-answer
		} else {
			time.Sleep(rand.N(took))
		}
		server.Stop()
		close(stopped)
		result.Faults.Add(1)
		server.Start(t)
		a := <-done
		s.look(t, pair, &a, n)
		a.judge(t, result)
	}
	if code, said := runOnce(t, pair, "", "audit", "verify"); code != 0 {
		t.Errorf("verify: %s", said)
	}
}

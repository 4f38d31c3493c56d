package cli

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// proxy simulates one failure of a connection: when the client first sends a message that contains the text, the proxy
// calls fate with both ends and the messages sent together with it, instead of forwarding them. It forwards all other
// messages and later connections.
type proxy struct {
	text     string
	fate     func(client, server net.Conn, message []byte)
	happened atomic.Bool
}

// listen accepts connections until the test ends.
func listen(t *testing.T, network, address string, take func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			take(c)
		}
	}()
	return l
}

// relay returns a connection string for a server behind serve, which gets both ends of each connection: over TCP, or
// over a unix socket, which reports a closed peer immediately.
func relay(t *testing.T, dsn, network string, serve func(client, server net.Conn)) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	serverNetwork, serverAddress := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "cxg") // t.TempDir's path is too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, ".s.PGSQL.5432")
	}
	l := listen(t, network, address, func(client net.Conn) {
		go func() {
			defer func() { _ = client.Close() }()
			server, err := net.Dial(serverNetwork, serverAddress)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }()
			serve(client, server)
		}()
	})
	q := url.Values{"sslmode": {"disable"}}
	if network == "unix" {
		q.Set("host", filepath.Dir(address))
		q.Set("port", "5432")
	} else {
		host, port, _ := net.SplitHostPort(l.Addr().String())
		q.Set("host", host)
		q.Set("port", port)
	}
	u := url.URL{Scheme: "postgres", Path: "/" + cfg.Database, RawQuery: q.Encode(), User: url.User(cfg.User)}
	if cfg.Password != "" {
		u.User = url.UserPassword(cfg.User, cfg.Password)
	}
	return u.String()
}

// newProxy starts a proxy and returns the connection string for it.
func newProxy(t *testing.T, pair dbtest.Pair, network, text string, fate func(client, server net.Conn, message []byte)) (*proxy, string) {
	t.Helper()
	p := &proxy{text: text, fate: fate}
	return p, relay(t, pair.Manager, network, p.serve)
}

func (p *proxy) serve(client, server net.Conn) {
	var cut atomic.Bool
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if cut.Load() {
				return // fate has both ends
			}
			if err != nil {
				_ = client.Close()
				return
			}
			_, _ = client.Write(buf[:n])
		}
	}()
	startup := true
	for {
		message, err := receive(client, startup)
		if err != nil {
			return
		}
		if !startup && strings.Contains(string(message), p.text) && p.happened.CompareAndSwap(false, true) {
			const query, sync = 'Q', 'S' // the messages that the server answers
			for rest := message; rest[0] != query && rest[0] != sync; message = append(message, rest...) {
				if rest, err = receive(client, false); err != nil {
					return
				}
			}
			cut.Store(true)
			_ = server.SetReadDeadline(time.Now()) // stop reading in the other direction
			time.Sleep(20 * time.Millisecond)
			_ = server.SetReadDeadline(time.Time{})
			p.fate(client, server, message)
			return
		}
		startup = false
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// receive reads one message of the client. The startup message does not have a type byte.
func receive(client net.Conn, startup bool) ([]byte, error) {
	head := make([]byte, 5)
	if startup {
		head = head[:4]
	}
	if _, err := io.ReadFull(client, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4) // the length includes itself
	_, err := io.ReadFull(client, body)
	return append(head, body...), err
}

// answered forwards a message and reads the server's answer without forwarding it.
func answered(server net.Conn, message []byte) {
	_, _ = server.Write(message)
	_ = server.SetReadDeadline(time.Now().Add(patience))
	_, _ = server.Read(make([]byte, 1<<10))
}

// Through a pooler the process id of the server is unknown, and the process may serve other clients afterwards.
func TestCommit_LostAnswerIsResolved(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 2, "changes cut between COMMIT and its answer")
	bouncer := dbtest.NewPgBouncer(t)
	for name, c := range map[string]struct {
		fate func(client, server net.Conn, message []byte)
		done bool
	}{
		"committed": {func(_, server net.Conn, message []byte) { answered(server, message) }, true},
		"committed late": {func(client, server net.Conn, message []byte) {
			_ = client.Close()
			time.Sleep(500 * time.Millisecond)
			answered(server, message)
		}, true},
		"committed, never answered": {func(client, server net.Conn, message []byte) {
			answered(server, message)
			_, _ = client.Read(make([]byte, 1)) // until the client gives up
		}, true},
		"not committed": {func(net.Conn, net.Conn, []byte) {}, false},
		"not committed, known late": {func(client, server net.Conn, _ []byte) {
			_ = client.Close()
			time.Sleep(500 * time.Millisecond)
		}, false},
	} {
		for n := range 2 * torture.Count(20, 1, 1) {
			way := []string{"direct", "pooled"}[n%2]
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				pair := withAda(t)
				target := pair
				if way == "pooled" {
					var err error
					if target, err = bouncer.Through(pair); err != nil {
						t.Fatal(err)
					}
				}
				proxy, dsn := newProxy(t, target, "tcp", "COMMIT\x00", c.fate)
				p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone, "--timeout", "2s").env("CXGCTL_MANAGER_DATABASE_URL=" + dsn)
				if c.done {
					p.exits(t, 0)
					changed(t, pair.Manager)
				} else {
					p.exits(t, 8).says(t, "the connection broke during the commit, and nothing was changed")
					untouched(t, pair.Manager)
				}
				result.Attempts.Add(1)
				result.Faults.Add(1)
				if !proxy.happened.Load() {
					t.Error("no accident happened")
				}
			})
		}
	}
}

// A commit whose answer was lost with the primary is resolved on the promoted standby after that has replayed all of
// it.
func TestCommit_ResolvedAfterFailover(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]bool{"committed": true, "not committed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := dbtest.NewReplicated(t, migrated)
			if _, err := query(t.Context(), r.Primary().Manager, insertAda); err != nil {
				t.Fatal(err)
			}
			promoted := make(chan error, 1)
			proxy, dsn := newProxy(t, r.Primary(), "unix", "COMMIT\x00", func(client, server net.Conn, message []byte) {
				if done {
					answered(server, message)
				}
				r.Fail()
				_ = client.Close()
				go func() {
					time.Sleep(500 * time.Millisecond) // only the standby is up
					promoted <- r.Promote(t.Context())
				}()
			})
			// The connection string lists the standby too.
			u, err := url.Parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			standby, err := pgx.ParseConfig(r.Standby().Manager)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Set("host", q.Get("host")+","+standby.Host)
			q.Set("port", q.Get("port")+",5432")
			u.RawQuery = q.Encode()
			p := cxgctl(t, r.Primary(), "users", "update", "ada", "--phone", newPhone, "--timeout", "5s").env("CXGCTL_MANAGER_DATABASE_URL=" + u.String())
			want := 0
			if !done {
				want = 8
			}
			p.exits(t, want)
			if !proxy.happened.Load() {
				t.Error("no accident happened")
			}
			if err := <-promoted; err != nil {
				t.Fatal(err)
			}
			if done {
				changed(t, r.Standby().Manager)
			} else {
				p.says(t, "nothing was changed")
				untouched(t, r.Standby().Manager)
			}
		})
	}
}

// A lost server is not mistaken for a closed standard output, although both are EPIPE.
func TestConnection_LostIsDatabaseError(t *testing.T) {
	t.Parallel()
	fates := map[string]func(client, server net.Conn, message []byte){
		"instead of the answer": func(client, _ net.Conn, _ []byte) { _ = client.Close() },
		// The client then gets EPIPE when it writes its next statement.
		"after the answer": func(client, server net.Conn, message []byte) {
			_, _ = server.Write(message)
			_ = server.SetReadDeadline(time.Now().Add(patience))
			answer := make([]byte, 1<<16)
			n, _ := server.Read(answer)
			_, _ = client.Write(answer[:n])
			_ = client.Close()
		},
	}
	for when, fate := range fates {
		for i, text := range []string{"read write", "FOR UPDATE", "UPDATE idam.users", "INSERT INTO audt.audit_logs"} {
			t.Run(when+"/"+strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				pair := withAda(t)
				proxy, dsn := newProxy(t, pair, "unix", text, fate)
				p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone).env("CXGCTL_MANAGER_DATABASE_URL=" + dsn)
				code := p.code(t)
				if !proxy.happened.Load() {
					t.Fatalf("no message has %q", text)
				}
				if code != 8 {
					t.Errorf("exit code %d, want 8: %s", code, p.err.String())
				}
				p.says(t, "cxgctl: error: ")
				untouched(t, pair.Manager)
			})
		}
	}
}

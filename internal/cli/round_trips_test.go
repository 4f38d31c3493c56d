package cli

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// TestRoundTrips counts the round trips of commands, including those of connecting, directly and through a pooler. Over a
// network each costs more than the rest of the command, so a change of a number needs a reason. The goals are those of
// performance.md.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	const create = "users create --username trips --email trips@example.com --full-name Trips --no-password"
	type counts struct {
		command              string
		exit, direct, pooled int
	}
	table := []counts{
		{create, 0, 7, 8},
		{create, 4, 9, 10}, // names the holders
		{"users get trips", 0, 4, 5},
		{"users list", 0, 4, 5},
		{"invoices list", 0, 4, 5},
		{"users update trips --phone +82255501990", 0, 7, 8},
		{"users status trips --set LOCKED", 0, 7, 8},
		{"users unlock trips", 0, 7, 8},
		{"users import - --format csv --no-passwords", 0, 12, 13},
	}
	rows := "username,email,full_name\n"
	for i := range 1000 {
		rows += fmt.Sprintf("person%[1]d,person%[1]d@example.com,Person\n", i)
	}
	for _, way := range []string{"direct", "pooled"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			pair := dbtest.New(t, migrated)
			target := pair
			if way == "pooled" {
				var err error
				if target, err = dbtest.NewPgBouncer(t).Through(pair); err != nil {
					t.Fatal(err)
				}
			}
			dsn, taken := countTrips(t, target.Manager)
			old, err := query(t.Context(), pair.Manager, "SELECT current_setting('server_version_num')::int / 10000 < 14")
			if err != nil {
				t.Fatal(err)
			}
			// The first seal of a database takes more.
			cxgctl(t, pair, strings.Fields("users create --username first --email first@example.com --full-name First --no-password")...).exits(t, 0)
			for _, c := range table {
				cxgctl(t, target, strings.Fields(c.command)...).env("CXGCTL_MANAGER_DATABASE_URL="+dsn).in(rows).exits(t, c.exit)
				want := c.direct
				if way == "pooled" {
					want = c.pooled
				} else if old[0][0] == "t" {
					want++ // the session asks for a setting that newer servers report
				}
				if n := taken(); n != want {
					t.Errorf("cxgctl %s takes %d round trips, want %d", c.command, n, want)
				}
			}
		})
	}
}

// countTrips starts a proxy in front of a server's socket. It returns the connection string for it, and a function that
// returns the number of round trips since its last call: how often a client sent after the server had.
func countTrips(t *testing.T, dsn string) (proxied string, taken func() int) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cxg") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := fmt.Sprintf(".s.PGSQL.%d", cfg.Port)
	var mu sync.Mutex
	trips, asked := 0, false
	forward := func(to io.Writer, from io.Reader, fromClient bool) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if buf[0] != 'X' || !fromClient { // Terminate has no response
				mu.Lock()
				if fromClient && !asked {
					trips++
				}
				asked = fromClient
				mu.Unlock()
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	listen(t, "unix", filepath.Join(dir, socket), func(client net.Conn) {
		server, err := net.Dial("unix", filepath.Join(cfg.Host, socket))
		if err != nil {
			_ = client.Close()
			return
		}
		go func() {
			defer client.Close()
			forward(client, server, false)
		}()
		go func() {
			defer server.Close()
			forward(server, client, true)
		}()
	})
	q := url.Values{"host": {dir}, "port": {fmt.Sprint(cfg.Port)}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User(cfg.User), Path: "/" + cfg.Database, RawQuery: q.Encode()}
	return u.String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		n := trips
		trips, asked = 0, false
		return n
	}
}

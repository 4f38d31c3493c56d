package main

import (
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
)

// trips counts the round trips of commands, connecting and starting included.
func trips(b *bench) ([]testCase, error) {
	const db = "bench_trips"
	if err := b.copyDatabase(db); err != nil {
		return nil, err
	}
	user, err := b.sql(db, "SELECT username FROM idam.users WHERE user_type = 'TENANT' AND is_active AND status = 'ACTIVE' ORDER BY id LIMIT 1")
	if err != nil {
		return nil, err
	}
	file, err := b.write("trips.csv", people(1000, false))
	if err != nil {
		return nil, err
	}
	c, err := b.newCounter(db)
	if err != nil {
		return nil, err
	}
	create := b.cxgctl("users", "create", "--username", "trips", "--email", "trips@example.com", "--full-name", "Trips", "--no-password")
	counted := func(name, goal string, argv []string) contender {
		return contender{name: name, goal: goal, counted: func() (int, error) {
			_, err := b.start(contender{name: name, argv: argv, env: []string{"CXGCTL_MANAGER_DATABASE_URL=" + c.dsn}})
			return c.taken(), err
		}}
	}
	twice := append([]string{"sh", "-c", `"$@"; [ $? = 4 ]`, "sh"}, create...)
	return []testCase{{title: "round trips, unix socket", contenders: []contender{
		counted("users get", "≤ 4", b.cxgctl("users", "get", user)),
		counted("users list", "≤ 4", b.cxgctl("users", "list")),
		counted("invoices list", "≤ 4", b.cxgctl("invoices", "list")),
		counted("users update", "≤ 7", b.cxgctl("users", "update", user, "--phone", "+82 2 555 0199")),
		counted("users status", "≤ 7", b.cxgctl("users", "status", user, "--set", "LOCKED")),
		counted("users unlock", "≤ 7", b.cxgctl("users", "unlock", user)),
		counted("users create", "≤ 7", create),
		counted("users create of a duplicate", "≤ 9", twice),
		counted("users import of 1,000 rows", "≤ 12", b.cxgctl("users", "import", file, "--no-passwords")),
	}}}, nil
}

// counter is a proxy between a client and the server that counts round trips: how often the client sends after the
// server has, from the start of a connection.
type counter struct {
	dsn    string
	server string // the server's socket

	mu    sync.Mutex
	trips int
	asked bool // the client sent last
}

// newCounter returns a counter for a database, which listens until the bench ends.
func (b *bench) newCounter(database string) (*counter, error) {
	u, err := url.Parse(b.server.DSN(database))
	if err != nil {
		return nil, err
	}
	query := u.Query()
	c := &counter{server: filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))}
	dir := filepath.Join(b.dir, "trips")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	c.dsn = u.String()
	listener, err := net.Listen("unix", filepath.Join(dir, filepath.Base(c.server)))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c, nil
}

func (c *counter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", c.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go c.forward(client, server, false)
	c.forward(server, client, true)
}

// forward copies messages until an end closes.
func (c *counter) forward(to io.Writer, from io.Reader, fromClient bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if buf[0] != 'X' || !fromClient { // Terminate has no response
			c.mu.Lock()
			if fromClient && !c.asked {
				c.trips++
			}
			c.asked = fromClient
			c.mu.Unlock()
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// taken returns the number of round trips since the last call.
func (c *counter) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.trips
	c.trips, c.asked = 0, false
	return n
}

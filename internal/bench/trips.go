package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/cxgctl/cxgctl/internal/devdb"
)

// counter is a proxy between a client and the server that counts round trips: how often the client sends after the
// server has, from the start of a connection.
type counter struct {
	dsn      string
	dir      string
	listener net.Listener
	server   string // the server's socket

	mu    sync.Mutex
	trips int
	asked bool // the client sent last
}

// count returns a counter for the server of s, with its own socket under dir.
func count(dir string, s devdb.Status) (*counter, error) {
	u, err := url.Parse(s.DSN("mgmt"))
	if err != nil {
		return nil, err
	}
	query := u.Query()
	c := &counter{server: filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))}
	if c.dir, err = os.MkdirTemp(dir, "trips"); err != nil {
		return nil, err
	}
	query.Set("host", c.dir)
	u.RawQuery = query.Encode()
	c.dsn = u.String()
	if c.listener, err = net.Listen("unix", filepath.Join(c.dir, filepath.Base(c.server))); err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := c.listener.Accept()
			if err != nil {
				return // closed
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
	go func() { _, _ = io.Copy(client, heard{server, func([]byte) { c.spoke(false) }}) }()
	_, _ = io.Copy(server, heard{client, func(b []byte) {
		if b[0] != 'X' { // Terminate has no response
			c.spoke(true)
		}
	}})
}

// heard calls a function for every piece that is read.
type heard struct {
	io.Reader
	call func([]byte)
}

func (h heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if n > 0 {
		h.call(b[:n])
	}
	return n, err
}

func (c *counter) spoke(client bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client && !c.asked {
		c.trips++
	}
	c.asked = client
}

// taken returns the number of round trips since the last call.
func (c *counter) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.trips
	c.trips, c.asked = 0, false
	return n
}

func (c *counter) close() { _ = errors.Join(c.listener.Close(), os.RemoveAll(c.dir)) }

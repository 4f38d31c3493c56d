package db

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Times that otherServer waits for an answer: at all, and until it sends the end of a line, which servers of text
// protocols wait for.
const (
	probeTimeout = time.Second
	probePause   = 50 * time.Millisecond
)

// sslRequest is the first message to a PostgreSQL server, which answers with one byte: S, N or E.
var sslRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}

// otherServer returns an error that names the kind of server that answered in place of PostgreSQL, if the error of a
// connection may come from one, else nil. It connects again to see the answer.
func otherServer(ctx context.Context, err error) error {
	ce, ok := errors.AsType[*pgconn.ConnectError](err)
	_, answered := errors.AsType[*pgconn.PgError](err)
	_, unreached := errors.AsType[syscall.Errno](err)
	_, unknown := errors.AsType[*net.DNSError](err)
	if !ok || answered || unknown || unreached && !errors.Is(err, syscall.ECONNRESET) || errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout) // the deadline may have passed
	defer cancel()
	network, address := pgconn.NetworkAddress(ce.Config.Host, ce.Config.Port)
	conn, err := ce.Config.DialFunc(ctx, network, address)
	if err != nil {
		return nil
	}
	defer conn.Close() //nolint:errcheck // only read from
	defer time.AfterFunc(probePause, func() { _, _ = conn.Write([]byte("\r\n\r\n")) }).Stop()
	deadline, _ := ctx.Deadline()
	answer := make([]byte, 64)
	n := 0
	if conn.SetDeadline(deadline) == nil {
		_, _ = conn.Write(sslRequest)
		n, _ = conn.Read(answer)
	}
	answer = answer[:n]
	kind := "a server of another kind"
	switch text := strings.ToUpper(string(answer)); {
	case n == 0, n == 1 && slices.Contains([]string{"S", "N"}, text), text[0] == 'E':
		return nil
	case strings.HasPrefix(text, "HTTP/"), strings.HasPrefix(text, "<"):
		kind = "an HTTP server"
	case strings.HasPrefix(text, "SSH-"):
		kind = "an SSH server"
	case bytes.HasPrefix(answer[min(n, 3):], []byte{0, 10}): // after its length, the first packet, of protocol 10
		kind = "a MySQL server"
	}
	return errors.New(kind + " answered, not PostgreSQL")
}

package db

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// fixed is a source of one password.
type fixed string

func (f fixed) Password(context.Context) (string, error) { return string(f), nil }

// asking starts a server that asks for the password with request and sends the client's answer to told.
func asking(t *testing.T, network string, request ...byte) (dsn string, told <-chan string) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("/tmp", "cxg") // short enough for a socket path
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, ".s.PGSQL.5432")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	answers := make(chan string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if answer, started := ask(conn, request); started {
				answers <- answer
				return
			}
		}
	}()
	if network == "unix" {
		return "postgres://app@/mgmt?host=" + filepath.Dir(address), answers
	}
	return "postgres://app@" + l.Addr().String() + "/mgmt", answers
}

// ask serves one client: it refuses TLS, sends the request, and returns the answer.
func ask(conn net.Conn, request []byte) (answer string, started bool) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(r, head); err != nil {
			return "", false
		}
		if _, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(head))-8); err != nil {
			return "", false
		}
		if code := binary.BigEndian.Uint32(head[4:]); code != 80877103 { // a start-up packet
			break
		}
		_, _ = conn.Write([]byte("N")) // no TLS
	}
	message := binary.BigEndian.AppendUint32([]byte{'R'}, uint32(4+len(request)))
	_, _ = conn.Write(append(message, request...))
	rest, _ := io.ReadAll(r)
	return string(rest), true
}

// A password is sent over TCP in clear text or as an MD5 hash only if the connection string allows it.
func TestPasswordIsNotGivenAway(t *testing.T) {
	t.Parallel()
	const secret = "Tr0ubador"
	cleartext, md5 := []byte{0, 0, 0, authCleartext}, []byte{0, 0, 0, authMD5, 1, 2, 3, 4}
	for _, c := range []struct {
		name, network, query string
		request              []byte
		sent                 bool
		says                 string
	}{
		{"clear text", "tcp", "", cleartext, false, errCleartext.Error()},
		{"MD5", "tcp", "", md5, false, errMD5.Error()},
		{"clear text, allowed", "tcp", "?require_auth=password", cleartext, true, ""},
		{"MD5, allowed", "tcp", "?require_auth=md5", md5, true, ""},
		{"clear text, MD5 allowed", "tcp", "?require_auth=md5", cleartext, false, ""},
		{"clear text, TLS required", "tcp", "?sslmode=require", cleartext, false, ""},
		{"clear text over a socket", "unix", "", cleartext, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn, told := asking(t, c.network, c.request...)
			_, err := Open(t.Context(), Options{Name: "manager", URL: dsn + c.query, Password: fixed(secret), Timeout: 5 * time.Second})
			if !fault.Is(err, fault.Database) || !strings.Contains(err.Error(), c.says) || strings.Contains(fmt.Sprint(err, fault.From(err).Hint), secret) {
				t.Errorf("%v", err)
			}
			answer := ""
			if c.query != "?sslmode=require" {
				answer = <-told
			}
			if sent := strings.HasPrefix(answer, "p"); sent != c.sent {
				t.Errorf("the server received %q", answer)
			}
		})
	}
}

// F19: a password is not taken from a .pgpass that is readable by group or others.
func TestPassfileOfOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(path, []byte("h:*:*:ada:Tr0ubador\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true, 0o620: true, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for user, needed := range map[string]bool{"ada": true, "bob": false} {
			for _, dsn := range []string{"postgres://" + user + "@h/db?passfile=" + path, "host=h user=" + user + " passfile=" + path} {
				_, err := Config(Options{Name: "manager", URL: dsn})
				if (err != nil) != (refused && needed) || err != nil && !strings.Contains(err.Error(), "is open to group or others") {
					t.Errorf("%o, %s: %v", mode, dsn, err)
				}
				if _, err := Config(Options{Name: "manager", URL: dsn, Password: fixed("of a file")}); err != nil {
					t.Errorf("%o, a password of another file: %v", mode, err)
				}
			}
		}
	}
}

// Connection errors name every host and port, the database and the setting, and quote nothing of a string that cannot
// be parsed.
func TestConnectionErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	const from = "profile p, manager_database_url in c.yaml:4"
	for dsn, want := range map[string]string{
		"postgres://app@127.0.0.1:1,127.0.0.1:2/mgmt": "cannot connect to the manager database: connection refused (127.0.0.1:1, 127.0.0.1:2, database mgmt; " + from + ")",
		"postgres://app@/mgmt?host=/nonexistent":      "cannot connect to the manager database: no such file or directory (/nonexistent:5432, database mgmt; " + from + ")",
		"host=dor#3x dbname=mgmt":                     "the manager database's connection string is malformed (" + from + ")",
		"host=app:Tr0ub@dor dbname=mgmt":              "the manager database's connection string is malformed (" + from + ")",
		"host=127.0.0.1 password=Tr0ub dor#3x=1":      "the manager database's connection string is malformed (" + from + ")",
		"host=127.0.0.1 password=Tr0ub dor#3x":        "the manager database's connection string is malformed (" + from + ")",
		"postgres://app:Tr0ub@dor#3x@127.0.0.1/mgmt":  "the manager database's connection string is malformed (" + from + ")",
	} {
		_, err := Open(t.Context(), Options{Name: "manager", URL: dsn, From: from, Timeout: 5 * time.Second})
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", dsn, err, want)
		}
	}
}

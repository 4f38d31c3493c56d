package db

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"

	"github.com/jackc/pgpassfile"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// The server chooses how to verify the password. A malicious server may ask for it in clear text, or as an MD5 hash
// that can be cracked offline. Without TLS neither is sent over TCP, unless require_auth in the connection string
// allows it; pgx then enforces that setting.

var (
	errCleartext = errors.New("the server asks for the password in clear text, without TLS")
	errMD5       = errors.New("the server asks for the password as an MD5 hash, without TLS")
)

// guardPassword is the frontend for a connection string without require_auth.
func guardPassword(r io.Reader, w io.Writer) *pgproto3.Frontend {
	if exposed(w) {
		r = &authReader{Reader: r}
	}
	return frontend(r, w)
}

// exposed reports whether the connection can be eavesdropped on.
func exposed(w io.Writer) bool {
	if _, encrypted := w.(*tls.Conn); encrypted {
		return false
	}
	conn, ok := w.(net.Conn)
	return !ok || conn.RemoteAddr().Network() != "unix"
}

// authReader fails if the server asks for a password in a form that guardPassword refuses.
type authReader struct {
	io.Reader
	seen []byte // of the current message
	done bool   // authentication has succeeded
}

// Types of authentication requests (https://www.postgresql.org/docs/current/protocol-message-formats.html).
const (
	authOK        = 0
	authCleartext = 3
	authMD5       = 5
)

func (r *authReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.done {
		return n, err
	}
	r.seen = append(r.seen, p[:n]...)
	for len(r.seen) >= 5 && !r.done {
		size := 1 + int(binary.BigEndian.Uint32(r.seen[1:]))
		if r.seen[0] == 'R' {
			if len(r.seen) < 9 {
				break
			}
			switch binary.BigEndian.Uint32(r.seen[5:]) {
			case authOK:
				r.done, r.seen = true, nil
				return n, err
			case authCleartext:
				return 0, errCleartext
			case authMD5:
				return 0, errMD5
			}
		}
		if len(r.seen) < size {
			break
		}
		r.seen = r.seen[max(size, 5):]
	}
	return n, err
}

var passfileParameter = regexp.MustCompile(`\bpassfile\s*=\s*([^&\s]+)`)

// refusePassfile refuses a password from a file that is readable by group or others, as libpq does. The file's mode
// does not matter if the password came from elsewhere.
func refusePassfile(cfg *pgx.ConnConfig, dsn string) error {
	if cfg.Password == "" {
		return nil
	}
	path := os.Getenv("PGPASSFILE")
	if m := passfileParameter.FindStringSubmatch(dsn); m != nil {
		path = m[1]
		if decoded, err := url.PathUnescape(path); err == nil {
			path = decoded
		}
	} else if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".pgpass")
	}
	problem := CheckPassfile(path)
	if problem == nil {
		return nil
	}
	file, err := pgpassfile.ReadPassfile(path)
	if err != nil {
		return nil //nolint:nilerr // a file that cannot be read gives no password
	}
	for _, e := range file.Entries {
		if e.Password == cfg.Password {
			return problem
		}
	}
	return nil
}

// CheckPassfile refuses a .pgpass file that is readable by group or others.
func CheckPassfile(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // a file that is not there gives no password
	}
	return fault.New(fault.Validation, ".pgpass %s is open to group or others (mode %04o)", path, info.Mode().Perm()).WithHint("chmod 600 %s", path)
}

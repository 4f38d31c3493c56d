package devdb

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// maxSocketPath is the maximum length of a unix socket's path in bytes: 107 on Linux, 103 on the BSDs and macOS.
const maxSocketPath = 103

// plainPath lists the characters that are safe in both the server's list of socket directories and a client's list of
// hosts.
const plainPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@"

// socketDir creates and returns the directory for the server's socket: in our directory, or a short one in /tmp if
// that path is too long or contains characters such as a comma.
func (c cluster) socketDir() (string, error) {
	dir := c.runDir()
	if len(filepath.Join(dir, ".s.PGSQL.65535")) <= maxSocketPath && strings.Trim(dir, plainPath) == "" {
		if err := c.account.own(dir); err != nil {
			return "", unusable(c.dir, err)
		}
		return dir, nil
	}
	dir = c.shortSocketDir()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", unusable(dir, err)
	}
	// Anyone can create a directory in /tmp. The creator of ours could access the socket.
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return "", unusable(dir, err)
	}
	if st.Mode&^unix.S_ISGID != unix.S_IFDIR|0o700 || (st.Uid != c.account.uid && int(st.Uid) != os.Geteuid()) {
		return "", fault.New(fault.Database, "the socket directory %s belongs to another user or is not private", dir).
			WithHint("remove it, or give the dev database a directory with a shorter path")
	}
	if err := c.account.own(dir); err != nil {
		return "", unusable(dir, err)
	}
	return dir, nil
}

func (c cluster) shortSocketDir() string {
	return fmt.Sprintf("/tmp/cxgctl-%d-%s", c.account.uid, shortHash(c.dataDir()))
}

// shortHash returns a short hash that distinguishes paths.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

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

// maxSocketPath is the longest path of a unix socket, in bytes: Linux takes 107, the BSDs and macOS 103.
const maxSocketPath = 103

// plainPath has every character that a path may have where both the server's list of socket folders
// and a client's list of hosts read it as one name.
const plainPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@"

// socketDir makes and returns the folder for the server's socket: inside our directory, or, where
// that path is too long or has a comma or the like, a short one in /tmp.
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
	// Anybody may make a folder in /tmp: one that we did not make could show our socket to its maker.
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return "", unusable(dir, err)
	}
	if st.Mode&^unix.S_ISGID != unix.S_IFDIR|0o700 || (st.Uid != c.account.uid && int(st.Uid) != os.Geteuid()) {
		return "", fault.New(fault.Database, "the socket's folder %s is not ours or not private", dir).
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

// shortHash tells paths apart in names that have to be short.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

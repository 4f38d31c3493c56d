package devdb

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// rootDir is the default for root: the server runs as another user, which cannot enter root's home directory.
const rootDir = "/var/lib/cxgctl/dev"

// account is the user that runs the server. PostgreSQL refuses to run as root, so root uses another user.
type account struct {
	name     string
	uid, gid uint32
	switched bool
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{name: name, uid: uint32(uid), gid: uint32(gid), switched: true}, nil
		}
	}
	return account{}, fault.New(fault.Database, "PostgreSQL does not run as root, and no other user was found to run it").
		WithHint("run cxgctl as an ordinary user, or create a user postgres")
}

// attributes makes a command run as the account.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// barrier returns the first directory from / to path that the account cannot enter, or "". It only checks mode bits
// and stops at the first missing directory.
func (a account) barrier(path string) string {
	if !a.switched {
		return ""
	}
	if up := filepath.Dir(path); up != path {
		if wall := a.barrier(up); wall != "" {
			return wall
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return ""
	}
	enter := uint32(0o001)
	switch {
	case st.Uid == a.uid:
		enter = 0o100
	case st.Gid == a.gid:
		enter = 0o010
	}
	if uint32(st.Mode)&enter == 0 { //nolint:unconvert // 16 bits wide on other systems
		return path
	}
	return ""
}

// makeDir creates path and its parents with mode 0700, as XDG requires, but lets another account pass. It ignores the
// umask.
func (a account) makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	switch {
	case os.IsExist(err):
		return nil
	case os.IsNotExist(err):
		if err := a.makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		return a.makeDir(path)
	case err == nil && a.switched:
		return os.Chmod(path, 0o755)
	}
	return err
}

// admit lets the account enter dir, which is ours, without listing it.
func (a account) admit(dir string) error {
	if a.switched {
		if err := os.Chmod(dir, 0o711); err != nil {
			return unusable(dir, err)
		}
	}
	return nil
}

// own creates the directory path, if it is missing, for the account only.
func (a account) own(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	if a.switched {
		return os.Lchown(path, int(a.uid), int(a.gid))
	}
	return nil
}

// DefaultDir returns the default directory of a user's dev database: $XDG_DATA_HOME/cxgctl/dev or
// ~/.local/share/cxgctl/dev; for root /var/lib/cxgctl/dev. Root's XDG_DATA_HOME is only used if the server's user can
// enter it.
func DefaultDir(getenv func(string) string) string {
	var home string
	if xdg := getenv("XDG_DATA_HOME"); filepath.IsAbs(xdg) {
		home = filepath.Join(xdg, "cxgctl", "dev")
	}
	if os.Geteuid() != 0 {
		if home == "" {
			home = filepath.Join(getenv("HOME"), ".local", "share", "cxgctl", "dev")
		}
		return home
	}
	if home == "" {
		return rootDir
	}
	if acct, err := serverAccount(); err == nil && acct.barrier(resolve(filepath.Dir(home))) != "" {
		// A different name, so that two such settings do not share a database.
		return rootDir + "-" + shortHash(home)
	}
	return home
}

func (o Options) dir() string {
	if o.Dir != "" {
		return o.Dir
	}
	return DefaultDir(o.getenv)
}

// resolve makes path absolute and follows the symbolic links in its existing part, so that each directory has a single
// name.
func resolve(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		return target
	}
	if up := filepath.Dir(abs); up != abs {
		return filepath.Join(resolve(up), filepath.Base(abs))
	}
	return abs
}

// trusted reports whether the file at path belongs to us or root and cannot be written by others. Files found through
// the working directory are not run otherwise.
func trusted(path string) bool {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return false
	}
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0
}

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

// rootDir is root's default: the server runs as another user, who may not enter root's home.
const rootDir = "/var/lib/cxgctl/dev"

// account is the user who runs the server: ourselves, or somebody else when we are root, for
// PostgreSQL refuses to run as root.
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
	return account{}, fault.New(fault.Database, "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it").
		WithHint("run cxgctl as an ordinary user, or make a user postgres")
}

// attributes makes a command run as the account.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// barrier returns the first folder from / down to path that the account may not enter, or "".
// It looks at the mode bits only; what lies beyond the first missing folder is ours to make.
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

// makeDir makes path with its parents: private, as XDG asks of a data directory, except where the
// account is somebody else and has to come through. The umask has no say.
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

// admit lets the account enter dir, which is ours, without seeing what is in it.
func (a account) admit(dir string) error {
	if a.switched {
		if err := os.Chmod(dir, 0o711); err != nil {
			return unusable(dir, err)
		}
	}
	return nil
}

// own makes the folder path, which nobody but the account may enter, where there is none.
func (a account) own(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	if a.switched {
		return os.Lchown(path, int(a.uid), int(a.gid))
	}
	return nil
}

// DefaultDir returns where a user's dev database is: $XDG_DATA_HOME/cxgctl/dev, else
// ~/.local/share/cxgctl/dev; for root /var/lib/cxgctl/dev. Root's XDG_DATA_HOME counts only where
// the server's user may enter it.
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
		// Apart from the plain default, so that two such settings stay two databases.
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

// resolve makes path absolute and follows the symbolic links in the part of it that exists, so that
// one directory has one name.
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

// trusted says whether the file at path belongs to us or to root and nobody else may write it: what
// is looked for in the working directory is not run otherwise.
func trusted(path string) bool {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return false
	}
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0
}

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// whyExposed returns why a file is unfit for a secret, or "", and whether chmod helps. Root is trusted:
// it can read everything anyway.
func whyExposed(info fs.FileInfo) (why string, chmod bool) {
	if !info.Mode().IsRegular() {
		return "", false
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "is open to group or others", true
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return "belongs to another user", false
	}
	return "", false
}

// Password reads the password file of the chosen profile, and returns "" if the profile names none.
func (c Config) Password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	return ReadSecret(keyPassword, c.PasswordFile, c.credentials)
}

// maxSecret is the maximum size of a secret file in bytes.
const maxSecret = 4096

// ReadSecret reads a password from a file of one line, without the line end and a byte order mark. The file may be a
// link or a pipe; see CheckSecret for its permissions. what is the key or flag that messages name; credentials is
// $CREDENTIALS_DIRECTORY.
func ReadSecret(what, path, credentials string) (string, error) {
	file, err := openSecret(what, path, credentials)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // nothing was written to it
	refuse := func(why string) error { return fault.New(fault.Validation, "%s %s %s", what, path, why) }
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fault.New(fault.Validation, "%s %s cannot be read", what, path).Because(err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(string(text), "\ufeff"), "\n"), "\r")
	switch {
	case password == "":
		return "", refuse("is empty")
	case len(text) > maxSecret:
		return "", refuse("is larger than 4 KiB")
	case strings.ContainsAny(password, "\n\r\x00"):
		return "", refuse("must contain one line, the password")
	}
	return password, nil
}

// CheckSecret returns an error if ReadSecret would refuse the file for another reason than its content. It
// must belong to the current user or root and must not be readable by others, except its group. In
// /run/secrets and $CREDENTIALS_DIRECTORY, the orchestrator sets owner and mode, and all are accepted.
func CheckSecret(what, path, credentials string) error {
	file, err := openSecret(what, path, credentials)
	if err != nil {
		return err
	}
	return file.Close()
}

func openSecret(what, path, credentials string) (*os.File, error) {
	refuse := func(why string) *fault.Error { return fault.New(fault.Validation, "%s %s %s", what, path, why) }
	// With O_NONBLOCK, a pipe without a writer is empty instead of blocking. Reads still wait for a writer that has
	// not written yet.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, refuse("is a link that leads to itself").Because(err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, refuse("does not exist").Because(err)
	case errors.Is(err, fs.ErrPermission):
		return nil, refuse("cannot be read: permission denied").Because(err)
	case err != nil:
		return nil, refuse("cannot be read").Because(err)
	}
	info, err := file.Stat()
	if err == nil {
		err = checkSecretFile(refuse, path, info, credentials)
	} else {
		err = refuse("cannot be read").Because(err)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// checkSecretFile checks the open file, so that it is the one that is read.
func checkSecretFile(refuse func(string) *fault.Error, path string, info fs.FileInfo, credentials string) error {
	owner, mode := ownerOf(info), info.Mode()
	switch {
	case !mode.IsRegular() && mode.Type() != fs.ModeNamedPipe:
		return refuse("is neither a regular file nor a pipe")
	case isWithin(path, "/run/secrets") || isWithin(path, credentials):
		return nil
	case owner != 0 && owner != os.Geteuid():
		return refuse("belongs to another user (" + username(owner) + ")").
			WithHint("chown it, or use a copy of your own with mode 0600")
	case mode.Perm()&0o007 != 0:
		return refuse(fmt.Sprintf("is open to others (mode %04o)", mode.Perm())).
			WithHint("chmod 600 %s", fault.Word(path))
	case mode.Perm()&0o020 != 0 && groupOf(info) != os.Getegid():
		return refuse("can be changed by a group that is not your own").WithHint("chmod g-w %s", fault.Word(path))
	}
	return nil
}

// isWithin reports whether path, its links followed, is inside of a folder.
func isWithin(path, folder string) bool {
	if folder == "" {
		return false
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil || folder == "/" {
		return false
	}
	return strings.HasPrefix(real, folder+string(filepath.Separator))
}

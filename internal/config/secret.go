package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// exposed says, in words, what makes a file unfit to hold a secret, or "". Root's files are as good as
// our own: who cannot trust root has lost already.
func exposed(info fs.FileInfo) (why string, chmod bool) {
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

// Password reads the password file of the chosen profile; "" when the profile names none.
func (c Config) Password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	return ReadSecret(keyPassword, c.PasswordFile)
}

// ReadSecret reads a password from a file; what is how messages call it, a key or a flag. The file must
// be a plain one of the current user or root, closed to everybody else, with one line; the line's end
// is no part of the password.
func ReadSecret(what, path string) (string, error) {
	refuse := func(why string) *fault.Error {
		return fault.New(fault.Validation, "%s %s %s", what, path, why)
	}
	// O_NONBLOCK, so that a pipe is refused below instead of waited for.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return "", refuse("is a symbolic link").WithHint("name the file that it leads to")
	case errors.Is(err, fs.ErrNotExist):
		return "", refuse("does not exist").Because(err)
	case errors.Is(err, fs.ErrPermission):
		return "", refuse("cannot be read: permission denied").Because(err)
	case err != nil:
		return "", refuse("cannot be read").Because(err)
	}
	defer file.Close() //nolint:errcheck // nothing was written to it
	info, err := file.Stat()
	if err != nil {
		return "", refuse("cannot be read").Because(err)
	}
	if !info.Mode().IsRegular() {
		return "", refuse("is no plain file")
	}
	if why, chmod := exposed(info); chmod {
		return "", refuse(why).WithHint("chmod 600 %s", fault.Word(path))
	} else if why != "" {
		return "", refuse(why)
	}
	text, err := io.ReadAll(io.LimitReader(file, 4097))
	if err != nil {
		return "", refuse("cannot be read").Because(err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case password == "":
		return "", refuse("is empty")
	case len(text) > 4096:
		return "", refuse("is larger than 4 KiB")
	case strings.ContainsAny(password, "\n\r\x00"):
		return "", refuse("must hold one line, the password")
	}
	return password, nil
}

package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
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

// Password returns what the profile's password_file holds or its password_command prints, or "" with neither. It
// implements db.Passwords.
func (c Config) Password(ctx context.Context) (string, error) {
	switch {
	case len(c.PasswordCommand) > 0:
		return c.runPasswordCommand(ctx)
	case c.PasswordFile != "":
		return ReadSecret(keyPassword, c.PasswordFile, c.credentials)
	}
	return "", nil
}

// maxComplaint is how much of a failed command's standard error is shown, in bytes.
const maxComplaint = 300

// runPasswordCommand runs the command without a shell and without input. Its output is never shown.
func (c Config) runPasswordCommand(ctx context.Context) (string, error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	var complaint bytes.Buffer
	command := exec.CommandContext(ctx, c.PasswordCommand[0], c.PasswordCommand[1:]...)
	command.Stderr = &complaint
	command.WaitDelay = time.Second // a program that it left running may hold the pipes
	text, err := command.Output()
	why := strings.Join(strings.Fields(complaint.String()), " ")
	if len(why) > maxComplaint {
		why = strings.ToValidUTF8(why[:maxComplaint], "") + "…"
	}
	exit, failed := errors.AsType[*exec.ExitError](err)
	from := fmt.Sprintf("%s %s", keyCommand, c.PasswordCommand[0])
	switch {
	case ctx.Err() != nil:
		return "", fault.New(fault.Database, "%s did not end within %s", from, c.Timeout).Because(err).
			WithHint("raise --timeout if it asks for a passphrase")
	case failed:
		return "", fault.New(fault.Database, "%s", strings.TrimSuffix(fmt.Sprintf("%s failed (%s): %s", from, exit, why), ": ")).Because(err).
			WithHint("run the command by hand; it must print the password on one line")
	case err != nil:
		return "", fault.New(fault.Validation, "%s cannot be run", from).Because(err).
			WithHint("the first element of the list is the program, found in PATH")
	}
	return secretLine(from, text)
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
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fault.New(fault.Validation, "%s %s cannot be read: %s", what, path, fault.Reason(err)).Because(err)
	}
	return secretLine(what+" "+path, text)
}

// secretLine returns the password in a text of one line. from names the source in messages.
func secretLine(from string, text []byte) (string, error) {
	refuse := func(why string) error { return fault.New(fault.Validation, "%s %s", from, why) }
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
	case err != nil:
		return nil, refuse("cannot be read: " + fault.Reason(err)).Because(err)
	}
	info, err := file.Stat()
	if err == nil {
		err = checkSecretFile(refuse, path, info, credentials)
	} else {
		err = refuse("cannot be read: " + fault.Reason(err)).Because(err)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// checkSecretFile checks the open file, so that it is the one that is read.
func checkSecretFile(refuse func(string) *fault.Error, path string, info fs.FileInfo, credentials string) error {
	owner, group := ownersOf(info)
	mode := info.Mode()
	switch {
	case !mode.IsRegular() && mode.Type() != fs.ModeNamedPipe:
		return refuse("is neither a regular file nor a pipe")
	case isWithin(path, "/run/secrets") || isWithin(path, credentials):
		return nil
	case owner != 0 && owner != os.Geteuid():
		return refuse("belongs to another user (" + outfile.OwnerName(owner) + ")").
			WithHint("chown it, or use a copy of your own with mode 0600")
	case mode.Perm()&0o007 != 0:
		return refuse(fmt.Sprintf("is open to others (mode %04o)", mode.Perm())).
			WithHint("chmod 600 %s", fault.Word(path))
	case mode.Perm()&0o020 != 0 && group != os.Getegid():
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

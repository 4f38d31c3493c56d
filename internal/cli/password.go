package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/password"
)

// passwordFlags say where a new password comes from. None of them takes one: arguments are seen by
// everyone on the machine and stay in the shell's history.
type passwordFlags struct {
	stdin, generate, none bool
	file, out             string
}

func (p *passwordFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&p.stdin, "password-stdin", false, "read the password from the first line of standard input")
	f.StringVar(&p.file, "password-file", "", "read the password from `file`, which only you may read (0600)")
	f.BoolVar(&p.generate, "generate-password", false, "make one up; it is printed once, as the record's field password")
	f.StringVar(&p.out, "password-out", "", "write the made-up password to `file` (0600, must not exist) instead of printing it")
	f.BoolVar(&p.none, "no-password", false, "an account without a password")
	markFlags(f, recorded, "password-stdin", "generate-password", "no-password")
	names(cmd, "password-file", fileRead)
	names(cmd, "password-out", fileField)
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "password-file", "generate-password", "no-password")
	cmd.MarkFlagsMutuallyExclusive("password-out", "password-stdin")
	cmd.MarkFlagsMutuallyExclusive("password-out", "password-file")
	cmd.MarkFlagsMutuallyExclusive("password-out", "no-password")
}

// secret is a new password: its hash for the database and, if it was made up, itself for the person.
type secret struct {
	hash      string
	generated *string
}

// maxPasswordInput bounds what is read as one password; the longest valid one has 72 bytes.
const maxPasswordInput = 4096

// password gets the new password, checks it and hashes it, before any transaction begins.
func (a *app) password(ctx context.Context, p passwordFlags) (secret, error) {
	var pw string
	var err error
	var made *string
	switch {
	case p.none:
		return secret{}, nil
	case p.generate, p.out != "":
		pw, err = password.Generate()
		made = &pw
	case p.stdin, p.file == "-":
		pw, err = a.firstLine()
	case p.file != "":
		pw, err = config.ReadSecret("--password-file", p.file, a.getenv("CREDENTIALS_DIRECTORY"))
	default:
		pw, err = a.askPassword(ctx)
	}
	if err != nil {
		return secret{}, err
	}
	pw = password.Normal(pw)
	if err := password.Check(pw); err != nil {
		return secret{}, err
	}
	hash, err := password.Hash(pw, hashCost)
	return secret{hash: hash, generated: made}, err
}

func (a *app) askPassword(ctx context.Context) (string, error) {
	fd, ok := a.terminal()
	if !ok {
		return "", fault.New(fault.Usage, "no password is given").
			WithHint("add one of --password-stdin, --password-file F, --generate-password, --no-password")
	}
	first, err := a.readHidden(ctx, fd, "new password: ")
	if err != nil {
		return "", err
	}
	second, err := a.readHidden(ctx, fd, "once more: ")
	if err == nil && first != second {
		err = fault.New(fault.Validation, "the two passwords differ")
	}
	return first, err
}

// around runs the change with the made-up password's file in place, and takes the file away again if
// the change fails or was a dry run.
func (p passwordFlags) withPasswordFile(a *app, l *audit.Ledger, s secret, change func() error) error {
	if s.generated == nil || l.DryRun {
		return change()
	}
	undo, err := p.store(a, s)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		if len(l.Entries()) == 0 && !audit.OutcomeUnknown(err) {
			undo()
		}
		return err
	}
	return nil
}

// store writes a made-up password to --password-out before the change, so that no account is left with
// a password that nobody knows; undo removes the file again if the change fails.
func (p passwordFlags) store(a *app, s secret) (undo func(), err error) {
	if p.out == "" || p.out == "-" {
		return func() {}, nil
	}
	return a.storeSecret("--password-out", p.out, *s.generated)
}

// storeSecret writes a secret to a new file that only its owner can read; undo removes it again.
func (a *app) storeSecret(flag, path, text string) (undo func(), err error) {
	f, err := a.openSecret(flag, path)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(f, text+"\n"); err != nil {
		return nil, writeError(flag, path, errors.Join(err, f.end(false)))
	}
	if err := f.close(); err != nil {
		return nil, writeError(flag, path, err)
	}
	return func() { _ = f.remove() }, nil
}

// given says whether any of the flags is there.
func (p passwordFlags) isSet() bool { return p != passwordFlags{} }

func writeError(flag, path string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		f.Message = flag + ": " + f.Message
		return f
	}
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Validation, "%s %s exists already", flag, path).WithHint("name a new file; an old one is not overwritten")
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fault.New(fault.Validation, "%s %s cannot be written: %s", flag, path, err)
}

// shows says whether a password is made up and no file takes it.
func (p passwordFlags) isPrinted() bool { return p.out == "-" || p.out == "" && p.generate }

// shown is the made-up password as a field of the record, unless it went to a file.
func (p passwordFlags) printed(s secret) *string {
	if !p.isPrinted() {
		return nil
	}
	return s.generated
}

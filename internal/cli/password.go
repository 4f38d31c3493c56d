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

// passwordFlags select the source of a new password. None takes the password itself: arguments are visible to
// other users and end up in the shell history.
type passwordFlags struct {
	stdin, generate, none bool
	file, out             string
}

func (p *passwordFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&p.stdin, "password-stdin", false, "read the password from the first line of standard input")
	f.StringVar(&p.file, "password-file", "", "read the password from `file`, readable only by you (0600)")
	f.BoolVar(&p.generate, "generate-password", false, "generate a password and print it once, in the field password")
	f.StringVar(&p.out, "password-out", "", "write the generated password to `file` (0600, must not exist) instead of printing it")
	f.BoolVar(&p.none, "no-password", false, "do not set a password")
	markFlags(f, recorded, "password-stdin", "generate-password", "no-password")
	names(cmd, "password-file", fileRead)
	names(cmd, "password-out", fileField)
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "password-file", "generate-password", "no-password")
	cmd.MarkFlagsMutuallyExclusive("password-out", "password-stdin")
	cmd.MarkFlagsMutuallyExclusive("password-out", "password-file")
	cmd.MarkFlagsMutuallyExclusive("password-out", "no-password")
}

// secret is a new password: the hash, and the plain text if it was generated.
type secret struct {
	hash      string
	generated *string
}

// maxPasswordInput is the number of bytes read for a password; the longest valid one has 72.
const maxPasswordInput = 4096

// password reads, checks and hashes the new password. It runs before the transaction begins.
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
		return "", fault.New(fault.Usage, "which password?").
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

// withPasswordFile writes the generated password to --password-out, runs the change and removes the file if the
// change fails. A dry run writes no file.
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

// store writes the generated password to --password-out. It runs before the change, so that an account cannot end
// up with a lost password. undo removes the file.
func (p passwordFlags) store(a *app, s secret) (undo func(), err error) {
	if p.out == "" || p.out == "-" {
		return func() {}, nil
	}
	return a.storeSecret("--password-out", p.out, *s.generated)
}

// storeSecret writes a secret to a new file with mode 0600; undo removes the file.
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

// isSet reports whether any of the flags is set.
func (p passwordFlags) isSet() bool { return p != passwordFlags{} }

func writeError(flag, path string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		f.Message = flag + ": " + f.Message
		return f
	}
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Validation, "%s: %s already exists", flag, path).WithHint("name a new file; existing files are not overwritten")
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fault.New(fault.Validation, "%s: cannot write %s: %s", flag, path, err)
}

// isPrinted reports whether a generated password goes to standard output.
func (p passwordFlags) isPrinted() bool { return p.out == "-" || p.out == "" && p.generate }

// printed returns the generated password if it goes to standard output, else nil.
func (p passwordFlags) printed(s secret) *string {
	if !p.isPrinted() {
		return nil
	}
	return s.generated
}

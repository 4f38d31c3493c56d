package cmdutil

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/users"
)

// FirstLine reads a secret from the next line of standard input.
func (env *Env) FirstLine() (string, error) {
	in, resume := env.Input()
	defer resume()
	if env.secrets == nil {
		env.secrets = bufio.NewReader(io.LimitReader(in, maxPasswordInput))
	}
	text, err := env.secrets.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), err
}

// PasswordFlags select the source of a new password. The password itself is never an argument, because arguments are
// visible to other users and are stored in the shell history.
type PasswordFlags struct {
	stdin, generate, none bool
	file, out             string

	Insist bool // ask until a valid password is typed
}

// Bind adds the flags.
func (p *PasswordFlags) Bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&p.stdin, "password-stdin", false, "read the password from the first line of standard input")
	f.StringVar(&p.file, "password-file", "", "read the password from `file`, readable only by you (0600)")
	f.BoolVar(&p.generate, "generate-password", false, "generate a password and print it once, in the field password")
	f.StringVar(&p.out, "password-out", "", "write the generated password to `file` (0600, must not exist) instead of printing it")
	f.BoolVar(&p.none, "no-password", false, "do not set a password")
	cliflag.MarkFlags(f, cliflag.Recorded, "password-stdin", "generate-password", "no-password")
	cliflag.Instead(cmd, "password", "a password is never an argument; use --password-stdin, --password-file or --generate-password")
	cliflag.MarkFile(cmd, "password-file", cliflag.FileRead)
	cliflag.MarkFile(cmd, "password-out", cliflag.FileField)
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "password-file", "generate-password", "no-password")
	cmd.MarkFlagsMutuallyExclusive("password-out", "password-stdin")
	cmd.MarkFlagsMutuallyExclusive("password-out", "password-file")
	cmd.MarkFlagsMutuallyExclusive("password-out", "no-password")
}

// Secret is a new password: the hash, and the plain text if it was generated.
type Secret struct {
	Hash      string
	Generated *string
}

// maxPasswordInput is the number of bytes read for a password; the longest valid one has 72.
const maxPasswordInput = 4096

// ReadPassword reads, checks and hashes the new password. It runs before the transaction begins.
func ReadPassword(ctx context.Context, env *Env, p PasswordFlags) (Secret, error) {
	var pw string
	var err error
	var generated *string
	switch {
	case p.none:
		return Secret{}, nil
	case p.generate, p.out != "":
		pw, err = password.Generate()
		generated = &pw
	case p.stdin, p.file == "-":
		pw, err = env.FirstLine()
	case p.file != "":
		pw, err = config.ReadSecret("--password-file", p.file, env.Getenv("CREDENTIALS_DIRECTORY"))
	default:
		pw, err = askValid(ctx, env, p.Insist)
	}
	if err != nil {
		return Secret{}, err
	}
	pw = password.Normal(pw)
	if err := password.Check(pw); err != nil {
		return Secret{}, err
	}
	hash, err := password.Hash(pw, HashCost)
	return Secret{Hash: hash, Generated: generated}, err
}

// askValid asks for a valid password, with insist until one is typed.
func askValid(ctx context.Context, env *Env, insist bool) (string, error) {
	for {
		pw, err := AskPassword(ctx, env)
		if err == nil {
			err = password.Check(password.Normal(pw))
		}
		if !insist || !fault.Is(err, fault.Validation) {
			return pw, err
		}
		env.Printf("%s", fault.From(err).Message)
	}
}

// AskPassword asks twice for a password on the terminal. Without one it is a usage error.
func AskPassword(ctx context.Context, env *Env) (string, error) {
	fd, ok := env.Terminal()
	if !ok {
		return "", fault.New(fault.Usage, "which password?").
			WithHint("add one of --password-stdin, --password-file F, --generate-password, --no-password")
	}
	first, err := env.ReadHidden(ctx, fd, "new password: ")
	if err != nil {
		return "", err
	}
	second, err := env.ReadHidden(ctx, fd, "repeat the password: ")
	if err == nil && first != second {
		err = fault.New(fault.Validation, "the two passwords differ")
	}
	return first, err
}

// CheckEach refuses a password that several users would share.
func (p PasswordFlags) CheckEach() error {
	if p.generate || p.out != "" || p.none {
		return nil
	}
	return fault.New(fault.Usage, "several users cannot share a password").
		WithHint("--generate-password makes one for each, --no-password removes them")
}

// ReadEach makes a password for each of n users, or none. It hashes them in a dry run too, but cheaply.
func (p PasswordFlags) ReadEach(ctx context.Context, n int, dryRun bool) ([]Secret, error) {
	made := make([]Secret, n)
	if p.none {
		return made, p.CheckEach()
	}
	plain := make([]string, n)
	for i := range plain {
		var err error
		if plain[i], err = password.Generate(); err != nil {
			return nil, err
		}
		made[i].Generated = &plain[i]
	}
	cost := HashCost
	if dryRun {
		cost = bcrypt.MinCost
	}
	hashes, err := password.HashAll(ctx, plain, cost)
	for i, hash := range hashes {
		made[i].Hash = hash
	}
	return made, err
}

// WithFile writes generated passwords to --password-out, runs the change and removes the file if the change fails.
// text is nil if none is generated. A dry run writes no file.
func (p PasswordFlags) WithFile(env *Env, l *audit.Ledger, text *string, change func() error) error {
	if text == nil || p.isPrinted() || l.DryRun {
		return change()
	}
	undo, err := StoreSecret(env, "--password-out", p.out, *text)
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

// StoreSecret writes a secret to a new file with mode 0600; undo removes the file.
func StoreSecret(env *Env, flag, path, text string) (undo func(), err error) {
	f, err := OpenSecretFile(env, flag, path)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(f, text+"\n"); err != nil {
		return nil, WriteError(flag, path, errors.Join(err, f.end(false)))
	}
	if err := f.Close(); err != nil {
		return nil, WriteError(flag, path, err)
	}
	return func() { _ = f.remove() }, nil
}

// IsSet reports whether any of the flags is set.
func (p PasswordFlags) IsSet() bool { return p != PasswordFlags{} }

// WriteError returns the error of a flag whose file cannot be written.
func WriteError(flag, path string, err error) error {
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
	return fault.New(fault.FileCode(err), "%s: cannot write %s: %s", flag, path, err)
}

// isPrinted reports whether a generated password goes to standard output.
func (p PasswordFlags) isPrinted() bool { return p.out == "-" || p.out == "" && p.generate }

// Printed returns the generated password if it goes to standard output, else nil.
func (p PasswordFlags) Printed(s Secret) *string {
	if !p.isPrinted() {
		return nil
	}
	return s.Generated
}

// userWithPassword is a user with the generated password, which is shown only once.
type userWithPassword struct {
	users.User
	Password string `json:"password"`
}

// AddPasswordOutputFlags is AddOutputFlags for records that have the field password if a password is generated.
func AddPasswordOutputFlags(env *Env, cmd *cobra.Command, pw *PasswordFlags) *cobra.Command {
	return BindOutput(env, cmd, func(columns []string) error { return pw.CheckColumns(env, cmd, columns) })
}

// CheckColumns checks --columns of users that have the field password if a password is generated, and that it is
// printed.
func (p PasswordFlags) CheckColumns(env *Env, cmd *cobra.Command, columns []string) error {
	if !p.isPrinted() {
		return output.CheckColumns[users.User](columns)
	}
	if err := CheckPrinted(env, cmd, "password", "the generated password", "--password-out F"); err != nil {
		return err
	}
	return output.CheckColumns[userWithPassword](columns)
}

// printsID reports whether the output format is id.
func printsID(env *Env, cmd *cobra.Command) bool {
	c, err := env.LoadConfig(cmd)
	return err == nil && c.Output == string(output.ID) && output.FormatOf(env.Output.file) == "" && env.Output.JQ == ""
}

// PrintUser prints a user, with the generated password if pw is not nil.
func PrintUser(env *Env, u users.User, pw *string) error {
	if pw == nil {
		return output.One(env.Printer, UserView, u)
	}
	env.Printer.Secret = true
	return output.One(env.Printer, UserView, userWithPassword{u, *pw})
}

// PrintUsers prints users with their generated passwords.
func PrintUsers(env *Env, list []users.User, passwords map[uuid.UUID]Secret) error {
	env.Printer.Secret = true
	v := UserView
	v.Table = []string{"username", "full_name", "email", "password"}
	items := make([]userWithPassword, len(list))
	for i, u := range list {
		items[i] = userWithPassword{u, *passwords[u.ID].Generated}
	}
	return PrintWhole(env, v, items)
}

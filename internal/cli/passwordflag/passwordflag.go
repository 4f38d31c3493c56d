// Package passwordflag holds the flags that select a new password, and prints users with passwords that were made up.
package passwordflag

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/users"
)

// Flags select the source of a new password. The password itself is never an argument, because arguments are
// visible to other users and are stored in the shell history.
type Flags struct {
	stdin, generate, none bool
	file, out             string

	Insist bool // ask until a valid password is typed
}

// Bind adds the flags.
func (p *Flags) Bind(cmd *cobra.Command) {
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

// Read reads, checks and hashes the new password. It runs before the transaction begins.
func Read(ctx context.Context, env *cmdutil.Env, p Flags) (Secret, error) {
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
		pw, err = Ask(ctx, env, p.Insist)
	}
	if err != nil {
		return Secret{}, err
	}
	pw = password.Normal(pw)
	if err := password.Check(pw); err != nil {
		return Secret{}, err
	}
	hash, err := password.Hash(pw, cmdutil.HashCost)
	return Secret{Hash: hash, Generated: generated}, err
}

// Ask asks twice for a valid password on the terminal, with insist until one is typed. Without a terminal it is a usage
// error.
func Ask(ctx context.Context, env *cmdutil.Env, insist bool) (string, error) {
	fd, ok := env.Terminal()
	if !ok {
		return "", fault.New(fault.Usage, "which password?").
			WithHint("add one of --password-stdin, --password-file F, --generate-password, --no-password")
	}
	if !env.Global.Quiet {
		env.Printf("a password has %s", password.Rules)
	}
	for {
		pw, err := askTwice(ctx, env, fd)
		if !insist || !fault.Is(err, fault.Validation) {
			return pw, err
		}
		env.Printf("%s", fault.From(err).Message)
	}
}

// askTwice asks for a password, and for a valid one again.
func askTwice(ctx context.Context, env *cmdutil.Env, fd int) (string, error) {
	first, err := env.ReadHidden(ctx, fd, "new password: ")
	if err != nil {
		return "", err
	}
	if err := password.Check(password.Normal(first)); err != nil {
		return "", err
	}
	second, err := env.ReadHidden(ctx, fd, "repeat the password: ")
	if err == nil && first != second {
		err = fault.New(fault.Validation, "the two passwords differ")
	}
	return password.Normal(first), err
}

// CheckEach refuses a password that several users would share.
func (p Flags) CheckEach() error {
	if p.generate || p.out != "" || p.none {
		return nil
	}
	return fault.New(fault.Usage, "several users cannot share a password").
		WithHint("--generate-password makes one for each, --no-password removes them")
}

// ReadEach makes a password for each of n users, or none. It hashes them in a dry run too, but cheaply.
func (p Flags) ReadEach(ctx context.Context, n int, dryRun bool) ([]Secret, error) {
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
	cost := cmdutil.HashCost
	if dryRun {
		cost = bcrypt.MinCost
	}
	hashes, err := password.HashAll(ctx, plain, cost)
	for i, hash := range hashes {
		made[i].Hash = hash
	}
	return made, err
}

// WithFile runs a change with generated passwords, which are written to --password-out first, see cmdutil.KeepSecret.
// text is nil if none is generated.
func (p Flags) WithFile(env *cmdutil.Env, l *audit.Ledger, text *string, change func() error) error {
	if text == nil {
		return change()
	}
	return cmdutil.KeepSecret(env, l, "--password-out", p.out, *text, change)
}

// IsSet reports whether any of the flags is set.
func (p Flags) IsSet() bool { return p != Flags{} }

// isPrinted reports whether a generated password goes to standard output.
func (p Flags) isPrinted() bool { return p.out == "-" || p.out == "" && p.generate }

// Printed returns the generated password if it goes to standard output, else nil.
func (p Flags) Printed(s Secret) *string {
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

// BindOutput is AddOutputFlags for records that have the field password if a password is generated.
func BindOutput(env *cmdutil.Env, cmd *cobra.Command, pw *Flags) *cobra.Command {
	return cmdutil.BindOutput(env, cmd, func(columns []string) error { return pw.CheckColumns(env, cmd, columns) })
}

// CheckColumns checks --columns of users that have the field password if a password is generated, and that it is
// printed.
func (p Flags) CheckColumns(env *cmdutil.Env, cmd *cobra.Command, columns []string) error {
	if !p.isPrinted() {
		return output.CheckColumns[users.User](columns)
	}
	if err := cmdutil.CheckPrinted(env, cmd, "password", "the generated password", "--password-out F"); err != nil {
		return err
	}
	return output.CheckColumns[userWithPassword](columns)
}

// renew returns the command that replaces generated passwords.
func renew(list []users.User) string {
	command := "cxgctl users password"
	for _, u := range list {
		command += " " + fault.Word(u.Username)
	}
	return command + " --generate-password"
}

// PrintUser prints a user, with the generated password if pw is not nil.
func PrintUser(env *cmdutil.Env, u users.User, pw *string) error {
	if pw == nil {
		return output.One(env.Printer, cmdutil.UserView, u)
	}
	env.Printer.Secret = true
	env.Renew = renew([]users.User{u})
	return output.One(env.Printer, cmdutil.UserView, userWithPassword{u, *pw})
}

// PrintUsers prints users with their generated passwords.
func PrintUsers(env *cmdutil.Env, list []users.User, passwords map[uuid.UUID]Secret) error {
	env.Printer.Secret = true
	env.Renew = renew(list)
	v := cmdutil.UserView
	v.Table = []string{"username", "full_name", "email", "password"}
	items := make([]userWithPassword, len(list))
	for i, u := range list {
		items[i] = userWithPassword{u, *passwords[u.ID].Generated}
	}
	return cmdutil.PrintWhole(env, v, items)
}

package user

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/passwordflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/users"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// newUser are the flags for the fields and the password of a new user.
type newUser struct {
	users.New
	password passwordflag.Flags
	flags    cmdutil.ChangeFlags
}

func (n *newUser) bind(env *cmdutil.Env, cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&n.Username, "username", "", "3 to 100 ASCII characters, unique")
	f.StringVar(&n.Email, "email", "", "e-mail address, unique")
	f.StringVar(&n.FullName, "full-name", "", "full name, 1 to 100 characters")
	f.StringVar(&n.Phone, "phone", "", "phone number, at most 20 characters")
	f.StringVar(&n.UserType, "user-type", "TENANT", "MASTER, TENANT or SYSTEM")
	f.StringVar(&n.Department, "department", "", "department, at most 100 characters")
	f.StringVar(&n.Position, "position", "", "position, at most 100 characters")
	f.StringVar(&n.Timezone, "timezone", "", "time zone (default UTC)")
	f.StringVar(&n.Locale, "locale", "", "locale (default ko-KR)")
	f.BoolVar(&n.AllowVariant, "allow-variant", false, "accept a username or e-mail that differs from another user's only in case or Unicode form")
	f.BoolVar(&n.MFA, "mfa", false, "enable multi-factor authentication")
	f.BoolVar(&n.ForcePasswordChange, "force-password-change", false, "require a new password at the first login")
	cliflag.MarkField(f, "mfa", "mfa_enabled")
	cliflag.MarkFlags(f, cliflag.Recorded, "user-type", "mfa", "force-password-change")
	cliflag.CompleteFlag(cmd, "user-type", users.Types...)
	cliflag.CompleteZone(cmd, "timezone")
	cliflag.CompleteLocale(cmd)
	n.password.Bind(cmd)
	n.flags.Bind(cmd)
	return passwordflag.BindOutput(env, cmd, &n.password)
}

// create creates the user and prints it.
func (n *newUser) create(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, cmd *cobra.Command) error {
	t, err := w.Users()
	if err != nil {
		return err
	}
	if w.Tenant != nil && !cmd.Flags().Changed("user-type") {
		n.UserType = "" // the flag's default applies to the platform's users only
	}
	if err := t.Check(&n.New); err != nil {
		return err
	}
	if found, err := cmdutil.Users.IfExists(ctx, env, w, n.flags, n.Username, printUser(env)); found || err != nil {
		return err
	}
	s, err := passwordflag.Read(ctx, env, n.password)
	if err != nil {
		return err
	}
	if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "create user "+n.Username, 1); err != nil {
		return err
	}
	n.PasswordHash = s.Hash
	var created users.User
	err = n.password.WithFile(env, w.Ledger, s.Generated, func() error {
		created, err = t.Create(ctx, w.Ledger, n.New)
		return err
	})
	if err != nil {
		return err
	}
	return cmdutil.PrintResult(env, w.Ledger, func() error { return passwordflag.PrintUser(env, created, n.password.Printed(s)) })
}

// printUser returns the function that prints a user.
func printUser(env *cmdutil.Env) func(users.User) error {
	return func(u users.User) error { return passwordflag.PrintUser(env, u, nil) }
}

func newCreate(env *cmdutil.Env) *cobra.Command {
	var n newUser
	cmd := &cobra.Command{
		Use: "create --username U --email E --full-name N", Short: "Create a user", Long: "The password comes from standard input, from a file, or is generated; it is never an argument. Username and e-mail must not differ from another user's only in case.",
		Example: "  cxgctl users create --username ada --email ada@example.com --full-name 'Ada Lovelace' --generate-password\n" +
			"  pass show ada | cxgctl users create --username ada --email ada@example.com --full-name 'Ada Lovelace' --password-stdin",
	}
	cmd.RunE = cmdutil.RunWrite(env, &n.flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, _ []string) error {
		return n.create(ctx, env, w, cmd)
	})
	cliflag.Require(n.bind(env, cmd), "username", "email")
	n.flags.BindIfNotExists(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("tenant") { // the tables of some tenants have no full name
			cliflag.Require(cmd, "username", "email", "full-name")
		}
		return cmdutil.ExactArgs()(cmd, args)
	}
	checkColumns := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) (err error) {
		if err := checkColumns(cmd, args); err != nil {
			return err
		}
		optional := []string{"phone", "department", "user-type"}
		if cmd.Flags().Changed("tenant") {
			optional = nil
		}
		n.password.Insist, err = env.AskMissing(cmd, func(field string) error { return fault.OfField(n.Check(), field) }, optional...)
		return err
	}
	env.Specify(cmd, cmdutil.Spec{Permission: "USER_CREATE", Resource: users.Kind.Name, Audit: cmdutil.Always})
	return cmd
}

func newEnsure(env *cmdutil.Env) *cobra.Command {
	var n newUser
	cmd := &cobra.Command{
		Use: "ensure --username U", Short: "Create a user, or update the given fields that differ", Args: cmdutil.ExactArgs(),
		Long: "Create the user, or change only those of the given fields that differ. If none differs, the user is unchanged and nothing\n" +
			"is written, so the command can be repeated. The flags for the password only apply to a new user, who needs one of them,\n" +
			"--email and --full-name.",
		Example: "  cxgctl users ensure --username ada --email ada@example.com --full-name 'Ada Lovelace' --no-password\n  cxgctl users ensure --username ada --department Sales",
	}
	cmd.RunE = cmdutil.RunWrite(env, &n.flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, _ []string) error {
		return n.ensure(ctx, env, w, cmd)
	})
	cliflag.Require(n.bind(env, cmd), "username")
	cliflag.Must(cmd.RegisterFlagCompletionFunc("username", cmdutil.Users.Completion(env, true)))
	env.Specify(cmd, cmdutil.Spec{Permission: "USER_CREATE", Resource: users.Kind.Name, Optional: []string{"USER_UPDATE"}, Audit: cmdutil.Always})
	return cmd
}

// ensure creates the user, or updates the fields that differ.
func (n *newUser) ensure(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, cmd *cobra.Command) error {
	byName := cmdutil.RefFlags{By: "username"}
	ref := validate.Normalize(n.Username)
	u, err := cmdutil.Users.Lookup(ctx, w.Session, byName, ref)
	given := cmd.Flags().Changed
	if fault.Is(err, fault.NotFound) {
		missing := slices.DeleteFunc([]string{"email", "full-name"}, func(flag string) bool {
			return given(flag) || flag == "full-name" && w.Tenant != nil
		})
		if len(missing) > 0 {
			return fault.New(fault.Usage, "%s: user %q does not exist yet", cliflag.MissingText(missing), ref)
		}
		return n.create(ctx, env, w, cmd)
	}
	if err != nil {
		return cmdutil.Users.RecordFailure(ctx, w, ref, u, err)
	}
	t, err := w.Users()
	if err != nil {
		return err
	}
	edit, err := t.Change(n.Patch(given("user-type"), given("mfa"), given("force-password-change")))
	if fault.Is(err, fault.Usage) || err == nil && edit.IsNoop(u) {
		env.Note("user %s is unchanged", u.Username)
		return cmdutil.PrintResult(env, w.Ledger, func() error { return passwordflag.PrintUser(env, u, nil) })
	}
	if err != nil {
		return cmdutil.Users.RecordFailure(ctx, w, ref, u, err)
	}
	if err := w.Require("USER_UPDATE"); err != nil {
		return cmdutil.Users.RecordFailure(ctx, w, ref, u, err)
	}
	return cmdutil.Users.Edit(ctx, env, w, byName, ref, "update", edit, printUser(env))
}

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

// userValues are the flags for the fields of a user.
type userValues struct {
	name, phone, department, position, zone, locale cliflag.TextValue
	email                                           string
	mfa, variant                                    bool
}

func (v *userValues) bind(cmd *cobra.Command, variants, zone, locale, mfa string) {
	f := cmd.Flags()
	f.Var(&v.name, "full-name", "full name, 1 to 100 characters")
	f.StringVar(&v.email, "email", "", "e-mail address, unique")
	f.Var(&v.phone, "phone", "phone number, at most 20 characters")
	f.Var(&v.department, "department", "department, at most 100 characters")
	f.Var(&v.position, "position", "position, at most 100 characters")
	f.Var(&v.zone, "timezone", zone)
	f.Var(&v.locale, "locale", locale)
	f.BoolVar(&v.variant, "allow-variant", false, "accept "+variants+" that differs from another user's only in case or Unicode form")
	f.BoolVar(&v.mfa, "mfa", false, mfa)
	cliflag.MarkField(f, "mfa", "mfa_enabled")
	cliflag.MarkFlags(f, cliflag.Recorded, "mfa")
	cliflag.CompleteZone(cmd, "timezone")
	cliflag.CompleteLocale(cmd)
}

// read returns the given fields.
func (v *userValues) read(cmd *cobra.Command) users.User {
	return users.User{
		FullName: v.name.Value(), Email: v.email, Phone: v.phone.Value(), Department: v.department.Value(), Position: v.position.Value(),
		Timezone: v.zone.Value(), Locale: v.locale.Value(), MFAEnabled: ifGiven(cmd, "mfa", &v.mfa),
	}
}

// ifGiven returns the value of a flag, or nil if it was not given.
func ifGiven[T any](cmd *cobra.Command, flag string, value *T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return value
}

// newUser are the flags for the fields and the password of a new user.
type newUser struct {
	values   userValues
	username string
	kind     cliflag.TextValue
	force    bool
	password passwordflag.Flags
	flags    cmdutil.ChangeFlags
}

func (n *newUser) bind(env *cmdutil.Env, cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	n.values.bind(cmd, "a username or e-mail", "time zone (default UTC)", "locale (default ko-KR)", "enable multi-factor authentication")
	f.StringVar(&n.username, "username", "", "3 to 100 ASCII characters, unique")
	n.kind.Text = defaultType
	f.Var(&n.kind, "user-type", "MASTER, TENANT or SYSTEM")
	f.BoolVar(&n.force, "force-password-change", false, "require a new password at the first login")
	cliflag.MarkFlags(f, cliflag.Recorded, "user-type", "force-password-change")
	cliflag.CompleteFlag(cmd, "user-type", users.Types...)
	n.password.Bind(cmd)
	n.flags.Bind(cmd)
	return passwordflag.BindOutput(env, cmd, &n.password)
}

// defaultType is the type of a new user of the platform.
var defaultType = "TENANT"

// read returns the given fields.
func (n *newUser) read(cmd *cobra.Command) users.New {
	u := n.values.read(cmd)
	u.Username, u.UserType, u.ForcePasswordChange = n.username, n.kind.Value(), ifGiven(cmd, "force-password-change", &n.force)
	return users.New{User: u, AllowVariant: n.values.variant}
}

func (n *newUser) create(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, cmd *cobra.Command) error {
	t, err := w.Users()
	if err != nil {
		return err
	}
	u := n.read(cmd)
	if w.Tenant == nil && u.UserType == nil {
		u.UserType = &defaultType
	}
	if err := t.Check(&u); err != nil {
		return err
	}
	if found, err := cmdutil.Users.IfExists(ctx, env, w, n.flags, u.Username); found || err != nil {
		return err
	}
	s, err := passwordflag.Read(ctx, env, n.password)
	if err != nil {
		return err
	}
	if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "create user "+u.Username, 1); err != nil {
		return err
	}
	u.PasswordHash = s.Hash
	var created users.User
	err = n.password.WithFile(env, w.Ledger, s.Generated, func() error {
		created, err = t.Create(ctx, w.Ledger, u)
		return err
	})
	if err != nil {
		return err
	}
	return cmdutil.PrintResult(env, w.Ledger, func() error { return passwordflag.PrintUser(env, created, n.password.Printed(s)) })
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
		n.password.Insist, err = env.AskMissing(cmd, func(field string) error {
			u := n.read(cmd)
			return fault.OfField(u.Check(), field)
		}, optional...)
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
	ref := validate.Normalize(n.username)
	u, err := cmdutil.Users.Lookup(ctx, w.Session, byName, ref)
	if fault.Is(err, fault.NotFound) {
		missing := slices.DeleteFunc([]string{"email", "full-name"}, func(flag string) bool {
			return cmd.Flags().Changed(flag) || flag == "full-name" && w.Tenant != nil
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
	wanted := n.read(cmd)
	wanted.Username = "" // it is as wanted
	edit, err := t.Change(users.Patch{User: wanted.User, AllowVariant: wanted.AllowVariant})
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
	return cmdutil.Users.Edit(ctx, env, w, byName, ref, edit)
}

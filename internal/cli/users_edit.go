package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// userWithPassword is a user with the generated password, which is shown only once.
type userWithPassword struct {
	users.User
	Password string `json:"password"`
}

// addPasswordOutputFlags is addOutputFlags for records that have the field password if a password is generated.
func (a *app) addPasswordOutputFlags(cmd *cobra.Command, pw *passwordFlags) *cobra.Command {
	return a.bindOutput(cmd, func(columns []string) error {
		if !pw.isPrinted() {
			return output.CheckColumns[users.User](columns)
		}
		if err := a.checkPrinted(cmd, "password", "the generated password", "--password-out F"); err != nil {
			return err
		}
		return output.CheckColumns[userWithPassword](columns)
	})
}

// printsID reports whether the output format is id.
func (a *app) printsID(cmd *cobra.Command) bool {
	c, err := a.config(cmd)
	return err == nil && c.Output == string(output.ID) && output.FormatOf(a.out.file) == "" && a.out.jq == ""
}

// printUser prints a user, with the generated password if pw is not nil.
func (a *app) printUser(u users.User, pw *string) error {
	if pw == nil {
		return output.One(a.print, userView, u)
	}
	a.print.Secret = true
	return output.One(a.print, userView, userWithPassword{u, *pw})
}

func (a *app) usersCreate() *cobra.Command {
	var n users.New
	var pw passwordFlags
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "create --username U --email E --full-name N", Short: "Create a user", Args: exactly(),
		Example: "  cxgctl users create --username ada --email ada@example.com --full-name 'Ada Lovelace' --generate-password\n" +
			"  pass show ada | cxgctl users create --username ada --email ada@example.com --full-name 'Ada Lovelace' --password-stdin",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, _ []string) error {
		t, err := w.users()
		if err != nil {
			return err
		}
		if w.place != nil && !cmd.Flags().Changed("user-type") {
			n.UserType = "" // the flag's default applies to the platform's users only
		}
		if err := t.Check(&n); err != nil {
			return err
		}
		s, err := a.password(ctx, pw)
		if err != nil {
			return err
		}
		if err := a.confirmIfProtected(ctx, w.Ledger, "create user "+n.Username); err != nil {
			return err
		}
		n.PasswordHash = s.hash
		var made users.User
		err = pw.withPasswordFile(a, w.Ledger, s, func() error {
			made, err = t.Create(ctx, w.Ledger, n)
			return err
		})
		if err != nil {
			return err
		}
		return a.printResult(w.Ledger, func() error { return a.printUser(made, pw.printed(s)) })
	})
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
	markFlags(f, recorded, "user-type", "mfa", "force-password-change")
	must(cmd.RegisterFlagCompletionFunc("user-type", complete(users.Types...)))
	pw.bind(cmd)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "USER_CREATE", Audit: always})
	return a.addPasswordOutputFlags(cmd, &pw)
}

func (a *app) usersUpdate() *cobra.Command {
	var values struct{ fullName, email, phone, status, department, position, timezone, locale string }
	var mfa, variant bool
	var unset []string
	var since ifUpdatedAtFlag
	var name refFlags
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of a user", Args: exactly("REF"), ValidArgsFunction: userNoun.completion(a, true),
		Example: "  cxgctl users update ada --phone '+82 2 1234 5678'\n  cxgctl users update ada --unset phone --reason 'asked by mail'",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		given := func(name string, v *string) *string {
			if cmd.Flags().Changed(name) {
				return v
			}
			return nil
		}
		patch := users.Patch{
			FullName: given("full-name", &values.fullName), Email: given("email", &values.email),
			Phone: given("phone", &values.phone), Status: given("status", &values.status),
			Department: given("department", &values.department), Position: given("position", &values.position),
			Timezone: given("timezone", &values.timezone), Locale: given("locale", &values.locale), Unset: unset,
		}
		if cmd.Flags().Changed("mfa") {
			patch.MFA = &mfa
		}
		patch.IfUpdatedAt, patch.AllowVariant = since.value(cmd), variant
		t, err := w.users()
		if err != nil {
			return err
		}
		edit, err := t.Change(patch)
		if err != nil {
			return err
		}
		return userNoun.edit(ctx, a, w, name, args[0], "update", edit, func(u users.User) error { return a.printUser(u, nil) })
	})
	f := cmd.Flags()
	f.StringVar(&values.fullName, "full-name", "", "full name, 1 to 100 characters")
	f.StringVar(&values.email, "email", "", "e-mail address, unique")
	f.StringVar(&values.phone, "phone", "", "phone number, at most 20 characters")
	f.StringVar(&values.status, "status", "", "ACTIVE, INACTIVE, LOCKED or SUSPENDED")
	f.StringVar(&values.department, "department", "", "department, at most 100 characters")
	f.StringVar(&values.position, "position", "", "position, at most 100 characters")
	f.StringVar(&values.timezone, "timezone", "", "time zone")
	f.StringVar(&values.locale, "locale", "", "locale")
	f.BoolVar(&variant, "allow-variant", false, "accept an e-mail that differs from another user's only in case or Unicode form")
	f.BoolVar(&mfa, "mfa", false, "enable multi-factor authentication, or disable it with --mfa=false")
	f.StringSliceVar(&unset, "unset", nil, "set these `fields` to null: phone, department, position, timezone, locale")
	markFlags(f, recorded, "status", "mfa", "unset")
	since.bind(cmd)
	must(cmd.RegisterFlagCompletionFunc("status", complete(users.Statuses...)))
	name.bind(cmd, users.Kind.KeyNames()...)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "USER_UPDATE", Audit: always})
	return addOutputFlags[users.User](a, cmd)
}

func (a *app) usersPassword() *cobra.Command {
	var pw passwordFlags
	var force bool
	var name refFlags
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "password REF", Short: "Set a user's password and end the user's sessions", Args: exactly("REF"), ValidArgsFunction: userNoun.completion(a, true),
		Example: "  cxgctl users password ada\n  cxgctl users password ada --generate-password --password-out ada.txt",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
		if u, err := userNoun.lookup(ctx, w.session, name, args[0]); err != nil {
			return userNoun.recordFailure(ctx, w, args[0], u, err)
		}
		s, err := a.password(ctx, pw)
		if err != nil {
			return err
		}
		t, err := w.users()
		if err != nil {
			return err
		}
		edit, err := t.SetPassword(s.hash, force)
		if err != nil {
			return err
		}
		return pw.withPasswordFile(a, w.Ledger, s, func() error {
			return userNoun.edit(ctx, a, w, name, args[0], "change the password of", edit,
				func(u users.User) error { return a.printUser(u, pw.printed(s)) })
		})
	})
	pw.bind(cmd)
	cmd.Flags().BoolVar(&force, "force-password-change", false, "require a new password at the next login")
	cmd.Flags().BoolVar(&force, "force-change", false, "same as --force-password-change")
	markFlags(cmd.Flags(), recorded, "force-password-change", "force-change")
	name.bind(cmd, users.Kind.KeyNames()...)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "USER_UPDATE", Audit: always})
	return a.addPasswordOutputFlags(cmd, &pw)
}

package user

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/users"
)

func newUpdate(env *cmdutil.Env) *cobra.Command {
	var values struct{ fullName, email, phone, status, department, position, timezone, locale string }
	var mfa, variant bool
	var unset []string
	var since cliflag.IfUpdatedAtFlag
	var ref cmdutil.RefFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of a user", Long: "Only the given fields change. --unset empties a field, --if-updated-at refuses the change if someone changed the user since you read them.", Args: cmdutil.ExactArgs("REF"), ValidArgsFunction: cliflag.CompleteArgs(cmdutil.Users.Completion(env, true)),
		Example: "  cxgctl users update ada --phone '+82 2 1234 5678'\n  cxgctl users update ada --unset phone --reason 'asked by mail'",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		given := func(ref string, v *string) *string {
			if cmd.Flags().Changed(ref) {
				return v
			}
			return nil
		}
		patch := users.Patch{Unset: unset, User: users.User{
			FullName: given("full-name", &values.fullName), Email: values.email, Phone: given("phone", &values.phone),
			Status: given("status", &values.status), Department: given("department", &values.department),
			Position: given("position", &values.position), Timezone: given("timezone", &values.timezone), Locale: given("locale", &values.locale),
		}}
		if cmd.Flags().Changed("mfa") {
			patch.MFAEnabled = &mfa
		}
		patch.IfUpdatedAt, patch.AllowVariant = since.Value(cmd), variant
		t, err := w.Users()
		if err != nil {
			return err
		}
		edit, err := t.Change(patch)
		if err != nil {
			return err
		}
		return cmdutil.Users.Edit(ctx, env, w, ref, args[0], "update", edit, printUser(env))
	})
	cliflag.Instead(cmd, "password", "cxgctl users password REF sets a password")
	cliflag.Instead(cmd, "username", "usernames cannot be changed")
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
	f.StringSliceVar(&unset, "unset", nil, "set these `fields` to null: "+strings.Join(users.Unsettable, ", "))
	cliflag.MarkField(f, "mfa", "mfa_enabled")
	cliflag.MarkFlags(f, cliflag.Recorded, "status", "mfa", "unset")
	since.Bind(cmd)
	cliflag.CompleteFlag(cmd, "status", users.Statuses...)
	cliflag.CompleteFlag(cmd, "unset", users.Unsettable...)
	cliflag.CompleteZone(cmd, "timezone")
	cliflag.CompleteLocale(cmd)
	ref.Bind(cmd, users.Kind.KeyNames()...)
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "USER_UPDATE", Resource: users.Kind.Name, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[users.User](env, cmd)
}

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
	var values userValues
	var status cliflag.TextValue
	var unset []string
	var since cliflag.IfUpdatedAtFlag
	var ref cmdutil.RefFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of a user", Long: "Only the given fields change. --unset empties a field, --if-updated-at refuses the change if someone changed the user since you read them.", Args: cmdutil.ExactArgs("REF"), ValidArgsFunction: cliflag.CompleteArgs(cmdutil.Users.Completion(env, true)),
		Example: "  cxgctl users update ada --phone '+82 2 1234 5678'\n  cxgctl users update ada --unset phone --reason 'asked by mail'",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		patch := users.Patch{User: values.read(cmd), Unset: unset, AllowVariant: values.variant, IfUpdatedAt: since.Value(cmd)}
		patch.Status = status.Value()
		t, err := w.Users()
		if err != nil {
			return err
		}
		edit, err := t.Change(patch)
		if err != nil {
			return err
		}
		return cmdutil.Users.Edit(ctx, env, w, ref, args[0], edit)
	})
	cliflag.Instead(cmd, "password", "cxgctl users password REF sets a password")
	cliflag.Instead(cmd, "username", "usernames cannot be changed")
	f := cmd.Flags()
	values.bind(cmd, "an e-mail", "time zone", "locale", "enable multi-factor authentication, or disable it with --mfa=false")
	f.Var(&status, "status", "ACTIVE, INACTIVE, LOCKED or SUSPENDED")
	f.StringSliceVar(&unset, "unset", nil, "set these `fields` to null: "+strings.Join(users.Unsettable, ", "))
	cliflag.MarkFlags(f, cliflag.Recorded, "status", "unset")
	since.Bind(cmd)
	cliflag.CompleteFlag(cmd, "status", users.Statuses...)
	cliflag.CompleteFlag(cmd, "unset", users.Unsettable...)
	ref.Bind(cmd, users.Kind.KeyNames()...)
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "USER_UPDATE", Resource: users.Kind.Name, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[users.User](env, cmd)
}

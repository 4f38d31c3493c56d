package auth

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/passwordflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/users"
)

func newBootstrap(env *cmdutil.Env) *cobra.Command {
	var n users.New
	var fullName cliflag.TextValue
	var pw passwordflag.Flags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "bootstrap --username U --email E --full-name N", Short: "Create the first operator: a MASTER with SUPER_ADMIN", Args: cmdutil.ExactArgs(),
		Long: `Create the first operator: a MASTER with SUPER_ADMIN.

If a MASTER of that name already exists, it is granted the role and otherwise left unchanged, including the password.
From then on permissions are enforced, and operators without a role are listed. The change is recorded under the OS
user's name.

Once permissions are enforced, this command works only if no operator holds SUPER_ADMIN, and only over a connection
whose database role owns idam.user_roles. Use it to regain access.`,
		Example: "  cxgctl auth bootstrap --username ada --email ada@example.com --full-name 'Ada Lovelace'\n  cxgctl auth bootstrap --username admin",
	}
	cmd.RunE = cmdutil.RunAnonymous(env, func(ctx context.Context, cmd *cobra.Command) error {
		s, err := env.Connect(ctx, cmd, auth.Tables...)
		if err != nil {
			return err
		}
		first, err := auth.NewBootstrap(s.Catalog)
		if err != nil {
			return err
		}
		from := env.Origin(cmd)
		l, err := audit.Open(ctx, s.DB, s.Catalog, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
		if err != nil {
			return err
		}
		l.DryRun = flags.DryRun
		there, _, err := first.Look(ctx, s.DB, n.Username)
		if err != nil {
			l.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: "user", Name: n.Username}, Action: audit.Create}, err)
			return err
		}
		var made passwordflag.Secret
		if there == nil {
			missing := slices.DeleteFunc([]string{"email", "full-name"}, cmd.Flags().Changed)
			if len(missing) > 0 {
				return fault.New(fault.Usage, "%s: user %q does not exist yet", cliflag.MissingText(missing), n.Username)
			}
			kind := "MASTER"
			n.FullName, n.UserType = fullName.Value(), &kind
			if err := n.Check(); err != nil {
				return err
			}
			if made, err = passwordflag.Read(ctx, env, pw); err != nil {
				return err
			}
		} else if pw.IsSet() {
			env.Note("%s already exists and keeps the password", n.Username)
			pw = passwordflag.Flags{}
		}
		if err := cmdutil.ConfirmIfProtected(ctx, env, l, "make "+n.Username+" the first operator", 1); err != nil {
			return err
		}
		n.PasswordHash = made.Hash
		var u users.User
		err = pw.WithFile(env, l, made.Generated, func() error {
			u, err = first.Create(ctx, l, n)
			return err
		})
		if err != nil {
			return err
		}
		if len(l.Entries()) > 0 && !l.DryRun {
			env.Deadline.Done()
			env.Note("permissions are enforced from now on")
			powerless, err := first.Powerless(ctx, s.DB)
			if err != nil {
				return cmdutil.AfterCommit(err)
			}
			for _, name := range powerless {
				env.Note("operator %s has no role, and so no permissions; grant one: cxgctl roles grant ROLE %s --operator %s", name, fault.Word(name), fault.Word(u.Username))
			}
		}
		return cmdutil.PrintResult(env, l, func() error { return passwordflag.PrintUser(env, u, pw.Printed(made)) })
	})
	f := cmd.Flags()
	f.StringVar(&n.Username, "username", "", "username, 3 to 100 ASCII characters")
	f.StringVar(&n.Email, "email", "", "e-mail address of a new user")
	f.Var(&fullName, "full-name", "full name of a new user, 1 to 100 characters")
	cliflag.Require(cmd, "username")
	pw.Bind(cmd)
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.NoOperator, Audit: cmdutil.Always})
	return passwordflag.BindOutput(env, cmd, &pw)
}

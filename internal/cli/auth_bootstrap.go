package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/users"
)

func (a *app) authBootstrap() *cobra.Command {
	var n users.New
	var pw passwordFlags
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "bootstrap --username U --email E --full-name N", Short: "Create the first operator: a MASTER with SUPER_ADMIN", Args: exactly(),
		Long: `Create the first operator: a MASTER with SUPER_ADMIN.

If a MASTER of that name already exists, it is granted the role and otherwise left unchanged, including the password.
From then on permissions are enforced, and operators without a role are listed. The change is recorded under the OS
user's name.

Once permissions are enforced, this command works only if no operator holds SUPER_ADMIN, and only over a connection
whose database role owns idam.user_roles. Use it to regain access.`,
		Example: "  cxgctl auth bootstrap --username ada --email ada@example.com --full-name 'Ada Lovelace'\n  cxgctl auth bootstrap --username admin",
	}
	cmd.RunE = a.runAnonymous(func(ctx context.Context, cmd *cobra.Command) error {
		if n.Username == "" {
			return fault.New(fault.Usage, "--username is missing").WithHint("see: %s --help", cmd.CommandPath())
		}
		s, err := a.connect(ctx, cmd, auth.Tables...)
		if err != nil {
			return err
		}
		first, err := auth.NewFirst(s.cat)
		if err != nil {
			return err
		}
		from := a.origin(cmd)
		l, err := audit.Open(ctx, s.db, s.cat, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
		if err != nil {
			return err
		}
		l.DryRun = flags.dryRun
		there, _, err := first.Look(ctx, s.db, n.Username)
		if err != nil {
			l.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: "user", Name: n.Username}, Action: audit.Create}, err)
			return err
		}
		var made secret
		if there == nil {
			n.UserType = "MASTER"
			if err := n.Check(); err != nil {
				return err
			}
			if made, err = a.password(ctx, pw); err != nil {
				return err
			}
		} else if pw.isSet() {
			a.note("%s already exists and keeps the password", n.Username)
			pw = passwordFlags{}
		}
		if err := a.confirmIfProtected(ctx, l, "make "+n.Username+" the first operator"); err != nil {
			return err
		}
		n.PasswordHash = made.hash
		var u users.User
		err = pw.withPasswordFile(a, l, made, func() error {
			u, err = first.Bootstrap(ctx, l, n)
			return err
		})
		if err != nil {
			return err
		}
		if len(l.Entries()) > 0 && !l.DryRun {
			a.clock.done()
			a.note("permissions are enforced from now on")
			powerless, err := first.Powerless(ctx, s.db)
			if err != nil {
				return afterCommit(err)
			}
			for _, name := range powerless {
				a.note("operator %s has no role, and so no permissions; grant one: cxgctl roles grant ROLE %s --operator %s", name, fault.Word(name), fault.Word(u.Username))
			}
		}
		return a.printResult(l, func() error { return a.printUser(u, pw.printed(made)) })
	})
	f := cmd.Flags()
	f.StringVar(&n.Username, "username", "", "username, 3 to 100 ASCII characters")
	f.StringVar(&n.Email, "email", "", "e-mail address of a new user")
	f.StringVar(&n.FullName, "full-name", "", "full name of a new user, 1 to 100 characters")
	pw.bind(cmd)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: noOperator, Audit: always})
	return a.addPasswordOutputFlags(cmd, &pw)
}

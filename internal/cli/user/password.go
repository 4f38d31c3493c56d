package user

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/passwordflag"
	"github.com/cxgctl/cxgctl/internal/users"
)

func newPassword(env *cmdutil.Env) *cobra.Command {
	var pw passwordflag.Flags
	var force bool
	b := newBatch(env, "change the password of")
	one := func() bool { return b.Cmd.Flags().NArg() == 1 && !b.Cmd.Flags().Changed("stdin") }
	secrets := map[uuid.UUID]passwordflag.Secret{}
	b.Edit = func(t *users.Table) (users.Edit, error) {
		if b.Cmd.Flags().NArg() > 1 || b.Cmd.Flags().Changed("stdin") || b.ByFilter() {
			if err := pw.CheckEach(); err != nil {
				return users.Edit{}, err
			}
		}
		return t.SetPasswords(nil, force)
	}
	b.Apply = func(ctx context.Context, w *cmdutil.Writer, t *users.Table, rows []users.User) (after []users.User, err error) {
		made := make([]passwordflag.Secret, 1)
		if one() {
			made[0], err = passwordflag.Read(ctx, env, pw)
		} else {
			env.Deadline.Stop() // hashing many takes minutes
			made, err = pw.ReadEach(ctx, len(rows), w.DryRun)
		}
		if err != nil {
			return nil, err
		}
		hashes := map[uuid.UUID]string{}
		for i, u := range rows {
			hashes[u.ID], secrets[u.ID] = made[i].Hash, made[i]
		}
		edit, err := t.SetPasswords(hashes, force)
		if err != nil {
			return nil, err
		}
		err = pw.WithFile(env, w.Ledger, passwordsOf(rows, made, one()), func() error {
			after, err = t.Apply(ctx, w.Ledger, rows, edit)
			return err
		})
		return after, err
	}
	b.Print = func(refs []string, rows []users.User) error {
		switch {
		case len(rows) > 0 && one():
			return passwordflag.PrintUser(env, rows[0], pw.Printed(secrets[rows[0].ID]))
		case len(rows) > 0 && pw.Printed(secrets[rows[0].ID]) != nil:
			return passwordflag.PrintUsers(env, rows, secrets)
		}
		return cmdutil.PrintNamed(env, cmdutil.UserView, refs, rows)
	}
	b.Columns = func(columns []string) error { return pw.CheckColumns(env, b.Cmd, columns) }
	cmd := b.Command("password REF…", "Set the passwords of users and end their sessions",
		"  cxgctl users password ada\n  cxgctl users password ada --generate-password --password-out ada.txt\n"+
			"  cxgctl users password --since today --generate-password --password-out new.csv --expect 30")
	cmd.Long = "On a terminal it asks twice. The password must be strong enough and not among the common ones. Several users, selected by\n" +
		"REFs or by the filters of users list, do not share a password: one is generated for each, and --password-out writes\n" +
		"them as csv."
	pw.Bind(cmd)
	cmd.MarkFlagsMutuallyExclusive("stdin", "password-stdin")
	cmd.Flags().BoolVar(&force, "force-password-change", false, "require a new password at the next login")
	cmd.Flags().BoolVar(&force, "force-change", false, "same as --force-password-change")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "force-password-change", "force-change")
	return cmd
}

// passwordsOf returns the content of --password-out: one password, or a csv of several. It is nil if none is generated.
func passwordsOf(rows []users.User, made []passwordflag.Secret, one bool) *string {
	if made[0].Generated == nil || one {
		return made[0].Generated
	}
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(passwordsHeader, "\n"))
	for i, u := range rows {
		b.WriteString("\n" + u.Username + "," + *made[i].Generated)
	}
	text := b.String()
	return &text
}

package user

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/users"
)

// newBatch returns a batch of users, given by REFs or selected by the filters of users list.
func newBatch(env *cmdutil.Env, verb string) *cmdutil.Batch[users.User, *users.Table] {
	return &cmdutil.Batch[users.User, *users.Table]{Env: env, Resource: cmdutil.Users, Verb: verb, Filter: &filterFlags{}}
}

// acrossTenants returns the function that runs a batch in several tenants' databases.
func acrossTenants(env *cmdutil.Env, b *cmdutil.Batch[users.User, *users.Table]) func(context.Context, *cmdutil.Writer, []string) error {
	return func(ctx context.Context, w *cmdutil.Writer, refs []string) error {
		if len(refs) == 0 && !b.ByFilter() {
			return cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintWhole(env, tenantUserView, []tenantUser{}) })
		}
		targets, err := tenantdb.Resolve(ctx, env, b.Cmd, w.Session)
		if err != nil {
			return err
		}
		return changeInTenants(ctx, env, w, b, targets, refs)
	}
}

func (f *filterFlags) Empty() bool { return f.filter().Empty() }

func (f *filterFlags) Rows(ctx context.Context, s *cmdutil.Session, t *users.Table, deleted bool) ([]users.User, error) {
	return t.Select(ctx, s.DB, s.IdleTimeout, f.filter(), deleted)
}

func newDelete(env *cmdutil.Env) *cobra.Command {
	b := newBatch(env, "delete")
	b.Destructive = true
	b.Edit = func(t *users.Table) (users.Edit, error) { return t.SetDeleted(true) }
	b.NoopReason = func(ctx context.Context, w *cmdutil.Writer, u users.User) string {
		return "is already deleted" + cmdutil.LastChange(ctx, env, w, u.UpdatedAt, u.UpdatedBy)
	}
	cmd := b.Command("delete REF…", "Delete users, so that users restore can restore them", "  cxgctl users delete ada bob --yes\n  cxgctl users delete --search temp. --dry-run")
	cmd.Long = `Delete users: mark them as deleted, set their status to INACTIVE and end their sessions.

The platform checks only the status at login, and accepts a session until it is revoked. cxgctl users restore restores
a user with the status from before the deletion. Sessions stay ended.`
	return cmd
}

func newRestore(env *cmdutil.Env) *cobra.Command {
	b := newBatch(env, "restore")
	b.Deleted = true
	b.Edit = func(t *users.Table) (users.Edit, error) { return t.SetDeleted(false) }
	b.NoopReason = func(context.Context, *cmdutil.Writer, users.User) string { return "is not deleted" }
	cmd := b.Command("restore REF…", "Restore deleted users", "  cxgctl users restore ada\n  cxgctl users restore ada --reason 'deleted by mistake'")
	cmd.Long = `Restore deleted users with the status from before the deletion, which is read from its audit row. Sessions that the
deletion ended stay ended.`
	return cmd
}

func newUnlock(env *cmdutil.Env) *cobra.Command {
	b := newBatch(env, "unlock")
	b.Across, b.Columns = acrossTenants(env, b), func(columns []string) error { return userColumns(env, columns) }
	b.Edit = func(t *users.Table) (users.Edit, error) { return t.Unlock(), nil }
	b.NoopReason = func(context.Context, *cmdutil.Writer, users.User) string { return "is not locked" }
	b.Remark = func(u users.User) (note, hint string) {
		if u.Status == nil || *u.Status == "ACTIVE" || *u.Status == "LOCKED" {
			return "", ""
		}
		return "is " + *u.Status + ", which unlock does not change", "cxgctl users status " + u.Username + " --set ACTIVE"
	}
	cmd := b.Command("unlock REF…", "Unlock users: reset status, failure counter and lock",
		"  cxgctl users unlock ada\n  cxgctl users unlock --locked --search @example.com --max-affected 10")
	return tenantdb.Bind(env, cmdutil.BindTenant(env, cmd))
}

func newStatus(env *cmdutil.Env) *cobra.Command {
	var status string
	b := newBatch(env, "change the status of")
	b.Across, b.Columns = acrossTenants(env, b), func(columns []string) error { return userColumns(env, columns) }
	b.Edit = func(t *users.Table) (users.Edit, error) {
		if status == "" {
			return users.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set ACTIVE, INACTIVE, LOCKED or SUSPENDED")
		}
		return t.SetStatus(status)
	}
	b.NoopReason = func(context.Context, *cmdutil.Writer, users.User) string {
		return "is already " + strings.ToUpper(status)
	}
	cmd := b.Command("status REF… --set STATUS", "Set the status of users",
		"  cxgctl users status ada --set SUSPENDED --reason 'left the company'\n  tail -n +2 leavers.csv | cut -d, -f1 | cxgctl users status --stdin --set INACTIVE --expect 12")
	cmd.Long = `Set the status of users. Only users with the status ACTIVE can log in to the platform. Any other status also ends the
sessions of the users, which stay ended when they become ACTIVE again. LOCKED lasts until cxgctl users unlock or the
next change of the status.`
	cmd.Flags().StringVar(&status, "set", "", "ACTIVE, INACTIVE, LOCKED or SUSPENDED")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "set")
	cliflag.CompleteFlag(cmd, "set", users.Statuses...)
	return tenantdb.Bind(env, cmdutil.BindTenant(env, cmd))
}

package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/users"
)

// userBatch returns a batch of users, given by REFs or selected by the filters of users list.
func (a *app) userBatch(verb string) *batch[users.User, *users.Table] {
	return &batch[users.User, *users.Table]{a: a, noun: userNoun, verb: verb, filter: &userFilter{}}
}

// acrossTenants returns the function that runs a batch in several tenants' databases.
func (a *app) acrossTenants(b *batch[users.User, *users.Table]) func(context.Context, *writer, []string) error {
	return func(ctx context.Context, w *writer, refs []string) error {
		if len(refs) == 0 && !b.byFilter() {
			return a.printResult(w.Ledger, func() error { return printWhole(a, tenantUserView, []tenantUser{}) })
		}
		places, err := a.resolveTenants(ctx, b.cmd, w.session)
		if err != nil {
			return err
		}
		return a.changeInTenants(ctx, w, b, places, refs)
	}
}

func (f *userFilter) empty() bool { return f.filter().Empty() }

func (f *userFilter) rows(ctx context.Context, s *session, t *users.Table, deleted bool) ([]users.User, error) {
	return t.Select(ctx, s.db, s.idle, f.filter(), deleted)
}

func (a *app) usersDelete() *cobra.Command {
	b := a.userBatch("delete")
	b.destructive = true
	b.edit = func(t *users.Table) (users.Edit, error) { return t.SetDeleted(true) }
	b.holds = func(ctx context.Context, w *writer, u users.User) string {
		return "is already deleted" + lastChange(ctx, w, u.UpdatedAt, u.UpdatedBy)
	}
	cmd := b.command("delete REF…", "Delete users, so that users restore can restore them", "  cxgctl users delete ada bob --yes")
	cmd.Long = `Delete users: mark them as deleted, set their status to INACTIVE and end their sessions.

The platform checks only the status at login, and accepts a session until it is revoked. cxgctl users restore restores
a user with the status from before the deletion. Sessions stay ended.`
	return cmd
}

func (a *app) usersRestore() *cobra.Command {
	b := a.userBatch("restore")
	b.deleted = true
	b.edit = func(t *users.Table) (users.Edit, error) { return t.SetDeleted(false) }
	b.holds = func(context.Context, *writer, users.User) string { return "is not deleted" }
	cmd := b.command("restore REF…", "Restore deleted users", "  cxgctl users restore ada")
	cmd.Long = `Restore deleted users with the status from before the deletion, which is read from its audit row. Sessions that the
deletion ended stay ended.`
	return cmd
}

func (a *app) usersUnlock() *cobra.Command {
	b := a.userBatch("unlock")
	b.across, b.columns = a.acrossTenants(b), a.userColumns
	b.edit = func(t *users.Table) (users.Edit, error) { return t.Unlock(), nil }
	b.holds = func(context.Context, *writer, users.User) string { return "is not locked" }
	b.remark = func(u users.User) (note, hint string) {
		if u.Status == nil || *u.Status == "ACTIVE" || *u.Status == "LOCKED" {
			return "", ""
		}
		return "is " + *u.Status + ", which unlock does not lift", "cxgctl users status " + u.Username + " --set ACTIVE"
	}
	cmd := b.command("unlock REF…", "Unlock users: reset status, failure counter and lock",
		"  cxgctl users unlock ada\n  cxgctl users unlock --locked --search @example.com --max-affected 10")
	return a.bindTenants(a.bindTenant(cmd))
}

func (a *app) usersStatus() *cobra.Command {
	var status string
	b := a.userBatch("change the status of")
	b.across, b.columns = a.acrossTenants(b), a.userColumns
	b.edit = func(t *users.Table) (users.Edit, error) {
		if status == "" {
			return users.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set ACTIVE, INACTIVE, LOCKED or SUSPENDED")
		}
		return t.SetStatus(status)
	}
	b.holds = func(context.Context, *writer, users.User) string { return "is already " + strings.ToUpper(status) }
	cmd := b.command("status REF… --set STATUS", "Set the status of users",
		"  cxgctl users status ada --set SUSPENDED --reason 'left the company'\n  tail -n +2 leavers.csv | cut -d, -f1 | cxgctl users status --stdin --set INACTIVE --expect 12")
	cmd.Long = `Set the status of users. Only users with the status ACTIVE can log in to the platform. Any other status also ends the
sessions of the users, which stay ended when they become ACTIVE again. LOCKED lasts until cxgctl users unlock or the
next change of the status.`
	cmd.Flags().StringVar(&status, "set", "", "ACTIVE, INACTIVE, LOCKED or SUSPENDED")
	markFlags(cmd.Flags(), recorded, "set")
	must(cmd.RegisterFlagCompletionFunc("set", complete(users.Statuses...)))
	return a.bindTenants(a.bindTenant(cmd))
}

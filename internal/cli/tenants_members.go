package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

var memberView = output.View{
	Table: []string{"username", "full_name", "role", "status", "is_primary", "is_admin", "employee_id", "start_date"},
	Wide: []string{
		"id", "tenant_code", "username", "full_name", "email", "role", "department", "position", "employee_id", "status", "is_primary",
		"is_admin", "start_date", "close_date", "created_at", "updated_at",
	},
}

// memberTables are of the Spec of commands about members.
var memberTables = append([]string{schema.Tenants}, tenants.MemberTables...)

func (a *app) membersCommand() *cobra.Command {
	return a.group("members", "List, add, change and remove members of a tenant",
		a.membersList(), a.membersAdd(), a.membersUpdate(), a.membersRemove())
}

// memberFlags are the flags for the fields of a membership.
type memberFlags struct {
	role, department, position, employee textFlag
	primary, admin                       bool
}

func (f *memberFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&f.role, "role", "role within the tenant, free text of at most 50 characters")
	fs.Var(&f.department, "department", "department, at most 100 characters")
	fs.Var(&f.position, "position", "position, at most 100 characters")
	fs.Var(&f.employee, "employee-id", "the tenant's id for the member, at most 50 characters")
	fs.BoolVar(&f.primary, "primary", false, "primary contact of the tenant; implies --admin")
	fs.BoolVar(&f.admin, "admin", false, "administrator of the tenant")
	markFlags(fs, recorded, "primary", "admin")
}

func (f *memberFlags) read(cmd *cobra.Command) tenants.Membership {
	x := tenants.Membership{Role: f.role.value(), Department: f.department.value(), Position: f.position.value(), EmployeeID: f.employee.value()}
	if cmd.Flags().Changed("primary") {
		x.Primary = &f.primary
	}
	if cmd.Flags().Changed("admin") {
		x.Admin = &f.admin
	}
	return x
}

func (a *app) printMember(m tenants.Member) error { return output.One(a.print, memberView, m) }

func (a *app) membersList() *cobra.Command {
	var f tenants.MemberFilter
	var added rangeFlags
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list TENANT", Short: "List the members of a tenant, primary member first", Args: exactly("TENANT"),
		ValidArgsFunction: tenantNoun.completion(a, true),
		Example:           "  cxgctl tenants members list acme\n  cxgctl tenants members list acme --status LEFT -o csv",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		t, err := tenantNoun.lookup(ctx, s, refFlags{}, args[0])
		if err != nil {
			return err
		}
		f.Tenant, f.Since, f.Until = t.ID, added.since.Time(), added.until.Time()
		return list(a, memberView, &page, func(_ context.Context, s *session) (listing[tenants.Member], error) {
			m, err := tenants.NewMembers(s.cat)
			return listing[tenants.Member]{
				noun: "member", personal: true,
				matching: func(context.Context, db.Increment) (db.ListQuery[tenants.Member], error) { return m.Matching(f), nil },
			}, err
		})(ctx, s, cmd, args)
	})
	cmd.Flags().StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: ACTIVE, INACTIVE, SUSPENDED, LEFT (default: all but LEFT)")
	markFlags(cmd.Flags(), recorded, "status")
	searchVar(cmd.Flags(), &f.Search, "search", "literal `text` in username, full name or e-mail")
	must(cmd.RegisterFlagCompletionFunc("status", complete(tenants.MemberStatuses...)))
	added.bind(cmd, "added")
	page.bind(cmd)
	a.bindReveal(cmd)
	a.specify(cmd, Spec{Permission: "TENANT_READ", Tables: memberTables, Audit: whenReading})
	return addOutputFlags[tenants.Member](a, cmd)
}

// lookupMember returns the tenant and the user of a membership. A failure is recorded in the audit log.
func (a *app) lookupMember(ctx context.Context, w *writer, name refFlags, args []string) (t tenants.Tenant, u tenants.User, err error) {
	if t, err = tenantNoun.lookup(ctx, w.session, refFlags{}, args[0]); err == nil {
		found, ferr := userNoun.lookup(ctx, w.session, name, args[1])
		u, err = tenants.User{ID: found.ID, Name: found.Username}, ferr
	}
	if err != nil {
		err = a.failedOn(ctx, w, "member", args[1]+" of "+args[0], err)
	}
	return t, u, err
}

func (a *app) membersAdd() *cobra.Command {
	var values memberFlags
	var name refFlags
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "add TENANT USER", Short: "Add a user to a tenant", Args: exactly("TENANT", "USER"), ValidArgsFunction: a.completeMember,
		Long:    "Add a user to a tenant. A member who has left is reinstated. The primary member is also an administrator.",
		Example: "  cxgctl tenants members add acme ada --role OWNER --admin --primary --employee-id A-17",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		m, err := tenants.NewMembers(w.cat)
		if err != nil {
			return err
		}
		x := values.read(cmd)
		if err := x.Check(); err != nil {
			return err
		}
		t, u, err := a.lookupMember(ctx, w, name, args)
		if err != nil {
			return err
		}
		if err := a.confirmIfProtected(ctx, w.Ledger, "make "+u.Name+" a member of "+tenants.Kind.DisplayName(t)); err != nil {
			return err
		}
		made, err := m.Add(ctx, w.Ledger, w.cat, t, u, x)
		if err != nil {
			return err
		}
		if len(w.Entries()) == 0 {
			a.note("%s is already a member of %s; nothing changed", u.Name, tenants.Kind.DisplayName(t))
		}
		return a.printResult(w.Ledger, func() error { return a.printMember(made) })
	})
	values.bind(cmd)
	return a.addMemberFlags(cmd, audit.Create, &name, &flags)
}

func (a *app) membersUpdate() *cobra.Command {
	var values memberFlags
	var status textFlag
	var unset []string
	cmd := a.memberCommand(audit.Update, "update TENANT USER", "Change a membership", "update the membership of", a.confirmIfProtected,
		func(ctx context.Context, w *writer, m *tenants.Members, cmd *cobra.Command, seen tenants.Member) (tenants.Member, error) {
			x := values.read(cmd)
			x.Status, x.Unset = status.value(), unset
			return m.Update(ctx, w.Ledger, seen, x)
		})
	cmd.Example = "  cxgctl tenants members update acme ada --admin --role OWNER\n  cxgctl tenants members update acme bob --status SUSPENDED"
	values.bind(cmd)
	cmd.Flags().Var(&status, "status", "ACTIVE, INACTIVE or SUSPENDED")
	cmd.Flags().StringSliceVar(&unset, "unset", nil, "set these `fields` to null: role, department, position, employee_id")
	markFlags(cmd.Flags(), recorded, "status", "unset")
	must(cmd.RegisterFlagCompletionFunc("status", complete(tenants.MemberStatuses[:3]...)))
	return cmd
}

func (a *app) membersRemove() *cobra.Command {
	cmd := a.memberCommand(audit.Delete, "remove TENANT USER", "Remove a user from a tenant; the row stays, with status LEFT", "remove", a.confirmChange,
		func(ctx context.Context, w *writer, m *tenants.Members, _ *cobra.Command, seen tenants.Member) (tenants.Member, error) {
			return m.Remove(ctx, w.Ledger, seen, a.today())
		})
	cmd.Example = "  cxgctl tenants members remove acme ada --reason 'left the company'"
	return cmd
}

// memberCommand returns a command that changes an existing membership after ask has confirmed it.
func (a *app) memberCommand(action audit.Action, use, short, verb string, ask func(context.Context, *audit.Ledger, string) error,
	change func(context.Context, *writer, *tenants.Members, *cobra.Command, tenants.Member) (tenants.Member, error),
) *cobra.Command {
	var name refFlags
	var flags changeFlags
	cmd := &cobra.Command{Use: use, Short: short, Args: exactly("TENANT", "USER"), ValidArgsFunction: a.completeMember}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		m, err := tenants.NewMembers(w.cat)
		if err != nil {
			return err
		}
		t, u, err := a.lookupMember(ctx, w, name, args)
		if err != nil {
			return err
		}
		seen, err := m.Get(ctx, w.db, t, u.ID, u.Name)
		if action == audit.Delete && fault.Is(err, fault.NotFound) {
			a.note("%s is not a member of %s; nothing changed", u.Name, tenants.Kind.DisplayName(t))
			return a.printResult(w.Ledger, func() error { return nil })
		}
		if action == audit.Delete && err == nil && seen.Status != nil && *seen.Status == "LEFT" {
			a.note("%s has already left %s%s; nothing changed", u.Name, tenants.Kind.DisplayName(t), lastChange(ctx, w, seen.UpdatedAt, seen.UpdatedBy))
			return a.printResult(w.Ledger, func() error { return a.printMember(seen) })
		}
		if err != nil {
			return a.failedOn(ctx, w, "member", u.Name+" of "+tenants.Kind.DisplayName(t), err)
		}
		if err := ask(ctx, w.Ledger, verb+" "+u.Name+" of "+tenants.Kind.DisplayName(t)); err != nil {
			return err
		}
		after, err := change(ctx, w, m, cmd, seen)
		if err != nil {
			return err
		}
		if len(w.Entries()) == 0 {
			a.note("%s already has these values in %s; nothing changed", u.Name, tenants.Kind.DisplayName(t))
		}
		return a.printResult(w.Ledger, func() error { return a.printMember(after) })
	})
	return a.addMemberFlags(cmd, action, &name, &flags)
}

// addMemberFlags adds the flags and the permission that the member commands share.
func (a *app) addMemberFlags(cmd *cobra.Command, action audit.Action, name *refFlags, flags *changeFlags) *cobra.Command {
	name.bind(cmd, "id", "username", "email")
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "TENANT_UPDATE", Tables: memberTables, Audit: always, Action: action})
	return addOutputFlags[tenants.Member](a, cmd)
}

// completeMember completes a tenant, then a user.
func (a *app) completeMember(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return tenantNoun.completion(a, true)(cmd, args, prefix)
	}
	return userNoun.completion(a, true)(cmd, args, prefix)
}

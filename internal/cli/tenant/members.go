package tenant

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

var memberView = output.View{
	Name:  "members",
	Table: []string{"username", "full_name", "role", "status", "is_primary", "is_admin", "employee_id", "start_date"},
	Wide: []string{
		"id", "tenant_code", "username", "full_name", "email", "role", "department", "position", "employee_id", "status", "is_primary",
		"is_admin", "start_date", "close_date", "created_at", "updated_at",
	},
}

func newMembers(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("members", "List, add, change and remove members of a tenant",
		newMembersList(env), newMembersAdd(env), newMembersUpdate(env), newMembersRemove(env))
}

// memberFlags are the flags for the fields of a membership.
type memberFlags struct {
	role, department, position, employee cliflag.TextValue
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
	cliflag.MarkField(fs, "primary", "is_primary")
	cliflag.MarkFlags(fs, cliflag.Recorded, "primary", "admin")
}

func (f *memberFlags) read(cmd *cobra.Command) tenants.Membership {
	x := tenants.Membership{Member: tenants.Member{
		Role: f.role.Value(), Department: f.department.Value(), Position: f.position.Value(), EmployeeID: f.employee.Value(),
	}}
	if cmd.Flags().Changed("primary") {
		x.IsPrimary = &f.primary
	}
	if cmd.Flags().Changed("admin") {
		x.IsAdmin = &f.admin
	}
	return x
}

func printMember(env *cmdutil.Env, m tenants.Member) error {
	return output.One(env.Printer, memberView, m)
}

func newMembersList(env *cmdutil.Env) *cobra.Command {
	var f tenants.MemberFilter
	var added cliflag.RangeFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list TENANT", Short: "List the members of a tenant, primary member first", Long: "A membership gives a user of the platform access to a tenant. Members who have left are shown with --status LEFT.", Args: cmdutil.ExactArgs("TENANT"),
		ValidArgsFunction: cliflag.CompleteArgs(cmdutil.Tenants.Completion(env, true)),
		Example:           "  cxgctl tenants members list acme\n  cxgctl tenants members list acme --status LEFT -o csv",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, memberView, &page, func(ctx context.Context, s *cmdutil.Session, _ db.Increment) (q db.ListQuery[tenants.Member], err error) {
		t, err := cmdutil.Tenants.Lookup(ctx, s, cmdutil.RefFlags{}, cmd.Flags().Arg(0))
		if err != nil {
			return q, err
		}
		m, err := tenants.NewMembers(s.Catalog)
		if err != nil {
			return q, err
		}
		f.Tenant, f.Since, f.Until = t.ID, added.Since.Time(), added.Until.Time()
		return m.Matching(f), nil
	}))
	cmd.Flags().StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: ACTIVE, INACTIVE, SUSPENDED, LEFT (default: all but LEFT)")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "status")
	cliflag.SearchVar(cmd.Flags(), &f.Search, "search", "literal `text` in username, full name or e-mail")
	cliflag.CompleteFlag(cmd, "status", tenants.MemberStatuses...)
	added.Bind(cmd, "added")
	page.Bind(cmd)
	cmdutil.BindReveal(env, cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_READ", Resource: tenants.MemberResource.Name, Tables: tenants.MemberResource.Tables, Audit: cmdutil.WhenReading})
	return cmdutil.AddOutputFlags[tenants.Member](env, cmd)
}

// lookupMember returns the tenant and the user of a membership. A failure is recorded in the audit log.
func lookupMember(ctx context.Context, w *cmdutil.Writer, name cmdutil.RefFlags, args []string) (t tenants.Tenant, u tenants.User, err error) {
	if t, err = cmdutil.Tenants.Lookup(ctx, w.Session, cmdutil.RefFlags{}, args[0]); err == nil {
		found, ferr := cmdutil.Users.Lookup(ctx, w.Session, name, args[1])
		u, err = tenants.User{ID: found.ID, Name: found.Username}, ferr
	}
	if err != nil {
		err = cmdutil.FailedOn(ctx, w, args[1]+" of "+args[0], err)
	}
	return t, u, err
}

func newMembersAdd(env *cmdutil.Env) *cobra.Command {
	var values memberFlags
	var name cmdutil.RefFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "add TENANT USER", Short: "Add a user to a tenant", Args: cmdutil.ExactArgs("TENANT", "USER"), ValidArgsFunction: completeMember(env),
		Long:    "Add a user to a tenant. A member who has left is reinstated. The primary member is also an administrator.",
		Example: "  cxgctl tenants members add acme ada --role OWNER --admin --primary --employee-id A-17\n  cxgctl tenants members add acme bob",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		m, err := tenants.NewMembers(w.Catalog)
		if err != nil {
			return err
		}
		x := values.read(cmd)
		if err := x.Check(); err != nil {
			return err
		}
		t, u, err := lookupMember(ctx, w, name, args)
		if err != nil {
			return err
		}
		if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "make "+u.Name+" a member of "+tenants.Kind.DisplayName(t), 1); err != nil {
			return err
		}
		made, err := m.Add(ctx, w.Ledger, w.Catalog, t, u, x)
		if err != nil {
			return err
		}
		if len(w.Entries()) == 0 {
			env.Note("%s is already a member of %s; nothing changed", u.Name, tenants.Kind.DisplayName(t))
			if !x.IsOf(made) {
				env.Note("cxgctl: hint: to change the membership: cxgctl tenants members update %s %s", tenants.Kind.DisplayName(t), u.Name)
			}
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error { return printMember(env, made) })
	})
	values.bind(cmd)
	return addMemberFlags(env, cmd, audit.Create, &name, &flags)
}

func newMembersUpdate(env *cmdutil.Env) *cobra.Command {
	var values memberFlags
	var status cliflag.TextValue
	var unset []string
	cmd := newMemberCommand(env, audit.Update, "update TENANT USER", "Change a membership", "update the membership of",
		func(ctx context.Context, w *cmdutil.Writer, m *tenants.Members, cmd *cobra.Command, seen tenants.Member) (tenants.Member, error) {
			x := values.read(cmd)
			x.Status, x.Unset = status.Value(), unset
			return m.Update(ctx, w.Ledger, seen, x)
		})
	cmd.Example = "  cxgctl tenants members update acme ada --admin --role OWNER\n  cxgctl tenants members update acme bob --status SUSPENDED"
	values.bind(cmd)
	cmd.Flags().Var(&status, "status", "ACTIVE, INACTIVE or SUSPENDED")
	cmd.Flags().StringSliceVar(&unset, "unset", nil, "set these `fields` to null: "+strings.Join(tenants.UnsettableMember, ", "))
	cliflag.CompleteFlag(cmd, "unset", tenants.UnsettableMember...)
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "status", "unset")
	cliflag.CompleteFlag(cmd, "status", tenants.MemberStatuses[:3]...)
	return cmd
}

func newMembersRemove(env *cmdutil.Env) *cobra.Command {
	cmd := newMemberCommand(env, audit.Delete, "remove TENANT USER", "Remove a user from a tenant; the row stays, with status LEFT", "remove",
		func(ctx context.Context, w *cmdutil.Writer, m *tenants.Members, _ *cobra.Command, seen tenants.Member) (tenants.Member, error) {
			return m.Remove(ctx, w.Ledger, seen, cmdutil.Today(env))
		})
	cmd.Long = "The user's roles in the tenant stay; cxgctl roles grants --user lists them."
	cmd.Example = "  cxgctl tenants members remove acme ada --reason 'left the company'"
	return cmd
}

// newMemberCommand returns a command that changes an existing membership, or ends it, which always has to be confirmed.
func newMemberCommand(env *cmdutil.Env, action audit.Action, use, short, verb string,
	change func(context.Context, *cmdutil.Writer, *tenants.Members, *cobra.Command, tenants.Member) (tenants.Member, error),
) *cobra.Command {
	var name cmdutil.RefFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{Use: use, Short: short, Args: cmdutil.ExactArgs("TENANT", "USER"), ValidArgsFunction: completeMember(env)}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		m, err := tenants.NewMembers(w.Catalog)
		if err != nil {
			return err
		}
		t, u, err := lookupMember(ctx, w, name, args)
		if err != nil {
			return err
		}
		seen, err := m.Get(ctx, w.DB, t, u.ID, u.Name)
		if action == audit.Delete && fault.Is(err, fault.NotFound) {
			env.Note("%s is not a member of %s; nothing changed", u.Name, tenants.Kind.DisplayName(t))
			return cmdutil.PrintResult(env, w.Ledger, func() error { return nil })
		}
		if action == audit.Delete && err == nil && seen.Status != nil && *seen.Status == "LEFT" {
			env.Note("%s has already left %s%s; nothing changed", u.Name, tenants.Kind.DisplayName(t), cmdutil.LastChange(ctx, env, w, seen.UpdatedAt, seen.UpdatedBy))
			return cmdutil.PrintResult(env, w.Ledger, func() error { return printMember(env, seen) })
		}
		if err != nil {
			return cmdutil.FailedOn(ctx, w, u.Name+" of "+tenants.Kind.DisplayName(t), err)
		}
		ask := cmdutil.ConfirmIfProtected
		if action == audit.Delete {
			ask = cmdutil.ConfirmChange
		}
		if err := ask(ctx, env, w.Ledger, verb+" "+u.Name+" of "+tenants.Kind.DisplayName(t), 1); err != nil {
			return err
		}
		after, err := change(ctx, w, m, cmd, seen)
		if err != nil {
			return err
		}
		if len(w.Entries()) == 0 {
			env.Note("%s already has these values in %s; nothing changed", u.Name, tenants.Kind.DisplayName(t))
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error { return printMember(env, after) })
	})
	return addMemberFlags(env, cmd, action, &name, &flags)
}

// addMemberFlags adds the flags and the permission that the member commands share.
func addMemberFlags(env *cmdutil.Env, cmd *cobra.Command, action audit.Action, name *cmdutil.RefFlags, flags *cmdutil.ChangeFlags) *cobra.Command {
	name.Bind(cmd, "id", "username", "email")
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_UPDATE", Resource: tenants.MemberResource.Name, Tables: tenants.MemberResource.Tables, Audit: cmdutil.Always, Action: action})
	return cmdutil.AddOutputFlags[tenants.Member](env, cmd)
}

// completeMember completes a tenant, then a user.
func completeMember(env *cmdutil.Env) cobra.CompletionFunc {
	return cliflag.CompleteArgs(cmdutil.Tenants.Completion(env, true), cmdutil.Users.Completion(env, true))
}

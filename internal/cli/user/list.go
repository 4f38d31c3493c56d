// Package user implements the users commands.
package user

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// NewCommand returns the commands about users.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	env.Undoable = append(env.Undoable, users.Resource)
	return cmdutil.Group("users", "Manage users of the platform or, with --tenant, of a tenant",
		cmdutil.BindTenant(env, newCreate(env)), cmdutil.BindTenant(env, newEnsure(env)), newGet(env),
		newList(env), cmdutil.BindTenant(env, newUpdate(env)), cmdutil.BindTenant(env, newDelete(env)),
		cmdutil.BindTenant(env, newRestore(env)), newStatus(env), newUnlock(env),
		cmdutil.BindTenant(env, newPassword(env)), cmdutil.BindTenant(env, newImport(env)), cmdutil.BindTenant(env, newExport(env)),
		cmdutil.BindTenant(env, cmdutil.Users.History(env)))
}

// filterFlags are the flags that select users.
type filterFlags struct {
	users.Filter
	createdAfter, lastLoginBefore cliflag.TimeValue
	created                       cliflag.RangeFlags
}

func (f *filterFlags) Bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: ACTIVE, INACTIVE, LOCKED, SUSPENDED")
	fs.StringSliceVar(&f.Types, "user-type", nil, "only these `types`: MASTER, TENANT, SYSTEM")
	cliflag.SearchVar(fs, &f.Search, "search", "literal `text` in username, full name or e-mail")
	fs.Var(&f.createdAfter, "created-after", "created after this `time`: "+cliflag.ShortForms)
	fs.Var(&f.lastLoginBefore, "last-login-before", "last logged in before this `time`")
	f.created.Bind(cmd, "created")
	fs.BoolVar(&f.Locked, "locked", false, "only locked users")
	cliflag.MarkFlags(fs, cliflag.Recorded, "status", "user-type", "created-after", "last-login-before", "locked")
	cliflag.CompleteFlag(cmd, "status", users.Statuses...)
	cliflag.CompleteFlag(cmd, "user-type", users.Types...)
}

// filter returns what the flags select. Ages are relative to now.
func (f filterFlags) filter() users.Filter {
	out := f.Filter
	out.CreatedAfter, out.LastLoginBefore = f.createdAfter.Time(), f.lastLoginBefore.Time()
	out.Since, out.Until = f.created.Since.Time(), f.created.Until.Time()
	return out
}

func newList(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List users, newest first", Long: "Without --all one page is shown. --member-of lists the members of a tenant among the platform's users, --tenant the users in the tenant's own database.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl users list --status LOCKED,SUSPENDED\n  cxgctl users list --search kim --sort username -o csv\n  cxgctl users list --member-of acme\n  cxgctl users list --all -o jsonl --output-file users.jsonl.gz",
	}
	var memberOf string
	listOne := listcmd.List(env, cmdutil.UserView, &page, func(ctx context.Context, s *cmdutil.Session, since db.Increment) (q db.ListQuery[users.User], err error) {
		t, err := s.Users()
		if err != nil {
			return q, err
		}
		filter := f.filter()
		if memberOf != "" {
			if filter.MemberOf, err = memberPredicate(ctx, s, memberOf); err != nil {
				return q, err
			}
		}
		if filter.Search != "" {
			filter.Grams, err = t.Grams(ctx, s.DB)
		}
		filter.Sort, filter.Changed = page.Sort, since
		return t.List(filter), err
	})
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, args []string) error {
		if !env.Tenants.Many() {
			return listOne(ctx, s, cmd, args)
		}
		filter := f.filter()
		filter.Sort, filter.Changed.Since = page.Sort, page.ChangedSince.Time()
		return listInTenants(ctx, env, s, cmd, filter)
	})
	f.Bind(cmd)
	cmd.Flags().StringVar(&memberOf, "member-of", "", "only members of this `tenant`, by id or code")
	cliflag.MarkTables(cmd.Flags(), "member-of", tenants.MemberResource.Tables...)
	cmdutil.Tenants.CompleteFlag(env, cmd, "member-of")
	cliflag.BindDeleted(cmd, &f.IncludeDeleted, "users")
	page.BindExport(cmd)
	cmdutil.BindReveal(env, cmd)
	page.BindSort(cmd, users.SortFields)
	env.Specify(cmd, cmdutil.Spec{Permission: "USER_LIST", Resource: users.Kind.Name, TenantOnly: true, Audit: cmdutil.WhenReading})
	tenantdb.Bind(env, cmdutil.BindTenant(env, cmd))
	return cmdutil.BindOutput(env, cmd, func(columns []string) error { return userColumns(env, columns) })
}

func newGet(env *cmdutil.Env) *cobra.Command {
	var ref cmdutil.RefFlags
	cmd := &cobra.Command{
		Use: "get REF…", Short: "Show a user, or several", Args: cmdutil.AtLeast("REF"), ValidArgsFunction: cliflag.CompleteRefs(cmdutil.Users.Completion(env, true)),
		Example: "  cxgctl users get ada\n  cxgctl users get ada@example.com -o json\n  cxgctl users get ada bob -o csv",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, args []string) error {
		if env.Tenants.Many() {
			return getInTenants(ctx, env, s, cmd, ref, cmdutil.Unique(args))
		}
		return cmdutil.Users.Show(ctx, env, s, cmd, ref, args, func(rows []users.User) error {
			return cmdutil.PrintNamed(env, cmdutil.UserView, args, rows)
		})
	})
	cmdutil.Users.BindGet(env, cmd, &ref)
	tenantdb.Bind(env, cmdutil.BindTenant(env, cmd))
	return cmdutil.BindOutput(env, cmd, func(columns []string) error { return userColumns(env, columns) })
}

// memberPredicate returns the SQL condition for members of a tenant.
func memberPredicate(ctx context.Context, s *cmdutil.Session, tenant string) (string, error) {
	t, err := tenants.Find(ctx, s.DB, s.Catalog, tenant, false)
	if err != nil {
		return "", err
	}
	m, err := tenants.NewMembers(s.Catalog)
	if err != nil {
		return "", err
	}
	return m.Membership(t.ID), nil
}

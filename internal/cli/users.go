package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

var userView = output.View{
	Table: []string{"username", "full_name", "email", "user_type", "status", "last_login_at", "created_at"},
	Wide: []string{
		"id", "username", "full_name", "email", "phone", "user_type", "status", "mfa_enabled", "department",
		"position", "failed_login_attempts", "locked_until", "last_login_at", "is_active", "created_at", "updated_at",
	},
}

var userNoun = resourceKind[users.User, *users.Table]{
	Kind: &users.Kind,
	view: userView,
	open: func(s *session) (*users.Table, error) { return s.users() },
	complete: func(ctx context.Context, s *session, prefix string, live bool) ([]string, error) {
		t, err := s.users()
		if err != nil {
			return nil, err
		}
		return t.Usernames(ctx, s.db, prefix, live)
	},
}

func (a *app) usersCommand() *cobra.Command {
	return a.group("users", "Manage users of the platform or, with --tenant, of a tenant",
		a.bindTenant(a.usersCreate()), a.usersGet(),
		a.usersList(), a.bindTenant(a.usersUpdate()), a.bindTenant(a.usersDelete()),
		a.bindTenant(a.usersRestore()), a.usersStatus(), a.usersUnlock(),
		a.bindTenant(a.usersPassword()), a.bindTenant(a.usersImport()), a.bindTenant(a.usersExport()),
		a.bindTenant(userNoun.history(a)))
}

// userFilter are the flags that select users.
type userFilter struct {
	users.Filter
	createdAfter, lastLoginBefore timeFlag
	created                       rangeFlags
}

func (f *userFilter) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: ACTIVE, INACTIVE, LOCKED, SUSPENDED")
	fs.StringSliceVar(&f.Types, "user-type", nil, "only these `types`: MASTER, TENANT, SYSTEM")
	searchVar(fs, &f.Search, "search", "literal `text` in username, full name or e-mail")
	fs.Var(&f.createdAfter, "created-after", "created after this `time`: "+shortForms)
	fs.Var(&f.lastLoginBefore, "last-login-before", "last logged in before this `time`")
	f.created.bind(cmd, "created")
	fs.BoolVar(&f.Locked, "locked", false, "only locked users")
	markFlags(fs, recorded, "status", "user-type", "created-after", "last-login-before", "locked")
	must(cmd.RegisterFlagCompletionFunc("status", complete(users.Statuses...)))
	must(cmd.RegisterFlagCompletionFunc("user-type", complete(users.Types...)))
}

// filter returns what the flags select. Ages are relative to now.
func (f userFilter) filter() users.Filter {
	out := f.Filter
	out.CreatedAfter, out.LastLoginBefore = f.createdAfter.Time(), f.lastLoginBefore.Time()
	out.Since, out.Until = f.created.since.Time(), f.created.until.Time()
	return out
}

func (a *app) usersList() *cobra.Command {
	var f userFilter
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List users, newest first", Args: exactly(),
		Example: "  cxgctl users list --status LOCKED,SUSPENDED\n  cxgctl users list --search kim --sort username -o csv\n  cxgctl users list --member-of acme\n  cxgctl users list --all -o jsonl --output-file users.jsonl.gz",
	}
	var memberOf string
	one := list(a, userView, &page, func(ctx context.Context, s *session) (listing[users.User], error) {
		t, err := s.users()
		if err != nil {
			return listing[users.User]{}, err
		}
		filter := f.filter()
		if memberOf != "" {
			if filter.MemberOf, err = memberPredicate(ctx, s, memberOf); err != nil {
				return listing[users.User]{}, err
			}
		}
		filter.Sort = page.sort
		if filter.Search != "" {
			filter.Grams, err = t.Grams(ctx, s.db)
		}
		return listing[users.User]{
			noun: users.Kind.Name, personal: true, table: t.Name(),
			matching: func(_ context.Context, since db.Increment) (db.ListQuery[users.User], error) {
				filter.Changed = since
				return t.List(filter), nil
			},
		}, err
	})
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		if !a.tenant.many() {
			return one(ctx, s, cmd, args)
		}
		filter := f.filter()
		filter.Sort, filter.Changed.Since = page.sort, page.changedSince.Time()
		return a.listInTenants(ctx, s, cmd, filter)
	})
	f.bind(cmd)
	cmd.Flags().StringVar(&memberOf, "member-of", "", "only members of this `tenant`, by id or code")
	readsTables(cmd.Flags(), "member-of", tenants.MemberTables...)
	must(cmd.RegisterFlagCompletionFunc("member-of", tenantNoun.completion(a, true)))
	cmd.Flags().BoolVar(&f.IncludeDeleted, "include-deleted", false, "include deleted users")
	markFlags(cmd.Flags(), recorded, "include-deleted")
	page.bindExport(cmd)
	a.bindReveal(cmd)
	cmd.Flags().StringSliceVar(&page.sort, "sort", nil, "sort by these `fields`, each FIELD or FIELD:desc")
	markFlags(cmd.Flags(), shaping, "sort")
	a.specify(cmd, Spec{Permission: "USER_LIST", TenantOnly: true, Audit: whenReading})
	a.bindTenants(a.bindTenant(cmd))
	return a.bindOutput(cmd, a.userColumns)
}

func (a *app) usersGet() *cobra.Command {
	var name refFlags
	cmd := &cobra.Command{
		Use: "get REF", Short: "Show a user", Args: exactly("REF"), ValidArgsFunction: userNoun.completion(a, true),
		Example: "  cxgctl users get ada\n  cxgctl users get ada@example.com -o json",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		if a.tenant.many() {
			return a.getInTenants(ctx, s, cmd, name, args[0])
		}
		return userNoun.show(ctx, a, s, cmd, name, args[0])
	})
	userNoun.bindGet(a, cmd, &name)
	a.bindTenants(a.bindTenant(cmd))
	return a.bindOutput(cmd, a.userColumns)
}

// memberPredicate returns the SQL condition for members of a tenant.
func memberPredicate(ctx context.Context, s *session, tenant string) (string, error) {
	t, err := tenants.Find(ctx, s.db, s.cat, tenant, false)
	if err != nil {
		return "", err
	}
	m, err := tenants.NewMembers(s.cat)
	if err != nil {
		return "", err
	}
	return m.Membership(t.ID), nil
}

// Package role implements the roles commands.
package role

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

var roleView = output.View{
	Name:  "roles",
	ID:    "code",
	Table: []string{"code", "name", "category", "level", "scope", "status", "holders"},
	Wide:  []string{"id", "code", "name", "description", "category", "level", "scope", "is_default", "status", "holders", "permissions"},
}

var grantView = output.View{
	Name:  "grants",
	Table: []string{"username", "role", "scope", "status", "expires_at", "level", "granted_at", "tenant_id"},
	Wide:  []string{"id", "username", "role", "level", "scope", "tenant_id", "status", "granted_at", "granted_by", "expires_at"},
}

// NewCommand returns the commands about roles and their grants.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	env.Undoable = append(env.Undoable, roles.Resource)
	return cmdutil.Group("roles", "List, grant and revoke roles",
		newList(env), newGet(env), newGrants(env), newGrant(env), newRevoke(env))
}

func newList(env *cmdutil.Env) *cobra.Command {
	var f roles.Filter
	var user string
	var created cliflag.RangeFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List roles, highest level first", Long: "With --user only the roles that the user holds.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl roles list -o wide\n  cxgctl roles list --user ada",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, roleView, &page, func(ctx context.Context, s *cmdutil.Session, _ db.Increment) (q db.ListQuery[roles.Role], err error) {
		if user != "" {
			u, err := cmdutil.Users.Lookup(ctx, s, cmdutil.RefFlags{}, user)
			if err != nil {
				return q, err
			}
			f.User = u.ID
		}
		t, err := roles.NewTable(s.Catalog)
		if err != nil {
			return q, err
		}
		f.Since, f.Until = created.Since.Time(), created.Until.Time()
		return t.Matching(f), nil
	}))
	cmd.Flags().StringVar(&user, "user", "", "only roles of this `user`")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "user")
	cliflag.SearchVar(cmd.Flags(), &f.Search, "search", "literal `text` in code or name")
	cmdutil.Users.CompleteFlag(env, cmd, "user")
	created.Bind(cmd, "created")
	page.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "ROLE_LIST", Resource: roles.Resource.Name})
	return cmdutil.AddOutputFlags[roles.Role](env, cmd)
}

func newGrants(env *cmdutil.Env) *cobra.Command {
	var who, what, where []string
	var granted cliflag.RangeFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "grants", Short: "List role grants", Long: "Who holds which role, in which tenant, and until when.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl roles grants --user ada\n  cxgctl roles grants --role SUPER_ADMIN\n  cxgctl roles grants --tenant acme -o csv",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, grantView, &page, func(ctx context.Context, s *cmdutil.Session, _ db.Increment) (none db.ListQuery[roles.Grant], err error) {
		t, err := roles.NewTable(s.Catalog)
		if err != nil {
			return none, err
		}
		f := roles.GrantFilter{Since: granted.Since.Time(), Until: granted.Until.Time()}
		for _, ref := range who {
			u, err := cmdutil.Users.Lookup(ctx, s, cmdutil.RefFlags{}, ref)
			if err != nil {
				return none, err
			}
			f.Users = append(f.Users, u.ID)
		}
		for _, ref := range what {
			r, err := t.Get(ctx, s.DB, ref)
			if err != nil {
				return none, err
			}
			f.Roles = append(f.Roles, r.ID)
		}
		for _, ref := range where {
			found, err := tenants.Find(ctx, s.DB, s.Catalog, ref, true)
			if err != nil {
				return none, err
			}
			f.Tenants = append(f.Tenants, found.ID)
		}
		return t.Grants(f), nil
	}))
	fs := cmd.Flags()
	fs.StringSliceVar(&who, "user", nil, "only grants to these `users`")
	fs.StringSliceVar(&what, "role", nil, "only grants of these `roles`, by code or id")
	fs.StringSliceVar(&where, "tenant", nil, "only grants in these `tenants`, by id or code")
	granted.Bind(cmd, "granted")
	cliflag.MarkFlags(fs, cliflag.Recorded, "user", "tenant")
	cmdutil.Users.CompleteFlag(env, cmd, "user")
	cliflag.CompleteFlagWith(cmd, "role", completeRoles(env))
	cmdutil.Tenants.CompleteFlag(env, cmd, "tenant")
	page.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "ROLE_LIST", Resource: roles.Resource.Name, Tables: []string{schema.Tenants}})
	return cmdutil.AddOutputFlags[roles.Grant](env, cmd)
}

func newGet(env *cmdutil.Env) *cobra.Command {
	var flags cmdutil.RefFlags
	cmd := &cobra.Command{
		Use: "get ROLE…", Short: "Show a role with its permissions, or several", Args: cmdutil.AtLeast("ROLE"),
		ValidArgsFunction: cliflag.CompleteRefs(completeRoles(env)),
		Example:           "  cxgctl roles get PLATFORM_SUPPORT --jq '.data.permissions[]'\n  cxgctl roles get PLATFORM_SUPPORT",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command, args []string) error {
		t, err := roles.NewTable(s.Catalog)
		if err != nil {
			return err
		}
		var found []resource.Match[roles.Role]
		for _, ref := range cmdutil.Unique(args) {
			r, err := t.Get(ctx, s.DB, ref)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
			found = append(found, resource.Match[roles.Role]{Ref: ref, Row: r, Err: err})
		}
		id := func(r roles.Role) uuid.UUID { return r.ID }
		return cmdutil.ShowFound(env, id, flags, found, func(rows []roles.Role) error { return cmdutil.PrintNamed(env, roleView, args, rows) })
	})
	flags.BindIgnore(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "ROLE_READ", Resource: roles.Resource.Name})
	return cmdutil.AddOutputFlags[roles.Role](env, cmd)
}

// grantFlags are the flags of roles grant and revoke.
type grantFlags struct {
	tenant  string
	revoke  bool // the command revokes
	expires expiryFlag
	ref     cmdutil.RefFlags
	cmdutil.ChangeFlags
}

// scope returns where a grant applies, for messages.
func (f *grantFlags) scope() string {
	if f.tenant == "" {
		return " everywhere"
	}
	return " in " + f.tenant
}

// expiryFlag is the end of a grant: a future time, or never.
type expiryFlag struct {
	at    cliflag.TimeValue
	never bool
}

func (e *expiryFlag) String() string {
	if e.never {
		return never
	}
	return e.at.String()
}

func (e *expiryFlag) Follow(when *cliflag.TimeContext) { e.at.Follow(when) }

// Type names the flag's values in help.
func (e *expiryFlag) Type() string { return "time" }

// Set parses a future time or never.
func (e *expiryFlag) Set(s string) error {
	if e.never = s == never || s == "infinity"; e.never {
		return nil
	}
	e.at.Ahead = true
	return e.at.Set(s)
}

const never = "never"

// resolve looks up the role, the user and the tenant of a grant.
func (f *grantFlags) resolve(ctx context.Context, s *cmdutil.Session, args []string) (*roles.Table, roles.Given, error) {
	var g roles.Given
	t, err := roles.NewTable(s.Catalog)
	if err != nil {
		return t, g, err
	}
	if g.Role, err = t.Get(ctx, s.DB, args[0]); err != nil {
		return t, g, err
	}
	u, err := cmdutil.Users.Lookup(ctx, s, f.ref, args[1])
	if err != nil {
		return t, g, err
	}
	g.To = roles.Holder{ID: u.ID, Name: u.Username}
	if at := f.expires.at.Time(); !at.IsZero() && !f.expires.never {
		g.Expires = &at
	}
	g.Keep = g.Expires == nil && !f.expires.never
	if f.tenant == "" {
		return t, g, nil
	}
	tenant, err := tenants.Find(ctx, s.DB, s.Catalog, f.tenant, false)
	g.Tenant = &tenant.ID
	if id, bad := uuid.Parse(f.tenant); bad == nil && f.revoke && fault.Is(err, fault.NotFound) {
		g.Tenant, err = &id, nil // a grant can outlive its tenant
	}
	return t, g, err
}

func (f *grantFlags) bind(env *cmdutil.Env, cmd *cobra.Command, action audit.Action) {
	cmd.ValidArgsFunction = cliflag.CompleteArgs(completeRoles(env), cmdutil.Users.Completion(env, true))
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "only in this `tenant` (default: everywhere)")
	cmdutil.Tenants.CompleteFlag(env, cmd, "tenant")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "tenant")
	f.ref.Bind(cmd, "id", "username", "email")
	f.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "PERMISSION_MANAGE", Resource: roles.Resource.Name, Tables: []string{schema.Tenants}, Audit: cmdutil.Always, Action: action})
}

func newGrant(env *cmdutil.Env) *cobra.Command {
	var f grantFlags
	cmd := &cobra.Command{
		Use: "grant ROLE USER", Short: "Grant a role to a user", Args: cmdutil.ExactArgs("ROLE", "USER"),
		Long: `Grant a role to a user, everywhere or in one tenant, permanently or until a time. Operators cannot grant roles that
are stronger than their own, and cannot grant roles to themselves. An existing grant does not change, unless --expires
sets another end. --expires never removes the end.`,
		Example: "  cxgctl roles grant PLATFORM_SUPPORT ada --expires 90d\n  cxgctl roles grant TENANT_ADMIN bob --tenant acme",
	}
	cmd.RunE = cmdutil.RunWrite(env, &f.ChangeFlags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, args []string) error {
		t, g, err := f.resolve(ctx, w.Session, args)
		if err != nil {
			return cmdutil.FailedOn(ctx, w, args[0], err)
		}
		if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "grant "+g.Role.Code+" to "+g.To.Name, 1); err != nil {
			return err
		}
		made, err := t.Grant(ctx, w.Ledger, g)
		if err != nil {
			return err
		}
		if len(w.Entries()) == 0 {
			env.Note("user %q already holds %s%s%s; nothing changed", g.To.Name, g.Role.Code, f.scope(), until(made.ExpiresAt))
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error { return output.One(env.Printer, grantView, made) })
	})
	f.bind(env, cmd, audit.Create)
	cmd.Flags().Var(&f.expires, "expires", "end of the grant: a `time` in RFC 3339, a date, a duration such as 90d or 12h, or never")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "expires")
	cliflag.CompleteFlag(cmd, "expires", "30d", "90d", "1y", never)
	return cmdutil.AddOutputFlags[roles.Grant](env, cmd)
}

// until returns the end of a grant, for messages.
func until(end *db.Time) string {
	if end == nil {
		return ""
	}
	return " until " + end.String()
}

func newRevoke(env *cmdutil.Env) *cobra.Command {
	f := grantFlags{revoke: true}
	cmd := &cobra.Command{
		Use: "revoke ROLE USER", Short: "Revoke a role from a user", Long: "With --tenant the grant in that tenant, else the grant that holds everywhere. Revoking a role that is not held changes nothing.", Args: cmdutil.ExactArgs("ROLE", "USER"),
		Example: "  cxgctl roles revoke PLATFORM_SUPPORT ada --reason 'changed teams'\n  cxgctl roles revoke TENANT_ADMIN bob --tenant acme",
	}
	cmd.RunE = cmdutil.RunWrite(env, &f.ChangeFlags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, args []string) error {
		t, g, err := f.resolve(ctx, w.Session, args)
		if err != nil {
			return cmdutil.FailedOn(ctx, w, args[0], err)
		}
		held, err := t.Holds(ctx, w.DB, g)
		if err != nil {
			return err
		}
		if !held {
			env.Note("user %q does not hold %s%s; nothing changed", g.To.Name, g.Role.Code, f.scope())
			if f.tenant == "" {
				env.Note("cxgctl: hint: use --tenant for a grant in one tenant")
			}
			return cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintWhole(env, grantView, []roles.Grant{}) })
		}
		if err := cmdutil.ConfirmChange(ctx, env, w.Ledger, "revoke "+g.Role.Code+" from "+g.To.Name, 1); err != nil {
			return err
		}
		gone, err := t.Revoke(ctx, w.Ledger, g)
		if err != nil {
			return err
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error {
			if len(gone) == 1 {
				return output.One(env.Printer, grantView, gone[0])
			}
			return cmdutil.PrintWhole(env, grantView, gone)
		})
	})
	f.bind(env, cmd, audit.Delete)
	return cmdutil.AddOutputFlags[roles.Grant](env, cmd)
}

func completeRoles(env *cmdutil.Env) cobra.CompletionFunc {
	spec := cmdutil.Spec{Permission: "ROLE_LIST"}
	return cmdutil.CompleteRecent(env, spec, func(_ context.Context, s *cmdutil.Session, _ *cobra.Command) (db.ListQuery[roles.Role], error) {
		t, err := roles.NewTable(s.Catalog)
		if err != nil {
			return db.ListQuery[roles.Role]{}, err
		}
		return t.Matching(roles.Filter{}), nil
	}, func(r roles.Role) (string, []*string) { return r.Code, []*string{r.Name} })
}

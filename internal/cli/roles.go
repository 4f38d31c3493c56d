package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

var roleView = output.View{
	ID:    "code",
	Table: []string{"code", "name", "category", "level", "scope", "status", "holders"},
	Wide:  []string{"id", "code", "name", "description", "category", "level", "scope", "is_default", "status", "holders", "permissions"},
}

var grantView = output.View{
	Table: []string{"username", "role", "level", "scope", "tenant_id", "status", "granted_at", "expires_at"},
	Wide:  []string{"id", "username", "role", "level", "scope", "tenant_id", "status", "granted_at", "granted_by", "expires_at"},
}

func (a *app) rolesCommand() *cobra.Command {
	return a.group("roles", "List, grant and revoke roles",
		a.rolesList(), a.rolesGet(), a.rolesGrants(), a.rolesGrant(), a.rolesRevoke())
}

func (a *app) rolesList() *cobra.Command {
	var f roles.Filter
	var user string
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List roles, highest level first", Args: exactly(),
		Example: "  cxgctl roles list -o wide\n  cxgctl roles list --user ada",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		if user != "" {
			u, err := userNoun.lookup(ctx, s, refFlags{}, user)
			if err != nil {
				return err
			}
			f.User = u.ID
		}
		return list(a, roleView, &page, func(_ context.Context, s *session) (listing[roles.Role], error) {
			t, err := roles.NewTable(s.cat)
			return listing[roles.Role]{
				matching: func(context.Context, db.Increment) (db.ListQuery[roles.Role], error) { return t.Matching(f), nil },
			}, err
		})(ctx, s, cmd, args)
	})
	cmd.Flags().StringVar(&user, "user", "", "only roles of this `user`")
	markFlags(cmd.Flags(), recorded, "user")
	searchVar(cmd.Flags(), &f.Search, "search", "literal `text` in code or name")
	must(cmd.RegisterFlagCompletionFunc("user", userNoun.completion(a, true)))
	page.bind(cmd)
	a.specify(cmd, Spec{Permission: "ROLE_LIST"})
	return addOutputFlags[roles.Role](a, cmd)
}

func (a *app) rolesGrants() *cobra.Command {
	var user, role, tenant string
	var page pageFlags
	cmd := &cobra.Command{
		Use: "grants", Short: "List role grants", Args: exactly(),
		Example: "  cxgctl roles grants --user ada\n  cxgctl roles grants --role SUPER_ADMIN\n  cxgctl roles grants --tenant acme -o csv",
	}
	cmd.RunE = a.runRead(list(a, grantView, &page, func(ctx context.Context, s *session) (listing[roles.Grant], error) {
		var none listing[roles.Grant]
		t, err := roles.NewTable(s.cat)
		if err != nil {
			return none, err
		}
		var f roles.GrantFilter
		if user != "" {
			u, err := userNoun.lookup(ctx, s, refFlags{}, user)
			if err != nil {
				return none, err
			}
			f.User = u.ID
		}
		if role != "" {
			r, err := t.Get(ctx, s.db, role)
			if err != nil {
				return none, err
			}
			f.Role = r.ID
		}
		if tenant != "" {
			found, err := tenants.Find(ctx, s.db, s.cat, tenant, true)
			if err != nil {
				return none, err
			}
			f.Tenant = &found.ID
		}
		return listing[roles.Grant]{
			matching: func(context.Context, db.Increment) (db.ListQuery[roles.Grant], error) { return t.Grants(f), nil },
		}, nil
	}))
	fs := cmd.Flags()
	fs.StringVar(&user, "user", "", "only grants to this `user`")
	fs.StringVar(&role, "role", "", "only grants of this `role`, by code or id")
	fs.StringVar(&tenant, "tenant", "", "only grants in this `tenant`, by id or code")
	markFlags(fs, recorded, "user", "tenant")
	must(cmd.RegisterFlagCompletionFunc("user", userNoun.completion(a, true)))
	must(cmd.RegisterFlagCompletionFunc("role", a.completeRole))
	must(cmd.RegisterFlagCompletionFunc("tenant", tenantNoun.completion(a, true)))
	page.bind(cmd)
	a.specify(cmd, Spec{Permission: "ROLE_LIST", Tables: []string{schema.Tenants}})
	return addOutputFlags[roles.Grant](a, cmd)
}

func (a *app) rolesGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ROLE", Short: "Show a role with its permissions", Args: exactly("ROLE"), ValidArgsFunction: a.completeRole,
		Example: "  cxgctl roles get PLATFORM_SUPPORT --jq '.data.permissions[]'",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, _ *cobra.Command, args []string) error {
		t, err := roles.NewTable(s.cat)
		if err != nil {
			return err
		}
		r, err := t.Get(ctx, s.db, args[0])
		if err != nil {
			return err
		}
		return output.One(a.print, roleView, r)
	})
	a.specify(cmd, Spec{Permission: "ROLE_READ"})
	return addOutputFlags[roles.Role](a, cmd)
}

// grantFlags are the flags of roles grant and revoke.
type grantFlags struct {
	tenant  string
	revoke  bool // the command revokes
	expires expiryFlag
	ref     refFlags
	changeFlags
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
	at    timeFlag
	never bool
}

func (e *expiryFlag) String() string {
	if e.never {
		return never
	}
	return e.at.String()
}

func (e *expiryFlag) follow(when *timing) { e.at.follow(when) }

// Type names the flag's values in help.
func (e *expiryFlag) Type() string { return "time" }

// Set parses a future time or never.
func (e *expiryFlag) Set(s string) error {
	if e.never = s == never || s == "infinity"; e.never {
		return nil
	}
	e.at.ahead = true
	return e.at.Set(s)
}

const never = "never"

// resolve looks up the role, the user and the tenant of a grant.
func (f *grantFlags) resolve(ctx context.Context, s *session, args []string) (*roles.Table, roles.Given, error) {
	var g roles.Given
	t, err := roles.NewTable(s.cat)
	if err != nil {
		return t, g, err
	}
	if g.Role, err = t.Get(ctx, s.db, args[0]); err != nil {
		return t, g, err
	}
	u, err := userNoun.lookup(ctx, s, f.ref, args[1])
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
	tenant, err := tenants.Find(ctx, s.db, s.cat, f.tenant, false)
	g.Tenant = &tenant.ID
	if id, bad := uuid.Parse(f.tenant); bad == nil && f.revoke && fault.Is(err, fault.NotFound) {
		g.Tenant, err = &id, nil // a grant can outlive its tenant
	}
	return t, g, err
}

func (f *grantFlags) bind(a *app, cmd *cobra.Command, action audit.Action) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.completeRole(cmd, args, prefix)
		}
		return userNoun.completion(a, true)(cmd, args, prefix)
	}
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "only in this `tenant` (default: everywhere)")
	markFlags(cmd.Flags(), recorded, "tenant")
	f.ref.bind(cmd, "id", "username", "email")
	f.changeFlags.bind(cmd)
	a.specify(cmd, Spec{Permission: "PERMISSION_MANAGE", Tables: []string{schema.Tenants}, Audit: always, Action: action})
}

func (a *app) rolesGrant() *cobra.Command {
	var f grantFlags
	cmd := &cobra.Command{
		Use: "grant ROLE USER", Short: "Grant a role to a user", Args: exactly("ROLE", "USER"),
		Long: `Grant a role to a user, everywhere or in one tenant, permanently or until a time. Operators cannot grant roles that
are stronger than their own, and cannot grant roles to themselves. An existing grant does not change, unless --expires
sets another end. --expires never removes the end.`,
		Example: "  cxgctl roles grant PLATFORM_SUPPORT ada --expires 90d\n  cxgctl roles grant TENANT_ADMIN bob --tenant acme",
	}
	cmd.RunE = a.runWrite(&f.changeFlags, func(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
		t, g, err := f.resolve(ctx, w.session, args)
		if err != nil {
			return a.failedOn(ctx, w, "role", args[0], err)
		}
		if err := a.confirmIfProtected(ctx, w.Ledger, "grant "+g.Role.Code+" to "+g.To.Name); err != nil {
			return err
		}
		made, err := t.Grant(ctx, w.Ledger, g)
		if err != nil {
			return err
		}
		if len(w.Entries()) == 0 {
			a.note("user %q already holds %s%s%s; nothing changed", g.To.Name, g.Role.Code, f.scope(), until(made.ExpiresAt))
		}
		return a.printResult(w.Ledger, func() error { return output.One(a.print, grantView, made) })
	})
	f.bind(a, cmd, audit.Create)
	cmd.Flags().Var(&f.expires, "expires", "end of the grant: a `time` in RFC 3339, a date, a duration such as 90d or 12h, or never")
	markFlags(cmd.Flags(), recorded, "expires")
	return addOutputFlags[roles.Grant](a, cmd)
}

// until returns the end of a grant, for messages.
func until(end *db.Time) string {
	if end == nil {
		return ""
	}
	return " until " + end.String()
}

func (a *app) rolesRevoke() *cobra.Command {
	f := grantFlags{revoke: true}
	cmd := &cobra.Command{
		Use: "revoke ROLE USER", Short: "Revoke a role from a user", Args: exactly("ROLE", "USER"),
		Example: "  cxgctl roles revoke PLATFORM_SUPPORT ada --reason 'changed teams'",
	}
	cmd.RunE = a.runWrite(&f.changeFlags, func(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
		t, g, err := f.resolve(ctx, w.session, args)
		if err != nil {
			return a.failedOn(ctx, w, "role", args[0], err)
		}
		held, err := t.Holds(ctx, w.db, g)
		if err != nil {
			return err
		}
		if !held {
			a.note("user %q does not hold %s%s; nothing changed", g.To.Name, g.Role.Code, f.scope())
			if f.tenant == "" {
				a.note("cxgctl: hint: use --tenant for a grant in one tenant")
			}
			return a.printResult(w.Ledger, func() error { return printWhole(a, grantView, []roles.Grant{}) })
		}
		if err := a.confirmChange(ctx, w.Ledger, "revoke "+g.Role.Code+" from "+g.To.Name); err != nil {
			return err
		}
		gone, err := t.Revoke(ctx, w.Ledger, g)
		if err != nil {
			return err
		}
		return a.printResult(w.Ledger, func() error {
			if len(gone) == 1 {
				return output.One(a.print, grantView, gone[0])
			}
			return printWhole(a, grantView, gone)
		})
	})
	f.bind(a, cmd, audit.Delete)
	return addOutputFlags[roles.Grant](a, cmd)
}

// completeRole completes role codes.
func (a *app) completeRole(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeLive(cmd, func(ctx context.Context, s *session) ([]string, error) {
		t, err := roles.NewTable(s.cat)
		if err != nil {
			return nil, err
		}
		return t.Codes(ctx, s.db)
	})
}

package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// tenantFlags select the tenants whose databases a command uses: one, those that match a pattern, or all.
type tenantFlags struct {
	refs     listFlag
	all      bool
	parallel int
	retry    string
	dev      *target // the dev database, once resolved
}

// tenantHelp is appended to the help of the users commands.
const tenantHelp = `

With --tenant the command works on sys.users in the tenant's database. These users do not have user_type, MFA,
department, position, time zone or locale; flags for those fields are refused. Their status is LOCKED while
locked_until is in the future, else INACTIVE if is_active is false, else ACTIVE. Setting a status sets both columns.
A change is announced in the manager database first and audited there afterwards. If the command is killed in between,
audit reconcile completes the audit.`

// bindTenant adds --tenant for one tenant.
func (a *app) bindTenant(cmd *cobra.Command) *cobra.Command {
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	cmd.Long += tenantHelp
	cmd.Flags().Var(&a.tenant.refs, "tenant", "users of this `tenant`, by id or code, in sys.users of its database")
	markFlags(cmd.Flags(), recorded, "tenant")
	markFlags(cmd.Flags(), entering, "tenant")
	readsTables(cmd.Flags(), "tenant", schema.Tenants, schema.Intents)
	must(cmd.RegisterFlagCompletionFunc("tenant", tenantNoun.completion(a, true)))
	return cmd
}

// tenantTarget is a tenant and how to connect to its database.
type tenantTarget struct {
	tenants.Ref
	code   string
	target target
	shared bool  // other tenants use the same database
	err    error // why the database is unknown
}

// resolveTenantTarget determines how to connect to a tenant's database. Errors are in the result.
func (a *app) resolveTenantTarget(ctx context.Context, cmd *cobra.Command, t tenants.Ref) tenantTarget {
	p := tenantTarget{Ref: t}
	if t.Code == nil {
		p.code, p.err = t.ID.String(), fault.New(fault.Database, "tenant %s does not have a code, so its database is unknown", t.ID)
		return p
	}
	p.code = *t.Code
	if err := tenants.CheckCode(p.code); err != nil {
		p.err = fault.New(fault.Validation, "%s", err)
		return p
	}
	var url string
	if url, p.shared, p.err = a.cfg.TenantURL(p.code); p.err != nil {
		return p
	}
	if url == "" { // the dev database, or not configured
		if a.tenant.dev == nil {
			t, err := a.database(ctx, cmd, "tenants")
			if err != nil {
				p.err = err
				return p
			}
			a.tenant.dev = &t
		}
		p.target = *a.tenant.dev
		return p
	}
	key := "tenants_database_url"
	if _, named := a.cfg.TenantDatabases[p.code]; named {
		key = "tenant_databases"
	}
	p.target = target{url: url, from: a.cfg.From(key), timeout: a.cfg.Timeout, pooled: a.cfg.Pooled, filtered: a.cfg.RowSecurity}
	if p.target.password, p.err = a.cfg.Password(); p.err == nil && !p.shared {
		p.err = a.checkReserved(p)
	}
	return p
}

// checkReserved refuses a code for which {code} results in the manager database, postgres or a template. Otherwise
// migrations would turn it into a tenant's database.
func (a *app) checkReserved(p tenantTarget) error {
	if _, named := a.cfg.TenantDatabases[p.code]; named {
		return nil
	}
	where := p.target.options("").Addr()
	database := where[strings.LastIndexByte(where, '/')+1:] // a socket's folder has slashes too
	manager := a.cfg.ManagerURL != "" && where != "" && where == target{url: a.cfg.ManagerURL}.options("").Addr()
	if !manager && !slices.Contains([]string{"postgres", "template0", "template1"}, database) {
		return nil
	}
	return fault.New(fault.Validation, "tenant %s: database %s cannot belong to a tenant", p.code, database).
		WithHint("set the tenant's database in the profile, under tenant_databases").With("tenant", p.code)
}

// directTarget returns p with a direct connection instead of one through a pooler, for migrations.
func (a *app) directTarget(p tenantTarget) tenantTarget {
	p.target.pooled = false // a pooler is then detected and refused
	if url := a.cfg.DirectTenantURL(p.code); url != "" && p.err == nil {
		p.target.url = url
	}
	return p
}

// open connects to the tenant's database and reads the columns of its tables.
func (p tenantTarget) open(ctx context.Context, a *app, home *session) (*session, error) {
	if p.err != nil {
		return nil, p.err
	}
	d, err := a.open(ctx, p.target.options("tenant "+p.code))
	if err != nil {
		return nil, err
	}
	cat, err := schema.Read(ctx, d, schema.SysUsers, schema.Applied, schema.ImportFiles, schema.ImportRows)
	if err != nil {
		return nil, db.Translate(err)
	}
	return p.session(home, d, cat), nil
}

// session returns a session in the tenant's database d for the operator of home.
func (p tenantTarget) session(home *session, d *db.DB, cat schema.Catalog) *session {
	return &session{db: d, cat: cat, by: home.by, who: home.who, idle: home.idle, narrowed: home.narrowed, home: home, place: &p}
}

// enterTenant returns a session in the database of the tenant that --tenant names, or s if the command does not work in
// one tenant.
func (a *app) enterTenant(ctx context.Context, cmd *cobra.Command, s *session) (*session, error) {
	several := cmd.Flags().Lookup("all-tenants") != nil
	if several {
		if err := a.tenant.check(); err != nil {
			return s, err
		}
	}
	if f := cmd.Flags().Lookup("tenant"); f == nil || !entering.has(f) || len(a.tenant.refs) == 0 && !a.tenant.all {
		return s, nil
	}
	switch {
	case several && a.tenant.many():
		return s, nil // the command opens the databases itself
	case a.tenant.many():
		return s, fault.New(fault.Usage, "%s works in one tenant's database, but --tenant %q can match several", cmd.CommandPath(), strings.Join(a.tenant.refs, ",")).
			WithHint("users list, get, unlock and status accept patterns")
	}
	t, err := tenants.Find(ctx, s.db, s.cat, a.tenant.refs[0], false)
	if err != nil {
		return s, err
	}
	return a.resolveTenantTarget(ctx, cmd, t).open(ctx, a, s)
}

// many reports whether the flags can select several tenants.
func (f tenantFlags) many() bool {
	return f.all || len(f.refs) > 1 || slices.ContainsFunc(f.refs, isPattern)
}

func isPattern(text string) bool { return strings.ContainsAny(text, "*?") }

// manager returns the session with the manager database, which holds the operator and the audit log.
func (s *session) manager() *session {
	if s.home != nil {
		return s.home
	}
	return s
}

// users returns the table of the session's users: the platform's, or a tenant's.
func (s *session) users() (*users.Table, error) {
	if s.place == nil {
		return users.NewTable(s.cat)
	}
	return users.NewTenantTable(s.cat, users.Tenancy{ID: s.place.ID, Code: s.place.code, Shared: s.place.shared})
}

// ledger returns the ledger for the session's database, which is l or a ledger for a tenant's database.
func (s *session) ledger(l *audit.Ledger) *audit.Ledger {
	if s.place == nil {
		return l
	}
	return l.ForTenant(audit.Tenant{DB: s.db, ID: s.place.ID, Code: s.place.code}, s.home.cat, s.cat)
}

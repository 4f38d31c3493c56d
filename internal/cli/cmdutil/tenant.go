package cmdutil

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// The default and the largest value of --parallel.
const (
	DefaultParallel = 8
	maxParallel     = 256
)

// TenantFlags select the tenants whose databases a command uses: one, those that match a pattern, or all.
type TenantFlags struct {
	Refs     cliflag.ListValue
	All      bool
	Parallel int
	Retry    string
	dev      *db.Options // of the dev database, once resolved
}

// Check refuses values out of range, and flags that need others.
func (f TenantFlags) Check() error {
	var p fault.Problems
	if f.Parallel < 1 || f.Parallel > maxParallel {
		p.Add("parallel", "%d is out of range; use 1 to %d", f.Parallel, maxParallel)
	}
	if err := p.Err(); err != nil {
		return err
	}
	if f.Retry != "" && !f.Many() {
		return fault.New(fault.Usage, "--retry-failed needs --all-tenants or a pattern in --tenant")
	}
	return nil
}

// BindTenant adds --tenant for one tenant.
func BindTenant(env *Env, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Var(&env.Tenants.Refs, "tenant", "users of this `tenant`, by id or code, in sys.users of its database")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "tenant")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Entering, "tenant")
	cliflag.ExplainIn(cmd.Flags(), "tenants", "tenant")
	cliflag.MarkTables(cmd.Flags(), "tenant", schema.Tenants, schema.Intents)
	Tenants.CompleteFlag(env, cmd, "tenant")
	return cmd
}

// TenantTarget is a tenant with the connection settings of its database.
type TenantTarget struct {
	tenants.Ref
	CodeOrID string
	Options  db.Options // a shared database is not named after one of its tenants
	Shared   bool       // other tenants use the same database
	Err      error      // why the database is unknown
}

// ResolveTenantTarget determines the connection settings of a tenant's database. It returns errors in the result.
func ResolveTenantTarget(ctx context.Context, env *Env, cmd *cobra.Command, t tenants.Ref) TenantTarget {
	target := TenantTarget{Ref: t}
	if t.Code == nil {
		target.CodeOrID, target.Err = t.ID.String(), fault.New(fault.Database, "tenant %s does not have a code, so its database is unknown", t.ID)
		return target
	}
	target.CodeOrID = *t.Code
	if err := tenants.CheckCode(target.CodeOrID); err != nil {
		target.Err = fault.New(fault.Validation, "%s", err)
		return target
	}
	var url string
	if url, target.Shared, target.Err = env.Config.TenantURL(target.CodeOrID); target.Err != nil {
		return target
	}
	if url == "" { // the dev database, or not configured
		if env.Tenants.dev == nil {
			o, err := env.Target(ctx, cmd, "tenants")
			if err != nil {
				target.Err = err
				return target
			}
			env.Tenants.dev = &o
		}
		target.Options = *env.Tenants.dev
		target.nameOptions()
		return target
	}
	key := "tenants_database_url"
	if _, named := env.Config.TenantDatabases[target.CodeOrID]; named {
		key = "tenant_databases"
	}
	target.Options = env.options("tenants", key, url, cmd.CommandPath())
	target.nameOptions()
	if !target.Shared {
		target.Err = checkReserved(env, target)
	}
	return target
}

// checkReserved refuses a code for which {code} is replaced by the name of the manager database, postgres or a
// template. Otherwise migrations would turn that database into a tenant's.
func checkReserved(env *Env, t TenantTarget) error {
	if _, named := env.Config.TenantDatabases[t.CodeOrID]; named {
		return nil
	}
	addr := t.Options.Addr()
	database := addr[strings.LastIndexByte(addr, '/')+1:] // a socket's folder has slashes too
	manager := env.Config.ManagerURL != "" && addr != "" && addr == db.Options{URL: env.Config.ManagerURL}.Addr()
	if !manager && !slices.Contains([]string{"postgres", "template0", "template1"}, database) {
		return nil
	}
	return fault.New(fault.Validation, "tenant %s: database %s cannot belong to a tenant", t.CodeOrID, database).
		WithHint("set the tenant's database in the profile, under tenant_databases").With("tenant", t.CodeOrID)
}

// DirectTarget returns t with a direct connection instead of one through a pooler, for migrations.
func DirectTarget(env *Env, t TenantTarget) TenantTarget {
	t.Options.Pooled = false // a pooler is then detected and refused
	if url := env.Config.DirectTenantURL(t.CodeOrID); url != "" && t.Err == nil {
		t.Options.URL, t.Options.From = url, env.Config.From("direct_tenants_database_url")
	}
	return t
}

func (t *TenantTarget) nameOptions() {
	if !t.Shared {
		t.Options.Name = "tenant " + t.CodeOrID
	}
}

// open connects to the tenant's database and reads the columns of its tables.
func (t TenantTarget) open(ctx context.Context, env *Env, manager *Session) (*Session, error) {
	if t.Err != nil {
		return nil, t.Err
	}
	d, err := env.Open(ctx, t.Options)
	if err != nil {
		return nil, err
	}
	cat, err := schema.Read(ctx, d, schema.SysUsers, schema.Applied, schema.ImportFiles, schema.ImportRows)
	if err != nil {
		return nil, db.Translate(err)
	}
	return t.NewSession(manager, d, cat), nil
}

// NewSession returns a session in the tenant's database d for the operator of manager.
func (t TenantTarget) NewSession(manager *Session, d *db.DB, cat schema.Catalog) *Session {
	return &Session{DB: d, Catalog: cat, Operator: manager.Operator, Identity: manager.Identity, IdleTimeout: manager.IdleTimeout, tenantOnly: manager.tenantOnly, managerSession: manager, Tenant: &t}
}

// enterTenant returns a session in the database of the tenant that --tenant names, or s if the command does not work in
// one tenant.
func enterTenant(ctx context.Context, env *Env, cmd *cobra.Command, s *Session) (*Session, error) {
	several := cmd.Flags().Lookup("all-tenants") != nil
	if several {
		if err := env.Tenants.Check(); err != nil {
			return s, err
		}
	}
	if f := cmd.Flags().Lookup("tenant"); f == nil || !cliflag.Entering.Has(f) || len(env.Tenants.Refs) == 0 && !env.Tenants.All {
		return s, nil
	}
	switch {
	case several && env.Tenants.Many():
		return s, nil // the command opens the databases itself
	case env.Tenants.Many():
		return s, fault.New(fault.Usage, "%s works in one tenant's database, but --tenant %q can match several", cmd.CommandPath(), strings.Join(env.Tenants.Refs, ",")).
			WithHint("users list, get, unlock and status accept patterns")
	}
	t, err := tenants.Find(ctx, s.DB, s.Catalog, env.Tenants.Refs[0], false)
	if err != nil {
		return s, err
	}
	return ResolveTenantTarget(ctx, env, cmd, t).open(ctx, env, s)
}

// Many reports whether the flags can select several tenants.
func (f TenantFlags) Many() bool {
	return f.All || len(f.Refs) > 1 || slices.ContainsFunc(f.Refs, IsPattern)
}

// IsPattern reports whether a value of --tenant is a pattern.
func IsPattern(text string) bool { return strings.ContainsAny(text, "*?") }

// Manager returns the session with the manager database, which holds the operator and the audit log.
func (s *Session) Manager() *Session {
	if s.managerSession != nil {
		return s.managerSession
	}
	return s
}

// Users returns the table of the session's users: the platform's, or a tenant's.
func (s *Session) Users() (*users.Table, error) {
	if s.Tenant == nil {
		return users.NewTable(s.Catalog)
	}
	return users.NewTenantTable(s.Catalog, users.Tenancy{ID: s.Tenant.ID, Code: s.Tenant.CodeOrID, Shared: s.Tenant.Shared})
}

// LedgerFor returns the ledger for the session's database, which is l or a ledger for a tenant's database.
func (s *Session) LedgerFor(l *audit.Ledger) *audit.Ledger {
	if s.Tenant == nil {
		return l
	}
	return l.ForTenant(audit.Tenant{DB: s.DB, ID: s.Tenant.ID, Code: s.Tenant.CodeOrID}, s.managerSession.Catalog, s.Catalog)
}

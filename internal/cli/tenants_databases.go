package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// tenantDatabase describes the database of a tenant's users.
type tenantDatabase struct {
	Tenant     string   `json:"tenant"`
	Database   *string  `json:"database"` // host:port/name
	Shared     bool     `json:"shared"`   // with other tenants
	Reachable  bool     `json:"reachable"`
	Generation *string  `json:"generation"` // of sys.users; null if the table is missing
	Version    *int64   `json:"version"`    // of the last migration; null if cxgctl never migrated it
	Changeable *bool    `json:"changeable"` // the tables that record changes exist
	LatencyMS  *float64 `json:"latency_ms"` // of two round trips
	Error      *string  `json:"error"`
}

var tenantDatabaseView = output.View{
	ID:    "tenant",
	Table: []string{"tenant", "database", "shared", "reachable", "generation", "version", "error"},
}

func (a *app) tenantsDatabases() *cobra.Command {
	cmd := &cobra.Command{
		Use: "databases", Short: "List tenants' databases and check that they answer", Args: exactly(),
		Long: `List the database of each tenant with its generation and its last migration, and check that it answers.

The databases are configured in the profile: tenants_database_url is one database for all tenants or, with {code} in it,
one per tenant. tenant_databases lists exceptions by tenant code. Connection strings are not printed.`,
		Example: "  cxgctl tenants databases\n  cxgctl tenants databases --tenant 'acme-*' -o json --jq '.data.items[] | select(.reachable | not) | .tenant'",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, _ []string) error {
		a.tenant.all = len(a.tenant.refs) == 0
		places, err := a.resolveTenants(ctx, cmd, s)
		if err != nil {
			return err
		}
		failed := &tenantErrors{app: a}
		seen := map[string]tenantDatabase{} // by tenant code; a shared database is inspected once
		for code, d := range forEachTenant(ctx, a, s, distinctDatabases(places), failed, false, inspectDatabase) {
			seen[code] = d
		}
		why := map[string]string{}
		for _, f := range failed.list {
			why[f.Tenant] = f.Message
		}
		shown := map[string]string{} // by URL, the tenant for whom the database was inspected
		list := make([]tenantDatabase, len(places))
		missed := &tenantErrors{app: a}
		for i, p := range places {
			through, known := shown[p.target.url]
			if !known || p.target.url == "" {
				through = p.code
				shown[p.target.url] = through
			}
			list[i] = seen[through]
			list[i].Tenant, list[i].Shared = p.code, p.shared
			if where := p.target.options("").Addr(); p.err == nil && where != "" {
				list[i].Database = &where
			}
			if message, bad := why[through]; bad {
				list[i].Error = &message
				missed.list = append(missed.list, failedTenant{Tenant: p.code, Message: message})
			}
		}
		if err := printWhole(a, tenantDatabaseView, list); err != nil {
			return err
		}
		return missed.result(len(places))
	})
	cmd.Flags().Var(&a.tenant.refs, "tenant", "only these `tenants`, by id, code or pattern: 'acme-*'")
	cmd.Flags().IntVar(&a.tenant.parallel, "parallel", defaultParallel, "number of databases to query at once")
	markFlags(cmd.Flags(), recorded, "tenant", "parallel")
	must(cmd.RegisterFlagCompletionFunc("tenant", tenantNoun.completion(a, true)))
	a.specify(cmd, Spec{Permission: "TENANT_LIST", Tables: tenantNoun.tables})
	return addOutputFlags[tenantDatabase](a, cmd)
}

// distinctDatabases returns the first target of each database.
func distinctDatabases(places []tenantTarget) []tenantTarget {
	seen := map[string]bool{}
	var list []tenantTarget
	for _, p := range places {
		if p.err == nil && seen[p.target.url] {
			continue
		}
		seen[p.target.url] = true
		list = append(list, p)
	}
	return list
}

// inspectDatabase emits the description of one database.
func inspectDatabase(ctx context.Context, s *session, emit func(tenantDatabase) error) error {
	began := time.Now()
	version, err := migrate.Version(ctx, s.db)
	if err != nil {
		return err
	}
	changeable := s.cat[schema.Applied] != nil && s.cat[schema.SysUsers] != nil
	ms := float64(time.Since(began).Microseconds()) / 1000
	d := tenantDatabase{Reachable: true, Version: version, Changeable: &changeable, LatencyMS: &ms}
	if t := s.cat[schema.SysUsers]; t != nil {
		g := migrate.TenantGeneration(t.Has("tenant_id"))
		d.Generation = &g
	}
	return emit(d)
}

package tenant

import (
	"context"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// tenantDatabase describes the database of a tenant's users.
type tenantDatabase struct {
	Tenant     string   `json:"tenant" table:"key"`
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
	Name:  "databases",
	ID:    "tenant",
	Table: []string{"tenant", "database", "shared", "reachable", "generation", "version", "error"},
}

func newDatabases(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "databases", Short: "List tenants' databases and check that they answer", Args: cmdutil.ExactArgs(),
		Long: `List the database of each tenant with its generation and its last migration, and check that it answers.

The databases are configured in the profile: tenants_database_url is one database for all tenants or, with {code} in it,
one per tenant. tenant_databases lists exceptions by tenant code. Connection strings are not printed.`,
		Example: "  cxgctl tenants databases\n  cxgctl tenants databases --tenant 'acme-*' -o json --jq '.data.items[] | select(.reachable | not) | .tenant'",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, _ []string) error {
		env.Tenants.All = len(env.Tenants.Refs) == 0
		places, err := tenantdb.Resolve(ctx, env, cmd, s)
		if err != nil {
			return err
		}
		failed := &tenantdb.Errors{Env: env}
		// by tenant code; a shared database is inspected once
		seen := maps.Collect(tenantdb.ForEach(ctx, env, s, tenantdb.Distinct(places), failed, false, inspectDatabase))
		why := map[string]string{}
		for _, f := range failed.Failed {
			why[f.Tenant] = f.Message
		}
		shown := map[string]string{} // by URL, the tenant for whom the database was inspected
		list := make([]tenantDatabase, len(places))
		missed := &tenantdb.Errors{Env: env}
		for i, p := range places {
			through, known := shown[p.Options.URL]
			if !known || p.Options.URL == "" {
				through = p.CodeOrID
				shown[p.Options.URL] = through
			}
			list[i] = seen[through]
			list[i].Tenant, list[i].Shared = p.CodeOrID, p.Shared
			if where := p.Options.Addr(); p.Err == nil && where != "" {
				list[i].Database = &where
			}
			if message, bad := why[through]; bad {
				list[i].Error = &message
				missed.Failed = append(missed.Failed, tenantdb.Failed{Tenant: p.CodeOrID, Message: message})
			}
		}
		if err := cmdutil.PrintWhole(env, tenantDatabaseView, list); err != nil {
			return err
		}
		return missed.Result(len(places))
	})
	cmd.Flags().Var(&env.Tenants.Refs, "tenant", "only these `tenants`, by id, code or pattern: 'acme-*'")
	cmd.Flags().IntVar(&env.Tenants.Parallel, "parallel", cmdutil.DefaultParallel, "number of databases to query at once")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "tenant", "parallel")
	cmdutil.Tenants.CompleteFlag(env, cmd, "tenant")
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_LIST", Resource: cmdutil.Tenants.Name, Tables: cmdutil.Tenants.Tables})
	cliflag.Exits(cmd, "9")
	return cmdutil.AddOutputFlags[tenantDatabase](env, cmd)
}

// inspectDatabase emits the description of one database.
func inspectDatabase(ctx context.Context, s *cmdutil.Session, emit func(tenantDatabase) error) error {
	began := time.Now()
	version, err := migrate.Version(ctx, s.DB)
	if err != nil {
		return err
	}
	changeable := s.Catalog[schema.Applied] != nil && s.Catalog[schema.SysUsers] != nil
	ms := float64(time.Since(began).Microseconds()) / 1000
	d := tenantDatabase{Reachable: true, Version: version, Changeable: &changeable, LatencyMS: &ms}
	if t := s.Catalog[schema.SysUsers]; t != nil {
		g := migrate.TenantGeneration(t.Has("tenant_id"))
		d.Generation = &g
	}
	return emit(d)
}

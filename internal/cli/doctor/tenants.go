package doctor

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/doctor"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
)

// tenantResult is the result of a check in a tenant's database.
type tenantResult struct {
	Tenant string `json:"tenant" table:"key"`
	doctor.Result
}

var tenantResultView = output.View{Wide: []string{"tenant", "check", "status", "found", "remedy"}, ID: "check"}

// doctorInTenants runs the checks that apply to a single database in the databases of tenants.
func doctorInTenants(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags) error {
	_, places, err := tenantdb.ResolveDatabases(ctx, env, cmd, f)
	if err != nil {
		return err
	}
	failed := &tenantdb.Errors{Env: env}
	list := []tenantResult{}
	var lines []line
	found := 0
	for code, r := range tenantdb.EachOf(ctx, env, places, failed, func(ctx context.Context, p cmdutil.TenantTarget) ([]doctor.Result, error) {
		results, reached := doctor.Look(ctx, "cxgctl "+buildinfo.Version(), doctor.Target{
			Database: migrate.Tenants, Options: p.Options, Err: p.Err,
		})
		if !reached {
			return results, fault.New(fault.Database, "%s", results[0].Found)
		}
		return results, nil
	}) {
		list = append(list, tenantResult{code, r})
		lines = append(lines, line{"tenants", r.Check + " of " + code, r.Finding})
		if r.Bad() {
			found++
		}
	}
	if err := printReport(env, tenantResultView, list, lines, nil); err != nil {
		return err
	}
	if err := failed.Result(len(places)); err != nil || found == 0 {
		return err
	}
	return fault.New(fault.PartialFailure, "%d of %s found something", found, fault.Plural(len(list), "check")).
		WithHint("the report shows how to fix each").With("checks", len(list)).With("found", found)
}

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/doctor"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
)

// tenantResult is the result of a check in a tenant's database.
type tenantResult struct {
	Tenant string `json:"tenant"`
	doctor.Result
}

var tenantResultView = output.View{Table: []string{"tenant", "check", "status", "found", "remedy"}, ID: "check"}

// doctorInTenants runs the checks that apply to a single database in the databases of tenants.
func (a *app) doctorInTenants(ctx context.Context, cmd *cobra.Command, f *migrateFlags) error {
	_, places, err := a.resolveTenantDatabases(ctx, cmd, f)
	if err != nil {
		return err
	}
	failed := &tenantErrors{app: a}
	list := []tenantResult{}
	found := 0
	for p, r := range eachOf(ctx, a, places, failed, func(ctx context.Context, p tenantTarget) ([]doctor.Result, error) {
		results, reached := doctor.Look(ctx, "cxgctl "+buildinfo.Version(), doctor.Target{
			Database: migrate.Tenants, Options: p.target.options("tenant " + p.code), Err: p.err,
		})
		if !reached {
			return results, fault.New(fault.Database, "%s", results[0].Found)
		}
		return results, nil
	}) {
		list = append(list, tenantResult{p.code, r})
		if r.Bad() {
			found++
		}
	}
	if err := printWhole(a, tenantResultView, list); err != nil {
		return err
	}
	if err := failed.result(len(places)); err != nil || found == 0 {
		return err
	}
	return fault.New(fault.PartialFailure, "%d of %d checks found something", found, len(list)).
		WithHint("the report shows how to fix each").With("checks", len(list)).With("found", found)
}

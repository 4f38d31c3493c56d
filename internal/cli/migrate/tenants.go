package migrate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
)

// tenantMigration is a migration in the database of a tenant.
type tenantMigration struct {
	Tenant string `json:"tenant" table:"key"`
	migration
}

var tenantMigrationView = output.View{
	Name:  "migrations",
	ID:    "version",
	Table: []string{"tenant", "version", "name", "state", "applied_at"},
	Wide:  []string{"tenant", "database", "version", "name", "applied", "applied_at", "state"},
}

// rollout are the flags of migrate up for several tenants.
type rollout struct {
	canary    int
	keepGoing bool
}

func (r *rollout) bind(cmd *cobra.Command) {
	cmd.Flags().IntVar(&r.canary, "canary", 0, "with several tenants: migrate the first `n` and continue only if all of them succeed")
	cmd.Flags().BoolVar(&r.keepGoing, "keep-going", false, "with several tenants: continue after a failure")
}

// resolveTenantServers returns the same databases with direct connections, because migrations cannot run through a
// pooler.
func resolveTenantServers(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags) (*cmdutil.Session, []cmdutil.TenantTarget, error) {
	s, places, err := tenantdb.ResolveDatabases(ctx, env, cmd, f)
	for i, p := range places {
		places[i] = cmdutil.DirectTarget(env, p)
	}
	return s, places, err
}

// steps returns the pending migrations of a tenant's database, or all of them.
func steps(ctx context.Context, p cmdutil.TenantTarget, with []string, all bool) ([]migration, error) {
	if p.Err != nil {
		return nil, p.Err
	}
	list, plan, err := readSteps(ctx, p.Options, migrate.Tenants, with)
	if err != nil || all {
		return list, err
	}
	if plan.Newer != nil {
		return nil, plan.Newer
	}
	return pending(list, with), nil
}

// stepsInTenants runs migrate status, or a dry run of migrate up, for tenants.
func stepsInTenants(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags, all bool) error {
	_, places, err := resolveTenantServers(ctx, env, cmd, f)
	if err != nil {
		return err
	}
	failed := &tenantdb.Errors{Env: env}
	list := []tenantMigration{}
	for code, m := range tenantdb.EachOf(ctx, env, places, failed, func(ctx context.Context, p cmdutil.TenantTarget) ([]migration, error) {
		return steps(ctx, p, f.With, all)
	}) {
		list = append(list, tenantMigration{code, m})
	}
	if f.DryRun {
		env.Note("dry run: %s planned, nothing was changed", fault.Plural(len(list), "migration"))
	}
	if err := printTenants(env, failed, list); err != nil {
		return err
	}
	return failed.Result(len(places))
}

// printTenants prints the migrations that were applied, or would be, in the databases of tenants.
func printTenants(env *cmdutil.Env, failed *tenantdb.Errors, list []tenantMigration) error {
	view := tenantMigrationView
	if len(failed.Failed) == 0 {
		view.None = "the databases are up to date"
	}
	return cmdutil.PrintWhole(env, view, list)
}

// errNotTried is the error of a tenant that was skipped after a failure.
var errNotTried = errors.New("not tried")

// upInTenants migrates the databases of tenants: first the canaries, then the others in the order of their codes.
// Unless keepGoing is set it starts no further database after a failure. Running the same command again continues,
// because applied migrations are skipped.
func upInTenants(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags, r rollout) error {
	if r.canary < 0 {
		return fault.New(fault.Validation, "--canary: %d is negative", r.canary)
	}
	s, places, err := resolveTenantServers(ctx, env, cmd, f)
	if err != nil {
		return err
	}
	if env.Config.Protected {
		if err := env.Confirm(ctx, "migrate up the databases of "+fault.Plural(len(places), "tenant"), len(places)); err != nil {
			return err
		}
	}
	from := env.Origin(cmd)
	l, err := audit.Open(ctx, s.DB, s.Catalog, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
	if err != nil {
		return err // unlike migrate in two databases, a rollout requires the audit log
	}
	env.Deadline.Stop()
	var recording sync.Mutex
	var stop atomic.Bool
	failed := &tenantdb.Errors{Env: env}
	list := []tenantMigration{}
	n := min(r.canary, len(places))
	for i, some := range [][]cmdutil.TenantTarget{places[:n], places[n:]} {
		for code, m := range tenantdb.EachOf(ctx, env, some, failed, func(ctx context.Context, p cmdutil.TenantTarget) ([]migration, error) {
			if stop.Load() {
				return nil, errNotTried
			}
			done, err := up(ctx, p, f.With, func(results []migrate.Step) error {
				recording.Lock()
				defer recording.Unlock()
				return l.Record(context.WithoutCancel(ctx), migrationChanges(migrate.Tenants, results, &p))
			})
			if err != nil && !r.keepGoing {
				stop.Store(true)
			}
			return done, err
		}) {
			list = append(list, tenantMigration{code, m})
		}
		if i == 0 && len(failed.Failed) > 0 {
			stop.Store(true) // failed canaries stop the rollout even with keepGoing
		}
	}
	env.Note("%s done", fault.Plural(len(list), "migration"))
	env.QuietRecord()
	if err := cmdutil.AfterCommit(printTenants(env, failed, list)); err != nil {
		return err
	}
	return stopped(failed, len(places))
}

// up applies the pending migrations of a tenant's database and records those that succeeded.
func up(ctx context.Context, p cmdutil.TenantTarget, with []string, record func([]migrate.Step) error) ([]migration, error) {
	if p.Err != nil {
		return nil, p.Err
	}
	results, err := db.Connected(ctx, p.Options, func(cfg *pgx.ConnConfig) ([]migrate.Step, error) {
		return migrate.UpWith(ctx, cfg, migrate.Tenants, with)
	})
	var done []migration
	for _, r := range results {
		done = append(done, migrationDone(migrate.Tenants, r))
	}
	if len(results) > 0 {
		err = cmp.Or(err, record(results))
	}
	return done, err
}

// stopped is result for a rollout: after an early stop it returns the first failure with the number of tenants that
// were not tried.
func stopped(f *tenantdb.Errors, of int) error {
	skipped := 0
	f.Failed = slices.DeleteFunc(f.Failed, func(x tenantdb.Failed) bool {
		if x.Message == errNotTried.Error() {
			skipped++
			return true
		}
		return false
	})
	if skipped == 0 {
		return f.Result(of)
	}
	if err := f.Result(of); !fault.Is(err, fault.PartialFailure) {
		return err
	}
	first := f.Failed[0]
	return fault.New(first.Code, "tenant %s: %s; %s not tried", first.Tenant, first.Message, fault.Plural(skipped, "tenant")).
		WithHint("fix it and run the same command again to continue, or add --keep-going").
		With("failed", f.Failed).With("not_tried", skipped)
}

package cli

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/fleet"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// tenantMigration is a migration in the database of a tenant.
type tenantMigration struct {
	Tenant string `json:"tenant"`
	migration
}

var tenantMigrationView = output.View{
	ID:    "version",
	Table: []string{"tenant", "version", "name", "applied", "applied_at", "state"},
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

// bindTenantOutput adds the output flags and those for several tenants. The command prints records of type T, with the
// latter flags of type InTenant.
func bindTenantOutput[T, InTenant any](a *app, cmd *cobra.Command) *cobra.Command {
	a.bindTenants(cmd)
	return a.bindOutput(cmd, func(columns []string) error {
		if a.namesTenants() {
			return output.CheckColumns[InTenant](columns)
		}
		return output.CheckColumns[T](columns)
	})
}

// namesTenants reports whether --tenant or --all-tenants is set.
func (a *app) namesTenants() bool { return len(a.tenant.refs) > 0 || a.tenant.all }

// resolveTenantDatabases returns the distinct databases of the tenants that the flags name, for a command without an
// operator.
func (a *app) resolveTenantDatabases(ctx context.Context, cmd *cobra.Command, f *migrateFlags) (*session, []tenantTarget, error) {
	if f.database != "" && f.database != string(migrate.Tenants) {
		return nil, nil, fault.New(fault.Usage, "--database %s cannot be used with --tenant or --all-tenants", f.database)
	}
	if err := a.printer(cmd); err != nil {
		return nil, nil, err
	}
	s, err := a.connect(ctx, cmd, schema.Tenants)
	if err != nil {
		return nil, nil, err
	}
	places, err := a.resolveTenants(ctx, cmd, s)
	return s, distinctDatabases(places), err
}

// resolveTenantServers returns the same databases with direct connections, because migrations cannot run through a
// pooler.
func (a *app) resolveTenantServers(ctx context.Context, cmd *cobra.Command, f *migrateFlags) (*session, []tenantTarget, error) {
	s, places, err := a.resolveTenantDatabases(ctx, cmd, f)
	for i, p := range places {
		places[i] = a.directTarget(p)
	}
	return s, places, err
}

// steps returns the pending migrations of a tenant's database, or all of them.
func (p tenantTarget) steps(ctx context.Context, with []string, all bool) ([]migration, error) {
	if p.err != nil {
		return nil, p.err
	}
	cfg, err := db.Config(p.target.options("tenant " + p.code))
	if err != nil {
		return nil, err
	}
	list, plan, err := readSteps(ctx, cfg, migrate.Tenants, with)
	if err != nil || all {
		return list, err
	}
	if plan.Newer != nil {
		return nil, plan.Newer
	}
	return pending(list, with), nil
}

// eachOf yields the rows that work returns for each tenant, in order, and adds errors to failed.
func eachOf[R any](ctx context.Context, a *app, places []tenantTarget, failed *tenantErrors, work func(context.Context, tenantTarget) ([]R, error)) iter.Seq2[tenantTarget, R] {
	return func(yield func(tenantTarget, R) bool) {
		for e := range fleet.Run(ctx, places, a.tenant.parallel, func(ctx context.Context, p tenantTarget, emit func(R) error) error {
			rows, err := work(ctx, p)
			for _, r := range rows {
				if err := emit(r); err != nil {
					return err
				}
			}
			return err
		}) {
			switch p := places[e.Place]; {
			case e.Done && e.Err != nil:
				failed.add(p.code, e.Err)
			case e.Done:
			case !yield(p, e.Row):
				return
			}
		}
	}
}

// stepsInTenants runs migrate status, or a dry run of migrate up, for tenants.
func (a *app) stepsInTenants(ctx context.Context, cmd *cobra.Command, f *migrateFlags, all bool) error {
	_, places, err := a.resolveTenantServers(ctx, cmd, f)
	if err != nil {
		return err
	}
	failed := &tenantErrors{app: a}
	list := []tenantMigration{}
	for p, m := range eachOf(ctx, a, places, failed, func(ctx context.Context, p tenantTarget) ([]migration, error) { return p.steps(ctx, f.with, all) }) {
		list = append(list, tenantMigration{p.code, m})
	}
	if f.dryRun {
		a.note("dry run: %s planned, nothing was changed", plural(len(list), "migration"))
	}
	if err := printWhole(a, tenantMigrationView, list); err != nil {
		return err
	}
	return failed.result(len(places))
}

// errNotTried is the error of a tenant that was skipped after a failure.
var errNotTried = errors.New("not tried")

// upInTenants migrates the databases of tenants: first the canaries, then the others in the order of their codes.
// Unless keepGoing is set it starts no further database after a failure. Running the same command again continues,
// because applied migrations are skipped.
func (a *app) upInTenants(ctx context.Context, cmd *cobra.Command, f *migrateFlags, r rollout) error {
	if r.canary < 0 {
		return fault.New(fault.Validation, "--canary: %d is negative", r.canary)
	}
	s, places, err := a.resolveTenantServers(ctx, cmd, f)
	if err != nil {
		return err
	}
	if a.cfg.Protected {
		a.printf("profile %s is protected", a.cfg.Profile)
		if err := a.confirm(ctx, "migrate up the databases of "+plural(len(places), "tenant")); err != nil {
			return err
		}
	}
	from := a.origin(cmd)
	l, err := audit.Open(ctx, s.db, s.cat, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
	if err != nil {
		return err // unlike migrate in two databases, a rollout requires the audit log
	}
	a.clock.stop()
	var recording sync.Mutex
	var stop atomic.Bool
	failed := &tenantErrors{app: a}
	list := []tenantMigration{}
	n := min(r.canary, len(places))
	for i, some := range [][]tenantTarget{places[:n], places[n:]} {
		for p, m := range eachOf(ctx, a, some, failed, func(ctx context.Context, p tenantTarget) ([]migration, error) {
			if stop.Load() {
				return nil, errNotTried
			}
			done, err := p.up(ctx, f.with, func(results []migrate.Result) error {
				recording.Lock()
				defer recording.Unlock()
				return l.Record(context.WithoutCancel(ctx), migrationChanges(migrate.Tenants, results, &p))
			})
			if err != nil && !r.keepGoing {
				stop.Store(true)
			}
			return done, err
		}) {
			list = append(list, tenantMigration{p.code, m})
		}
		if i == 0 && len(failed.list) > 0 {
			stop.Store(true) // failed canaries stop the rollout even with keepGoing
		}
	}
	a.note("%s done", plural(len(list), "migration"))
	if err := afterCommit(printWhole(a, tenantMigrationView, list)); err != nil {
		return err
	}
	return failed.stopped(len(places))
}

// up applies the pending migrations of a tenant's database and records those that succeeded.
func (p tenantTarget) up(ctx context.Context, with []string, record func([]migrate.Result) error) ([]migration, error) {
	if p.err != nil {
		return nil, p.err
	}
	cfg, err := db.Config(p.target.options("tenant " + p.code))
	if err != nil {
		return nil, err
	}
	results, err := migrate.UpWith(ctx, cfg, migrate.Tenants, with)
	var done []migration
	for _, r := range results {
		done = append(done, migrationDone(migrate.Tenants, r))
	}
	if len(results) > 0 {
		if rerr := record(results); err == nil {
			err = rerr
		}
	}
	return done, err
}

// stopped is result for a rollout: after an early stop it returns the first failure with the number of tenants that
// were not tried.
func (f *tenantErrors) stopped(of int) error {
	skipped := 0
	f.list = slices.DeleteFunc(f.list, func(x failedTenant) bool {
		if x.Message == errNotTried.Error() {
			skipped++
			return true
		}
		return false
	})
	if skipped == 0 {
		return f.result(of)
	}
	if err := f.result(of); !fault.Is(err, fault.PartialFailure) {
		return err
	}
	first := f.list[0]
	return fault.New(first.Code, "tenant %s: %s; %s not tried", first.Tenant, first.Message, plural(skipped, "tenant")).
		WithHint("fix it and run the same command again to continue, or add --keep-going").
		With("failed", f.list).With("not_tried", skipped)
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// migration is a record of the migrate commands.
type migration struct {
	Database  string        `json:"database"`
	Version   int64         `json:"version"`
	Name      string        `json:"name"`
	Applied   bool          `json:"applied"`
	AppliedAt *db.Time      `json:"applied_at"`
	Plan      []plannedItem `json:"plan"`  // what migrate up would do; empty if there is nothing to do
	State     string        `json:"state"` // see migrate.Step.State

	optional string // the name for --with, see migrate.Step
}

var migrationView = output.View{
	ID:    "version",
	Table: []string{"database", "version", "name", "applied", "applied_at", "state"},
	Wide:  []string{"database", "version", "name", "applied", "applied_at", "state"},
}

// migrateFlags are the flags of the migrate commands.
type migrateFlags struct {
	database    string
	with        []string // optional migrations to apply
	discardData bool
	changeFlags
}

func (f *migrateFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.database, "database", "", "manager or tenants (default: both)")
	markFlags(cmd.Flags(), recorded, "database")
	must(cmd.RegisterFlagCompletionFunc("database", complete("manager", "tenants")))
}

func (f *migrateFlags) databases() ([]migrate.Database, error) {
	if f.database == "" {
		return migrate.Databases, nil
	}
	if !slices.Contains(migrate.Databases, migrate.Database(f.database)) {
		return nil, fault.New(fault.Validation, "--database: %q is not one of manager, tenants", f.database)
	}
	return []migrate.Database{migrate.Database(f.database)}, nil
}

func (a *app) migrateCommand() *cobra.Command {
	cmd := a.group("migrate", "Apply, revert and list schema migrations",
		a.migrateUp(), a.migrateDown(), a.migrateStatus(), a.migrateRoles())
	a.specify(cmd, Spec{Permission: noOperator, Tables: schema.AuditTables})
	return cmd
}

// server returns the configuration of a direct connection to a database, for migrations.
func (a *app) server(ctx context.Context, cmd *cobra.Command, which migrate.Database) (*pgx.ConnConfig, error) {
	t, err := a.database(ctx, cmd, string(which))
	if err != nil {
		return nil, err
	}
	direct, key := a.cfg.DirectURL, "direct_database_url"
	if which == migrate.Tenants {
		direct, key = a.cfg.DirectTenantsURL, "direct_tenants_database_url"
	}
	if direct != "" {
		t.url, t.from = direct, a.cfg.From(key)
	}
	t.pooled = false // a pooler is then detected and refused
	o := t.options(string(which))
	if where := o.Addr(); !strings.Contains(a.askedOn, where) {
		a.askedOn = strings.TrimPrefix(a.askedOn+", "+where, ", ")
	}
	return db.Config(o)
}

// steps returns a database's migrations with the plan of migrate up for each.
func (a *app) steps(ctx context.Context, cmd *cobra.Command, which migrate.Database, with []string) ([]migration, migrate.Plan, error) {
	cfg, err := a.server(ctx, cmd, which)
	if err != nil {
		return nil, migrate.Plan{}, err
	}
	return readSteps(ctx, cfg, which, with)
}

// readSteps returns the migrations of the database at cfg with the plan of migrate up for each.
func readSteps(ctx context.Context, cfg *pgx.ConnConfig, which migrate.Database, with []string) ([]migration, migrate.Plan, error) {
	list, err := migrate.Status(ctx, cfg, which)
	if err != nil {
		return nil, migrate.Plan{}, err
	}
	plan, err := migrate.PlanUp(ctx, cfg, which, with...)
	if err != nil {
		return nil, plan, err
	}
	out := make([]migration, len(list))
	for i, s := range list {
		out[i] = migration{
			Database: string(which), Version: s.Version, Name: s.Name, State: s.State(), Applied: s.Applied, optional: s.Optional,
		}
		if s.Applied {
			at := db.At(s.AppliedAt)
			out[i].AppliedAt = &at
		}
	}
	attachPlan(out, plan)
	return out, plan, nil
}

func (a *app) migrateStatus() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use: "status", Short: "List migrations and show what migrate up would do", Args: exactly(),
		Long: `List migrations and show what migrate up would do. Nothing is changed.

STATE is applied, pending, "optional: --with NAME" for a migration that migrate up applies only with that flag, or
unknown for a migration that a newer cxgctl applied. migrate up then exits with 8. Version numbers may have gaps.`,
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if a.namesTenants() {
			return a.stepsInTenants(ctx, cmd, &f, true)
		}
		which, err := a.migrateDatabases(cmd, &f)
		if err != nil {
			return err
		}
		if err := a.printer(cmd); err != nil {
			return err
		}
		var all []migration
		for _, w := range which {
			list, plan, err := a.steps(ctx, cmd, w, nil)
			if err != nil {
				return err
			}
			a.notePlan(plan)
			all = append(all, list...)
		}
		return printWhole(a, migrationView, all)
	})
	f.bind(cmd)
	return bindTenantOutput[migration, tenantMigration](a, cmd)
}

// migrateDatabases returns the databases of a command without --tenant. Where each tenant has its own database, only
// the manager database is included.
func (a *app) migrateDatabases(cmd *cobra.Command, f *migrateFlags) ([]migrate.Database, error) {
	which, err := f.databases()
	if err != nil {
		return nil, err
	}
	c, err := a.config(cmd)
	if err == nil && f.database == "" && c.EachTenantItsOwn() {
		a.note("every tenant has a database of its own; use --tenant or --all-tenants to include them")
		return []migrate.Database{migrate.Manager}, nil
	}
	return which, err
}

// pending returns the migrations that migrate up would apply or complete.
func pending(list []migration, with []string) []migration {
	return slices.DeleteFunc(list, func(m migration) bool {
		return len(m.Plan) == 0 && (m.Applied || m.optional != "" && !slices.Contains(with, m.optional))
	})
}

func (a *app) migrateUp() *cobra.Command {
	var f migrateFlags
	var r rollout
	cmd := &cobra.Command{
		Use: "up", Short: "Apply pending migrations", Args: exactly(),
		Long: `Apply pending migrations. Concurrent runs wait for each other.

A database that other software created is adopted: missing objects are added, existing ones are not changed, and
migrate status shows the plan in advance. Added objects are recorded, and migrate down removes only those. No lock is
held for long: indexes of tables with rows are built concurrently with writes.`,
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		up := func(ctx context.Context, cfg *pgx.ConnConfig, which migrate.Database) ([]migrate.Result, error) {
			return migrate.UpWith(ctx, cfg, which, f.with, func(index string) {
				if !cmd.Flags().Changed("timeout") {
					a.clock.stop() // the duration depends on the table, and progress is printed
				}
				a.note("building index %s", index)
			})
		}
		switch {
		case a.namesTenants() && f.dryRun:
			return a.stepsInTenants(ctx, cmd, &f, false)
		case a.namesTenants():
			return a.upInTenants(ctx, cmd, &f, r)
		}
		return a.migrate(ctx, cmd, &f, up, func(list []migration) []migration { return pending(list, f.with) })
	})
	r.bind(cmd)
	f.bind(cmd)
	f.changeFlags.bind(cmd)
	a.specify(cmd, Spec{Permission: noOperator, Audit: always})
	cmd.Flags().StringSliceVar(&f.with, "with", nil, "apply these optional migrations (`names`) too: search (indexes that make --search fast and bulk loads slow)")
	markFlags(cmd.Flags(), recorded, "with")
	return bindTenantOutput[migration, tenantMigration](a, cmd)
}

func (a *app) migrateDown() *cobra.Command {
	var f migrateFlags
	var optional string
	cmd := &cobra.Command{
		Use: "down", Short: "Revert the last migration", Args: exactly(),
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		down := func(ctx context.Context, cfg *pgx.ConnConfig, which migrate.Database) ([]migrate.Result, error) {
			if optional != "" {
				return migrate.DownOf(ctx, cfg, which, optional, f.discardData)
			}
			return migrate.Down(ctx, cfg, which, f.discardData)
		}
		return a.migrate(ctx, cmd, &f, down, func(list []migration) []migration {
			list = slices.DeleteFunc(list, func(m migration) bool {
				return !m.Applied || optional != "" && m.optional != optional
			})
			return list[max(len(list)-1, 0):]
		})
	})
	f.bind(cmd)
	f.changeFlags.bind(cmd)
	a.specify(cmd, Spec{Permission: noOperator, Audit: always})
	cmd.Flags().BoolVar(&f.discardData, "discard-data", false, "revert even if data is lost")
	cmd.Flags().StringVar(&optional, "with", "", "revert the optional migration of this `name` instead of the last one")
	markFlags(cmd.Flags(), recorded, "with")
	return addOutputFlags[migration](a, cmd)
}

// migrate runs migrate up or down on the selected databases. A dry run prints the plan. Reverting asks for
// confirmation. Every applied migration gets an audit row, even if a later one fails.
func (a *app) migrate(ctx context.Context, cmd *cobra.Command, f *migrateFlags,
	run func(context.Context, *pgx.ConnConfig, migrate.Database) ([]migrate.Result, error), planned func([]migration) []migration,
) error {
	which, err := a.migrateDatabases(cmd, f)
	if err != nil {
		return err
	}
	if err := a.printer(cmd); err != nil {
		return err
	}
	down := cmd.Name() == "down"
	var plan, waiting []migration
	for _, w := range which {
		list, up, err := a.steps(ctx, cmd, w, f.with)
		if err != nil {
			return err
		}
		if !down {
			if up.Newer != nil {
				return up.Newer
			}
			a.notePlan(up)
		}
		for _, m := range list {
			if !m.Applied && m.optional != "" && !slices.Contains(f.with, m.optional) {
				waiting = append(waiting, m)
			}
		}
		plan = append(plan, planned(list)...)
	}
	lost := ""
	if down {
		if lost, err = a.plannedLosses(ctx, cmd, f, plan); err != nil {
			return err
		}
	}
	if f.dryRun {
		a.note("dry run: %s planned, nothing was changed", plural(len(plan), "migration"))
		return printWhole(a, migrationView, plan)
	}
	if len(plan) > 0 && (down || a.cfg.Protected) {
		names := ""
		for _, m := range plan {
			names += fmt.Sprintf(" %s/%s", m.Database, m.Name)
		}
		if a.cfg.Protected {
			a.printf("profile %s is protected", a.cfg.Profile)
		}
		if err := a.confirm(ctx, "migrate "+cmd.Name()+names+lost); err != nil {
			return err
		}
	}
	// Migrations are recorded in the manager database, so it must be configured.
	if _, err := a.database(ctx, cmd, string(migrate.Manager)); err != nil {
		return err
	}
	done := []migration{}
	for _, w := range which {
		cfg, err := a.server(ctx, cmd, w)
		if err != nil {
			return err
		}
		results, err := run(ctx, cfg, w)
		for _, r := range results {
			done = append(done, migrationDone(w, r))
		}
		if rerr := a.recordMigrations(ctx, cmd, w, results); err == nil {
			err = rerr
		}
		if err != nil {
			return err
		}
	}
	a.note("%s", plural(len(done), "migration")+" done")
	if !down {
		for _, m := range waiting {
			a.note("not applied: %s/%s (%s)", m.Database, m.Name, m.State)
		}
	}
	return afterCommit(printWhole(a, migrationView, done))
}

// migrationDone returns the record of a migration that was applied or reverted.
func migrationDone(which migrate.Database, r migrate.Result) migration {
	m := migration{Database: string(which), Version: r.Version, Name: r.Name, Applied: r.Direction != "down", State: "taken back"}
	if m.Applied {
		at := db.At(r.AppliedAt)
		m.AppliedAt, m.State = &at, "applied"
	}
	return m
}

// recordMigrations writes an audit row per migration under the OS user's name, because the database may not have
// an operator yet. Without an audit log it prints a note instead.
func (a *app) recordMigrations(ctx context.Context, cmd *cobra.Command, which migrate.Database, results []migrate.Result) error {
	if len(results) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // record completed migrations even after a signal
	s, err := a.connect(ctx, cmd)
	if err != nil {
		return err
	}
	from := a.origin(cmd)
	l, err := audit.Open(ctx, s.db, s.cat, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
	if err != nil {
		a.note("migrations were not recorded in the audit log: %s", fault.From(err).Message)
		return nil
	}
	changes := migrationChanges(which, results, nil)
	begin := slices.IndexFunc(results, startsSealing)
	if which != migrate.Manager || begin < 0 {
		return l.Record(ctx, changes)
	}
	return l.Write(ctx, audit.Intent{Subject: changes[0].Subject, Action: changes[0].Action}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		n, err := tx.SealOlder(ctx)
		if n > 0 {
			changes[begin].After.(map[string]any)["older_rows_sealed"] = n
		}
		return changes, err
	})
}

// startsSealing reports whether all audit rows of cxgctl are sealed from this migration on.
func startsSealing(r migrate.Result) bool {
	return r.Direction != "down" && (r.Version == 13 || r.Version == 20)
}

// migrationChanges returns the audit changes for migrations; of is the tenant, nil for the shared databases.
func migrationChanges(which migrate.Database, results []migrate.Result, of *tenantTarget) []audit.Change {
	changes := make([]audit.Change, len(results))
	for i, r := range results {
		image := map[string]any{"database": which, "version": r.Version, "name": r.Name}
		c := audit.Change{
			Subject: audit.Subject{Resource: "migration", Name: string(which) + "/" + r.Name},
			Action:  audit.Execute, Event: audit.SystemChange, After: image,
		}
		if r.Direction == "down" {
			c.Before, c.After = image, nil
		}
		if of != nil {
			c.TenantID, image["tenant"] = &of.ID, of.code
		}
		changes[i] = c
	}
	return changes
}

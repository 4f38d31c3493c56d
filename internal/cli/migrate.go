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
	Plan      []plannedItem `json:"plan"`  // what up would do about it; none when there is nothing to do
	State     string        `json:"state"` // see migrate.Step.State

	optional string // what it is asked for by, see migrate.Step
}

var migrationView = output.View{
	ID:    "version",
	Table: []string{"database", "version", "name", "applied", "applied_at", "state"},
	Wide:  []string{"database", "version", "name", "applied", "applied_at", "state"},
}

// migrateFlags choose the databases.
type migrateFlags struct {
	database    string
	with        []string // the optional migrations to apply too
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
		return nil, fault.New(fault.Validation, "--database %q is refused, it is manager or tenants", f.database)
	}
	return []migrate.Database{migrate.Database(f.database)}, nil
}

func (a *app) migrateCommand() *cobra.Command {
	cmd := a.group("migrate", "The databases' schema",
		child{"up", a.migrateUp}, child{"down", a.migrateDown}, child{"status", a.migrateStatus}, child{"roles", a.migrateRoles})
	a.specify(cmd, Spec{Permission: noOperator, Tables: schema.AuditTables})
	return cmd
}

// server returns how to reach one of the databases directly, for migrations.
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
	t.pooled = false // else it is found out, and refused
	o := t.options(string(which))
	if where := o.Addr(); !strings.Contains(a.askedOn, where) {
		a.askedOn = strings.TrimPrefix(a.askedOn+", "+where, ", ")
	}
	return db.Config(o)
}

// steps lists a database's migrations as records, each with what up would do about it.
func (a *app) steps(ctx context.Context, cmd *cobra.Command, which migrate.Database, with []string) ([]migration, migrate.Plan, error) {
	cfg, err := a.server(ctx, cmd, which)
	if err != nil {
		return nil, migrate.Plan{}, err
	}
	return readSteps(ctx, cfg, which, with)
}

// stepsOf is steps of the database that cfg leads to.
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
		Use: "status", Short: "List the migrations, which are applied, and what up would do; changes nothing", Args: exactly(),
		Long: `List the migrations, which are applied, and what up would do; changes nothing.

STATE is applied, pending, "optional: --with NAME" for one that migrate up applies only when asked by that name, or
unknown for one that a newer cxgctl applied; migrate up then exits 8. Version numbers may have gaps.`,
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
	return withTenantFlags[tenantMigration](a, addOutputFlags[migration](a, cmd))
}

// migrated are the databases that a command without tenants is about. Where each tenant has one of its own, those wait to
// be named.
func (a *app) migrateDatabases(cmd *cobra.Command, f *migrateFlags) ([]migrate.Database, error) {
	which, err := f.databases()
	if err != nil {
		return nil, err
	}
	c, err := a.config(cmd)
	if err == nil && f.database == "" && c.EachTenantItsOwn() {
		a.note("every tenant has a database of its own: name them by --tenant, or all of them by --all-tenants")
		return []migrate.Database{migrate.Manager}, nil
	}
	return which, err
}

// pending are those of a database's migrations that up would do something about.
func pending(list []migration, with []string) []migration {
	return slices.DeleteFunc(list, func(m migration) bool {
		return len(m.Plan) == 0 && (m.Applied || m.optional != "" && !slices.Contains(with, m.optional))
	})
}

func (a *app) migrateUp() *cobra.Command {
	var f migrateFlags
	var r rollout
	cmd := &cobra.Command{
		Use: "up", Short: "Apply what is pending; concurrent runs wait for each other", Args: exactly(),
		Long: `Apply what is pending; concurrent runs wait for each other.

A database that other software made is adopted: what it lacks is added, nothing that it has is changed, and
migrate status shows beforehand what that comes to. What was added is recorded, and migrate down takes back
only that. No lock is held for long: the indexes of tables with rows are built while others write.`,
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		up := func(ctx context.Context, cfg *pgx.ConnConfig, which migrate.Database) ([]migrate.Result, error) {
			return migrate.UpWith(ctx, cfg, which, f.with, func(index string) {
				if !cmd.Flags().Changed("timeout") {
					a.clock.stop() // how long it takes depends on the table, and whoever waits can see it go on
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
	cmd.Flags().StringSliceVar(&f.with, "with", nil, "the optional migrations `names` too: search (indexes that make --search fast and bulk loads slow)")
	markFlags(cmd.Flags(), recorded, "with")
	return withTenantFlags[tenantMigration](a, addOutputFlags[migration](a, cmd))
}

func (a *app) migrateDown() *cobra.Command {
	var f migrateFlags
	var optional string
	cmd := &cobra.Command{
		Use: "down", Short: "Take back what the last migration added", Args: exactly(),
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
	cmd.Flags().BoolVar(&f.discardData, "discard-data", false, "also where that loses data")
	cmd.Flags().StringVar(&optional, "with", "", "not the last one, but the optional one of that `name`")
	markFlags(cmd.Flags(), recorded, "with")
	return addOutputFlags[migration](a, cmd)
}

// migrate runs one direction on the chosen databases: it shows what is planned in a dry run, asks
// before anything is taken back, and leaves an audit row per migration, also of those before a failure.
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
	// Every migration is recorded in the manager database: know beforehand that there is one.
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

// migrationDone is the record of a migration that was applied or taken back.
func migrationDone(which migrate.Database, r migrate.Result) migration {
	m := migration{Database: string(which), Version: r.Version, Name: r.Name, Applied: r.Direction != "down", State: "taken back"}
	if m.Applied {
		at := db.At(r.AppliedAt)
		m.AppliedAt, m.State = &at, "applied"
	}
	return m
}

// recordMigrations leaves an audit row per migration, under the OS user's name: a database may have no
// operator yet. Where the log itself is not there, or no longer, nothing can be recorded, and a note
// says so.
func (a *app) recordMigrations(ctx context.Context, cmd *cobra.Command, which migrate.Database, results []migrate.Result) error {
	if len(results) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // what took place is recorded, whatever signal came meanwhile
	s, err := a.connect(ctx, cmd)
	if err != nil {
		return err
	}
	from := a.origin(cmd)
	l, err := audit.Open(ctx, s.db, s.cat, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
	if err != nil {
		a.note("no audit log to record the migrations in: %s", fault.From(err).Message)
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

// beginsSeals says whether a migration that was applied is one after which rows of cxgctl's have their seal always.
func startsSealing(r migrate.Result) bool {
	return r.Direction != "down" && (r.Version == 13 || r.Version == 20)
}

// migrationsOf are the changes that migrations made, of a tenant's database where of is one.
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

// Package migrate implements the migrate commands.
package migrate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// migration is a record of the migrate commands.
type migration struct {
	Database  string        `json:"database"`
	Version   int64         `json:"version" table:"key"`
	Name      string        `json:"name"`
	Applied   bool          `json:"applied"`
	AppliedAt *db.Time      `json:"applied_at"`
	Plan      []plannedItem `json:"plan"`                // what migrate up would do; empty if there is nothing to do
	State     string        `json:"state" table:"whole"` // see migrate.Step.State

	optional string // the name for --with, see migrate.Step
}

var migrationView = output.View{
	Name:  "migrations",
	ID:    "version",
	Table: []string{"database", "version", "name", "state", "applied_at"},
	Wide:  []string{"database", "version", "name", "applied", "applied_at", "state"},
}

// NewCommand returns the commands that migrate databases.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	cmd := cmdutil.Group("migrate", "Apply, revert and list schema migrations",
		newUp(env), newDown(env), newStatus(env), newRoles(env))
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.NoOperator, Tables: schema.AuditTables})
	return cliflag.Exits(cmd, "8", "75")
}

// server returns the options of a direct connection to a database, for migrations.
func server(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, which migrate.Database) (db.Options, error) {
	o, err := env.Target(ctx, cmd, string(which))
	if err != nil {
		return o, err
	}
	direct, key := env.Config.DirectURL, "direct_database_url"
	if which == migrate.Tenants {
		direct, key = env.Config.DirectTenantsURL, "direct_tenants_database_url"
	}
	if direct != "" {
		o.URL, o.From = direct, env.Config.From(key)
	}
	o.Pooled = false // a pooler is then detected and refused
	if where := o.Addr(); !strings.Contains(env.ServerAddr, where) {
		env.ServerAddr = strings.TrimPrefix(env.ServerAddr+", "+where, ", ")
	}
	return o, nil
}

// planSteps returns a database's migrations with the plan of migrate up for each.
func planSteps(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, which migrate.Database, with []string) ([]migration, migrate.Plan, error) {
	o, err := server(ctx, env, cmd, which)
	if err != nil {
		return nil, migrate.Plan{}, err
	}
	return readSteps(ctx, o, which, with)
}

// readSteps returns the migrations of a database with the plan of migrate up for each.
func readSteps(ctx context.Context, o db.Options, which migrate.Database, with []string) ([]migration, migrate.Plan, error) {
	plan, err := db.Connected(ctx, o, func(cfg *pgx.ConnConfig) (migrate.Plan, error) {
		return migrate.PlanUp(ctx, cfg, which, with...)
	})
	if err != nil {
		return nil, plan, err
	}
	out := make([]migration, len(plan.Steps))
	for i, step := range plan.Steps {
		out[i] = newMigration(which, step)
	}
	attachPlan(out, plan)
	return out, plan, nil
}

func newMigration(which migrate.Database, s migrate.Step) migration {
	m := migration{Database: string(which), Version: s.Version, Name: s.Name, State: s.State(), Applied: s.Applied, optional: s.Optional}
	if s.Applied {
		at := db.At(s.AppliedAt)
		m.AppliedAt = &at
	}
	return m
}

func newStatus(env *cmdutil.Env) *cobra.Command {
	var f tenantdb.DatabaseFlags
	cmd := &cobra.Command{
		Use: "status", Short: "List migrations and show what migrate up would do", Example: "  cxgctl migrate status\n  cxgctl migrate status --all-tenants", Args: cmdutil.ExactArgs(),
		Long: `List migrations and show what migrate up would do. Nothing is changed.

STATE is applied, pending, "optional: --with NAME" for a migration that migrate up applies only with that flag, or
unknown for a migration that a newer cxgctl applied. migrate up then exits with 8. Version numbers may have gaps.`,
	}
	cmd.RunE = env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if tenantdb.AreNamed(env) {
			return stepsInTenants(ctx, env, cmd, &f, true)
		}
		which, err := migrateDatabases(env, cmd, &f)
		if err != nil {
			return err
		}
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		var all []migration
		for _, w := range which {
			list, plan, err := planSteps(ctx, env, cmd, w, nil)
			if err != nil {
				return err
			}
			notePlan(env, plan)
			all = append(all, list...)
		}
		return cmdutil.PrintWhole(env, migrationView, all)
	})
	f.Bind(cmd)
	return tenantdb.BindOutput[migration, tenantMigration](env, cmd)
}

// migrateDatabases returns the databases of a command without --tenant. Where each tenant has its own database, or no
// tenants database is configured, only the manager database is included.
func migrateDatabases(env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags) ([]migrate.Database, error) {
	which, err := f.Databases()
	if err != nil {
		return nil, err
	}
	c, err := env.LoadConfig(cmd)
	switch {
	case err != nil || f.Database != "":
		return which, err
	case c.EachTenantItsOwn():
		env.Note("every tenant has a database of its own; use --tenant or --all-tenants to include them")
	case c.ManagerURL != "" && c.TenantsURL == "" && !c.Embedded:
		env.Note("no tenants database is configured")
	default:
		return which, nil
	}
	return []migrate.Database{migrate.Manager}, nil
}

// pending returns the migrations that migrate up would apply or complete.
func pending(list []migration, with []string) []migration {
	return slices.DeleteFunc(list, func(m migration) bool {
		return len(m.Plan) == 0 && (m.Applied || m.optional != "" && !slices.Contains(with, m.optional))
	})
}

func newUp(env *cmdutil.Env) *cobra.Command {
	var f tenantdb.DatabaseFlags
	var r rollout
	cmd := &cobra.Command{
		Use: "up", Short: "Apply pending migrations", Example: "  cxgctl migrate up --dry-run\n  cxgctl migrate up\n  cxgctl migrate up --database tenants --tenant acme", Args: cmdutil.ExactArgs(),
		Long: `Apply pending migrations. Concurrent runs wait for each other.

A database that other software created is adopted: missing objects are added, existing ones are not changed, and
migrate status shows the plan in advance. Added objects are recorded, and migrate down removes only those. No lock is
held for long: indexes of tables with rows are built concurrently with writes.`,
	}
	cmd.RunE = env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		up := func(ctx context.Context, cfg *pgx.ConnConfig, which migrate.Database) ([]migrate.Step, error) {
			return migrate.UpWith(ctx, cfg, which, f.With, func(index string) {
				if !cmd.Flags().Changed("timeout") {
					env.Deadline.Stop() // the duration depends on the table, and progress is printed
				}
				env.Note("building index %s", index)
			})
		}
		switch {
		case tenantdb.AreNamed(env) && f.DryRun:
			return stepsInTenants(ctx, env, cmd, &f, false)
		case tenantdb.AreNamed(env):
			return upInTenants(ctx, env, cmd, &f, r)
		}
		return runMigrations(ctx, env, cmd, &f, up, func(list []migration) []migration { return pending(list, f.With) })
	})
	r.bind(cmd)
	f.Bind(cmd)
	f.ChangeFlags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.NoOperator, Resource: migrationResource, Audit: cmdutil.Always})
	cmd.Flags().StringSliceVar(&f.With, "with", nil, "apply these optional migrations (`names`) too: search (indexes that make --search fast and bulk loads slow)")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "with")
	cliflag.CompleteFlag(cmd, "with", "search")
	return tenantdb.BindOutput[migration, tenantMigration](env, cmd)
}

func newDown(env *cmdutil.Env) *cobra.Command {
	var f tenantdb.DatabaseFlags
	var optional string
	cmd := &cobra.Command{
		Use: "down", Short: "Revert the last migration", Long: "Removes only what the migration added here. A migration that would lose data is refused without --discard-data.", Example: "  cxgctl migrate down --dry-run\n  cxgctl migrate down --database tenants", Args: cmdutil.ExactArgs(),
	}
	cmd.RunE = env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		down := func(ctx context.Context, cfg *pgx.ConnConfig, which migrate.Database) ([]migrate.Step, error) {
			return migrate.Down(ctx, cfg, which, optional, f.DiscardData)
		}
		return runMigrations(ctx, env, cmd, &f, down, func(list []migration) []migration {
			list = slices.DeleteFunc(list, func(m migration) bool {
				return !m.Applied || optional != "" && m.optional != optional
			})
			return list[max(len(list)-1, 0):]
		})
	})
	f.Bind(cmd)
	f.ChangeFlags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.NoOperator, Resource: migrationResource, Audit: cmdutil.Always})
	cmd.Flags().BoolVar(&f.DiscardData, "discard-data", false, "revert even if data is lost")
	cmd.Flags().StringVar(&optional, "with", "", "revert the optional migration of this `name` instead of the last one")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "with")
	cliflag.CompleteFlag(cmd, "with", "search")
	return cmdutil.AddOutputFlags[migration](env, cmd)
}

// runMigrations runs migrate up or down on the selected databases. A dry run prints the plan. Reverting asks for
// confirmation. Every applied migration gets an audit row, even if a later one fails.
func runMigrations(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags,
	run func(context.Context, *pgx.ConnConfig, migrate.Database) ([]migrate.Step, error), planned func([]migration) []migration,
) error {
	which, err := migrateDatabases(env, cmd, f)
	if err != nil {
		return err
	}
	if err := env.SetPrinter(cmd); err != nil {
		return err
	}
	down := cmd.Name() == "down"
	view := migrationView
	switch {
	case down:
		view.None = "no migration is applied"
	case len(which) == 1:
		view.None = "the " + string(which[0]) + " database is up to date"
	default:
		view.None = "the databases are up to date"
	}
	var plan, waiting []migration
	for _, w := range which {
		list, up, err := planSteps(ctx, env, cmd, w, f.With)
		if err != nil {
			return err
		}
		if !down {
			if up.Newer != nil {
				return up.Newer
			}
			notePlan(env, up)
		}
		for _, m := range list {
			if !m.Applied && m.optional != "" && !slices.Contains(f.With, m.optional) {
				waiting = append(waiting, m)
			}
		}
		plan = append(plan, planned(list)...)
	}
	lost := ""
	if down {
		if lost, err = plannedLosses(ctx, env, cmd, f, plan); err != nil {
			return err
		}
	}
	if f.DryRun {
		env.Note("dry run: %s planned, nothing was changed", fault.Plural(len(plan), "migration"))
		return cmdutil.PrintWhole(env, view, plan)
	}
	if len(plan) > 0 && (down || env.Config.Protected) {
		names := ""
		for _, m := range plan {
			names += fmt.Sprintf(" %s/%s", m.Database, m.Name)
		}
		if err := env.Confirm(ctx, "migrate "+cmd.Name()+names+lost, len(plan)); err != nil {
			return err
		}
	}
	// Migrations are recorded in the manager database, so it must be configured.
	if _, err := env.Target(ctx, cmd, string(migrate.Manager)); err != nil {
		return err
	}
	done := []migration{}
	for _, w := range which {
		o, err := server(ctx, env, cmd, w)
		if err != nil {
			return err
		}
		results, err := db.Connected(ctx, o, func(cfg *pgx.ConnConfig) ([]migrate.Step, error) { return run(ctx, cfg, w) })
		for _, r := range results {
			done = append(done, migrationDone(w, r))
		}
		if err := cmp.Or(err, recordMigrations(ctx, env, cmd, w, results)); err != nil {
			return err
		}
	}
	env.Note("%s", fault.Plural(len(done), "migration")+" done")
	env.QuietRecord()
	if !down {
		for _, m := range waiting {
			env.Note("not applied: %s/%s (%s)", m.Database, m.Name, m.State)
		}
	}
	return cmdutil.AfterCommit(cmdutil.PrintWhole(env, view, done))
}

// migrationDone returns the record of a migration that was applied or reverted.
func migrationDone(which migrate.Database, s migrate.Step) migration {
	m := newMigration(which, s)
	if !s.Applied {
		m.State = "taken back"
	}
	return m
}

// recordMigrations writes an audit row per migration under the OS user's name, because the database may not have
// an operator yet. Without an audit log it prints a note instead.
func recordMigrations(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, which migrate.Database, results []migrate.Step) error {
	if len(results) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // record completed migrations even after a signal
	s, err := env.Connect(ctx, cmd)
	if err != nil {
		return err
	}
	from := env.Origin(cmd)
	l, err := audit.Open(ctx, s.DB, s.Catalog, audit.Operator{Name: from.OSUser, AuthMethod: "os"}, from)
	if err != nil {
		env.Note("migrations were not recorded in the audit log: %s", fault.From(err).Message)
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
func startsSealing(r migrate.Step) bool {
	return r.Applied && (r.Version == 13 || r.Version == 20)
}

// migrationResource is what audit rows of migrations are about.
const migrationResource = "migration"

// migrationChanges returns the audit changes for migrations; of is the tenant, nil for the shared databases.
func migrationChanges(which migrate.Database, results []migrate.Step, of *cmdutil.TenantTarget) []audit.Change {
	changes := make([]audit.Change, len(results))
	for i, r := range results {
		image := map[string]any{"database": which, "version": r.Version, "name": r.Name}
		c := audit.Change{
			Subject: audit.Subject{Resource: migrationResource, Name: string(which) + "/" + r.Name},
			Action:  audit.Execute, Event: audit.SystemChange, After: image,
		}
		if !r.Applied {
			c.Before, c.After = image, nil
		}
		if of != nil {
			c.TenantID, image["tenant"] = &of.ID, of.CodeOrID
		}
		changes[i] = c
	}
	return changes
}

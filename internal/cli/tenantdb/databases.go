package tenantdb

import (
	"context"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// DatabaseFlags are the flags of the migrate commands.
type DatabaseFlags struct {
	Database    string
	With        []string // optional migrations to apply
	DiscardData bool
	cmdutil.ChangeFlags
}

// Bind adds --database.
func (f *DatabaseFlags) Bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Database, "database", "", "manager or tenants (default: both)")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "database")
	cliflag.CompleteFlag(cmd, "database", "manager", "tenants")
}

// Databases returns the databases that --database selects: both by default.
func (f *DatabaseFlags) Databases() ([]migrate.Database, error) {
	if f.Database == "" {
		return migrate.Databases, nil
	}
	if !slices.Contains(migrate.Databases, migrate.Database(f.Database)) {
		return nil, fault.New(fault.Validation, "--database: %q is not one of manager, tenants", f.Database)
	}
	return []migrate.Database{migrate.Database(f.Database)}, nil
}

// BindOutput adds the output flags and those for several tenants. The command prints records of type T, with the
// latter flags of type InTenant.
func BindOutput[T, InTenant any](env *cmdutil.Env, cmd *cobra.Command) *cobra.Command {
	Bind(env, cmd)
	return cmdutil.BindOutput(env, cmd, func(columns []string) error {
		if AreNamed(env) {
			return output.CheckColumns[InTenant](columns)
		}
		return output.CheckColumns[T](columns)
	})
}

// AreNamed reports whether --tenant or --all-tenants is set.
func AreNamed(env *cmdutil.Env) bool { return len(env.Tenants.Refs) > 0 || env.Tenants.All }

// ResolveDatabases returns the distinct databases of the tenants that the flags name, for a command without an
// operator.
func ResolveDatabases(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *DatabaseFlags) (*cmdutil.Session, []cmdutil.TenantTarget, error) {
	if f.Database != "" && f.Database != string(migrate.Tenants) {
		return nil, nil, fault.New(fault.Usage, "--database %s cannot be used with --tenant or --all-tenants", f.Database)
	}
	if err := env.SetPrinter(cmd); err != nil {
		return nil, nil, err
	}
	s, err := env.Connect(ctx, cmd, schema.Tenants)
	if err != nil {
		return nil, nil, err
	}
	targets, err := Resolve(ctx, env, cmd, s)
	return s, Distinct(targets), err
}

// EachOf yields the rows that work returns for each tenant, with the tenant's code, in order, and adds errors to failed.
func EachOf[R any](ctx context.Context, env *cmdutil.Env, targets []cmdutil.TenantTarget, failed *Errors, work func(context.Context, cmdutil.TenantTarget) ([]R, error)) iter.Seq2[string, R] {
	return run(ctx, env, targets, failed, func(ctx context.Context, t cmdutil.TenantTarget, emit func(R) error) error {
		rows, err := work(ctx, t)
		for _, r := range rows {
			if err := emit(r); err != nil {
				return err
			}
		}
		return err
	})
}

// Distinct returns the first target of each database.
func Distinct(targets []cmdutil.TenantTarget) []cmdutil.TenantTarget {
	seen := map[string]bool{}
	var list []cmdutil.TenantTarget
	for _, t := range targets {
		if t.Err == nil && seen[t.Options.URL] {
			continue
		}
		seen[t.Options.URL] = true
		list = append(list, t)
	}
	return list
}

package migrate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// operatorsRole is the database role whose members are the roles of the operators.
const operatorsRole = "cxgctl_operators"

func newRoles(env *cmdutil.Env) *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "Print SQL that creates a database role per operator, for auth.require: db_role", Args: cmdutil.ExactArgs(),
		Long: `Print SQL that creates a database role per operator, for profiles with auth.require: db_role. Nothing is
changed: the owner of the manager database reviews the script and runs it with psql.

The roles can read and change the tables that commands use, and append to the audit log, but not alter or delete its
rows. Operators whose name cannot be used as a role name are skipped and listed on standard error.`,
		Example: "  cxgctl migrate roles | psql postgres://owner@db1/mgmt",
		RunE: cmdutil.RunAnonymous(env, func(ctx context.Context, cmd *cobra.Command) error {
			s, err := env.Connect(ctx, cmd, slices.Concat(commandTables(env, cmd.Root()), []string{migrate.Table, migrate.Added})...)
			if err != nil {
				return err
			}
			names, err := auth.Operators(ctx, s.DB, s.Catalog)
			if err != nil {
				return err
			}
			possible := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isRoleName(name) })
			for _, name := range names {
				if !isRoleName(name) {
					env.Note("skipped operator %q: database role names have at most 63 letters, digits and _ . @ + -, and are not reserved", name)
				}
			}
			_, err = io.WriteString(env.Printer.Stdout, rolesScript(s.Catalog, possible))
			return err
		}),
	}
}

// isRoleName reports whether the script creates a database role of this name. PostgreSQL accepts more, but the
// script has to be easy to review.
func isRoleName(name string) bool {
	const runes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+-"
	reserved := strings.HasPrefix(name, "pg_") || slices.Contains([]string{"public", "none", operatorsRole}, name)
	return name != "" && len(name) < 64 && strings.Trim(name, runes) == "" && !reserved
}

// commandTables returns the tables of the manager database that the commands below root use.
func commandTables(env *cmdutil.Env, root *cobra.Command) []string {
	list := slices.Concat(auth.Tables, schema.AuditTables)
	cmdutil.Leaves(root, func(cmd *cobra.Command) {
		list = append(list, env.SpecOf(cmd).Tables...)
		cmd.Flags().VisitAll(func(f *pflag.Flag) { list = append(list, f.Annotations[cliflag.TablesAnnotation]...) })
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// tableRights are the privileges that commands need on a table in addition to SELECT. Rows that a permission or an
// invoice depends on are locked with FOR SHARE, which requires UPDATE on at least one column.
var tableRights = map[string]string{
	schema.Users: "INSERT, UPDATE", schema.Invoices: "INSERT, UPDATE", schema.Tenants: "INSERT, UPDATE", schema.TenantUsers: "INSERT, UPDATE",
	schema.UserRoles: "INSERT, UPDATE", schema.Sessions: "INSERT, UPDATE", schema.LoginLogs: "INSERT, UPDATE", schema.APIKeys: "INSERT, UPDATE",
	schema.ImportFiles: "INSERT, UPDATE", schema.ImportRows: "INSERT, UPDATE, DELETE", // undoing an import deletes its rows
	schema.SealHead: "INSERT, UPDATE", schema.Intents: "INSERT, UPDATE", schema.Seals: "INSERT", schema.Enforcement: "INSERT",
	schema.Roles: "UPDATE (updated_at)", schema.Permissions: "UPDATE (updated_at)", schema.RolePermissions: "UPDATE (updated_at)",
	schema.Subscriptions: "UPDATE (updated_at)",
}

// rolesScript returns a psql script for a database with these tables. isRoleName must hold for each operator. The
// server quotes the names, and \gexec runs the resulting statements.
func rolesScript(cat schema.Catalog, operators []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	role := func(name, attribute string) {
		line(`SELECT pg_catalog.format('CREATE ROLE %%I %s', '%s') WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '%s') \gexec`,
			attribute, name, name)
	}
	line("-- Database roles for the operators of cxgctl. Run with psql as the owner of the manager database. Can be run again.")
	line(`\set ON_ERROR_STOP on`)
	line("BEGIN;")
	line("SET LOCAL search_path = pg_catalog;") // else operators of other schemas could match
	role(operatorsRole, "NOLOGIN")
	names := slices.Sorted(maps.Keys(cat))
	schemas := make([]string, len(names))
	for i, name := range names {
		schemas[i], _, _ = strings.Cut(name, ".")
	}
	line("GRANT USAGE ON SCHEMA %s TO %s;", strings.Join(slices.Compact(schemas), ", "), operatorsRole)
	for _, name := range names {
		rights := "SELECT"
		if more := tableRights[name]; more != "" {
			rights += ", " + more
		}
		if name != schema.AuditLogs {
			line("GRANT %s ON %s TO %s;", rights, name, operatorsRole)
		}
	}
	if log := cat[schema.AuditLogs]; log != nil {
		columns := make([]string, len(log.Columns))
		for i, c := range log.Columns {
			columns[i] = pgx.Identifier{c.Name}.Sanitize()
		}
		line("REVOKE ALL ON %s FROM %s;", log.Name, operatorsRole)
		line("GRANT SELECT, INSERT (%s) ON %s TO %s;", strings.Join(columns, ", "), log.Name, operatorsRole)
		line("-- The log is append-only for every other role:")
		line("REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM PUBLIC;", log.Name)
	}
	line("-- One role per operator. Each needs a login method: a password (\\password NAME), a certificate, or peer.")
	for _, name := range operators {
		role(name, "LOGIN")
		line(`SELECT pg_catalog.format('GRANT %s TO %%I', '%s') \gexec`, operatorsRole, name)
	}
	line("COMMIT;")
	return b.String()
}

package cli

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
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// operatorsRole is the database role that operators' own roles are members of.
const operatorsRole = "cxgctl_operators"

func (a *app) migrateRoles() *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "Print the SQL that makes a database role per operator, for auth.require: db_role", Args: exactly(),
		Long: `Print the SQL that makes a database role per operator, for profiles with auth.require: db_role. It is for
the owner of the manager database to look through and run: nothing is changed here.

Each operator's role may read and change what commands change, and add to the audit log, but not alter or
delete what is in it. The script is for psql. An operator whose name cannot be a database role's is left out and
named on standard error.`,
		Example: "  cxgctl migrate roles | psql postgres://owner@db1/mgmt",
		RunE: a.runAnonymous(func(ctx context.Context, cmd *cobra.Command) error {
			s, err := a.connect(ctx, cmd, slices.Concat(commandTables(), []string{migrate.Table, migrate.Added})...)
			if err != nil {
				return err
			}
			names, err := auth.Operators(ctx, s.db, s.cat)
			if err != nil {
				return err
			}
			possible := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isRoleName(name) })
			for _, name := range names {
				if !isRoleName(name) {
					a.note("operator %q is left out: names of database roles are at most 63 letters, digits and _ . @ + -, and not reserved", name)
				}
			}
			_, err = io.WriteString(a.print.Stdout, rolesScript(s.cat, possible))
			return err
		}),
	}
}

// isRoleName says whether the script makes a database role of this name. PostgreSQL takes more, but a person is to
// look through the script.
func isRoleName(name string) bool {
	const runes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+-"
	reserved := strings.HasPrefix(name, "pg_") || slices.Contains([]string{"public", "none", operatorsRole}, name)
	return name != "" && len(name) < 64 && strings.Trim(name, runes) == "" && !reserved
}

// commandTables are the tables of the manager database that any command asks for.
func commandTables() []string {
	list := slices.Concat(auth.Tables, schema.AuditTables)
	a := &app{getenv: func(string) string { return "" }}
	leaves(a.root(), func(cmd *cobra.Command) {
		list = append(list, a.specOf(cmd).Tables...)
		cmd.Flags().VisitAll(func(f *pflag.Flag) { list = append(list, f.Annotations[flagTables]...) })
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// leaves calls fn on every command that does something.
func leaves(cmd *cobra.Command, fn func(*cobra.Command)) {
	for _, c := range cmd.Commands() {
		leaves(c, fn)
	}
	if cmd.Runnable() && !cmd.HasSubCommands() {
		fn(cmd)
	}
}

// tableRights are what commands do to a table beside reading it. A row that a permission or an invoice rests on is
// locked while a command works, which takes the right to update some column of it.
var tableRights = map[string]string{
	schema.Users: "INSERT, UPDATE", schema.Invoices: "INSERT, UPDATE", schema.Tenants: "INSERT, UPDATE", schema.TenantUsers: "INSERT, UPDATE",
	schema.UserRoles: "INSERT, UPDATE", schema.Sessions: "INSERT, UPDATE", schema.LoginLogs: "INSERT, UPDATE", schema.APIKeys: "INSERT, UPDATE",
	schema.ImportFiles: "INSERT, UPDATE", schema.ImportRows: "INSERT, UPDATE, DELETE", // an import that is undone may be run again
	schema.SealHead: "INSERT, UPDATE", schema.Intents: "INSERT, UPDATE", schema.Seals: "INSERT", schema.Enforcement: "INSERT",
	schema.Roles: "UPDATE (updated_at)", schema.Permissions: "UPDATE (updated_at)", schema.RolePermissions: "UPDATE (updated_at)",
	schema.Subscriptions: "UPDATE (updated_at)",
}

// rolesScript is the script for a database with these tables, and operators whose names isRoleName takes. psql runs it:
// the server quotes each name, and \gexec runs what it returns.
func rolesScript(cat schema.Catalog, operators []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	role := func(name, attribute string) {
		line(`SELECT pg_catalog.format('CREATE ROLE %%I %s', '%s') WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '%s') \gexec`,
			attribute, name, name)
	}
	line("-- Database roles for the operators of cxgctl. Run it by psql as the owner of the manager database; it may run again.")
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
		line("-- no UPDATE, DELETE or TRUNCATE there, for any role by itself:")
		line("REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM PUBLIC;", log.Name)
	}
	line("-- One role per operator. Each needs a way to log in: a password (\\password NAME), a certificate, or peer.")
	for _, name := range operators {
		role(name, "LOGIN")
		line(`SELECT pg_catalog.format('GRANT %s TO %%I', '%s') \gexec`, operatorsRole, name)
	}
	line("COMMIT;")
	return b.String()
}

package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/auth"
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
delete what is in it.`,
		Example: "  cxgctl migrate roles | psql postgres://owner@db1/mgmt",
		RunE: a.apart(func(ctx context.Context, cmd *cobra.Command) error {
			s, err := a.connect(ctx, cmd, slices.Concat(changedTables, auth.Tables, schema.AuditTables, []string{schema.Subscriptions})...)
			if err != nil {
				return err
			}
			names, err := auth.Operators(ctx, s.db, s.cat)
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.print.Stdout, rolesScript(s.cat, names))
			return err
		}),
	}
}

// changedTables are the tables whose rows commands change, besides those of roles.
var changedTables = []string{
	schema.Users, schema.Invoices, schema.Tenants, schema.TenantUsers, schema.UserRoles, schema.Sessions, schema.LoginLogs, schema.APIKeys,
	schema.ImportFiles, schema.ImportRows, schema.SealHead, schema.Intents,
}

// rolesScript is the script for a database with these tables and operators.
func rolesScript(cat schema.Catalog, operators []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("-- Database roles for the operators of cxgctl. Run it as the owner of the manager database; it may run again.")
	line("BEGIN;")
	line("DO $$ BEGIN CREATE ROLE %s NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;", operatorsRole)
	schemas := map[string]bool{}
	for name := range cat {
		schemas[name[:strings.IndexByte(name, '.')]] = true
	}
	list := make([]string, 0, len(schemas))
	for name := range schemas {
		list = append(list, name)
	}
	slices.Sort(list)
	line("GRANT USAGE ON SCHEMA %s TO %s;", strings.Join(list, ", "), operatorsRole)
	for _, name := range changedTables {
		if cat[name] != nil {
			line("GRANT SELECT, INSERT, UPDATE ON %s TO %s;", name, operatorsRole)
		}
	}
	if cat[schema.ImportRows] != nil {
		line("GRANT DELETE ON %s TO %s;", schema.ImportRows, operatorsRole) // an import that is undone may be run again
	}
	if cat[schema.Seals] != nil {
		line("GRANT SELECT, INSERT ON %s TO %s;", schema.Seals, operatorsRole)
	}
	// A row that a permission or an invoice rests on is locked while the command works, which wants the right to update
	// some column of it.
	for _, name := range []string{schema.Roles, schema.Permissions, schema.RolePermissions, schema.Subscriptions} {
		if cat[name] != nil {
			line("GRANT SELECT, UPDATE (updated_at) ON %s TO %s;", name, operatorsRole)
		}
	}
	if log := cat[schema.AuditLogs]; log != nil {
		columns := make([]string, len(log.Columns))
		for i, c := range log.Columns {
			columns[i] = pgx.Identifier{c.Name}.Sanitize()
		}
		line("REVOKE ALL ON %s FROM %s;", log.Name, operatorsRole)
		line("GRANT SELECT, INSERT (%s) ON %s TO %s;", strings.Join(columns, ", "), log.Name, operatorsRole)
		line("-- no UPDATE, DELETE or TRUNCATE there, and none in anybody's own right:")
		line("REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM PUBLIC;", log.Name)
	}
	line("-- One role per operator. Each needs a way to log in: a password (\\password NAME), a certificate, or peer.")
	for _, name := range operators {
		role := pgx.Identifier{name}.Sanitize()
		line("DO $$ BEGIN CREATE ROLE %s LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;", strings.ReplaceAll(role, "$$", "$ $"))
		line("GRANT %s TO %s;", operatorsRole, role)
	}
	line("COMMIT;")
	return b.String()
}

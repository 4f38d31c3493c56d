package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// readDefault returns the default if it is a literal; NULL for none and for other expressions.
const readDefault = `
SELECT (SELECT substring(pg_get_expr(d.adbin, d.adrelid) FROM '^''([^'']*)''')
          FROM pg_attrdef d
          JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
         WHERE d.adrelid = to_regclass($1) AND a.attname = $2)`

// userTypeDefault looks for the default 'USER', which every generation has and none of their CHECKs allows. An INSERT
// without user_type is refused, or creates a user of a type that commands do not know.
func userTypeDefault(ctx context.Context, s *subject) (Finding, error) {
	if t := s.catalog[schema.Users]; t == nil || !t.Has("user_type") {
		return skipped("%s.user_type does not exist", schema.Users), nil
	}
	var value *string
	if err := s.db.QueryRow(ctx, readDefault, schema.Users, "user_type").Scan(&value); err != nil {
		return Finding{}, err
	}
	if value == nil {
		return fine("%s.user_type has no default", schema.Users), nil
	}
	rules, err := schema.ReadRules(ctx, s.db, schema.Users)
	if err != nil {
		return Finding{}, err
	}
	allowed, guarded := rules.Allowed["user_type"]
	what := "which its own CHECK refuses"
	if !guarded {
		allowed, what = users.Types, "which commands do not know and no CHECK refuses"
	}
	if slices.Contains(allowed, *value) {
		return fine("%s.user_type defaults to %s", schema.Users, *value), nil
	}
	return wrong(Warn, "%s.user_type defaults to %q, %s", schema.Users, *value, what).of([]string{*value}).
		remedied("ALTER TABLE %s ALTER COLUMN user_type SET DEFAULT 'TENANT'; cxgctl never relies on the default", schema.Users), nil
}

type foreignKey struct {
	Name     string `db:"name"`
	Columns  string `db:"columns"`
	Target   string `db:"target"`
	OnDelete string `db:"on_delete"`
}

const readForeignKeys = `
SELECT c.conname::text AS name,
       (SELECT string_agg(a.attname, ', ' ORDER BY k.n)
          FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
          JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS columns,
       n.nspname || '.' || f.relname AS target,
       CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE '' END AS on_delete
  FROM pg_constraint c
  JOIN pg_class f ON f.oid = c.confrelid
  JOIN pg_namespace n ON n.oid = f.relnamespace
 WHERE c.conrelid = to_regclass($1) AND c.contype = 'f'
 ORDER BY c.conname`

// auditKeys returns a check that looks for wrong foreign keys of the audit log. bad describes what is wrong with one, or
// returns "".
func auditKeys(found, good string, bad func(foreignKey) string) func(ctx context.Context, s *subject) (Finding, error) {
	return func(ctx context.Context, s *subject) (Finding, error) {
		if s.catalog[schema.AuditLogs] == nil {
			return skipped("%s does not exist", schema.AuditLogs), nil
		}
		keys, err := db.Collect[foreignKey](ctx, s.db, readForeignKeys, schema.AuditLogs)
		if err != nil {
			return Finding{}, err
		}
		var things, drops []string
		for _, k := range keys {
			if what := bad(k); what != "" {
				things = append(things, k.Name+" ("+what+")")
				drops = append(drops, "DROP CONSTRAINT "+pgx.Identifier{k.Name}.Sanitize())
			}
		}
		if len(things) == 0 {
			return fine("%s", good), nil
		}
		return wrong(Warn, "%s%s", found, abridged(things)).of(things).
			remedied("ALTER TABLE %s %s", schema.AuditLogs, strings.Join(drops, ", ")), nil
	}
}

// auditCascade looks for foreign keys that delete or clear audit rows when a user or tenant is deleted.
var auditCascade = auditKeys("audit rows are deleted together with their subject, by ",
	"deleting a user or a tenant does not affect "+schema.AuditLogs,
	func(k foreignKey) string {
		if k.OnDelete == "" {
			return ""
		}
		return k.Columns + " to " + k.Target + ", ON DELETE " + k.OnDelete
	})

// auditTargets are the tables that ids in audit rows refer to.
var auditTargets = map[string]string{"user_id": schema.Users, "tenant_id": schema.Tenants}

// auditReferences looks for foreign keys that refuse the ids in audit rows.
var auditReferences = auditKeys("ids are written to extra_data of "+schema.AuditLogs+", because foreign keys reference other tables than "+
	schema.Users+" and "+schema.Tenants+": ",
	schema.AuditLogs+" accepts the ids of operators and tenants",
	func(k foreignKey) string {
		if want := auditTargets[k.Columns]; want == "" || want == k.Target {
			return ""
		}
		return k.Columns + " to " + k.Target
	})

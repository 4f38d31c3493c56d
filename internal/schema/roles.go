package schema

import "strings"

// roleRank is the rank of a role; lower is stronger, and SUPER_ADMIN has 0. Gx has no level: there the kind of the
// role decides, then its priority.
const roleRank = `CASE WHEN {code} = 'SUPER_ADMIN' THEN 0 ELSE coalesce({level},
    CASE {kind} WHEN 'SYSTEM' THEN 1000 WHEN 'MANAGER_ADMIN' THEN 1000 WHEN 'PLATFORM' THEN 2000 WHEN 'PLATFORM_SUPPORT' THEN 2000
         WHEN 'ADMIN' THEN 3000 WHEN 'TENANT_ADMIN' THEN 3000 WHEN 'MANAGER' THEN 4000 WHEN 'USER' THEN 5000 WHEN 'TENANT_USER' THEN 5000
         WHEN 'GUEST' THEN 6000 END + CASE WHEN {priority} < 0 THEN 0 WHEN {priority} > 999 THEN 999 ELSE {priority} END,
    2147483647) END`

// AbsentFlags is a select list of the soft-delete columns of every generation with the values of a live row.
const AbsentFlags = `true AS is_active, false AS is_deleted, false AS deleted`

// LiveFlags is the predicate over AbsentFlags or the columns of that name that hide them.
const LiveFlags = `is_active IS NOT FALSE AND is_deleted IS NOT TRUE AND deleted IS NOT TRUE`

// RoleRank returns the SQL expression of the rank of a role under the alias.
func (t *Table) RoleRank(alias string) string {
	column := func(absent string, names ...string) string {
		if name := t.FirstOf(names...); name != "" {
			return alias + "." + name
		}
		return absent
	}
	return strings.NewReplacer(
		"{code}", column("NULL::text", "code", "role_code"),
		"{level}", column("NULL::integer", "level"),
		"{kind}", column("NULL::text", "role_type", "category"),
		"{priority}", "coalesce("+column("NULL::integer", "priority")+", 100)",
	).Replace(roleRank)
}

// LiveStatus returns the expression of the status of a row under the alias: a row that is marked as deleted has the
// other one.
func (t *Table) LiveStatus(alias, deleted string) string {
	live := t.NotDeleted(alias)
	if live == "true" {
		return alias + ".status"
	}
	return "CASE WHEN " + live + " THEN " + alias + ".status ELSE '" + deleted + "' END"
}

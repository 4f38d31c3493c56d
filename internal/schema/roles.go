package schema

import "strings"

// roleRank is the rank of a role; lower is more powerful, and SUPER_ADMIN is 0. Gx has no level, so the kind of the
// role decides there, then its priority.
const roleRank = `CASE WHEN {code} = 'SUPER_ADMIN' THEN 0 ELSE coalesce({level},
    CASE {kind} WHEN 'SYSTEM' THEN 1000 WHEN 'MANAGER_ADMIN' THEN 1000 WHEN 'PLATFORM' THEN 2000 WHEN 'PLATFORM_SUPPORT' THEN 2000
         WHEN 'ADMIN' THEN 3000 WHEN 'TENANT_ADMIN' THEN 3000 WHEN 'MANAGER' THEN 4000 WHEN 'USER' THEN 5000 WHEN 'TENANT_USER' THEN 5000
         WHEN 'GUEST' THEN 6000 END + CASE WHEN {priority} < 0 THEN 0 WHEN {priority} > 999 THEN 999 ELSE {priority} END,
    2147483647) END`

// AbsentFlags is a select list of every generation's soft-delete columns with the values of a live row.
const AbsentFlags = `true AS is_active, false AS is_deleted, false AS deleted`

// LiveFlags selects live rows, given AbsentFlags or columns with the same names.
const LiveFlags = `is_active IS NOT FALSE AND is_deleted IS NOT TRUE AND deleted IS NOT TRUE`

// RoleRank returns the SQL expression for the rank of a role under the alias.
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

// LiveStatus returns the SQL expression for the status of a row under the alias, which is deleted if the row is marked
// as deleted.
func (t *Table) LiveStatus(alias, deleted string) string {
	live := t.NotDeleted(alias)
	if live == "true" {
		return alias + ".status"
	}
	return "CASE WHEN " + live + " THEN " + alias + ".status ELSE '" + deleted + "' END"
}

package doctor

import (
	"context"
	"strings"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// hit is one example of something that more than one row is needed to see, with how many there are.
type hit struct {
	Count   int    `db:"count"`
	Example string `db:"example"`
}

func (s *subject) hits(ctx context.Context, what, remedy, sql string) (Finding, error) {
	list, err := db.Collect[hit](ctx, s.db, sql)
	if err != nil {
		return closed(err)
	}
	count := 0
	examples := make([]string, len(list))
	for i, h := range list {
		count, examples[i] = h.Count, h.Example
	}
	return judgeRows(what, count, examples, remedy), nil
}

func usernameTwins(ctx context.Context, s *subject) (Finding, error) {
	return s.twins(ctx, "username", "usernames that differ only in case or Unicode form",
		"see that they are different people; the case counts, here and at login, so that each is found by its exact spelling")
}

func emailTwins(ctx context.Context, s *subject) (Finding, error) {
	return s.twins(ctx, "email", "e-mails that differ only in case or Unicode form",
		"they lead to one mailbox: see that they are different people, and change one by cxgctl users update REF --email")
}

// scope is the expression for whose a name is under the alias, in a table that tenants share.
func scope(t *schema.Table, alias string) string {
	if t.Has("tenant_id") {
		return alias + ".tenant_id"
	}
	return "NULL::uuid"
}

// Most usernames can be neither an id nor an e-mail, so that few are looked up.
const findAmbiguous = `
WITH name AS MATERIALIZED (
       SELECT u.id, u.username::text AS username, {scope_u} AS scope,
              CASE WHEN u.username ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN u.username::uuid END AS meant
         FROM {table} u
        WHERE {live_u} AND (length(u.username) = 36 OR strpos(u.username, '@') > 0)),
     clash AS (
       SELECT n.{shown} || ' is the id of ' || o.{shown} AS example
         FROM name n
         JOIN {table} o ON o.id = n.meant
        WHERE {live_o} AND o.id <> n.id AND {scope_o} IS NOT DISTINCT FROM n.scope
        UNION ALL
       SELECT n.{shown} || ' is the e-mail of ' || o.{shown}
         FROM name n
         JOIN {table} o ON o.email = n.username
        WHERE {live_o} AND o.id <> n.id AND {scope_o} IS NOT DISTINCT FROM n.scope)
SELECT count(*) OVER () AS count, example
  FROM clash
 ORDER BY example COLLATE "C"
 LIMIT 3`

// ambiguous looks for usernames by which a command would find two users, and refuses to guess.
func ambiguous(ctx context.Context, s *subject) (Finding, error) {
	t, lacking := s.lookup(schema.Users, "id username email")
	if lacking != "" {
		return skipped("there is no %s to look at", lacking), nil
	}
	shown := "id"
	if s.in.Names {
		shown = "username"
	}
	return s.hits(ctx, "usernames that are another user's id or e-mail", "name these users with --by id, --by username or --by email",
		strings.NewReplacer("{shown}", shown, "{table}", t.Name, "{live_u}", t.NotDeleted("u"), "{live_o}", t.NotDeleted("o"), "{scope_u}", scope(t, "u"), "{scope_o}", scope(t, "o")).
			Replace(findAmbiguous))
}

// A UNIQUE over a NULL tenant_context lets the same grant in twice.
const findRepeated = `
SELECT g.count, coalesce({user}, g.user_id::text) || ' has ' || coalesce({role}, g.role_id::text) || ' ' || g.times || ' times' AS example
  FROM (SELECT r.user_id, r.role_id, count(*) AS times, (sum(count(*) - 1) OVER ())::bigint AS count
          FROM idam.user_roles r
         GROUP BY r.user_id, r.role_id, r.tenant_context
        HAVING count(*) > 1
         ORDER BY r.user_id, r.role_id
         LIMIT 3) g`

func repeatedGrants(ctx context.Context, s *subject) (Finding, error) {
	if _, lacking := s.lookup("idam.user_roles", "user_id role_id tenant_context"); lacking != "" {
		return skipped("there is no %s to look at", lacking), nil
	}
	user, role := "NULL::text", "NULL::text"
	if _, lacking := s.lookup(schema.Users, "id username"); lacking == "" && s.in.Names {
		user = "(SELECT u.username::text FROM idam.users u WHERE u.id = g.user_id)"
	}
	for _, code := range []string{"code", "role_code"} {
		if _, lacking := s.lookup("idam.roles", "id "+code); lacking == "" {
			role = "(SELECT o." + code + "::text FROM idam.roles o WHERE o.id = g.role_id)"
		}
	}
	return s.hits(ctx, "role grants that repeat another",
		"delete all but one of each; CREATE UNIQUE INDEX CONCURRENTLY ON idam.user_roles (user_id, role_id) WHERE tenant_context IS NULL keeps new ones out",
		strings.NewReplacer("{user}", user, "{role}", role).Replace(findRepeated))
}

// Creators are few beside what they made, so that they are looked up once each.
const (
	findStrangers = `
SELECT '{table}' AS made, c.created_by, c.count
  FROM (SELECT r.created_by, count(*) AS count
          FROM {table} r
         WHERE {live} AND r.created_by IS NOT NULL
         GROUP BY r.created_by) c
 WHERE NOT EXISTS (SELECT FROM idam.users u WHERE u.id = c.created_by)`

	countStrangers = `
SELECT (sum(s.count) OVER ())::bigint AS count, s.count || ' of ' || s.made || ' by ' || s.created_by AS example
  FROM ({strangers}) s
 ORDER BY s.count DESC, s.made, s.created_by
 LIMIT 3`
)

// creators looks for rows that somebody made whom nobody knows: no foreign key guards created_by.
func creators(ctx context.Context, s *subject) (Finding, error) {
	if _, lacking := s.lookup(schema.Users, "id"); lacking != "" {
		return skipped("there is no %s to look creators up in", lacking), nil
	}
	var parts []string
	for _, table := range []string{schema.Users, schema.Invoices} {
		if t, lacking := s.lookup(table, "created_by"); lacking == "" {
			parts = append(parts, strings.NewReplacer("{table}", t.Name, "{live}", t.NotDeleted("r")).Replace(findStrangers))
		}
	}
	if len(parts) == 0 {
		return skipped("no table says who made its rows"), nil
	}
	return s.hits(ctx, "rows whose created_by is no user", "no command minds; ask who deleted the users themselves, since cxgctl only ever marks them",
		strings.Replace(countStrangers, "{strangers}", strings.Join(parts, " UNION ALL "), 1))
}

package doctor

import (
	"context"
	"strings"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// hit is one example of a defect that spans several rows, with the total count.
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
		"check that they are different people; usernames are case-sensitive, here and at login")
}

func emailTwins(ctx context.Context, s *subject) (Finding, error) {
	return s.twins(ctx, "email", "e-mails that differ only in case or Unicode form",
		"they share one mailbox: check that they are different people, and change one with cxgctl users update REF --email")
}

// scope returns the expression for the tenant of a name, in a table that tenants share.
func scope(t *schema.Table, alias string) string {
	if t.Has("tenant_id") {
		return alias + ".tenant_id"
	}
	return "NULL::uuid"
}

// Most usernames cannot be an id or an e-mail, so few are looked up.
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

// ambiguous looks for usernames that match two users. Commands refuse them as ambiguous.
func ambiguous(ctx context.Context, s *subject) (Finding, error) {
	t, lacking := s.lookup(schema.Users, "id username email")
	if lacking != "" {
		return skipped("%s does not exist", lacking), nil
	}
	shown := "id"
	if s.in.Names {
		shown = "username"
	}
	return s.hits(ctx, "usernames that are another user's id or e-mail", "refer to these users with --by id, --by username or --by email",
		strings.NewReplacer("{shown}", shown, "{table}", t.Name, "{live_u}", t.NotDeleted("u"), "{live_o}", t.NotDeleted("o"), "{scope_u}", scope(t, "u"), "{scope_o}", scope(t, "o")).
			Replace(findAmbiguous))
}

const (
	findNumberIndex = `
SELECT EXISTS (SELECT FROM pg_catalog.pg_index x JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                WHERE x.indrelid = 'bill.invoices'::pg_catalog.regclass AND a.attname = 'invoice_no'
                  AND x.indisunique AND x.indisvalid AND x.indnkeyatts = 1 AND x.indpred IS NULL)`

	findRepeatedNumbers = `
SELECT count(*) OVER () AS count, n.invoice_no || ' ' || n.times || ' times' AS example
  FROM (SELECT i.invoice_no, count(*) AS times FROM bill.invoices i GROUP BY i.invoice_no HAVING count(*) > 1) n
 ORDER BY n.invoice_no
 LIMIT 3`
)

// repeatedNumbers looks for invoices with the same number, unless a unique index prevents it. On Citus it does so within
// a tenant only.
func repeatedNumbers(ctx context.Context, s *subject) (Finding, error) {
	if _, lacking := s.lookup(schema.Invoices, "invoice_no"); lacking != "" {
		return skipped("%s does not exist", lacking), nil
	}
	indexed := false
	if err := s.db.QueryRow(ctx, findNumberIndex).Scan(&indexed); err != nil {
		return Finding{}, err
	}
	if indexed {
		return fine("a unique index keeps invoice numbers apart"), nil
	}
	return s.hits(ctx, "invoice numbers that are used more than once", "give one of them another number: cxgctl invoices update ID --by id --invoice-no N", findRepeatedNumbers)
}

// A UNIQUE constraint with a NULL tenant_context allows duplicate grants.
const findRepeated = `
SELECT g.count, coalesce({user}, g.user_id::text) || ' has ' || coalesce({role}, g.role_id::text) || ' ' || g.times || ' times' AS example
  FROM (SELECT r.user_id, r.role_id, count(*) AS times, (sum(count(*) - 1) OVER ())::bigint AS count
          FROM idam.user_roles r
         GROUP BY r.user_id, r.role_id, r.tenant_context
        HAVING count(*) > 1
         ORDER BY r.user_id, r.role_id
         LIMIT 3) g`

func repeatedGrants(ctx context.Context, s *subject) (Finding, error) {
	if _, lacking := s.lookup(schema.UserRoles, "user_id role_id tenant_context"); lacking != "" {
		return skipped("%s does not exist", lacking), nil
	}
	user, role := "NULL::text", "NULL::text"
	if _, lacking := s.lookup(schema.Users, "id username"); lacking == "" && s.in.Names {
		user = "(SELECT u.username::text FROM idam.users u WHERE u.id = g.user_id)"
	}
	for _, code := range []string{"code", "role_code"} {
		if _, lacking := s.lookup(schema.Roles, "id "+code); lacking == "" {
			role = "(SELECT o." + code + "::text FROM idam.roles o WHERE o.id = g.role_id)"
		}
	}
	return s.hits(ctx, "duplicate role grants",
		"delete all but one of each; prevent new ones with CREATE UNIQUE INDEX CONCURRENTLY ON idam.user_roles (user_id, role_id) WHERE tenant_context IS NULL",
		strings.NewReplacer("{user}", user, "{role}", role).Replace(findRepeated))
}

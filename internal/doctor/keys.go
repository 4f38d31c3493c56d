package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// expiringKeys are the keys that end within two weeks. One that has ended is EXPIRED, which keys list shows.
const expiringKeys = `
SELECT coalesce(x.key_name, x.key_id) || ' (' || to_char(x.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ')'
  FROM idam.api_keys x
 WHERE x.status = 'ACTIVE' AND x.expires_at > now() AND x.expires_at <= now() + interval '14 days' AND {live}
 ORDER BY x.expires_at, x.id`

// keys names the keys of services that end soon, and those that outlive the rights of their makers.
func keys(ctx context.Context, s *subject) (Finding, error) {
	t := s.catalog[schema.APIKeys]
	if t == nil {
		return skipped("there is no %s", schema.APIKeys), nil
	}
	orphans, err := auth.Orphans(ctx, s.db, s.catalog, nil)
	if err != nil {
		return closed(err)
	}
	if len(orphans) > 0 {
		list := make([]string, len(orphans))
		for i, o := range orphans {
			list[i] = fmt.Sprintf("%s lacks %s", o.KeyName, strings.Join(o.Lacks, ", "))
		}
		return wrong(Warn, "keys whose maker no longer holds their permissions (%d): %s", len(list), abridged(list)).of(list).
			remedied("cxgctl keys revoke %s ends the first; keep one only where it is meant to outlast its maker", orphans[0].ID), nil
	}
	rows, err := s.db.Query(ctx, strings.ReplaceAll(expiringKeys, "{live}", t.NotDeleted("x")))
	if err != nil {
		return closed(err)
	}
	soon, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return closed(err)
	}
	if len(soon) > 0 {
		return wrong(Warn, "keys that expire within 14 days (%d): %s", len(soon), abridged(soon)).of(soon).
			remedied("make others in time: cxgctl auth token --create; keys list shows all"), nil
	}
	return fine("no key expires within 14 days or outlives the rights of its maker"), nil
}

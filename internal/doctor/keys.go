package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// expiringKeys selects the keys that expire within two weeks. Expired keys are EXPIRED in keys list.
const expiringKeys = `
SELECT coalesce(x.key_name, x.key_id) || ' (' || to_char(x.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ')'
  FROM idam.api_keys x
 WHERE x.status = 'ACTIVE' AND x.expires_at > now() AND x.expires_at <= now() + interval '14 days' AND {live}
 ORDER BY x.expires_at, x.id`

// keys reports service keys that expire soon, and keys with permissions that their creators no longer hold.
func keys(ctx context.Context, s *subject) (Finding, error) {
	t := s.catalog[schema.APIKeys]
	if t == nil {
		return skipped("%s does not exist", schema.APIKeys), nil
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
		return wrong(Warn, "keys whose creator no longer holds their permissions (%d): %s", len(list), abridged(list)).of(list).
			remedied("revoke the first with cxgctl keys revoke %s; keep only those meant to outlast their creator", orphans[0].ID), nil
	}
	soon, err := db.CollectAs(ctx, s.db, pgx.RowTo[string], strings.ReplaceAll(expiringKeys, "{live}", t.NotDeleted("x")))
	if err != nil {
		return closed(err)
	}
	if len(soon) > 0 {
		return wrong(Warn, "keys that expire within 14 days (%d): %s", len(soon), abridged(soon)).of(soon).
			remedied("replace them with cxgctl keys rotate; see all keys with cxgctl keys list"), nil
	}
	return fine("no key expires within 14 days or outlives its creator's permissions"), nil
}

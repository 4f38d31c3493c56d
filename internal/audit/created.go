package audit

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Done returns up to limit entries of an operation that created or changed rows, newest first, with ids below before;
// use uuid.Max to start. An entry without a valid seal is a VALIDATION_ERROR.
func (g *Log) Done(ctx context.Context, r db.Reader, op, before uuid.UUID, limit int) ([]Entry, error) {
	sql := "SELECT " + g.columns + `
  FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id
 WHERE l.extra_data ->> 'op_id' IS NOT NULL AND ` + g.exprs["op_id"] + ` = @op AND l.id < @before
   AND ` + g.exprs["action"] + ` IN ('CREATE', 'UPDATE') AND ` + g.exprs["result"] + ` = 'SUCCESS'
 ORDER BY l.id DESC LIMIT @limit`
	rows, err := db.Collect[Entry](ctx, r, sql, pgx.NamedArgs{"op": op.String(), "before": before, "limit": limit})
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(rows))
	for i, e := range rows {
		ids[i] = e.ID
	}
	return rows, g.checkSeals(ctx, r, ids)
}

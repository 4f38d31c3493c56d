package audit

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Created returns up to limit entries of an operation that made rows of a noun, in the order of their
// ids, from the one after an id on. One that no seal covers as it is, is a VALIDATION_ERROR.
func (g *Log) Created(ctx context.Context, r db.Reader, op uuid.UUID, resource string, after uuid.UUID, limit int) ([]Entry, error) {
	sql := "SELECT " + g.columns + `
  FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id
 WHERE l.extra_data ->> 'op_id' IS NOT NULL AND ` + g.exprs["op_id"] + ` = @op AND l.id > @after
   AND ` + g.exprs["resource"] + ` = @resource AND ` + g.exprs["action"] + ` = 'CREATE' AND ` + g.exprs["result"] + ` = 'SUCCESS'
 ORDER BY l.id LIMIT @limit`
	rows, err := db.Collect[Entry](ctx, r, sql, pgx.NamedArgs{"op": op.String(), "after": after, "resource": resource, "limit": limit})
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(rows))
	for i, e := range rows {
		ids[i] = e.ID
	}
	return rows, g.checkSeals(ctx, r, ids)
}

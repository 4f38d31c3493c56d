package audit

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Rehearse runs fn in a transaction and always rolls it back, to find out what the server allows.
func Rehearse(ctx context.Context, d *db.DB, fn func(context.Context, pgx.Tx) error) error {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return fn(ctx, tx)
}

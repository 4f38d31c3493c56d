package audit

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Trace writes without an audit row. It is for records of activity, such as when a session was last used. Changes that
// an operator requests go through a Ledger.
func Trace(ctx context.Context, d *db.DB, sql string, args ...any) error {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

package audit

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Trace writes what is a record itself and no change of the platform's data, such as when a session was
// last used. It has no audit row; what an operator decides goes through a Ledger.
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

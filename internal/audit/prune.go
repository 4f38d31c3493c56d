package audit

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
)

// Prune moves the rows of the plan to the archive, and returns the prune record.
func Prune(ctx context.Context, l *Ledger, p seal.PrunePlan) (r seal.PruneRecord, err error) {
	archive, err := seal.NewArchive(p)
	if err != nil {
		return r, err
	}
	defer func() { _ = archive.Close() }()
	subject := Subject{Resource: "audit", Name: "rows before " + db.At(p.Before).String()}
	err = l.Write(ctx, Intent{subject, Delete}, func(ctx context.Context, tx *Tx) ([]Change, error) {
		var err error
		r, err = archive.Move(ctx, tx, l.op)
		if err != nil || r.Rows == 0 {
			return nil, err
		}
		return []Change{{Subject: subject, Action: Delete, Event: SystemChange, After: r}}, nil
	})
	if err != nil && !OutcomeUnknown(err) {
		_ = archive.Remove() // the rows are still in the log
	}
	return r, err
}

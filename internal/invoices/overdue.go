package invoices

import (
	"context"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
)

// MarkOverdue marks those of the invoices that are past due now, in one transaction, and returns them. It skips
// invoices that were paid, canceled, postponed, deleted or marked in the meantime.
func (t *Table) MarkOverdue(ctx context.Context, l *audit.Ledger, ids []uuid.UUID, today db.Date) ([]Invoice, error) {
	return t.ApplyDue(ctx, l, ids, Edit{
		Action: audit.Update, Set: "status = 'OVERDUE'", Columns: []string{"status"},
		IsNoop: func(i Invoice) bool { return i.Deleted || !i.pastDue(today) || !i.is("PENDING") && !i.is("SENT") },
	})
}

package invoices

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
)

// PastDue selects the live invoices that wait for their money beyond the day on which they were due, and are
// not marked OVERDUE yet. One that is still PENDING is among them: see next.
var PastDue = Filter{Statuses: []string{"PENDING", "SENT"}, Overdue: true, Sort: []string{"due_date"}}

const findPastDue = `SELECT i.id FROM {table} i WHERE {live} AND i.status IN ('PENDING', 'SENT') AND i.due_date < @today ORDER BY i.id`

// PastDueIDs returns the ids of the invoices that PastDue selects, in order.
func (t *Table) PastDueIDs(ctx context.Context, r db.Reader, today db.Date) ([]uuid.UUID, error) {
	if err := t.shape.Need([]string{"status", "due_date"}); err != nil {
		return nil, err
	}
	rows, err := r.Query(ctx, t.sql(findPastDue), pgx.NamedArgs{"today": today})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// MarkOverdue marks those of the invoices that are past due at this moment, in one transaction, and returns
// them. Whatever was paid, canceled, put off, deleted or marked since somebody looked is left alone.
func (t *Table) MarkOverdue(ctx context.Context, l *audit.Ledger, ids []uuid.UUID, today db.Date) ([]Invoice, error) {
	return t.rows().Sweep(ctx, l, ids, Edit{
		Action: audit.Update, Set: "status = 'OVERDUE'", Needs: []string{"status"},
		Done: func(i Invoice) bool { return i.Deleted || !i.pastDue(today) || !i.is("PENDING") && !i.is("SENT") },
	})
}

package invoices

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
)

// pastDue selects the live, unpaid invoices past their due date that are not marked OVERDUE yet. PENDING ones are
// included: see next.
const pastDue = ` FROM {table} i {tenant} WHERE {live} AND i.status IN ('PENDING', 'SENT') AND i.due_date < @today::date`

// PastDue returns the invoices that MarkOverdue would mark, longest overdue first.
func (t *Table) PastDue(ctx context.Context, r db.Reader, today db.Date) ([]Invoice, error) {
	if err := t.Shape.RequireColumns([]string{"status", "due_date"}); err != nil {
		return nil, err
	}
	return db.Collect[Invoice](ctx, r, t.sql("SELECT {columns}"+pastDue+" ORDER BY i.due_date, i.id"), pgx.NamedArgs{"today": today})
}

// PastDueIDs returns the ids of the same invoices, sorted.
func (t *Table) PastDueIDs(ctx context.Context, r db.Reader, today db.Date) ([]uuid.UUID, error) {
	if err := t.Shape.RequireColumns([]string{"status", "due_date"}); err != nil {
		return nil, err
	}
	rows, err := r.Query(ctx, t.sql("SELECT i.id"+pastDue+" ORDER BY i.id"), pgx.NamedArgs{"today": today})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// MarkOverdue marks those of the invoices that are past due now, in one transaction, and returns them. It skips
// invoices that were paid, canceled, postponed, deleted or marked in the meantime.
func (t *Table) MarkOverdue(ctx context.Context, l *audit.Ledger, ids []uuid.UUID, today db.Date) ([]Invoice, error) {
	return t.ApplyDue(ctx, l, ids, Edit{
		Action: audit.Update, Set: "status = 'OVERDUE'", Columns: []string{"status"},
		IsNoop: func(i Invoice) bool { return i.Deleted || !i.pastDue(today) || !i.is("PENDING") && !i.is("SENT") },
	})
}

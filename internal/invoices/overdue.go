package invoices

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
)

// pastDue selects the live invoices that wait for their money beyond the day on which they were due, and are
// not marked OVERDUE yet. One that is still PENDING is among them: see next.
const pastDue = ` FROM {table} i {tenant} WHERE {live} AND i.status IN ('PENDING', 'SENT') AND i.due_date < @today::date`

// PastDue returns the invoices that MarkOverdue would mark, the one that has been due longest first.
func (t *Table) PastDue(ctx context.Context, r db.Reader, today db.Date) ([]Invoice, error) {
	if err := t.shape.RequireColumns([]string{"status", "due_date"}); err != nil {
		return nil, err
	}
	return db.Collect[Invoice](ctx, r, t.sql("SELECT {columns}"+pastDue+" ORDER BY i.due_date, i.id"), pgx.NamedArgs{"today": today})
}

// PastDueIDs returns the ids of the same invoices, in order.
func (t *Table) PastDueIDs(ctx context.Context, r db.Reader, today db.Date) ([]uuid.UUID, error) {
	if err := t.shape.RequireColumns([]string{"status", "due_date"}); err != nil {
		return nil, err
	}
	rows, err := r.Query(ctx, t.sql("SELECT i.id"+pastDue+" ORDER BY i.id"), pgx.NamedArgs{"today": today})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// MarkOverdue marks those of the invoices that are past due at this moment, in one transaction, and returns
// them. Whatever was paid, canceled, put off, deleted or marked since somebody looked is left alone.
func (t *Table) MarkOverdue(ctx context.Context, l *audit.Ledger, ids []uuid.UUID, today db.Date) ([]Invoice, error) {
	return t.rows().ApplyDue(ctx, l, ids, Edit{
		Action: audit.Update, Set: "status = 'OVERDUE'", Columns: []string{"status"},
		IsNoop: func(i Invoice) bool { return i.Deleted || !i.pastDue(today) || !i.is("PENDING") && !i.is("SENT") },
	})
}

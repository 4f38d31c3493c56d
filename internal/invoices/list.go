package invoices

import (
	"context"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// Filter selects invoices; the zero value selects all live ones.
type Filter struct {
	Tenants            []string // ids or codes of tenants, any of them; empty means all
	Statuses           []string // any of them; empty means all
	PaymentMethods     []string // any of them; empty means all
	Currencies         []string // any of them, see spellings; empty means all
	Search             string   // literal text in invoice_no, case-insensitive
	Grams              int      // the result of Grams; 0 searches without the optional index
	From               *db.Date // invoice_date, inclusive
	To                 *db.Date // invoice_date, exclusive
	DueBefore          *db.Date // due_date, exclusive
	Today              db.Date  // the reference day of Overdue
	Overdue            bool     // past due on Today and neither PAID nor CANCELED, whether marked OVERDUE or not
	Unmarked           bool     // past due on Today and PENDING or SENT: what MarkOverdue marks
	MinTotal, MaxTotal *money.Amount
	IncludeDeleted     bool
	Changed            db.Increment
	Sort               []string // FIELD, -FIELD or FIELD:desc

	// Refused holds the problems that the caller found while parsing, so that all are reported together.
	Refused fault.Problems
}

// Empty reports whether the filter selects every live invoice.
func (f Filter) Empty() bool {
	return len(f.Tenants) == 0 && len(f.Statuses) == 0 && len(f.PaymentMethods) == 0 && len(f.Currencies) == 0 && f.Search == "" &&
		f.From == nil && f.To == nil && f.DueBefore == nil && !f.Overdue && f.MinTotal == nil && f.MaxTotal == nil &&
		f.Refused.Err() == nil
}

// searched lists the columns that a search looks in.
var searched = []string{"i.invoice_no"}

// Grams returns the smallest gram size that an index of the searched columns supports, or 0 if the optional migration
// is not applied.
func (t *Table) Grams(ctx context.Context, r db.Reader) (int, error) {
	has, err := db.HasIndex(ctx, r, "bill.invoices_trigrams_idx")
	if !has {
		return 0, err
	}
	return 3, err
}

const newestFirst = "invoice_date:desc"

// compile turns the filter into predicates over the invoices table alone, and an order. An index of the migrations
// serves each predicate except the search. Problems of the filter are added to problems; the tenant is looked up only
// if there are none.
func (t *Table) compile(ctx context.Context, r db.Reader, f Filter, problems *fault.Problems) (db.Where, db.Order, error) {
	var w db.Where
	if !f.IncludeDeleted {
		w.Add("{live}")
	}
	w.AnyOf("i.status", "statuses", "text", problems.Choices("status", f.Statuses, Statuses))
	w.AnyOf("i.payment_method", "methods", "text", problems.Choices("payment_method", f.PaymentMethods, PaymentMethods))
	w.AnyOf("i.currency", "currencies", "bpchar", t.spellings(problems, f.Currencies))
	t.Shape.Changed(&w, "i", f.Changed)
	if f.Search != "" {
		checkSearch(problems, f.Search)
		db.Search{Text: f.Search, Columns: searched, Grams: f.Grams}.Bind(&w)
	}
	if f.From != nil {
		w.Bind("i.invoice_date >= @from", "from", *f.From)
	}
	if f.To != nil {
		w.Bind("i.invoice_date < @to", "to", *f.To)
	}
	if f.DueBefore != nil {
		w.Bind("i.due_date < @due_before", "due_before", *f.DueBefore)
	}
	if f.Overdue {
		w.Bind("i.due_date < @overdue_on::date AND i.status NOT IN ('PAID', 'CANCELED')", "overdue_on", f.Today)
	}
	if f.Unmarked {
		w.Bind("i.due_date < @unmarked_on::date AND i.status IN ('PENDING', 'SENT')", "unmarked_on", f.Today)
	}
	if f.MinTotal != nil {
		w.Bind("i.total_amount >= @min_total::numeric", "min_total", f.MinTotal.String())
	}
	if f.MaxTotal != nil {
		w.Bind("i.total_amount <= @max_total::numeric", "max_total", f.MaxTotal.String())
	}
	checkRanges(problems, f)
	order := t.orderBy(f.Sort, problems)
	if problems.Err() != nil {
		return w, order, nil //nolint:nilerr // the caller reports the problems
	}
	var ids []string
	for _, name := range f.Tenants {
		tenant, err := tenants.Find(ctx, r, t.cat, name, f.IncludeDeleted)
		if err != nil {
			return w, order, err
		}
		ids = append(ids, tenant.ID.String())
	}
	id, _ := t.Shape.Column("tenant_id")
	w.AnyOf("i.tenant_id", "tenant_ids", id.Type, ids)
	return w, order, nil
}

// orderBy turns sort specs into an order over the fields that this database has.
func (t *Table) orderBy(specs []string, problems *fault.Problems) db.Order {
	sortable, names := t.Shape.Sortable("i", SortFields, nil)
	sortable["tenant_code"] = db.Sort{Expr: t.tenantCode, Type: "text"}
	names = append(names, "tenant_code")
	return sortable.OrderBy(specs, newestFirst, "id", names, problems)
}

const (
	listInvoices  = `SELECT {columns} FROM {table} i {join} WHERE {where} ORDER BY {order}`
	countInvoices = `SELECT count(*) FROM {table} i WHERE {where}`
)

// Matching returns the query for the invoices that the filter selects, newest first by default.
func (t *Table) Matching(ctx context.Context, r db.Reader, f Filter) (db.ListQuery[Invoice], error) {
	problems := f.Refused
	where, order, err := t.compile(ctx, r, f, &problems)
	where.Replace(t.sql)
	binary, ok := t.Shape.Binary("i", t.read)
	if ok {
		binary["tenant_code"], binary["deleted"] = t.tenantCode+"::text", "NOT ("+t.live+")"
	}
	return db.ListQuery[Invoice]{
		Problems: problems, ID: Kind.ID, Binary: binary,
		SQL: listInvoices, Count: countInvoices, Columns: t.sql("{columns}"), Table: t.Shape.Name, Join: t.sql("{tenant}"), Key: "i.id",
		Where: where, Order: order,
	}, err
}

// Select returns every invoice that the filter selects, ordered by id. With deleted it returns only deleted invoices.
func (t *Table) Select(ctx context.Context, d *db.DB, idle time.Duration, f Filter, deleted bool) ([]Invoice, error) {
	f.IncludeDeleted, f.Sort = deleted, []string{"id"}
	s, err := t.Matching(ctx, d, f)
	if err != nil {
		return nil, err
	}
	return t.Collect(ctx, d, idle, s, deleted)
}

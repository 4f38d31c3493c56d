package invoices

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Kind describes how invoices are identified: by id or invoice number.
var Kind = resource.Kind[Invoice]{
	Name:        "invoice",
	ID:          func(i Invoice) uuid.UUID { return i.ID },
	DisplayName: func(i Invoice) string { return i.InvoiceNo },
	Keys: []resource.Key[Invoice]{
		{Name: "id", Of: func(i Invoice) string { return i.ID.String() }},
		{Name: "invoice_no", Of: func(i Invoice) string { return i.InvoiceNo }},
	},
	IsLive:        func(i Invoice) bool { return !i.Deleted },
	Describe:      func(i Invoice) string { return i.InvoiceNo + " (" + i.ID.String() + ")" },
	AmbiguityHint: "add --by id or --by invoice_no",
	GuessKey: func(text string) string {
		if _, err := uuid.Parse(text); err == nil {
			return "id"
		}
		return "invoice_no"
	},
	DeletedHint: func(i Invoice) string { return resource.DeletedHint("invoice", "invoices", i.ID) },
}

// Resource is how audit undo reverses changes of invoices.
var Resource = audit.Resource{
	Name:   Kind.Name,
	Update: []string{"INVOICE_UPDATE"},
	Delete: []string{"INVOICE_DELETE"},
	Tables: []string{schema.Invoices, schema.Tenants},
	Open:   func(cat schema.Catalog) (audit.Reverser, error) { return NewTable(cat) },
}

// PostgreSQL combines the two unique indexes in one bitmap scan.
const findByRef = `
SELECT {columns}
  FROM {table} i {tenant}
 WHERE i.id = ANY (@id::text[]::uuid[]) OR i.invoice_no = ANY (@invoice_no::text[])
 ORDER BY i.id`

// Find looks up every REF, in order. by is the name of a key, or "" for any. A REF that matches no row, only a
// deleted row (unless deleted is set) or several rows has an error; the others have their invoice.
func (t *Table) Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[Invoice], error) {
	rows, err := db.Collect[Invoice](ctx, r, t.sql(findByRef), pgx.QueryExecModeExec, Kind.Args(refs, by))
	if err != nil {
		return nil, err
	}
	found := Kind.Matches(refs, by, rows, deleted)
	Kind.Suggest(found, "cxgctl invoices list --search", func(prefix string) ([]string, error) { return t.Numbers(ctx, r, prefix, true) })
	return found, nil
}

// The range condition lets the index start at the first match. In most collations LIKE alone cannot use the index.
const completeNumbers = `
SELECT i.invoice_no FROM {table} i
 WHERE i.invoice_no >= @from AND i.invoice_no LIKE @prefix AND {live} = @live
 ORDER BY i.invoice_no LIMIT 100`

// Numbers returns up to 100 numbers of live (or deleted) invoices that begin with prefix, for completion.
func (t *Table) Numbers(ctx context.Context, r db.Reader, prefix string, live bool) ([]string, error) {
	rows, err := r.Query(ctx, t.sql(completeNumbers), pgx.NamedArgs{"from": prefix, "prefix": db.LikePrefix(prefix), "live": live})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

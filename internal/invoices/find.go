package invoices

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
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
	AmbiguityHint: "add --by id or --by invoice_no",
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

// The range condition lets the index start at the first match. In most collations LIKE alone cannot use the index.
const completeNumbers = `
SELECT i.invoice_no, concat_ws(' ', {tenant_code}, i.status, i.due_date) FROM {table} i {tenant}
 WHERE i.invoice_no >= @from AND i.invoice_no LIKE @prefix AND {live} = @live
 ORDER BY i.invoice_no {direction} LIMIT @limit`

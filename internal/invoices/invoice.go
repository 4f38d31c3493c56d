// Package invoices holds the bills of the platform: the record, its validation, and the functions that read and
// change invoices.
package invoices

import (
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// Invoice is an invoice's record, in the contract's field order. A nil field is NULL or a column that this database
// does not have. TenantCode is also nil if the tenant's row is gone.
type Invoice struct {
	ID             uuid.UUID     `json:"id" db:"id" table:"key"`
	InvoiceNo      string        `json:"invoice_no" db:"invoice_no" table:"key"`
	TenantID       *uuid.UUID    `json:"tenant_id" db:"tenant_id"`
	TenantCode     *string       `json:"tenant_code" db:"tenant_code" table:"key"`
	SubscriptionID *uuid.UUID    `json:"subscription_id" db:"subscription_id"`
	InvoiceDate    *db.Date      `json:"invoice_date" db:"invoice_date"`
	DueDate        *db.Date      `json:"due_date" db:"due_date"`
	StartDate      *db.Date      `json:"start_date" db:"start_date"`
	CloseDate      *db.Date      `json:"close_date" db:"close_date"`
	BaseAmount     *money.Amount `json:"base_amount" db:"base_amount" table:"sum"`
	UsageAmount    *money.Amount `json:"usage_amount" db:"usage_amount" table:"sum"`
	DiscountAmount *money.Amount `json:"discount_amount" db:"discount_amount" table:"sum"`
	TaxAmount      *money.Amount `json:"tax_amount" db:"tax_amount" table:"sum"`
	TotalAmount    *money.Amount `json:"total_amount" db:"total_amount" table:"sum"`
	Currency       *string       `json:"currency" db:"currency" table:"currency" heading:"CUR"` // as stored, without CHAR's padding
	UserCount      *int64        `json:"user_count" db:"user_count"`
	UsedStorage    *money.Amount `json:"used_storage" db:"used_storage"` // gigabytes, an exact decimal
	APICalls       *int64        `json:"api_calls" db:"api_calls"`
	Status         *string       `json:"status" db:"status"`
	PaidAt         *db.Time      `json:"paid_at" db:"paid_at"`
	PaymentMethod  *string       `json:"payment_method" db:"payment_method"`
	Deleted        bool          `json:"deleted" db:"deleted"`
	CreatedAt      *db.Time      `json:"created_at" db:"created_at"`
	UpdatedAt      *db.Time      `json:"updated_at" db:"updated_at"`
	CreatedBy      *uuid.UUID    `json:"created_by" db:"created_by" table:"user"`
	UpdatedBy      *uuid.UUID    `json:"updated_by" db:"updated_by" table:"user"`
}

// The values of status and payment_method that the CHECK constraints allow.
var (
	Statuses       = []string{"PENDING", "SENT", "PAID", "OVERDUE", "CANCELED"}
	PaymentMethods = []string{"CREDIT_CARD", "BANK_TRANSFER", "PAYPAL", "WIRE_TRANSFER", "CHECK"}
)

// fields declare the record. tenant_code comes from another table, and deleted is derived from the soft-delete flags of
// this database. Create and update set the fields with Change; update sets a number to 0 to unset it, because the
// backend requires one.
var fields = schema.FieldsOf[Invoice]{
	{Name: "id", Type: "uuid", Of: func(i *Invoice) any { return &i.ID }, Sort: true},
	{Name: "invoice_no", Type: "varchar(50)", Of: func(i *Invoice) any { return &i.InvoiceNo }, Required: true, Change: true, Sort: true},
	{Name: "tenant_id", Type: "uuid", Of: func(i *Invoice) any { return &i.TenantID }, Change: true, Sort: true},
	{Name: "tenant_code", Sort: true},
	{Name: "subscription_id", Type: "uuid", Of: func(i *Invoice) any { return &i.SubscriptionID }, Change: true, Sort: true},
	{Name: "invoice_date", Type: "date", Of: func(i *Invoice) any { return &i.InvoiceDate }, Required: true, Change: true, Sort: true},
	{Name: "due_date", Type: "date", Of: func(i *Invoice) any { return &i.DueDate }, Required: true, Change: true, Sort: true},
	{Name: "start_date", Type: "date", Of: func(i *Invoice) any { return &i.StartDate }, Required: true, Change: true, Sort: true},
	{Name: "close_date", Type: "date", Of: func(i *Invoice) any { return &i.CloseDate }, Required: true, Change: true, Sort: true},
	{Name: "base_amount", Type: "numeric(18,4)", Of: func(i *Invoice) any { return &i.BaseAmount }, Required: true, Change: true, Sort: true},
	{Name: "usage_amount", Type: "numeric(18,4)", Of: func(i *Invoice) any { return &i.UsageAmount }, Default: "0", Change: true},
	{Name: "discount_amount", Type: "numeric(18,4)", Of: func(i *Invoice) any { return &i.DiscountAmount }, Default: "0", Change: true},
	{Name: "tax_amount", Type: "numeric(18,4)", Of: func(i *Invoice) any { return &i.TaxAmount }, Default: "0", Change: true},
	{Name: "total_amount", Type: "numeric(18,4)", Of: func(i *Invoice) any { return &i.TotalAmount }, Change: true, Sort: true},
	{Name: "currency", Type: "char(3)", Of: func(i *Invoice) any { return &i.Currency }, Default: DefaultCurrency, Upper: true, Check: checkCurrency, Change: true, Sort: true},
	{Name: "user_count", Type: "integer", Of: func(i *Invoice) any { return &i.UserCount }, Required: true, Change: true, Sort: true},
	{Name: "used_storage", Type: "numeric(18,4)", Of: func(i *Invoice) any { return &i.UsedStorage }, Default: "0", Change: true, Unset: true},
	{Name: "api_calls", Type: "integer", Of: func(i *Invoice) any { return &i.APICalls }, Default: "0", Change: true, Unset: true},
	{Name: "status", Type: "varchar(20)", Of: func(i *Invoice) any { return &i.Status }, Choices: Statuses, Default: "PENDING", Sort: true},
	{Name: "paid_at", Type: "timestamptz", Of: func(i *Invoice) any { return &i.PaidAt }, Sort: true},
	{Name: "payment_method", Type: "varchar(50)", Of: func(i *Invoice) any { return &i.PaymentMethod }, Choices: PaymentMethods, Change: true, Unset: true, Sort: true},
	{Name: "deleted"},
	{Name: "created_at", Type: "timestamptz", Of: func(i *Invoice) any { return &i.CreatedAt }, Sort: true},
	{Name: "updated_at", Type: "timestamptz", Of: func(i *Invoice) any { return &i.UpdatedAt }, Sort: true},
	{Name: "created_by", Type: "uuid", Of: func(i *Invoice) any { return &i.CreatedBy }},
	{Name: "updated_by", Type: "uuid", Of: func(i *Invoice) any { return &i.UpdatedBy }},
}

// Columns are those of the record.
var Columns = fields.Declarations()

// The names of the fields that lists can be sorted by, that can lose their value, and that an import accepts: those of
// the record, and of the flags of `invoices create`.
var (
	SortFields   = fields.Sorts()
	Unsettable   = fields.Unsets()
	ImportFields = append(fields.Names(), "tenant", "subscription")
)

// Table is the invoices table of one database.
type Table struct {
	rowupdate.Table[Invoice]
	read         []schema.Field
	cat          schema.Catalog // for the tenants
	tenantCode   string
	live         string
	placeholders *strings.Replacer
}

// NewTable returns the manager database's invoices table, or a DATABASE_ERROR if it does not exist. Without a tenants
// table, invoices have no tenant_code.
func NewTable(cat schema.Catalog) (*Table, error) {
	shape, err := cat.Table(schema.Invoices)
	if err != nil {
		return nil, err
	}
	live := shape.NotDeleted("i")
	join, code, _ := tenants.Join(cat, "i.tenant_id")
	read := fields.Fields(shape)
	t := &Table{Table: rowupdate.Table[Invoice]{Shape: shape}, read: read, cat: cat, tenantCode: code, live: live, placeholders: strings.NewReplacer(
		"{table}", shape.Name,
		"{tenant}", join,
		"{tenant_code}", code,
		"{columns}", shape.Select("i", read)+", "+code+" AS tenant_code, NOT ("+live+") AS deleted",
		"{live}", "("+live+")",
	)}
	t.Table = t.rows()
	return t, nil
}

// sql replaces the placeholders of a statement with this table's name, columns, tenant join and predicate of live
// rows.
func (t *Table) sql(statement string) string { return t.placeholders.Replace(statement) }

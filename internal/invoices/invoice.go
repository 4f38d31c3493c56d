// Package invoices holds the bills of the platform: the record, its validation, and the functions that read and
// change invoices.
package invoices

import (
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/money"
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
	Currency       *string       `json:"currency" db:"currency" table:"currency"` // as stored, without CHAR's padding
	UserCount      *int64        `json:"user_count" db:"user_count"`
	UsedStorage    *money.Amount `json:"used_storage" db:"used_storage"` // gigabytes, an exact decimal
	APICalls       *int64        `json:"api_calls" db:"api_calls"`
	Status         *string       `json:"status" db:"status"`
	PaidAt         *db.Time      `json:"paid_at" db:"paid_at"`
	PaymentMethod  *string       `json:"payment_method" db:"payment_method"`
	Deleted        bool          `json:"deleted" db:"deleted"`
	CreatedAt      *db.Time      `json:"created_at" db:"created_at"`
	UpdatedAt      *db.Time      `json:"updated_at" db:"updated_at"`
	CreatedBy      *uuid.UUID    `json:"created_by" db:"created_by"`
	UpdatedBy      *uuid.UUID    `json:"updated_by" db:"updated_by"`
}

// The values of status and payment_method that the CHECK constraints allow.
var (
	Statuses       = []string{"PENDING", "SENT", "PAID", "OVERDUE", "CANCELED"}
	PaymentMethods = []string{"CREDIT_CARD", "BANK_TRANSFER", "PAYPAL", "WIRE_TRANSFER", "CHECK"}
)

// fields are the record's fields as read from the invoices table, in Invoice's order. Amounts are read as text to
// keep their scale. tenant_code comes from another table, and deleted is derived from the soft-delete flags of this
// database.
var fields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "invoice_no", Type: "text"},
	{Name: "tenant_id", Type: "uuid"},
	{Name: "subscription_id", Type: "uuid"},
	{Name: "invoice_date", Type: "date"},
	{Name: "due_date", Type: "date"},
	{Name: "start_date", Type: "date"},
	{Name: "close_date", Type: "date"},
	{Name: "base_amount", Type: "text", Expr: "%s::text", Binary: "numeric"},
	{Name: "usage_amount", Type: "text", Expr: "%s::text", Binary: "numeric"},
	{Name: "discount_amount", Type: "text", Expr: "%s::text", Binary: "numeric"},
	{Name: "tax_amount", Type: "text", Expr: "%s::text", Binary: "numeric"},
	{Name: "total_amount", Type: "text", Expr: "%s::text", Binary: "numeric"},
	{Name: "currency", Type: "text", Expr: "rtrim(%s)", Binary: "character"},
	{Name: "user_count", Type: "bigint"},
	{Name: "used_storage", Type: "text", Expr: "%s::text", Binary: "numeric"},
	{Name: "api_calls", Type: "bigint"},
	{Name: "status", Type: "text"},
	{Name: "paid_at", Type: "timestamptz"},
	{Name: "payment_method", Type: "text"},
	{Name: "created_at", Type: "timestamptz"},
	{Name: "updated_at", Type: "timestamptz"},
	{Name: "created_by", Type: "uuid"},
	{Name: "updated_by", Type: "uuid"},
}

// Table is the invoices table of one database.
type Table struct {
	shape        *schema.Table
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
	return &Table{shape: shape, cat: cat, tenantCode: code, live: live, placeholders: strings.NewReplacer(
		"{table}", shape.Name,
		"{tenant}", join,
		"{columns}", shape.Select("i", fields)+", "+code+" AS tenant_code, NOT ("+live+") AS deleted",
		"{live}", "("+live+")",
	)}, nil
}

// sql replaces the placeholders of a statement with this table's name, columns, tenant join and predicate of live
// rows.
func (t *Table) sql(statement string) string { return t.placeholders.Replace(statement) }

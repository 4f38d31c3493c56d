package invoices

import (
	"strconv"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// ImportFields are the headers that an import accepts: the record's fields, and their names as flags of `invoices
// create`.
var ImportFields = []string{
	"id", "invoice_no", "tenant_id", "tenant_code", "subscription_id", "invoice_date", "due_date", "start_date", "close_date",
	"base_amount", "usage_amount", "discount_amount", "tax_amount", "total_amount", "currency", "user_count", "used_storage",
	"api_calls", "status", "paid_at", "payment_method", "deleted", "created_at", "updated_at", "created_by", "updated_by",
	"tenant", "subscription",
}

// The columns by which a row can name its tenant and its subscription.
var (
	tenantFields       = []string{"tenant", "tenant_id", "tenant_code"}
	subscriptionFields = []string{"subscription", "subscription_id"}
)

// incoming is one row of the file and its outcome.
type incoming struct {
	importer.Row
	invoice      Invoice // as it would be created
	tenant       []cell  // all columns that name the tenant
	subscription cell
	bornNow      bool     // created_at is set to the transaction's time
	stored       *Invoice // as stored, if the database changed it
}

// cell is a value and its field.
type cell struct{ field, value string }

// Reading returns the options for reading the file, with the fields of invoices.
func (o ImportOptions) Reading() rowreader.Options {
	r := o.Read
	r.Fields = ImportFields
	r.Required = []string{"invoice_no", "invoice_date", "due_date", "start_date", "close_date", "base_amount", "user_count"}
	return r
}

// checkHeader refuses a file without a column for the tenant or the subscription.
func checkHeader(s *importer.Input) error {
	if s.Objects {
		return nil // each row names its own fields
	}
	for _, names := range [][]string{tenantFields, subscriptionFields} {
		has := false
		for _, n := range names {
			has = has || s.Has(n)
		}
		if !has {
			return fault.New(fault.Validation, "header: %q is missing", names[0]).
				WithHint("a column %s also works", names[1]).With("valid", ImportFields)
		}
	}
	return nil
}

// read turns a row into an invoice, or collects everything that is wrong with it.
func (im *importSpec) read(row importer.Row, c *importer.Fields) *incoming {
	in := &incoming{Row: row}
	if in.Failure != nil {
		return in
	}
	in.tenant = cells(c, tenantFields)
	v := Values{
		InvoiceNo: readText(c, "invoice_no"), Currency: readText(c, "currency"), PaymentMethod: readText(c, "payment_method"),
		InvoiceDate: readDay(c, "invoice_date"), DueDate: readDay(c, "due_date"), StartDate: readDay(c, "start_date"), CloseDate: readDay(c, "close_date"),
		BaseAmount: readAmount(c, "base_amount"), UsageAmount: readAmount(c, "usage_amount"), DiscountAmount: readAmount(c, "discount_amount"),
		TaxAmount: readAmount(c, "tax_amount"), TotalAmount: readAmount(c, "total_amount"), UsedStorage: readAmount(c, "used_storage"),
		UserCount: readCount(c, "user_count"), APICalls: readCount(c, "api_calls"),
	}
	if len(in.tenant) > 0 {
		v.Tenant = &in.tenant[0].value
	}
	for k, s := range cells(c, subscriptionFields) {
		if k > 0 && s.value != in.subscription.value {
			c.Add(s.field, "%s differs from %s", s.value, in.subscription.field)
		}
		in.subscription = s
		v.Subscription = &s.value
	}
	after := Invoice{Status: c.Choice("status", "PENDING", Statuses), PaidAt: c.Time("paid_at"), Deleted: c.Bool("deleted", false)}
	after.CreatedAt, after.UpdatedAt = c.Time("created_at"), c.Time("updated_at")
	after.CreatedBy, after.UpdatedBy = c.ID("created_by"), c.ID("updated_by")
	if id := c.ID("id"); id != nil {
		after.ID = *id
	}
	checkPaid(&c.Problems, &after, v.PaymentMethod)
	if after.Deleted && im.t.live == "true" {
		c.Add("deleted", "table %s has no column for it", im.t.shape.Name)
	}
	_, drafted, err := im.t.draft(v, c.Problems)
	if err != nil {
		c.Refuse(&in.Row, err)
		in.called("subscription", in.subscription)
		return in
	}
	in.invoice = drafted
	i := &in.invoice
	i.ID, i.Status, i.PaidAt, i.Deleted = after.ID, after.Status, after.PaidAt, after.Deleted
	i.CreatedAt, i.UpdatedAt, i.CreatedBy, i.UpdatedBy = after.CreatedAt, after.UpdatedAt, after.CreatedBy, after.UpdatedBy
	noteAltered(c, i)
	in.Altered, in.Filled = c.Altered, c.Filled
	return in
}

// noteAltered records how the invoice differs from the row.
func noteAltered(c *importer.Fields, i *Invoice) {
	for _, field := range []string{"usage_amount", "discount_amount", "tax_amount", "used_storage", "api_calls"} {
		c.Fill(field, "0")
	}
	c.Fill("total_amount", "the computed total")
	c.Fill("currency", *i.Currency)
	if v := c.Text("currency"); v != "" && v != *i.Currency {
		c.Alter("currency", "in upper case")
	}
	c.FillNull("payment_method")
	c.FillBirth()
}

// called renames the field of a failure to the column that the file has for it.
func (in *incoming) called(field string, c cell) {
	if in.Failure.Field == field && c.field != "" {
		in.Failure.Field, in.Failure.Value = c.field, c.value
	}
}

// checkPaid checks that a PAID invoice has a payment time and method, and that others have no time.
func checkPaid(p *fault.Problems, i *Invoice, method *string) {
	switch {
	case !i.is("PAID") && i.PaidAt != nil:
		p.Add("paid_at", "only a PAID invoice has one")
	case !i.is("PAID"):
	case i.PaidAt == nil && !p.Has("paid_at"):
		p.Add("paid_at", "it is missing, but the invoice is PAID")
	case method == nil:
		p.Add("payment_method", "it is missing, but the invoice is PAID")
	}
}

// cells returns those of the fields that the row has a value for.
func cells(c *importer.Fields, fields []string) []cell {
	var list []cell
	for _, f := range fields {
		if v := c.Text(f); v != "" {
			list = append(list, cell{f, v})
		}
	}
	return list
}

func readText(c *importer.Fields, field string) *string {
	if v := c.Text(field); v != "" {
		return &v
	}
	return nil
}

func readDay(c *importer.Fields, field string) *db.Date {
	v := c.Text(field)
	if v == "" {
		return nil
	}
	d, err := time.Parse(time.DateOnly, v)
	if err != nil {
		c.Add(field, "%.60q is not a date (want YYYY-MM-DD)", v)
		return nil
	}
	return &db.Date{Day: d}
}

func readAmount(c *importer.Fields, field string) *money.Amount {
	v := c.Text(field)
	if v == "" {
		return nil
	}
	a, err := money.Parse(v)
	if err != nil {
		c.Add(field, "%s", err)
		return nil
	}
	return &a
}

func readCount(c *importer.Fields, field string) *int64 {
	v := c.Text(field)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		c.Add(field, "%.60q is not a whole number", v)
		return nil
	}
	return &n
}

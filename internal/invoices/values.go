package invoices

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// column is a column that create and update write. It has the name of the record's field.
type column struct {
	name  string
	kind  string // the type of the argument
	value func(*Invoice) any
}

// written are these columns. The id, timestamps, status, payment and soft-delete flags are not among them.
var written = []column{
	{"tenant_id", "uuid", func(i *Invoice) any { return i.TenantID }},
	{"subscription_id", "uuid", func(i *Invoice) any { return i.SubscriptionID }},
	{"invoice_no", "text", func(i *Invoice) any { return i.InvoiceNo }},
	{"invoice_date", "date", func(i *Invoice) any { return i.InvoiceDate }},
	{"due_date", "date", func(i *Invoice) any { return i.DueDate }},
	{"start_date", "date", func(i *Invoice) any { return i.StartDate }},
	{"close_date", "date", func(i *Invoice) any { return i.CloseDate }},
	{"base_amount", "numeric", func(i *Invoice) any { return i.BaseAmount }},
	{"usage_amount", "numeric", func(i *Invoice) any { return i.UsageAmount }},
	{"discount_amount", "numeric", func(i *Invoice) any { return i.DiscountAmount }},
	{"tax_amount", "numeric", func(i *Invoice) any { return i.TaxAmount }},
	{"total_amount", "numeric", func(i *Invoice) any { return i.TotalAmount }},
	{"currency", "text", func(i *Invoice) any { return i.Currency }},
	{"user_count", "bigint", func(i *Invoice) any { return i.UserCount }},
	{"used_storage", "numeric", func(i *Invoice) any { return i.UsedStorage }},
	{"api_calls", "bigint", func(i *Invoice) any { return i.APICalls }},
	{"payment_method", "text", func(i *Invoice) any { return i.PaymentMethod }},
}

// arg returns the column's value as a query argument. An amount is sent as text, which numeric reads exactly.
func (c column) arg(i *Invoice) any {
	v := c.value(i)
	if a, ok := v.(*money.Amount); ok {
		if a == nil {
			return nil
		}
		return a.String()
	}
	return v
}

// Values are the fields of an invoice to create or change. A nil field was not given.
type Values struct {
	Tenant                                 *string // a tenant's id or code
	Subscription                           *string // an id
	OnlySubscription                       bool    // if Subscription is nil, use the tenant's only live subscription
	InvoiceNo                              *string
	InvoiceDate, DueDate                   *db.Date
	StartDate, CloseDate                   *db.Date
	BaseAmount, UsageAmount                *money.Amount
	DiscountAmount, TaxAmount, TotalAmount *money.Amount
	Currency                               *string // ISO 4217, in any case
	UserCount                              *int64
	UsedStorage                            *money.Amount // gigabytes
	APICalls                               *int64
	PaymentMethod                          *string
}

// onto copies the values to an invoice, except the tenant, which is resolved in the transaction, and the total: see
// total.
func (v Values) onto(i *Invoice) {
	put(&i.InvoiceDate, v.InvoiceDate)
	put(&i.DueDate, v.DueDate)
	put(&i.StartDate, v.StartDate)
	put(&i.CloseDate, v.CloseDate)
	put(&i.BaseAmount, v.BaseAmount)
	put(&i.UsageAmount, v.UsageAmount)
	put(&i.DiscountAmount, v.DiscountAmount)
	put(&i.TaxAmount, v.TaxAmount)
	put(&i.Currency, v.Currency)
	put(&i.UserCount, v.UserCount)
	put(&i.UsedStorage, v.UsedStorage)
	put(&i.APICalls, v.APICalls)
	put(&i.PaymentMethod, v.PaymentMethod)
	if v.InvoiceNo != nil {
		i.InvoiceNo = *v.InvoiceNo
	}
	if v.Subscription != nil {
		if id, err := uuid.Parse(*v.Subscription); err == nil {
			i.SubscriptionID = &id
		}
	}
}

func put[T any](field **T, value *T) {
	if value != nil {
		*field = value
	}
}

// normal normalizes the texts.
func (v Values) normal() Values {
	for _, field := range []**string{&v.Tenant, &v.Subscription, &v.InvoiceNo, &v.Currency, &v.PaymentMethod} {
		if *field != nil {
			s := validate.Normalize(**field)
			*field = &s
		}
	}
	return v
}

// differing returns the columns whose values differ between two invoices. Amounts are compared by value: 10 equals
// 10.0000.
func differing(a, b *Invoice) []column {
	var list []column
	for _, c := range written {
		if !same(c.value(a), c.value(b)) {
			list = append(list, c)
		}
	}
	return list
}

func same(x, y any) bool {
	switch x := x.(type) {
	case *money.Amount:
		y := y.(*money.Amount)
		return x == y || x != nil && y != nil && x.Finite() && y.Finite() && x.Cmp(*y) == 0
	case *db.Date:
		y := y.(*db.Date)
		return x == y || x != nil && y != nil && x.Cmp(*y) == 0
	case *string:
		return equal(x, y.(*string))
	case *int64:
		return equal(x, y.(*int64))
	case *uuid.UUID:
		return equal(x, y.(*uuid.UUID))
	}
	return x == y
}

func equal[T comparable](x, y *T) bool {
	return x == y || x != nil && y != nil && *x == *y
}

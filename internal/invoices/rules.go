package invoices

import (
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/text/currency"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// check collects values that no invoice may have, whatever its other fields, and normalizes currency and method.
func (t *Table) check(v *Values, p *fault.Problems) {
	if v.Tenant != nil && *v.Tenant == "" {
		p.Add("tenant", "it is empty")
	}
	if v.Subscription != nil {
		if _, err := uuid.Parse(*v.Subscription); err != nil {
			p.Add("subscription", "%.60q is not a subscription id", *v.Subscription)
		}
	}
	number.CheckTexts(p, &v.Invoice, false)
	for _, f := range decimals {
		if a, ok := f.Value(&v.Invoice).(money.Amount); ok {
			t.checkAmount(p, f.Name, &a)
		}
	}
	if v.BaseAmount != nil && v.BaseAmount.Cmp(money.Amount{}) == 0 {
		p.Add("base_amount", "it must be more than 0")
	}
	code.CheckTexts(p, &v.Invoice, false)
	checkCount(p, "user_count", v.UserCount, 1)
	checkCount(p, "api_calls", v.APICalls, 0)
	method.CheckTexts(p, &v.Invoice, false)
}

// The fields that check checks, in the order of its messages.
var (
	number   = fields.Named("invoice_no")
	decimals = fields.Where(func(f *schema.FieldOf[Invoice]) bool { return strings.HasPrefix(f.Type, "numeric") })
	code     = fields.Named("currency")
	method   = fields.Named("payment_method")
)

func checkCurrency(p *fault.Problems, field, value string) {
	code := strings.ToUpper(value)
	if unit, err := currency.ParseISO(code); err != nil || unit.String() != code {
		p.Add(field, "%.60q is not an ISO 4217 currency code", value)
	}
}

// checkAmount refuses a negative amount, and one that its column would round or refuse.
func (t *Table) checkAmount(p *fault.Problems, field string, a *money.Amount) {
	c, _ := t.Shape.Column(field)
	precision, scale, bounded := c.Numeric()
	before, after := a.Places()
	switch {
	case a.Cmp(money.Amount{}) < 0:
		p.Add(field, "%s is less than 0", a)
	case bounded && after > scale:
		p.Add(field, "%s has more than %d decimal places", a, scale)
	case bounded && before > precision-scale:
		p.Add(field, "%s is too large; at most %d digits are allowed before the point", a, precision-scale)
	}
}

// maxInteger is the largest value of an integer column.
const maxInteger = 1<<31 - 1

func checkCount(p *fault.Problems, field string, n *int64, least int64) {
	switch {
	case n == nil:
	case *n < least:
		p.Add(field, "%d is too small; the minimum is %d", *n, least)
	case *n > maxInteger:
		p.Add(field, "%d is too large; the maximum is %d", *n, maxInteger)
	}
}

// checkDates refuses dates in the wrong order, if one of the pair is being changed.
func checkDates(p *fault.Problems, i *Invoice, changing []string) {
	for _, pair := range []struct {
		field, first  string
		at, notBefore *db.Date
	}{
		{"due_date", "invoice_date", i.DueDate, i.InvoiceDate},
		{"close_date", "start_date", i.CloseDate, i.StartDate},
	} {
		if !slices.Contains(changing, pair.field) && !slices.Contains(changing, pair.first) {
			continue
		}
		if pair.at != nil && pair.notBefore != nil && pair.at.Cmp(*pair.notBefore) < 0 {
			p.Add(pair.field, "%s is before %s, %s", pair.at, pair.first, pair.notBefore)
		}
	}
}

// total sets the total to base + usage - discount + tax, with NULL as 0. A given total has to be equal to it.
func (t *Table) total(p *fault.Problems, i *Invoice, given *money.Amount) {
	var sum money.Amount
	for _, part := range []struct {
		field string
		value *money.Amount
		op    func(money.Amount, money.Amount) money.Amount
	}{
		{"base_amount", i.BaseAmount, money.Amount.Add},
		{"usage_amount", i.UsageAmount, money.Amount.Add},
		{"discount_amount", i.DiscountAmount, money.Amount.Sub},
		{"tax_amount", i.TaxAmount, money.Amount.Add},
	} {
		switch {
		case p.Has(part.field):
			return // there is already a problem, and the sum is unknown
		case part.value == nil:
		case !part.value.Finite():
			p.Add(part.field, "it is %s in the database; give it a value", part.value)
			return
		default:
			sum = part.op(sum, *part.value)
		}
	}
	i.TotalAmount = &sum
	if given != nil && given.Cmp(sum) != 0 {
		p.Add("total_amount", "%s is not base + usage - discount + tax, which is %s", given, sum)
		return
	}
	t.checkAmount(p, "total_amount", &sum)
}

package invoices

import (
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/text/currency"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// check notes which of the given values no invoice may have, whatever its others are, and brings a currency
// and a method into the spelling that is stored.
func (t *Table) check(v *Values, p *fault.Problems) {
	if v.Tenant != nil && *v.Tenant == "" {
		p.Add("tenant", "it is empty")
	}
	if v.Subscription != nil {
		if _, err := uuid.Parse(*v.Subscription); err != nil {
			p.Add("subscription", "%.60q is no id of a subscription", *v.Subscription)
		}
	}
	if v.InvoiceNo != nil {
		validate.Length(p, "invoice_no", *v.InvoiceNo, 1, 50)
	}
	for _, a := range []struct {
		field string
		value *money.Amount
	}{
		{"base_amount", v.BaseAmount},
		{"usage_amount", v.UsageAmount},
		{"discount_amount", v.DiscountAmount},
		{"tax_amount", v.TaxAmount},
		{"total_amount", v.TotalAmount},
		{"used_storage", v.UsedStorage},
	} {
		t.checkAmount(p, a.field, a.value)
	}
	if v.BaseAmount != nil && v.BaseAmount.Cmp(money.Amount{}) == 0 {
		p.Add("base_amount", "it is 0; the platform requires more than 0")
	}
	if v.Currency != nil {
		code := strings.ToUpper(*v.Currency)
		if unit, err := currency.ParseISO(code); err != nil || unit.String() != code {
			p.Add("currency", "%.60q is no currency code of ISO 4217", *v.Currency)
		}
		v.Currency = &code
	}
	checkCount(p, "user_count", v.UserCount, 1)
	checkCount(p, "api_calls", v.APICalls, 0)
	if v.PaymentMethod != nil {
		method := p.Choices("payment_method", []string{*v.PaymentMethod}, PaymentMethods)[0]
		v.PaymentMethod = &method
	}
}

// checkAmount notes an amount that is less than nothing, or that its column would round or refuse.
func (t *Table) checkAmount(p *fault.Problems, field string, a *money.Amount) {
	if a == nil {
		return
	}
	c, _ := t.shape.Column(field)
	precision, scale, bounded := c.Numeric()
	before, after := a.Places()
	switch {
	case a.Cmp(money.Amount{}) < 0:
		p.Add(field, "%s is less than 0", a)
	case bounded && after > scale:
		p.Add(field, "%s has more than %d decimal places", a, scale)
	case bounded && before > precision-scale:
		p.Add(field, "%s is too much, it has more than %d digits before the point", a, precision-scale)
	}
}

// maxInteger is what an integer column holds.
const maxInteger = 1<<31 - 1

func checkCount(p *fault.Problems, field string, n *int64, least int64) {
	switch {
	case n == nil:
	case *n < least:
		p.Add(field, "%d is refused, it is at least %d", *n, least)
	case *n > maxInteger:
		p.Add(field, "%d is too much, it is at most %d", *n, maxInteger)
	}
}

// checkDates notes dates in the wrong order, where one of the two is among those that change.
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

// total puts the total on an invoice whose parts are given: base + usage − discount + tax, a part that is
// NULL being 0. A total that was given too has to be exactly that.
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
			return // no sum is to be had, and one problem is not to make a second
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

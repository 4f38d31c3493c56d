package seed

import (
	"strconv"
	"time"
)

// Amounts are in ten-thousandths of the currency's unit, the precision of numeric(18,4).
const unit = 10_000

// currency has the prices in one currency.
type currency struct {
	code     string
	base     int64 // monthly price of the STANDARD plan
	perUser  int64
	perCall  int64 // per thousand API calls
	grain    int64 // base, discount and tax are rounded to this: won and yen have no hundredths
	taxRate  int64 // percent
	payments []string
}

// currencies are ordered by the number of tenants that use them.
var currencies = []currency{
	{"KRW", 99_000 * unit, 5_500 * unit, 130 * unit, unit, 10, []string{"BANK_TRANSFER", "CREDIT_CARD"}},
	{"USD", 79 * unit, 45_000, 1_037, unit / 100, 0, []string{"CREDIT_CARD", "PAYPAL", "WIRE_TRANSFER", "CHECK"}},
	{"EUR", 74 * unit, 42_000, 973, unit / 100, 19, []string{"CREDIT_CARD", "PAYPAL", "WIRE_TRANSFER"}},
	{"JPY", 9_900 * unit, 500 * unit, 15 * unit, unit, 10, []string{"BANK_TRANSFER", "CREDIT_CARD"}},
}

// plans have the names of tenant types; factor multiplies the currency's base.
var plans = []struct {
	code, name string
	factor     int64
	users      int
}{
	{"TRIAL", "Trial", 0, 5},
	{"STANDARD", "Standard", 1, 50},
	{"PREMIUM", "Premium", 5, 500},
	{"ENTERPRISE", "Enterprise", 20, 5_000},
}

const planColumns = `id created_at created_by code name description billing_cycle base_amount user_amount currency
	max_users max_storage max_api_calls status`

func (s *dataset) plan(r *row, i int) {
	p, won := plans[i], currencies[0]
	r.id(kindPlan.id(i))
	r.time(today.Add(-history).AddDate(-3, 0, 0))
	r.id(s.adminID)
	r.text(p.code)
	r.text(p.name)
	r.texts("Up to ", strconv.Itoa(p.users), " users")
	r.text("MONTHLY")
	r.money(won.base * p.factor)
	r.money(won.perUser)
	r.text(won.code)
	r.int(p.users)
	r.int(p.users * 10)
	r.int(p.users * 20_000)
	r.text("ACTIVE")
}

const subscriptionColumns = `id created_at created_by tenant_id plan_id start_date close_date billing_cycle max_users
	max_storage max_api_calls base_amount user_amount currency auto_renewal noti_renewal status`

// subscription appends the i-th tenant's subscription.
func (s *dataset) subscription(r *row, i int) {
	t := s.tenants[i]
	p := plans[t.plan]
	r.id(t.subscription)
	r.time(t.start.Add(10 * time.Hour))
	r.id(s.adminID)
	r.id(t.id)
	r.id(kindPlan.id(t.plan))
	r.date(t.start)
	r.date(t.close)
	r.text("MONTHLY")
	r.int(p.users)
	r.int(p.users * 10)
	r.int(p.users * 20_000)
	r.money(t.money.base * p.factor)
	r.money(t.money.perUser)
	r.text(t.money.code)
	r.bool(t.close.IsZero())
	r.bool(true)
	switch t.status {
	case "SUSPENDED":
		r.text("SUSPENDED")
	case "TERMINATED":
		r.text("CANCELED")
	default:
		r.text("ACTIVE")
	}
}

const invoiceColumns = `id created_at created_by updated_at updated_by tenant_id subscription_id invoice_no
	invoice_date due_date start_date close_date base_amount usage_amount discount_amount tax_amount total_amount currency
	user_count used_storage api_calls paid_at payment_method status deleted`

// invoice appends an invoice for the month before its date. Invoices are numbered from the oldest on.
func (s *dataset) invoice(r *row, i int) {
	d := s.dice
	d.turn(kindInvoice, i)
	from, to := slot(i, s.invoices)
	created := d.between(from, to)
	day := created.Truncate(24 * time.Hour)
	due := day.AddDate(0, 0, pick(d, []int{14, 30, 30, 45}))
	month := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
	// the smaller of two draws, so that a few tenants get many
	t := &s.tenants[min(d.IntN(len(s.tenants)), d.IntN(len(s.tenants)))]
	users := 1 + d.IntN(plans[t.plan].users)
	calls := d.IntN(200_000)
	sum := newAmounts(d, t, users, calls)
	status, paid := invoiceStatus(d, created, due)
	deleted := d.percent(3)

	r.id(kindInvoice.id(i))
	r.time(created)
	if d.percent(25) {
		r.id(s.adminID)
	} else {
		r.null() // from the monthly run
	}
	switch {
	case !paid.IsZero() && !deleted:
		r.time(paid)
		r.null()
	case deleted || status == "CANCELED" || status == "OVERDUE":
		r.time(d.between(later(created, paid), today))
		r.id(s.adminID)
	default:
		r.null()
		r.null()
	}
	r.id(t.id)
	r.id(t.subscription)
	r.invoiceNo(day, i+1)
	r.date(day)
	r.date(due)
	r.date(month.AddDate(0, -1, 0))
	r.date(month.AddDate(0, 0, -1))
	r.money(sum.base)
	r.money(sum.usage)
	r.money(sum.discount)
	r.money(sum.tax)
	r.money(sum.base + sum.usage - sum.discount + sum.tax)
	r.text(t.money.code)
	r.int(users)
	if d.percent(10) {
		r.null()
		r.null()
	} else {
		r.money(d.Int64N(int64(users) * 10 * unit))
		r.int(calls)
	}
	r.time(paid)
	if paid.IsZero() {
		r.null()
	} else {
		r.text(pick(d, t.money.payments))
	}
	r.text(status)
	r.bool(deleted)
}

// invoiceNo appends a number like INV-202603-000123.
func (r *row) invoiceNo(day time.Time, n int) {
	r.b = append(r.b, "INV-"...)
	r.b = day.AppendFormat(r.b, "200601-")
	for w := 100_000; w > n; w /= 10 {
		r.b = append(r.b, '0')
	}
	r.int(n)
}

// amounts are the parts of an invoice's total.
type amounts struct{ base, usage, discount, tax int64 }

func newAmounts(d *dice, t *tenant, users, calls int) amounts {
	c := t.money
	cut := func(m int64) int64 { return m - m%c.grain }
	a := amounts{base: c.base*plans[t.plan].factor + c.perUser*int64(users)}
	if d.percent(70) {
		a.usage = c.perCall * int64(calls) / 1000
		if c.grain == unit {
			a.usage = cut(a.usage)
		}
	}
	if d.percent(20) {
		a.discount = cut(a.base / 10)
	}
	a.tax = cut((a.base + a.usage - a.discount) * c.taxRate / 100)
	return a
}

// invoiceStatus draws the status of an invoice today, and when it was paid.
func invoiceStatus(d *dice, created, due time.Time) (status string, paid time.Time) {
	past := due.Before(today)
	switch n := d.IntN(100); {
	case n < 4:
		return "CANCELED", paid
	case n < 6:
		return "PENDING", paid
	case n < 45 || past && n < 90:
		end := due.AddDate(0, 0, 10)
		if end.After(today) {
			end = today
		}
		return "PAID", d.between(created, end)
	case past && n < 99:
		return "OVERDUE", paid
	case !past && n < 60:
		return "PENDING", paid
	}
	return "SENT", paid // some of them are past due but not marked yet
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

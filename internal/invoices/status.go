package invoices

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// next are the moves that an invoice makes without force. Beyond them, CANCELED is reached from anywhere
// but PAID, and OVERDUE from PENDING once the invoice is past due: the calendar says so, whether anybody
// remembered to mark it SENT or not.
var next = map[string][]string{
	"PENDING": {"SENT"},
	"SENT":    {"PAID", "OVERDUE"},
	"OVERDUE": {"PAID"},
}

// moves says whether the invoice may become what to says, today being a day in UTC.
func moves(i *Invoice, to string, today db.Date) bool {
	var from string
	if i.Status != nil {
		from = *i.Status
	}
	return slices.Contains(next[from], to) || to == "CANCELED" && from != "PAID" || to == "OVERDUE" && from == "PENDING" && i.pastDue(today)
}

// pastDue says whether the day on which the invoice was due is over.
func (i *Invoice) pastDue(today db.Date) bool { return i.DueDate != nil && i.DueDate.Cmp(today) < 0 }

// Move is a change of status.
type Move struct {
	To            string
	PaidAt        *db.Time // of a move to PAID; nil means now
	PaymentMethod *string  // of a move to PAID; nil means the one that an invoice has
	Force         bool     // make it whether or not the status machine has it
	Today         db.Date  // in UTC
}

const (
	// A time and a method of an earlier payment stay, unless others are given.
	setPaid = `status = 'PAID',
 paid_at = CASE WHEN i.status = 'PAID' THEN coalesce(@set_paid_at::timestamptz, i.paid_at) ELSE coalesce(@set_paid_at::timestamptz, @now::timestamptz) END,
 payment_method = coalesce(@set_method::text, i.payment_method)`
	// What says how an invoice was paid says nothing of one that is not.
	setUnpaid = `status = @set_status,
 paid_at = CASE WHEN i.status = 'PAID' THEN NULL ELSE i.paid_at END,
 payment_method = CASE WHEN i.status = 'PAID' THEN NULL ELSE i.payment_method END`
)

// Edit returns the edit that makes the move, or why nothing can make it. Invoices that have the status
// already are left alone; one that is PAID may be given the time or method that it lacks.
func (m Move) Edit() (Edit, error) {
	var p fault.Problems
	m.To = p.Choices("set", []string{m.To}, Statuses)[0]
	if m.PaymentMethod != nil {
		method := p.Choices("payment_method", []string{*m.PaymentMethod}, PaymentMethods)[0]
		m.PaymentMethod = &method
	}
	if err := p.Err(); err != nil {
		return Edit{}, err
	}
	if m.To != "PAID" && (m.PaidAt != nil || m.PaymentMethod != nil) {
		return Edit{}, fault.New(fault.Usage, "an invoice that becomes %s has no payment", m.To).
			WithHint("--paid-at and --payment-method go with --set PAID")
	}
	e := Edit{
		Action: audit.Update, Set: setUnpaid, Columns: []string{"status", "paid_at", "payment_method"},
		Args: pgx.NamedArgs{"set_status": m.To}, IsNoop: m.done, Check: m.check,
	}
	if m.To == "PAID" {
		e.Set = setPaid
		e.Args = pgx.NamedArgs{"set_paid_at": m.PaidAt, "set_method": m.PaymentMethod}
	}
	return e, nil
}

func (m Move) done(i Invoice) bool {
	return i.is(m.To) && !m.otherPayment(&i) && (m.PaidAt == nil || i.PaidAt != nil) && (m.PaymentMethod == nil || i.PaymentMethod != nil)
}

// otherPayment says whether the move gives another time or method of payment than a paid invoice has.
func (m Move) otherPayment(i *Invoice) bool {
	return m.PaidAt != nil && i.PaidAt != nil && !i.PaidAt.Equal(*m.PaidAt) ||
		m.PaymentMethod != nil && i.PaymentMethod != nil && *i.PaymentMethod != *m.PaymentMethod
}

// check refuses a move that makes no sense.
func (m Move) check(i Invoice) error {
	refused := func(hint, format string, args ...any) error {
		return fault.New(fault.Validation, "invoice %q %s", i.InvoiceNo, fmt.Sprintf(format, args...)).
			WithHint("%s", hint).With("invoice_no", i.InvoiceNo).With("status", i.Status).With("set", m.To)
	}
	const force = "--force with a --reason makes it so all the same"
	switch {
	case i.is("PAID") && m.To == "PAID":
		if m.otherPayment(&i) && !m.Force {
			return refused(force, "is PAID already, at another time or by another method")
		}
	case i.is(m.To):
	case !moves(&i, m.To, m.Today) && !m.Force:
		status := "without a status"
		if i.Status != nil {
			status = *i.Status
		}
		return refused(force, "is %s, and does not become %s from there", status, m.To)
	case m.To == "PAID" && m.PaymentMethod == nil && i.PaymentMethod == nil:
		return refused("add --payment-method", "has no payment method, and one that is PAID needs it")
	}
	return nil
}

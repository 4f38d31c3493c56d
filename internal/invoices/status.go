package invoices

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// next lists the moves that an invoice makes without force. In addition, CANCELED can be reached from any status but
// PAID, and OVERDUE from PENDING once the invoice is past due, whether or not it was ever marked SENT.
var next = map[string][]string{
	"PENDING": {"SENT"},
	"SENT":    {"PAID", "OVERDUE"},
	"OVERDUE": {"PAID"},
}

// moves reports whether the invoice can change to the status. today is a day in UTC.
func moves(i *Invoice, to string, today db.Date) bool {
	var from string
	if i.Status != nil {
		from = *i.Status
	}
	return slices.Contains(next[from], to) || to == "CANCELED" && from != "PAID" || to == "OVERDUE" && from == "PENDING" && i.pastDue(today)
}

// pastDue reports whether the due date has passed.
func (i *Invoice) pastDue(today db.Date) bool { return i.DueDate != nil && i.DueDate.Cmp(today) < 0 }

// Move is a change of status.
type Move struct {
	To            string
	PaidAt        *db.Time // of a move to PAID; nil means now
	PaymentMethod *string  // of a move to PAID; nil keeps the invoice's
	Force         bool     // skip the check of allowed moves
	Today         db.Date  // in UTC
}

const (
	// An earlier time and method of payment stay, unless others are given.
	setPaid = `status = 'PAID',
 paid_at = CASE WHEN i.status = 'PAID' THEN coalesce(@set_paid_at::timestamptz, i.paid_at) ELSE coalesce(@set_paid_at::timestamptz, @now::timestamptz) END,
 payment_method = coalesce(@set_method::text, i.payment_method)`
	// An unpaid invoice has no time or method of payment.
	setUnpaid = `status = @set_status,
 paid_at = CASE WHEN i.status = 'PAID' THEN NULL ELSE i.paid_at END,
 payment_method = CASE WHEN i.status = 'PAID' THEN NULL ELSE i.payment_method END`
)

// Edit returns the edit that makes the move, or an error if the move itself is invalid. Invoices that have the status
// already are left alone, except that a PAID one can be given a missing time or method.
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
			WithHint("--paid-at and --payment-method require --set PAID")
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

// otherPayment reports whether the move gives a different time or method of payment than a paid invoice has.
func (m Move) otherPayment(i *Invoice) bool {
	return m.PaidAt != nil && i.PaidAt != nil && !i.PaidAt.Equal(*m.PaidAt) ||
		m.PaymentMethod != nil && i.PaymentMethod != nil && *i.PaymentMethod != *m.PaymentMethod
}

// check refuses a move that the invoice's status does not allow.
func (m Move) check(i Invoice) error {
	refused := func(hint, format string, args ...any) error {
		return fault.New(fault.Validation, "invoice %q %s", i.InvoiceNo, fmt.Sprintf(format, args...)).
			WithHint("%s", hint).With("invoice_no", i.InvoiceNo).With("status", i.Status).With("set", m.To)
	}
	const force = "to change it anyway, add --force and --reason"
	switch {
	case i.is("PAID") && m.To == "PAID":
		if m.otherPayment(&i) && !m.Force {
			return refused(force, "is already PAID, at a different time or by a different method")
		}
	case i.is(m.To):
	case !moves(&i, m.To, m.Today) && !m.Force:
		status := "without a status"
		if i.Status != nil {
			status = *i.Status
		}
		return refused(force, "is %s and cannot become %s", status, m.To)
	case m.To == "PAID" && m.PaymentMethod == nil && i.PaymentMethod == nil:
		return refused("add --payment-method", "has no payment method, which a PAID invoice needs")
	}
	return nil
}

package invoices

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// Edit is a change of existing invoices, made by one of the functions of this package and applied by Apply.
type Edit = rowupdate.Update[Invoice]

// Patch is a partial change of one invoice.
type Patch struct {
	Values
	Unset       []string // optional fields that become NULL, or 0 where the backend wants a number
	IfUpdatedAt *db.Time // the updated_at that the caller saw
	Force       bool     // change the amounts of a paid invoice too

	// Refused is what the caller could not read into a field, to be reported with what is refused here.
	Refused fault.Problems
}

// Unsettable are the fields that may lose their value.
var Unsettable = []string{"used_storage", "api_calls", "payment_method"}

// amounts are the columns that say what is to be paid.
var amounts = []string{"base_amount", "usage_amount", "discount_amount", "tax_amount", "total_amount", "currency"}

// Change returns the edit that a patch makes of an invoice as it was seen, or what is wrong with it. An empty
// patch is a USAGE_ERROR. What the patch leaves alone is not judged: a row that broke the rules before
// can be mended field by field. Once a part of the total is given, though, the total follows.
func (t *Table) Change(ctx context.Context, r db.Reader, seen Invoice, patch Patch) (Edit, error) {
	p := patch.Refused
	patch.Values = patch.normal()
	patch.Unset = slices.Clone(patch.Unset)
	for k, name := range patch.Unset {
		patch.Unset[k] = strings.TrimSpace(name)
	}
	t.check(&patch.Values, &p)
	after := seen
	patch.onto(&after)
	patch.unset(&after, &p)
	given := patch.given()
	checkDates(&p, &after, given)
	if slices.ContainsFunc(given, func(name string) bool { return strings.HasSuffix(name, "_amount") }) {
		t.total(&p, &after, patch.TotalAmount)
	}
	if err := p.Err(); err != nil {
		return Edit{}, err
	}
	if len(given) == 0 {
		return Edit{}, rowupdate.ErrNothingToChange("invoices update")
	}
	if err := fitsPaid(&seen, &after, patch.Force); err != nil {
		return Edit{}, err
	}
	if patch.Tenant != nil {
		tenant, err := tenants.Find(ctx, r, t.cat, *patch.Tenant, false)
		if err != nil {
			return Edit{}, err
		}
		after.TenantID = &tenant.ID
	}
	changed := differing(&seen, &after)
	e := Edit{Action: audit.Update, Args: pgx.NamedArgs{}}
	var set []string
	for _, c := range changed {
		e.Columns = append(e.Columns, c.name)
		e.Args["set_"+c.name] = c.arg(&after)
		set = append(set, c.name+" = @set_"+c.name+"::"+c.kind)
	}
	if slices.Contains(e.Columns, "tenant_id") || slices.Contains(e.Columns, "subscription_id") {
		e.Precheck = t.belongs(after)
	}
	e.Set = strings.Join(set, ", ")
	e.IsNoop = func(i Invoice) bool {
		return !slices.ContainsFunc(differing(&i, &after), func(c column) bool { return slices.Contains(e.Columns, c.name) })
	}
	if patch.IfUpdatedAt != nil {
		e.Check = rowupdate.IfUpdatedAt(&Kind, *patch.IfUpdatedAt, func(i Invoice) (updated, created *db.Time) { return i.UpdatedAt, i.CreatedAt })
	}
	return e, nil
}

// Empty says whether the patch names nothing to change.
func (p Patch) Empty() bool { return len(p.given()) == 0 && p.Refused.Err() == nil }

// given names the fields that the patch speaks of.
func (p Patch) given() []string {
	var full Invoice
	p.onto(&full)
	list := slices.Clone(p.Unset)
	for _, c := range differing(&Invoice{}, &full) {
		list = append(list, c.name)
	}
	if p.TotalAmount != nil {
		list = append(list, "total_amount")
	}
	if p.Tenant != nil {
		list = append(list, "tenant_id")
	}
	return list
}

// unset takes the values of optional fields away.
func (p Patch) unset(i *Invoice, problems *fault.Problems) {
	set := map[string]bool{"used_storage": p.UsedStorage != nil, "api_calls": p.APICalls != nil, "payment_method": p.PaymentMethod != nil}
	rowupdate.ApplyUnset(problems, p.Unset, Unsettable, func(name string) bool { return set[name] }, func(name string) {
		switch {
		case name == "used_storage":
			i.UsedStorage = &money.Amount{}
		case name == "api_calls":
			i.APICalls = new(int64)
		case i.is("PAID") && i.PaymentMethod != nil:
			problems.Add("unset", "the invoice is PAID, so it keeps its payment_method")
		default:
			i.PaymentMethod = nil
		}
	})
}

// is says whether the invoice has the status.
func (i *Invoice) is(status string) bool { return i.Status != nil && *i.Status == status }

// fitsPaid refuses to change what a paid invoice amounts to, unless by force. Another spelling of the same
// currency changes nothing.
func fitsPaid(seen, after *Invoice, force bool) error {
	if !seen.is("PAID") || force {
		return nil
	}
	for _, c := range differing(seen, after) {
		if !slices.Contains(amounts, c.name) {
			continue
		}
		if c.name == "currency" && seen.Currency != nil && strings.EqualFold(*seen.Currency, *after.Currency) {
			continue
		}
		return fault.New(fault.Validation, "invoice %q is PAID, and its %s does not change any more", seen.InvoiceNo, c.name).
			WithHint("--force with a --reason changes it all the same").With("field", c.name).With("status", "PAID")
	}
	return nil
}

// belongs is what looks, in the transaction of an edit, whether the subscription that an invoice is to have
// is one of the tenant that it is to have, and keeps both as they are.
func (t *Table) belongs(after Invoice) rowupdate.Precheck[Invoice] {
	return func(ctx context.Context, tx db.Reader, _ []Invoice) error {
		if after.TenantID == nil || after.SubscriptionID == nil {
			return nil
		}
		tenant, err := tenants.Lock(ctx, tx, t.cat, after.TenantID.String())
		if err != nil {
			return err
		}
		return t.holdSubscription(ctx, tx, *after.SubscriptionID, tenant.ID)
	}
}

// SetDeleted returns the edit that marks invoices as deleted, or brings them back. A table without a
// column for that gives a DATABASE_ERROR: no row is ever deleted physically.
func (t *Table) SetDeleted(deleted bool) (Edit, error) {
	return rowupdate.SetDeleted(t.shape, deleted, func(i Invoice) bool { return i.Deleted })
}

// Apply makes the edit on the invoices as the caller saw them, in one transaction, and returns them as they
// are afterwards, in the same order: see edit.Table.
func (t *Table) Apply(ctx context.Context, l *audit.Ledger, seen []Invoice, e Edit) ([]Invoice, error) {
	return t.rows().Apply(ctx, l, seen, e)
}

// Reverse puts invoices back: see audit.Undo.
func (t *Table) Reverse(ctx context.Context, tx *audit.Tx, rows []audit.Reversal, force bool) ([]audit.Change, []audit.Drift, error) {
	return t.rows().Reverse(ctx, tx, rows, force)
}

// rows is the table as the edits of rows know it.
func (t *Table) rows() rowupdate.Table[Invoice] {
	return rowupdate.Table[Invoice]{
		Noun: &Kind, Shape: t.shape, Alias: "i", Columns: t.sql("{columns}"), Join: t.sql("{tenant}"),
		Tenant: func(i Invoice) *uuid.UUID { return i.TenantID },
		TranslateError: func(ctx context.Context, r db.Reader, err error, e Edit) error {
			number, _ := e.Args["set_invoice_no"].(string)
			return t.taken(ctx, r, err, number)
		},
	}
}

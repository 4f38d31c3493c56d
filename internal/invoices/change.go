package invoices

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// Edit is a change of existing invoices. Functions of this package build one and Apply makes it.
type Edit = rowupdate.Update[Invoice]

// Patch is a partial change of one invoice.
type Patch struct {
	Values
	Unset       []string // optional fields that become NULL, or 0 if the backend requires a number
	IfUpdatedAt *db.Time // the updated_at that the caller last saw
	Force       bool     // change the amounts of a paid invoice too

	// Refused holds the problems that the caller found while parsing, so that all are reported together.
	Refused fault.Problems
}

// amounts are the columns that make up what has to be paid.
var amounts = []string{"base_amount", "usage_amount", "discount_amount", "tax_amount", "total_amount", "currency"}

// Change returns the edit that a patch makes of an invoice as the caller saw it, or the patch's problems. An empty
// patch is a USAGE_ERROR. Fields that the patch does not set are not checked, so an invalid row can be fixed field by
// field. If the patch sets a part of the total, the total is recomputed.
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
	e := rowupdate.SetFields(fields.Differing(&seen, &after), &after, nil)
	if slices.ContainsFunc(e.Columns, func(c string) bool { return c == "tenant_id" || c == "subscription_id" }) {
		e.Precheck = t.belongs(after)
	}
	if slices.Contains(e.Columns, "invoice_no") {
		e.Precheck = t.numbered(after, e.Precheck)
	}
	if patch.IfUpdatedAt != nil {
		e.Check = rowupdate.IfUpdatedAt(&Kind, *patch.IfUpdatedAt, func(i Invoice) (updated, created *db.Time) { return i.UpdatedAt, i.CreatedAt })
	}
	return e, nil
}

// Empty reports whether the patch changes nothing.
func (p Patch) Empty() bool { return len(p.given()) == 0 && p.Refused.Err() == nil }

// given returns the names of the fields that the patch sets or unsets.
func (p Patch) given() []string {
	var full Invoice
	p.onto(&full)
	list := append(slices.Clone(p.Unset), fields.Given(&full).Names()...)
	if p.TotalAmount != nil {
		list = append(list, "total_amount")
	}
	if p.Tenant != nil {
		list = append(list, "tenant_id")
	}
	return list
}

// unset removes the values of optional fields.
func (p Patch) unset(i *Invoice, problems *fault.Problems) {
	set := fields.Given(&p.Invoice).Names()
	rowupdate.ApplyUnset(problems, p.Unset, Unsettable, func(name string) bool { return slices.Contains(set, name) }, func(name string) {
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

func (i *Invoice) is(status string) bool { return i.Status != nil && *i.Status == status }

// fitsPaid refuses to change the amounts of a paid invoice, unless forced. Another spelling of the same currency is
// not a change.
func fitsPaid(seen, after *Invoice, force bool) error {
	if !seen.is("PAID") || force {
		return nil
	}
	for _, c := range fields.Differing(seen, after) {
		if !slices.Contains(amounts, c.Name) {
			continue
		}
		if c.Name == "currency" && seen.Currency != nil && strings.EqualFold(*seen.Currency, *after.Currency) {
			continue
		}
		return fault.New(fault.Validation, "invoice %q is PAID; its %s can no longer change", seen.InvoiceNo, c.Name).
			WithHint("to change it anyway, add --force and --reason").With("field", c.Name).With("status", "PAID")
	}
	return nil
}

// numbered returns the check that no invoice of any tenant has the new number, in addition to another check.
func (t *Table) numbered(after Invoice, check rowupdate.Precheck[Invoice]) rowupdate.Precheck[Invoice] {
	return func(ctx context.Context, tx *audit.Tx, rows []Invoice) error {
		look := func(violation error) error { return t.taken(ctx, tx, violation, after.InvoiceNo) }
		if err := tx.LookUp(ctx, t.Shape.Name, look); err != nil || check == nil {
			return err
		}
		return check(ctx, tx, rows)
	}
}

// belongs returns the check that the subscription of an invoice belongs to its tenant. It runs in the transaction of
// the edit and locks both.
func (t *Table) belongs(after Invoice) rowupdate.Precheck[Invoice] {
	return func(ctx context.Context, tx *audit.Tx, _ []Invoice) error {
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

// SetDeleted returns the edit that marks invoices as deleted or restores them. A table without a soft-delete column
// is a DATABASE_ERROR, because rows are never deleted physically.
func (t *Table) SetDeleted(deleted bool) (Edit, error) {
	return rowupdate.SetDeleted(t.Shape, deleted, func(i Invoice) bool { return i.Deleted })
}

// rows describes the table to rowupdate.
func (t *Table) rows() rowupdate.Table[Invoice] {
	return rowupdate.Table[Invoice]{
		Noun: &Kind, Shape: t.Shape, Alias: "i", Columns: t.sql("{columns}"), Join: t.sql("{tenant}"),
		ByRef: t.sql(findByRef), ByPrefix: t.sql(completeNumbers), Search: "cxgctl invoices list --search",
		Tenant: func(i Invoice) *uuid.UUID { return i.TenantID },
		TranslateError: func(ctx context.Context, r db.Reader, err error, e Edit) error {
			number, _ := e.Args["set_invoice_no"].(string)
			return t.taken(ctx, r, err, number)
		},
	}
}

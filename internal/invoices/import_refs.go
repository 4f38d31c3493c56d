package invoices

import (
	"context"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// Resolve looks up and locks the tenants and subscriptions of the rows. It fails rows with an unknown one, or with a
// subscription of another tenant.
func (im *importSpec) Resolve(ctx context.Context, tx *audit.Tx, rows []*incoming) error {
	if len(rows) == 0 {
		return nil
	}
	var names []string
	var ids []uuid.UUID
	seen := map[string]bool{}
	seenID := map[uuid.UUID]bool{}
	for _, in := range rows {
		if !in.New.is("PENDING") && im.need != nil {
			if err := im.need("INVOICE_UPDATE"); err != nil {
				return err
			}
		}
		for _, c := range in.tenant {
			if !seen[c.value] {
				seen[c.value], names = true, append(names, c.value)
			}
		}
		if id := *in.New.SubscriptionID; !seenID[id] {
			seenID[id], ids = true, append(ids, id)
		}
	}
	found, err := tenants.HoldEach(ctx, tx, im.t.cat, names)
	if err != nil {
		return err
	}
	held := make(map[string]resource.Match[tenants.Ref], len(found))
	for _, f := range found {
		held[f.Ref] = f
	}
	subscriptions, err := im.t.holdSubscriptions(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, in := range rows {
		if !in.belongTo(held) {
			continue
		}
		id := *in.New.SubscriptionID
		if err := subscriptions[id].of(id, *in.New.TenantID); err != nil {
			in.Fail(in.subscription.field, in.subscription.value, err, nil)
		}
	}
	return nil
}

// belongTo sets the tenant of a row from all columns that name one; it returns false if the row fails.
func (in *incoming) belongTo(held map[string]resource.Match[tenants.Ref]) bool {
	for k, c := range in.tenant {
		f := held[c.value]
		if f.Err != nil {
			in.Fail(c.field, c.value, f.Err, nil)
			return false
		}
		if k > 0 && f.Row.ID != *in.New.TenantID {
			in.Fail(c.field, c.value, fault.New(fault.Validation, "%s %q and %s %q are different tenants", c.field, c.value, in.tenant[0].field, in.tenant[0].value), nil)
			return false
		}
		in.New.TenantID, in.New.TenantCode = &f.Row.ID, f.Row.Code
	}
	return true
}

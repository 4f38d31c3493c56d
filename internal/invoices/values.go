package invoices

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/validate"
)

// Values are the fields of an invoice to create or change. A nil field of the record was not given.
type Values struct {
	Invoice
	Tenant           *string // a tenant's id or code
	Subscription     *string // an id
	OnlySubscription bool    // if Subscription is nil, use the tenant's only live subscription
}

// onto copies the values to an invoice, except the tenant, which is resolved in the transaction, and the total: see
// total.
func (v Values) onto(i *Invoice) {
	for _, f := range fields.Given(&v.Invoice) {
		if f.Name != "total_amount" {
			f.Copy(i, &v.Invoice)
		}
	}
	if v.Subscription != nil {
		if id, err := uuid.Parse(*v.Subscription); err == nil {
			i.SubscriptionID = &id
		}
	}
}

// normal normalizes the texts that are not fields of the record.
func (v Values) normal() Values {
	for _, field := range []**string{&v.Tenant, &v.Subscription} {
		if *field != nil {
			s := validate.Normalize(**field)
			*field = &s
		}
	}
	return v
}

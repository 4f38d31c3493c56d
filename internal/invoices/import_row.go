package invoices

import (
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The columns by which a row can name its tenant and its subscription.
var (
	tenantFields       = []string{"tenant", "tenant_id", "tenant_code"}
	subscriptionFields = []string{"subscription", "subscription_id"}
)

// incoming is one row of the file and its outcome.
type incoming struct {
	importer.Record[Invoice]
	tenant       []cell // all columns that name the tenant
	subscription cell
}

type cell struct{ field, value string }

// Reading returns the options for reading the file, with the fields of invoices.
func (o ImportOptions) Reading() rowreader.Options {
	r := o.Read
	r.Fields = ImportFields
	r.Required = fields.Required()
	return r
}

// checkHeader refuses a file without a column for the tenant or the subscription.
func checkHeader(s *importer.Input) error {
	if s.Objects {
		return nil // each row names its own fields
	}
	for _, names := range [][]string{tenantFields, subscriptionFields} {
		has := false
		for _, n := range names {
			has = has || s.Has(n)
		}
		if !has {
			return fault.New(fault.Validation, "header: %q is missing", names[0]).
				WithHint("a column %s also works", names[1]).With("valid", ImportFields)
		}
	}
	return nil
}

// Parse turns a row into an invoice, or collects everything that is wrong with it.
func (im *importSpec) Parse(row importer.Row, c *importer.Fields) *incoming {
	in := &incoming{Record: importer.Record[Invoice]{Row: row}}
	if in.Failure != nil {
		return in
	}
	var v Values
	if in.tenant = cells(c, tenantFields); len(in.tenant) > 0 {
		v.Tenant = &in.tenant[0].value
	}
	for k, s := range cells(c, subscriptionFields) {
		if k > 0 && s.value != in.subscription.value {
			c.Add(s.field, "%s differs from %s", s.value, in.subscription.field)
		}
		in.subscription = s
		v.Subscription = &s.value
	}
	for _, f := range imported {
		importer.Read(c, f, &v.Invoice)
	}
	v.Deleted = c.Bool("deleted", false)
	checkPaid(&c.Problems, &v.Invoice)
	if v.Deleted && im.t.live == "true" {
		c.Add("deleted", "table %s has no column for it", im.t.Shape.Name)
	}
	_, drafted, err := im.t.draft(v, c.Problems)
	if err != nil {
		c.Refuse(&in.Row, err)
		in.called("subscription", in.subscription)
		return in
	}
	in.New = v.Invoice
	for _, f := range changed {
		f.Copy(&in.New, &drafted)
	}
	c.Fill("total_amount", "the computed total")
	c.Fill("currency", *in.New.Currency)
	if v := c.Text("currency"); v != "" && v != *in.New.Currency {
		c.Alter("currency", "in upper case")
	}
	c.FillBirth()
	in.Altered, in.Filled = c.Altered, c.Filled
	return in
}

// imported are the fields that a row has under their own name, and changed those that a draft sets.
var (
	imported = fields.Stored().Where(func(f *schema.FieldOf[Invoice]) bool {
		return f.Name != "tenant_id" && f.Name != "subscription_id"
	})
	changed = fields.Where(func(f *schema.FieldOf[Invoice]) bool { return f.Change })
)

// called renames the field of a failure to the column that the file has for it.
func (in *incoming) called(field string, c cell) {
	if in.Failure.Field == field && c.field != "" {
		in.Failure.Field, in.Failure.Value = c.field, c.value
	}
}

// checkPaid checks that a PAID invoice has a payment time and method, and that others have no time.
func checkPaid(p *fault.Problems, i *Invoice) {
	switch {
	case !i.is("PAID") && i.PaidAt != nil:
		p.Add("paid_at", "only a PAID invoice has one")
	case !i.is("PAID"):
	case i.PaidAt == nil && !p.Has("paid_at"):
		p.Add("paid_at", "it is missing, but the invoice is PAID")
	case i.PaymentMethod == nil:
		p.Add("payment_method", "it is missing, but the invoice is PAID")
	}
}

// cells returns those of the fields that the row has a value for.
func cells(c *importer.Fields, fields []string) []cell {
	var list []cell
	for _, f := range fields {
		if v := c.Text(f); v != "" {
			list = append(list, cell{f, v})
		}
	}
	return list
}

package invoices

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// DefaultCurrency is the currency of a new invoice that does not name one.
const DefaultCurrency = "KRW"

// draft builds a new invoice and checks it as far as possible without reading other tables. p holds the problems that
// the caller found already, so that all are reported together.
func (t *Table) draft(v Values, p fault.Problems) (Values, Invoice, error) {
	var i Invoice
	v = v.normal()
	t.check(&v, &p)
	missing := func(field string, given bool) {
		if !given && !p.Has(field) {
			p.Add(field, "it is missing")
		}
	}
	missing("tenant", v.Tenant != nil)
	missing("subscription", v.Subscription != nil || v.OnlySubscription)
	for _, f := range fields {
		missing(f.Name, !f.Required || f.IsSet(&v.Invoice))
	}
	v.onto(&i)
	given := fields.Given(&i).Names()
	checkDates(&p, &i, given)
	// The backend's API fails on NULL in these columns, and tables created by its model refuse it.
	for _, part := range []**money.Amount{&i.UsageAmount, &i.DiscountAmount, &i.TaxAmount, &i.UsedStorage} {
		if *part == nil {
			*part = &money.Amount{}
		}
	}
	if i.APICalls == nil {
		i.APICalls = new(int64)
	}
	t.total(&p, &i, v.TotalAmount)
	if i.Currency == nil {
		c := DefaultCurrency
		i.Currency = &c
	}
	if err := p.Err(); err != nil {
		return v, i, err
	}
	return v, i, t.Shape.RequireColumns(given)
}

// Check reports what is wrong with the values of a new invoice, as far as possible without reading other tables. p
// holds the problems that the caller found already.
func (t *Table) Check(v Values, p fault.Problems) error {
	_, _, err := t.draft(v, p)
	return err
}

// Create inserts a PENDING invoice for a live tenant and a live subscription of that tenant. If the number is taken,
// it returns RESOURCE_ALREADY_EXISTS and names the holder. The unique index decides that, not a query beforehand.
func (t *Table) Create(ctx context.Context, l *audit.Ledger, v Values) (Invoice, error) {
	v, i, err := t.draft(v, fault.Problems{})
	if err != nil {
		return Invoice{}, err
	}
	var made Invoice
	about := audit.Subject{Resource: Kind.Name, Name: i.InvoiceNo}
	err = l.Write(ctx, audit.Intent{Subject: about, Action: audit.Create}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		tenant, err := tenants.Lock(ctx, tx, t.cat, *v.Tenant)
		if err != nil {
			return nil, err
		}
		if i.SubscriptionID == nil {
			if i.SubscriptionID, err = t.onlySubscription(ctx, tx, tenant); err != nil {
				return nil, err
			}
		}
		if err := t.holdSubscription(ctx, tx, *i.SubscriptionID, tenant.ID); err != nil {
			return nil, err
		}
		i.TenantID = &tenant.ID
		i.ID = tx.NewID()
		look := func(violation error) error { return t.taken(ctx, tx, violation, i.InvoiceNo) }
		if err := tx.LookUp(ctx, t.Shape.Name, look); err != nil {
			return nil, err
		}
		values, args := newValues(&i)
		args["now"], args["by"] = tx.Now, tx.By.ID
		if err := tx.Insert(ctx, t.Shape, fmt.Sprintf("invoice %q", i.InvoiceNo), values, args); err != nil {
			return nil, t.taken(ctx, l.Reader(), err, i.InvoiceNo)
		}
		rows, err := db.Collect[Invoice](ctx, tx, t.sql("SELECT {columns} FROM {table} i {tenant} WHERE i.id = @id"), args)
		if err != nil {
			return nil, err
		}
		made = rows[0]
		change := audit.Change{Subject: about, Action: audit.Create, After: made}
		change.ID, change.TenantID = made.ID, made.TenantID
		return []audit.Change{change}, nil
	})
	return made, err
}

// newValues returns the columns of a new invoice, with all arguments except @now and @by.
func newValues(i *Invoice) ([][2]string, pgx.NamedArgs) {
	args := pgx.NamedArgs{"id": i.ID}
	values := [][2]string{{"id", "@id"}, {"status", "'PENDING'"}, {"created_at", "@now"}, {"created_by", "@by"}}
	for _, f := range fields.Given(i) {
		values = append(values, [2]string{f.Name, "@" + f.Name + "::" + f.Cast()})
		args[f.Name] = f.Arg(i)
	}
	return append(values, schema.LiveValues()...), args
}

const findSubscriptions = `
SELECT s.id, s.tenant_id, ({live}) AS live FROM {table} s WHERE s.id = ANY ($1::uuid[]) ORDER BY s.id FOR SHARE`

// billed is the subscription that an invoice bills.
type billed struct {
	ID       uuid.UUID  `db:"id"`
	TenantID *uuid.UUID `db:"tenant_id"`
	Live     bool       `db:"live"`
}

// holdSubscriptions returns the existing ones of the subscriptions and locks them until the end of the transaction.
func (t *Table) holdSubscriptions(ctx context.Context, tx db.Reader, ids []uuid.UUID) (map[uuid.UUID]*billed, error) {
	shape, err := t.cat.Table(schema.Subscriptions)
	if err != nil {
		return nil, err
	}
	sql := strings.NewReplacer("{table}", shape.Name, "{live}", shape.NotDeleted("s")).Replace(findSubscriptions)
	found, err := db.Collect[billed](ctx, tx, sql, ids)
	if err != nil {
		return nil, err
	}
	held := make(map[uuid.UUID]*billed, len(found))
	for k := range found {
		held[found[k].ID] = &found[k]
	}
	return held, nil
}

// of refuses a subscription that does not exist (nil), is deleted or belongs to another tenant.
func (s *billed) of(id, tenant uuid.UUID) error {
	switch {
	case s == nil || !s.Live:
		f := fault.New(fault.NotFound, "subscription %q not found", id).With("subscription", id.String())
		if s != nil {
			f.WithHint("it is deleted")
		}
		return f
	case s.TenantID == nil || *s.TenantID != tenant:
		var p fault.Problems
		p.Add("subscription", "%s belongs to another tenant", id)
		return p.Err()
	}
	return nil
}

// holdSubscription locks a subscription until the end of the transaction. It refuses one that does not exist, is
// deleted or belongs to another tenant.
func (t *Table) holdSubscription(ctx context.Context, tx db.Reader, id, tenant uuid.UUID) error {
	held, err := t.holdSubscriptions(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return err
	}
	return held[id].of(id, tenant)
}

const findLiveSubscriptions = `
SELECT s.id FROM {table} s WHERE s.tenant_id = $1 AND s.status = 'ACTIVE' AND {live} ORDER BY s.id LIMIT 2`

// onlySubscription returns the only live, ACTIVE subscription of a tenant; none or several is a VALIDATION_ERROR.
func (t *Table) onlySubscription(ctx context.Context, tx db.Reader, tenant tenants.Ref) (*uuid.UUID, error) {
	shape, err := t.cat.Table(schema.Subscriptions)
	if err != nil {
		return nil, err
	}
	sql := strings.NewReplacer("{table}", shape.Name, "{live}", shape.NotDeleted("s")).Replace(findLiveSubscriptions)
	ids, err := db.CollectAs(ctx, tx, pgx.RowTo[uuid.UUID], sql, tenant.ID)
	if err != nil {
		return nil, err
	}
	if len(ids) != 1 {
		var p fault.Problems
		has := "no live subscription"
		if len(ids) > 1 {
			has = "several live subscriptions"
		}
		p.Add("subscription", "tenant %q has %s; choose one", tenant.Name(), has)
		return nil, fault.From(p.Err()).WithHint("see: cxgctl tenants subscriptions list %s", fault.Word(tenant.Name()))
	}
	return &ids[0], nil
}

const findHolder = `SELECT {columns} FROM {table} i {tenant} WHERE i.invoice_no = @number ORDER BY i.id`

// taken turns a unique violation into an error that names the invoice with the same number.
func (t *Table) taken(ctx context.Context, r db.Reader, cause error, number string) error {
	holders := db.Query{SQL: t.sql(findHolder), Args: pgx.NamedArgs{"number": number}}
	return t.Taken(ctx, r, cause, holders, fields.Named("invoice_no"), &Invoice{InvoiceNo: number})
}

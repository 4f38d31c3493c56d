package invoices

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// Summary is the sum of the invoices of one group and one currency. Amounts of different currencies are never added.
// Total is paid + unpaid + canceled; the unpaid amount is also broken down by age.
type Summary struct {
	Group         *string       `json:"group" db:"label" table:"key"` // nil if the invoices have no value, such as no method
	TenantID      *uuid.UUID    `json:"tenant_id" db:"tenant_id"`     // when grouped by tenant, because codes are not unique
	TenantName    *string       `json:"tenant_name" db:"tenant_name"`
	Currency      *string       `json:"currency" db:"currency" table:"currency" heading:"CUR"` // in upper case, however it is stored
	Count         int64         `json:"count" db:"count" table:"count"`
	PaidCount     int64         `json:"paid_count" db:"paid_count" table:"count"`
	UnpaidCount   int64         `json:"unpaid_count" db:"unpaid_count" table:"count"`
	CanceledCount int64         `json:"canceled_count" db:"canceled_count" table:"count"`
	Total         money.Amount  `json:"total" db:"total" table:"sum"`
	Paid          money.Amount  `json:"paid" db:"paid" table:"sum"`
	Unpaid        money.Amount  `json:"unpaid" db:"unpaid" table:"sum"` // neither PAID nor CANCELED
	Canceled      money.Amount  `json:"canceled" db:"canceled" table:"sum"`
	PaidRate      *money.Amount `json:"paid_rate" db:"paid_rate" table:"percent" heading:"PAID %"` // paid / (paid + unpaid), four places; nil if the sum is 0
	Ageing
	Subgroup *string `json:"subgroup" db:"sublabel" table:"key"` // the second of two groupings, else nil
}

// Ageing breaks the unpaid amount down by days overdue.
type Ageing struct {
	Current    money.Amount `json:"current" db:"current" table:"sum"` // not due yet, or without a due date
	Days1To30  money.Amount `json:"days_1_30" db:"days_1_30" table:"sum" heading:"1-30"`
	Days31To60 money.Amount `json:"days_31_60" db:"days_31_60" table:"sum" heading:"31-60"`
	Days61To90 money.Amount `json:"days_61_90" db:"days_61_90" table:"sum" heading:"61-90"`
	DaysOver90 money.Amount `json:"days_over_90" db:"days_over_90" table:"sum" heading:"OVER 90"`
}

// grouping is a way to group invoices: the expression of the key, and the expression of the label for a key.
type grouping struct{ key, label string }

var groupings = map[string]grouping{
	"month":    {"date_trunc('month', i.invoice_date::timestamp)", "CASE WHEN isfinite(p.key) THEN to_char(p.key, 'YYYY-MM') || CASE WHEN p.key < '0001-01-01' THEN ' BC' ELSE '' END ELSE p.key::text END"},
	"status":   {"i.status", "p.key"},
	"currency": {"NULL::text", "upper(rtrim(p.currency))"},
	"tenant":   {"i.tenant_id", "coalesce({code}, p.key::text)"},
	"method":   {"i.payment_method", "p.key"},
}

// Groupings are the ways to group a summary.
var Groupings = []string{"month", "status", "currency", "tenant", "method"}

// summed are the columns that the sums read.
var summed = []schema.Field{
	{Name: "tenant_id", Type: "uuid"},
	{Name: "invoice_date", Type: "date"},
	{Name: "due_date", Type: "date"},
	{Name: "total_amount", Type: "numeric"},
	{Name: "currency", Type: "bpchar"},
	{Name: "status", Type: "text"},
	{Name: "payment_method", Type: "text"},
}

const (
	// Each row goes into one pot and is added once. The few pots then become columns, and different spellings of a
	// currency are merged. Infinite dates can be compared, but days cannot be counted from them.
	pots = `
WITH pots AS (
    SELECT {key} AS key, {subkey} AS subkey, i.currency,
           CASE WHEN i.status = 'PAID' THEN 'paid'
                WHEN i.status = 'CANCELED' THEN 'canceled'
                WHEN i.due_date < @today::date - 90 THEN 'over_90'
                WHEN i.due_date < @today::date - 60 THEN '61_90'
                WHEN i.due_date < @today::date - 30 THEN '31_60'
                WHEN i.due_date < @today::date THEN '1_30'
                ELSE 'current' END AS pot,
           count(*) AS n, sum(i.total_amount) AS amount, min(i.due_date) AS due_date
      FROM (SELECT {summed} FROM {table} i WHERE {where}) i
     GROUP BY 1, 2, 3, 4
)`
	ageing = `
       coalesce(sum(p.amount) FILTER (WHERE p.pot = 'current'), 0.0000)::text AS current,
       coalesce(sum(p.amount) FILTER (WHERE p.pot = '1_30'), 0.0000)::text AS days_1_30,
       coalesce(sum(p.amount) FILTER (WHERE p.pot = '31_60'), 0.0000)::text AS days_31_60,
       coalesce(sum(p.amount) FILTER (WHERE p.pot = '61_90'), 0.0000)::text AS days_61_90,
       coalesce(sum(p.amount) FILTER (WHERE p.pot = 'over_90'), 0.0000)::text AS days_over_90`
	summarize = pots + `
SELECT s.label, s.sublabel, s.tenant_id, s.tenant_name, s.currency, s.count, s.paid_count, s.count - s.paid_count - s.canceled_count AS unpaid_count, s.canceled_count,
       s.total::text AS total, s.paid::text AS paid, s.unpaid::text AS unpaid, s.canceled::text AS canceled,
       round(s.paid / nullif(s.paid + s.unpaid, 0), 4)::text AS paid_rate,
       s.current, s.days_1_30, s.days_31_60, s.days_61_90, s.days_over_90
  FROM (
SELECT {label} AS label, {sublabel} AS sublabel, {tenant_id} AS tenant_id, {name} AS tenant_name, upper(rtrim(p.currency)) AS currency,
       sum(p.n)::bigint AS count,
       coalesce(sum(p.n) FILTER (WHERE p.pot = 'paid'), 0)::bigint AS paid_count,
       coalesce(sum(p.n) FILTER (WHERE p.pot = 'canceled'), 0)::bigint AS canceled_count,
       coalesce(sum(p.amount), 0.0000) AS total,
       coalesce(sum(p.amount) FILTER (WHERE p.pot = 'paid'), 0.0000) AS paid,
       coalesce(sum(p.amount) FILTER (WHERE p.pot NOT IN ('paid', 'canceled')), 0.0000) AS unpaid,
       coalesce(sum(p.amount) FILTER (WHERE p.pot = 'canceled'), 0.0000) AS canceled,` + ageing + `
  FROM pots p {join}
 GROUP BY 1, 2, 3, 4, 5
       ) s
 ORDER BY s.label COLLATE "C" NULLS LAST, s.sublabel COLLATE "C" NULLS LAST, s.tenant_id, s.currency COLLATE "C" NULLS LAST`
)

// Summarize returns the sums of the invoices that the filter selects, grouped by one or two of Groupings and ordered by
// group and currency. Ages are counted from today, a day in UTC.
func (t *Table) Summarize(ctx context.Context, r db.Reader, f Filter, by []string, today db.Date) ([]Summary, error) {
	problems := f.Refused
	by = slices.Clone(by)
	for i, name := range by {
		by[i] = strings.ToLower(strings.TrimSpace(name))
		if _, ok := groupings[by[i]]; !ok {
			problems.Add("by", "%.60q is not one of %s", name, strings.Join(Groupings, ", "))
		}
	}
	if n := len(by); n > 2 || n == 2 && by[0] == by[1] {
		problems.Add("by", "takes one grouping, or two different ones")
	}
	where, _, err := t.compile(ctx, r, f, &problems)
	if err := cmp.Or(problems.Err(), err); err != nil {
		return nil, err
	}
	return db.Collect[Summary](ctx, r, t.summing(summarize, by, where), sumArgs(where, today))
}

// Debt is what a tenant owes in one currency: a line of the ageing report.
type Debt struct {
	TenantID   *uuid.UUID   `json:"tenant_id" db:"tenant_id"`
	TenantCode *string      `json:"tenant_code" db:"tenant_code" table:"key"` // nil if the tenant's row is gone
	TenantName *string      `json:"tenant_name" db:"tenant_name"`
	Currency   *string      `json:"currency" db:"currency" table:"currency" heading:"CUR"`
	Count      int64        `json:"count" db:"count" table:"count"`
	OldestDue  *db.Date     `json:"oldest_due_date" db:"oldest_due_date"`
	Unpaid     money.Amount `json:"unpaid" db:"unpaid" table:"sum"`
	Overdue    money.Amount `json:"overdue" db:"overdue" table:"sum"` // unpaid minus current
	Ageing
}

const report = pots + `
SELECT p.key AS tenant_id, {code} AS tenant_code, {name} AS tenant_name, upper(rtrim(p.currency)) AS currency, sum(p.n)::bigint AS count,
       min(p.due_date) AS oldest_due_date,
       coalesce(sum(p.amount), 0.0000)::text AS unpaid,
       coalesce(sum(p.amount) FILTER (WHERE p.pot <> 'current'), 0.0000)::text AS overdue,` + ageing + `
  FROM pots p {join}
 WHERE p.pot NOT IN ('paid', 'canceled')
 GROUP BY 1, 2, 3, 4
 ORDER BY {code} COLLATE "C" NULLS LAST, p.key, upper(rtrim(p.currency)) COLLATE "C" NULLS LAST`

// Report returns unpaid amounts by age of the invoices that the filter selects, with one line per tenant and
// currency, ordered by tenant code.
func (t *Table) Report(ctx context.Context, r db.Reader, f Filter, today db.Date) ([]Debt, error) {
	problems := f.Refused
	where, _, err := t.compile(ctx, r, f, &problems)
	if err := cmp.Or(problems.Err(), err); err != nil {
		return nil, err
	}
	return db.Collect[Debt](ctx, r, t.summing(report, []string{"tenant"}, where), sumArgs(where, today))
}

// summing replaces the placeholders of a statement over the pots.
func (t *Table) summing(statement string, by []string, where db.Where) string {
	first, second := groupings[by[0]], grouping{"NULL::text", "NULL::text"}
	if len(by) == 2 {
		second = groupings[by[1]]
		second.label = strings.ReplaceAll(second.label, "p.key", "p.subkey")
	}
	join, code, name, id := "", "NULL::text", "NULL::text", "NULL::uuid"
	if i := slices.Index(by, "tenant"); i >= 0 {
		id = []string{"p.key", "p.subkey"}[i]
		join, code, name = tenants.Join(t.cat, id)
	}
	statement = strings.NewReplacer("{key}", first.key, "{label}", strings.ReplaceAll(first.label, "{code}", code),
		"{subkey}", second.key, "{sublabel}", strings.ReplaceAll(second.label, "{code}", code), "{code}", code, "{name}", name,
		"{tenant_id}", id, "{join}", join, "{summed}", t.Shape.Select("i", summed), "{where}", where.String()).Replace(statement)
	return t.sql(statement)
}

func sumArgs(where db.Where, today db.Date) pgx.NamedArgs {
	args := pgx.NamedArgs{"today": today}
	maps.Copy(args, where.Args)
	return args
}

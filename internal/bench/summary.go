package main

import (
	"github.com/cxgctl/cxgctl/internal/devdb"
)

const (
	// cxgctl's own statement, see invoices.summarize
	summaryPots = `
WITH pots AS (
    SELECT date_trunc('month', i.invoice_date::timestamp) AS key, i.currency,
           CASE WHEN i.status = 'PAID' THEN 'paid' WHEN i.status = 'CANCELED' THEN 'canceled'
                WHEN i.due_date < CURRENT_DATE - 90 THEN 'over_90' WHEN i.due_date < CURRENT_DATE - 60 THEN '61_90'
                WHEN i.due_date < CURRENT_DATE - 30 THEN '31_60' WHEN i.due_date < CURRENT_DATE THEN '1_30' ELSE 'current' END AS pot,
           count(*) AS n, sum(i.total_amount) AS amount, min(i.due_date) AS due_date
      FROM bill.invoices i WHERE NOT i.deleted GROUP BY 1, 2, 3
)
SELECT to_char(p.key, 'YYYY-MM'), upper(rtrim(p.currency)), sum(p.n), sum(p.amount),
       sum(p.amount) FILTER (WHERE p.pot = 'paid'), sum(p.amount) FILTER (WHERE p.pot NOT IN ('paid', 'canceled')),
       sum(p.amount) FILTER (WHERE p.pot = 'current'), sum(p.amount) FILTER (WHERE p.pot = '1_30'),
       sum(p.amount) FILTER (WHERE p.pot = '31_60'), sum(p.amount) FILTER (WHERE p.pot = '61_90'), sum(p.amount) FILTER (WHERE p.pot = 'over_90')
  FROM pots p GROUP BY 1, 2 ORDER BY 1, 2`

	// the straightforward statement for the same result
	summaryPlain = `
SELECT to_char(invoice_date, 'YYYY-MM'), upper(rtrim(currency)), count(*), sum(total_amount),
       sum(total_amount) FILTER (WHERE status = 'PAID'), sum(total_amount) FILTER (WHERE status NOT IN ('PAID', 'CANCELED')),
       sum(total_amount) FILTER (WHERE status NOT IN ('PAID', 'CANCELED') AND due_date >= CURRENT_DATE),
       sum(total_amount) FILTER (WHERE status NOT IN ('PAID', 'CANCELED') AND CURRENT_DATE - due_date BETWEEN 1 AND 30),
       sum(total_amount) FILTER (WHERE status NOT IN ('PAID', 'CANCELED') AND CURRENT_DATE - due_date BETWEEN 31 AND 60),
       sum(total_amount) FILTER (WHERE status NOT IN ('PAID', 'CANCELED') AND CURRENT_DATE - due_date BETWEEN 61 AND 90),
       sum(total_amount) FILTER (WHERE status NOT IN ('PAID', 'CANCELED') AND CURRENT_DATE - due_date > 90)
  FROM bill.invoices WHERE NOT deleted GROUP BY 1, 2 ORDER BY 1, 2`
)

// summaries compares invoices summary with psql, using its own statement and the straightforward one.
func summaries(tool, psql string, s devdb.Status) trial {
	env := []string{"CXGCTL_MANAGER_DATABASE_URL=" + s.DSN("mgmt"), "CXGCTL_OPERATOR=admin"}
	query := func(sql string) []string { return []string{psql, "-X", "-q", s.DSN("mgmt"), "-c", sql} }
	return trial{"invoices by month", []contender{
		{"psql -c the same statement", nil, query(summaryPots), ""},
		{"cxgctl invoices summary --by month", env, []string{tool, "invoices", "summary", "--by", "month"}, "≤ 1.2"},
		{"psql -c plain sums with FILTER", nil, query(summaryPlain), ""},
	}}
}

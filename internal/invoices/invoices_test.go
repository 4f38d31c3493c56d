package invoices

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// bare is a minimal invoices table, with old-style tenants.
var bare = dbtest.Template{Name: "invoices-bare", Key: bareSQL, Build: func(ctx context.Context, manager, _ string) error {
	conn, err := pgx.Connect(ctx, manager)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, bareSQL)
	return errors.Join(err, conn.Close(ctx))
}}

const bareSQL = `
CREATE SCHEMA bill;
CREATE SCHEMA tnnt;
CREATE TABLE tnnt.tenants (id uuid PRIMARY KEY, tenant_code varchar(20) NOT NULL, deleted boolean);
CREATE TABLE bill.invoices (id uuid PRIMARY KEY, tenant_id uuid, invoice_no varchar(50) NOT NULL, invoice_date date,
	total_amount numeric(18,4), currency char(3), status varchar(20), is_deleted boolean);
INSERT INTO tnnt.tenants VALUES ('10000000-0000-4000-8000-000000000001', 'acme', NULL);
INSERT INTO bill.invoices VALUES
	('30000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'A-1', '2026-01-01', 1, 'KR', 'DRAFT', NULL),
	('30000000-0000-4000-8000-000000000002', NULL, 'A-2', '-infinity', NULL, NULL, NULL, false),
	('30000000-0000-4000-8000-000000000003', NULL, 'A-1', '2026-01-03', 3, 'KRW', 'PAID', false),
	('30000000-0000-4000-8000-000000000004', NULL, 'A-4', '2026-01-04', 4, 'KRW', 'PAID', true);`

// migrated has the tables of our own migrations, without rows.
var migrated = dbtest.Template{
	Name: "invoices-migrated", Key: migrate.Hash(migrate.Manager),
	Build: func(ctx context.Context, manager, _ string) error {
		cfg, err := pgx.ParseConfig(manager)
		if err != nil {
			return err
		}
		_, err = migrate.Up(ctx, cfg, migrate.Manager)
		return err
	},
}

// open connects to a copy of the template with the given session settings, and reads its catalog.
func open(t *testing.T, template dbtest.Template, settings ...string) (*db.DB, schema.Catalog) {
	t.Helper()
	u, err := url.Parse(dbtest.New(t, template).Manager)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	d, err := db.Open(t.Context(), db.Options{Name: "manager", URL: u.String(), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	cat, err := schema.Read(t.Context(), d, schema.Invoices, schema.Tenants)
	if err != nil {
		t.Fatal(err)
	}
	return d, cat
}

func in(t *testing.T, cat schema.Catalog) *Table {
	t.Helper()
	table, err := NewTable(cat)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func numbers(list []Invoice) string {
	var all []string
	for _, i := range list {
		all = append(all, i.InvoiceNo)
	}
	return strings.Join(all, " ")
}

func TestList_BareTable(t *testing.T) {
	t.Parallel()
	d, cat := open(t, bare)
	table := in(t, cat)
	page, err := list(t, table, d, Filter{Sort: []string{"id"}}, db.Paging{Page: 1, Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := numbers(page.Items); got != "A-1 A-2 A-1" || page.Total != 3 {
		t.Fatalf("%s of %d: a row whose flag is NULL is live", got, page.Total)
	}
	first, second := page.Items[0], page.Items[1]
	if first.TenantCode == nil || *first.TenantCode != "acme" || *first.Currency != "KR" || *first.Status != "DRAFT" || first.TotalAmount.String() != "1.0000" {
		t.Errorf("%+v", first)
	}
	if first.DueDate != nil || first.SubscriptionID != nil || first.TaxAmount != nil || first.APICalls != nil || first.CreatedAt != nil {
		t.Errorf("a missing column is not NULL: %+v", first)
	}
	if second.TenantID != nil || second.TenantCode != nil || second.TotalAmount != nil || second.Currency != nil || second.InvoiceDate.String() != "-infinity" {
		t.Errorf("%+v", second)
	}
	page, err = list(t, table, d, Filter{Tenants: []string{"acme"}, IncludeDeleted: true}, db.Paging{Page: 1, Size: 10})
	if err != nil || numbers(page.Items) != "A-1" {
		t.Errorf("by the old tenant_code: %v, %v", page.Items, err)
	}
	if _, err := list(t, table, d, Filter{Sort: []string{"due_date"}}, db.Paging{Page: 1, Size: 10}); !fault.Is(err, fault.Validation) {
		t.Errorf("sorted by a missing column: %v", err)
	}

	delete(cat, schema.Tenants)
	table = in(t, cat)
	page, err = list(t, table, d, Filter{Sort: []string{"tenant_code", "id"}}, db.Paging{Page: 1, Size: 10})
	if err != nil || page.Total != 3 || page.Items[0].TenantCode != nil {
		t.Errorf("without tenants: %v, %v", page.Items, err)
	}
	if _, err := list(t, table, d, Filter{Tenants: []string{"acme"}}, db.Paging{Page: 1, Size: 10}); !fault.Is(err, fault.Database) {
		t.Errorf("filtered by tenant without a tenants table: %v", err)
	}
}

func TestFind_AmbiguousRef(t *testing.T) {
	t.Parallel()
	d, cat := open(t, bare)
	table := in(t, cat)
	found, err := table.Find(t.Context(), d, []string{"A-2", "A-1", "A-4", "30000000-0000-4000-8000-000000000001", "B", "A-2"}, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if found[0].Err != nil || found[0].Row.InvoiceNo != "A-2" || found[5].Err != nil || found[5].Row.ID != found[0].Row.ID {
		t.Errorf("%+v, %+v", found[0], found[5])
	}
	// numbers are not unique here
	if e := fault.From(found[1].Err); e == nil || e.Code != fault.Validation ||
		!strings.Contains(e.Message, "-000000000001)") || !strings.Contains(e.Message, "-000000000003)") {
		t.Errorf("%v", found[1].Err)
	}
	if e := fault.From(found[2].Err); e == nil || e.Code != fault.NotFound || !strings.Contains(e.Hint, "--include-deleted") {
		t.Errorf("%v", found[2].Err)
	}
	if found[3].Err != nil || found[3].Row.ID != uuid.MustParse(found[3].Ref) {
		t.Errorf("%+v", found[3])
	}
	if e := fault.From(found[4].Err); e == nil || e.Code != fault.NotFound || e.Hint != "search: cxgctl invoices list --search B" || e.Detail["invoice_no"] != "B" {
		t.Errorf("%v", found[4].Err)
	}
}

func TestList_ReportsAllProblems(t *testing.T) {
	t.Parallel()
	table := in(t, schema.Catalog{schema.Invoices: {Name: schema.Invoices, Columns: []schema.Column{{Name: "currency", Type: "character(3)"}}}})
	day := func(s string) *db.Date {
		v, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return &db.Date{Day: v}
	}
	f := Filter{
		Statuses: []string{" paid ", "unpaid"}, PaymentMethods: []string{"CASH"}, Currencies: []string{"KRW", "", "WONS"},
		Search: "\xff", From: day("2026-02-02"), To: day("2026-02-01"), MinTotal: amount(t, "1.01"), MaxTotal: amount(t, "1"),
		Sort: []string{"invoice_no"}, Tenants: []string{"never looked up"},
	}
	f.Refused.Add("due_before", "it is not a date")
	_, err := list(t, table, nil, f, db.Paging{Page: 0, Size: 20})
	e := fault.From(err)
	if e == nil || e.Code != fault.Validation {
		t.Fatal(err)
	}
	for _, field := range []string{
		"due_before: ", "page: ", `status: "UNPAID"`, "payment_method: ", `currency: it is empty; "WONS"`,
		"search: ", "from: 2026-02-02 is after --to, 2026-02-01", "min_total: 1.01 is more than --max-total, 1", "sort: ",
	} {
		if !strings.Contains(e.Message, field) {
			t.Errorf("%q is not in: %s", field, e.Message)
		}
	}
}

func amount(t *testing.T, s string) *money.Amount {
	t.Helper()
	a, err := money.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

// TestList_IndexServesEveryFilter checks what the planner can do, not what it would do: sequential scans and sorts
// are disabled, so a predicate without an index shows up as a plain filter.
func TestList_IndexServesEveryFilter(t *testing.T) {
	t.Parallel()
	d, cat := open(t, migrated, "enable_seqscan=off", "enable_sort=off")
	table := in(t, cat)
	day := &db.Date{Day: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		filter  Filter
		cond    string // in the output of EXPLAIN
		ordered bool   // the index also provides the list's order, so a page needs no sort
	}{
		"one status":      {Filter{Statuses: []string{"PAID"}}, "Index Cond: ((status)::text = ", true},
		"statuses":        {Filter{Statuses: []string{"PAID", "SENT"}}, "Index Cond: ((status)::text = ANY ", false},
		"one method":      {Filter{PaymentMethods: []string{"CHECK"}}, "Index Cond: ((payment_method)::text = ", true},
		"currency":        {Filter{Currencies: []string{"USD"}}, "Index Cond: (currency = ANY ", false},
		"from":            {Filter{From: day}, "Index Cond: (invoice_date >= ", true},
		"to":              {Filter{To: day}, "Index Cond: (invoice_date < ", true},
		"status and from": {Filter{Statuses: []string{"SENT"}, From: day}, "Index Cond: (((status)::text = ", true},
		"due before":      {Filter{DueBefore: day}, "Index Cond: (due_date < ", false},
		"overdue":         {Filter{Overdue: true}, "Index Cond: (due_date < ", false},
		"min total":       {Filter{MinTotal: amount(t, "1")}, "Index Cond: (total_amount >= ", false},
		"max total":       {Filter{MaxTotal: amount(t, "1")}, "Index Cond: (total_amount <= ", false},
	} {
		s, err := table.Matching(t.Context(), d, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if plan := explain(t, d, s.CountQuery()); !strings.Contains(plan, c.cond) {
			t.Errorf("%s: no index serves it:\n%s", name, plan)
		}
		page, err := s.All()
		if err != nil {
			t.Fatal(err)
		}
		page.SQL += " LIMIT 20"
		if plan := explain(t, d, page); c.ordered && (strings.Contains(plan, "Sort") || !strings.Contains(plan, c.cond)) {
			t.Errorf("%s: a page needs a sort:\n%s", name, plan)
		}
	}
	s, err := table.Matching(t.Context(), d, Filter{IncludeDeleted: true})
	if err != nil {
		t.Fatal(err)
	}
	newest, err := s.All()
	if err != nil {
		t.Fatal(err)
	}
	newest.SQL += " LIMIT 20"
	if plan := explain(t, d, newest); strings.Contains(plan, "Sort") {
		t.Errorf("the newest page needs a sort:\n%s", plan)
	}
}

// list returns a page of the invoices that a filter selects.
func list(t *testing.T, table *Table, d *db.DB, f Filter, p db.Paging) (db.Page[Invoice], error) {
	t.Helper()
	s, err := table.Matching(t.Context(), d, f)
	if err != nil {
		return db.Page[Invoice]{}, err
	}
	return s.Page(t.Context(), d, p)
}

func explain(t *testing.T, r db.Reader, q db.Query) string {
	t.Helper()
	rows, err := r.Query(t.Context(), "EXPLAIN "+q.SQL, q.Args)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

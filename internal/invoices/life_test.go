package invoices

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
)

const (
	acme         = "10000000-0000-4000-8000-000000000001"
	subscription = "20000000-0000-4000-8000-000000000002"
	seed         = `
INSERT INTO tnnt.tenants (id, code, name) VALUES ('` + acme + `', 'acme', 'Acme');
INSERT INTO bill.plans (id, code, name, base_amount) VALUES ('20000000-0000-4000-8000-000000000001', 'STANDARD', 'Standard', 1);
INSERT INTO tnnt.subscriptions (id, tenant_id, plan_id, start_date, base_amount)
VALUES ('` + subscription + `', '` + acme + `', '20000000-0000-4000-8000-000000000001', '2026-01-01', 1);
ALTER TABLE bill.invoices ALTER tenant_id SET DEFAULT '` + acme + `', ALTER subscription_id SET DEFAULT '` + subscription + `',
	ALTER invoice_date SET DEFAULT '2026-01-01', ALTER due_date SET DEFAULT '2026-01-31', ALTER start_date SET DEFAULT '2026-01-01',
	ALTER close_date SET DEFAULT '2026-01-31', ALTER base_amount SET DEFAULT 1, ALTER total_amount SET DEFAULT 1, ALTER user_count SET DEFAULT 1;
`
)

// desk is a database with one tenant and helpers to change its invoices.
type desk struct {
	*Table
	db  *db.DB
	dsn string
	cat schema.Catalog
}

func newDesk(t *testing.T, sql string) *desk {
	t.Helper()
	dsn := dbtest.New(t, migrated).Manager
	d, err := db.Open(t.Context(), db.Options{Name: "manager", URL: dsn, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	cat, err := schema.Read(t.Context(), d, schema.Invoices, schema.Tenants, schema.Subscriptions, schema.AuditLogs)
	if err != nil {
		t.Fatal(err)
	}
	k := &desk{Table: in(t, cat), db: d, dsn: dsn, cat: cat}
	k.exec(t, seed+sql)
	return k
}

// exec runs statements without the ledger, as the backend would.
func (k *desk) exec(t *testing.T, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// ask returns the single value of a query.
func (k *desk) ask(t *testing.T, sql string) (text string) {
	t.Helper()
	if err := k.db.QueryRow(t.Context(), "SELECT ("+sql+")::text").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// ledger returns the ledger of a separate command.
func (k *desk) ledger(t *testing.T) *audit.Ledger {
	t.Helper()
	l, err := audit.Open(t.Context(), k.db, k.cat, audit.Operator{ID: uuid.New(), Name: "admin"}, audit.Origin{Command: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (k *desk) find(t *testing.T, number string) Invoice {
	t.Helper()
	found, err := k.Find(t.Context(), k.db, []string{number}, "", true)
	if err != nil || found[0].Err != nil {
		t.Fatal(err, found)
	}
	return found[0].Row
}

func date(text string) *db.Date {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return &db.Date{Day: day}
}

func pointer[T any](v T) *T { return &v }

// one returns the amount 1.
func one() *money.Amount {
	a, err := money.Parse("1")
	if err != nil {
		panic(err)
	}
	return &a
}

func values(number string) Values {
	return Values{Tenant: pointer("acme"), Subscription: pointer(subscription), Invoice: Invoice{
		InvoiceNo: number, InvoiceDate: date("2026-02-01"), DueDate: date("2026-03-03"),
		StartDate: date("2026-01-01"), CloseDate: date("2026-01-31"), BaseAmount: one(), UserCount: pointer(int64(1)),
	}}
}

func TestStatus_AllowedMoves(t *testing.T) {
	t.Parallel()
	today := *date("2026-06-15")
	// allowed moves from each status; lower case: only if past due
	allowed := map[string]string{
		"PENDING": "SENT CANCELED overdue", "SENT": "PAID OVERDUE CANCELED", "OVERDUE": "PAID CANCELED", "PAID": "", "CANCELED": "CANCELED",
		"DRAFT": "CANCELED", "": "CANCELED", // unknown statuses
	}
	for from, list := range allowed {
		for _, to := range Statuses {
			if from == to {
				continue
			}
			for _, due := range []string{"2026-06-14", "2026-06-15"} {
				i := Invoice{InvoiceNo: "INV-1", DueDate: date(due), PaymentMethod: pointer("CHECK")}
				if from != "" {
					i.Status = &from
				}
				words := strings.Fields(list)
				if due == "2026-06-14" {
					words = strings.Fields(strings.ToUpper(list))
				}
				want := false
				for _, w := range words {
					want = want || w == to
				}
				for _, force := range []bool{false, true} {
					e, err := Move{To: to, Today: today, Force: force}.Edit()
					if err != nil {
						t.Fatal(err)
					}
					if err := e.Check(i); (err == nil) != (want || force) || err != nil && !fault.Is(err, fault.Validation) {
						t.Errorf("%q to %s, due %s, force %t: %v", from, to, due, force, err)
					}
					if e.IsNoop(i) {
						t.Errorf("%q is already %s", from, to)
					}
				}
			}
		}
	}
}

func TestStatus_OnlyPaidHasPayment(t *testing.T) {
	t.Parallel()
	k := newDesk(t, `INSERT INTO bill.invoices (invoice_no, status, payment_method) VALUES ('A', 'SENT', NULL), ('B', 'SENT', 'PAYPAL')`)
	move := func(number string, m Move) (Invoice, error) {
		e, err := m.Edit()
		if err != nil {
			return Invoice{}, err
		}
		rows, err := k.Apply(t.Context(), k.ledger(t), []Invoice{k.find(t, number)}, e)
		if err != nil {
			return Invoice{}, err
		}
		return rows[0], nil
	}
	if _, err := move("A", Move{To: "PAID", Force: true}); !fault.Is(err, fault.Validation) {
		t.Errorf("without a method, by force: %v", err)
	}
	at := db.At(time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC))
	paid, err := move("A", Move{To: "PAID", PaymentMethod: pointer("CHECK"), PaidAt: &at})
	if err != nil || !paid.PaidAt.Equal(at) || *paid.PaymentMethod != "CHECK" {
		t.Errorf("%+v, %v", paid, err)
	}
	paid, err = move("B", Move{To: "PAID"})
	if err != nil || !paid.PaidAt.Equal(*paid.UpdatedAt) || *paid.PaymentMethod != "PAYPAL" {
		t.Errorf("%+v, %v", paid, err)
	}
	for _, to := range []string{"PENDING", "SENT", "OVERDUE", "CANCELED"} {
		k.exec(t, `UPDATE bill.invoices SET status = 'PAID', paid_at = now(), payment_method = 'CHECK' WHERE invoice_no = 'A'`)
		left, err := move("A", Move{To: to, Force: true})
		if err != nil || left.PaidAt != nil || left.PaymentMethod != nil || *left.Status != to {
			t.Errorf("to %s: %+v, %v", to, left, err)
		}
	}
}

func TestStatus_ConcurrentPayments(t *testing.T) {
	t.Parallel()
	const rounds, payers = 20, 4
	k := newDesk(t, fmt.Sprintf(`INSERT INTO bill.invoices (invoice_no, status) SELECT 'INV-' || n, 'SENT' FROM generate_series(1, %d) n`, rounds))
	for round := range rounds {
		number := fmt.Sprintf("INV-%d", round+1)
		seen := k.find(t, number)
		errs := make([]error, payers)
		var all sync.WaitGroup
		for n := range payers {
			l := k.ledger(t)
			all.Go(func() {
				at := db.At(time.Date(2026, 2, 1+n, 0, 0, 0, 0, time.UTC))
				e, err := Move{To: "PAID", PaymentMethod: pointer("CHECK"), PaidAt: &at}.Edit()
				if err == nil {
					_, err = k.Apply(t.Context(), l, []Invoice{seen}, e)
				}
				errs[n] = err
			})
		}
		all.Wait()
		winner := -1
		for n, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("%s: %d and %d both paid", number, winner, n)
			case err == nil:
				winner = n
			case !fault.Is(err, fault.Conflict):
				t.Fatalf("%s: %v", number, err)
			}
		}
		if winner < 0 {
			t.Fatalf("%s: all payments failed: %v", number, errs)
		}
		if got := k.find(t, number).PaidAt.Instant.Day(); got != 1+winner {
			t.Errorf("%s: paid by %d, but %d succeeded", number, got-1, winner)
		}
	}
	if got := k.ask(t, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS'`); got != fmt.Sprint(rounds) {
		t.Errorf("%s audit rows of %d payments", got, rounds)
	}
}

func TestCreate_ConcurrentSameNumber(t *testing.T) {
	t.Parallel()
	const rounds, rivals = 10, 4
	k := newDesk(t, "")
	for round := range rounds {
		number := fmt.Sprintf("INV-%d", round)
		errs := make([]error, rivals)
		var all sync.WaitGroup
		for n := range rivals {
			l := k.ledger(t)
			all.Go(func() { _, errs[n] = k.Create(t.Context(), l, values(number)) })
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else if !fault.Is(err, fault.AlreadyExists) {
				t.Errorf("%s: %v", number, err)
			}
		}
		if made != 1 {
			t.Errorf("%s was made %d times: %v", number, made, errs)
		}
	}
	if got := k.ask(t, `SELECT count(*) || ' ' || count(*) FILTER (WHERE result = 'SUCCESS') FROM audt.audit_logs`); got != "40 10" {
		t.Errorf("audit rows, and successful ones: %s, want 40 10", got)
	}
}

// Creating an invoice and deleting its tenant or subscription wait for each other.
func TestCreate_TenantDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for table, id := range map[string]string{"tnnt.tenants": acme, "tnnt.subscriptions": subscription} {
		k := newDesk(t, "")
		conn, err := pgx.Connect(t.Context(), k.dsn)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "UPDATE "+table+" SET is_deleted = true WHERE id = '"+id+"'"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		l := k.ledger(t)
		go func() {
			_, err := k.Create(t.Context(), l, values("INV-1"))
			done <- err
		}()
		for k.ask(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == "0" {
			select {
			case err := <-done:
				t.Fatalf("%s: the invoice did not wait: %v", table, err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", table, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Totals equal what PostgreSQL's numeric computes, for amounts of every size, after a create and after an update.
func TestTotal_MatchesPostgres(t *testing.T) {
	t.Parallel()
	k := newDesk(t, "")
	rnd := rand.New(rand.NewPCG(3, 4))
	draw := func() *money.Amount {
		n := rnd.Int64N(300_000_000_000_000_000)>>rnd.IntN(60) | 1
		return amount(t, fmt.Sprintf("%d.%04d", n/10_000, n%10_000))
	}
	// the discount exceeds the other parts
	negative := func(err error) bool {
		return fault.Is(err, fault.Validation) && strings.Contains(err.Error(), "total_amount: -")
	}
	made := 0
	for n := range 150 {
		number := fmt.Sprintf("INV-%d", n)
		v := values(number)
		v.BaseAmount, v.UsageAmount, v.DiscountAmount, v.TaxAmount = draw(), draw(), draw(), draw()
		if n%3 == 0 {
			v.UsageAmount = nil
		}
		i, err := k.Create(t.Context(), k.ledger(t), v)
		if negative(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		made++
		e, err := k.Change(t.Context(), k.db, i, Patch{Values: Values{Invoice: Invoice{TaxAmount: draw()}}})
		if negative(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Apply(t.Context(), k.ledger(t), []Invoice{i}, e); err != nil {
			t.Fatal(err)
		}
	}
	if made < 50 {
		t.Fatalf("only %d invoices were made", made)
	}
	const addsUp = `(%[1]s->>'base_amount')::numeric + (%[1]s->>'usage_amount')::numeric - (%[1]s->>'discount_amount')::numeric + (%[1]s->>'tax_amount')::numeric`
	wrong := fmt.Sprintf(`SELECT (SELECT count(*) FROM bill.invoices WHERE total_amount <> base_amount + usage_amount - discount_amount + tax_amount)
		+ (SELECT count(*) FROM audt.audit_logs WHERE action_performed = 'CREATE' AND (extra_data->'after'->>'total_amount')::numeric <> `+addsUp+`)`, "extra_data->'after'")
	if got := k.ask(t, wrong); got != "0" {
		t.Errorf("%s invoices do not add up", got)
	}
}

// An update loses against a concurrent change by the backend.
func TestUpdate_ConcurrentChangeIsConflict(t *testing.T) {
	t.Parallel()
	k := newDesk(t, `INSERT INTO bill.invoices (invoice_no) VALUES ('A')`)
	seen := k.find(t, "A")
	e, err := k.Change(t.Context(), k.db, seen, Patch{Values: Values{Invoice: Invoice{TaxAmount: amount(t, "5")}}})
	if err != nil {
		t.Fatal(err)
	}
	k.exec(t, `UPDATE bill.invoices SET base_amount = 7, total_amount = 7 WHERE invoice_no = 'A'`)
	if _, err := k.Apply(t.Context(), k.ledger(t), []Invoice{seen}, e); !fault.Is(err, fault.Conflict) {
		t.Errorf("%v", err)
	}
	if got := k.ask(t, `SELECT total_amount FROM bill.invoices`); got != "7.0000" {
		t.Errorf("total %s", got)
	}
}

func TestMarkOverdue_SkipsChangedInvoices(t *testing.T) {
	t.Parallel()
	k := newDesk(t, `INSERT INTO bill.invoices (invoice_no, status) SELECT 'INV-' || n, 'SENT' FROM generate_series(1, 6) n`)
	today := *date("2026-06-15")
	due, err := k.Select(t.Context(), k.db, 0, Filter{Unmarked: true, Today: today}, false)
	if err != nil || len(due) != 6 {
		t.Fatal(numbers(due), err)
	}
	var ids []uuid.UUID
	for _, i := range due {
		ids = append(ids, i.ID)
	}
	k.exec(t, `UPDATE bill.invoices SET status = 'PAID', paid_at = now(), payment_method = 'CHECK' WHERE invoice_no = 'INV-1';
		UPDATE bill.invoices SET due_date = '2026-06-15' WHERE invoice_no = 'INV-2'; UPDATE bill.invoices SET deleted = true WHERE invoice_no = 'INV-3';
		DELETE FROM bill.invoices WHERE invoice_no = 'INV-4'; UPDATE bill.invoices SET user_count = 9 WHERE invoice_no = 'INV-5'`)
	marked, err := k.MarkOverdue(t.Context(), k.ledger(t), ids, today)
	if err != nil || len(marked) != 2 {
		t.Errorf("%s, %v", numbers(marked), err)
	}
	if got := k.ask(t, `SELECT string_agg(invoice_no || ':' || status, ' ' ORDER BY invoice_no) FROM bill.invoices`); got != "INV-1:PAID INV-2:SENT INV-3:SENT INV-5:OVERDUE INV-6:OVERDUE" {
		t.Error(got)
	}
	again, err := k.MarkOverdue(t.Context(), k.ledger(t), ids, today)
	if err != nil || len(again) != 0 {
		t.Errorf("a second time: %s, %v", numbers(again), err)
	}
}

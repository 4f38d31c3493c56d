package cli

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// walk reads a list to its end in small pages and returns the ids in order.
func walk[T any](t *testing.T, size int, follow func(db.Cursor) (db.Slice[T], error), id func(T) uuid.UUID) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	for token := db.FirstCursor; token != ""; {
		page, err := follow(db.Cursor{Token: token, Size: size})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			ids = append(ids, id(item))
		}
		if len(page.Items) == 0 || len(ids) > 1000 {
			t.Fatalf("a page of %d rows, %d in all", len(page.Items), len(ids))
		}
		token = page.Next
	}
	return ids
}

// openPlanted opens the manager database of a generation, with all kinds of odd rows in it.
func openPlanted(t *testing.T, g generations.Generation) (*db.DB, schema.Catalog) {
	t.Helper()
	pair := dbtest.New(t, found(g).template)
	plant(t, pair.Manager, g)
	d, err := db.Open(t.Context(), db.Options{Name: "manager", URL: pair.Manager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	cat, err := schema.Read(t.Context(), d, schema.Users, schema.Invoices, schema.Tenants, schema.AuditLogs)
	if err != nil {
		t.Fatal(err)
	}
	return d, cat
}

// The pages of a list add up to the whole list, whatever it is sorted by, including ties, NULLs and infinities, on every
// generation.
func TestList_PagesAddUpInEveryOrder(t *testing.T) {
	t.Parallel()
	every := 1
	if testing.Short() {
		every = 3
	}
	for k, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			d, cat := openPlanted(t, g)
			ctx := t.Context()
			it, err := invoices.NewTable(cat)
			if err != nil {
				t.Fatal(err)
			}
			var orders [][]string
			for _, f := range invoices.SortFields {
				orders = append(orders, []string{f}, []string{f + ":desc"}, []string{"status", f + ":desc"}, []string{f + ":desc", "paid_at"})
			}
			for i, sort := range append(orders, nil) {
				if (i+k)%every != 0 {
					continue
				}
				f := invoices.Filter{IncludeDeleted: true, Sort: sort}
				s, err := it.Matching(ctx, d, f)
				if err != nil {
					t.Fatal(err)
				}
				whole, err := s.Page(ctx, d, db.Paging{Page: 1, Size: 1000})
				if err != nil {
					t.Fatal(err)
				}
				var want []uuid.UUID
				for _, i := range whole.Items {
					want = append(want, i.ID)
				}
				got := walk(t, 9, func(c db.Cursor) (db.Slice[invoices.Invoice], error) { return s.After(ctx, d, c) },
					func(i invoices.Invoice) uuid.UUID { return i.ID })
				if !slices.Equal(got, want) {
					t.Errorf("by %q: %d rows or their order differ from the list's %d", sort, len(got), len(want))
				}
			}
			ut, err := users.NewTable(cat)
			if err != nil {
				t.Fatal(err)
			}
			for _, sort := range [][]string{nil, {"last_login_at:desc"}, {"last_login_at"}, {"full_name"}, {"updated_at:desc", "username:desc"}} {
				f := users.Filter{IncludeDeleted: true, Sort: sort}
				s := ut.List(f)
				whole, err := s.Page(ctx, d, db.Paging{Page: 1, Size: 1000})
				if err != nil {
					t.Fatal(err)
				}
				var want []uuid.UUID
				for _, u := range whole.Items {
					want = append(want, u.ID)
				}
				got := walk(t, 4, func(c db.Cursor) (db.Slice[users.User], error) { return s.After(ctx, d, c) },
					func(u users.User) uuid.UUID { return u.ID })
				if !slices.Equal(got, want) {
					t.Errorf("users by %q: %d rows or their order differ from the list's %d", sort, len(got), len(want))
				}
			}
			if g.Audit == "" {
				return
			}
			log, err := audit.NewLog(cat)
			if err != nil {
				t.Fatal(err)
			}
			s, err := log.Matching(ctx, d, audit.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			whole, err := s.Page(ctx, d, db.Paging{Page: 1, Size: 1000})
			if err != nil {
				t.Fatal(err)
			}
			got := walk(t, 2, func(c db.Cursor) (db.Slice[audit.Entry], error) { return s.After(ctx, d, c) },
				func(e audit.Entry) uuid.UUID { return e.ID })
			if len(got) != len(whole.Items) {
				t.Errorf("%d audit rows, want %d", len(got), len(whole.Items))
			}
		})
	}
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// customPlans plans every round for its text, as for a command's only query.
const customPlans = "&options=-c%20plan_cache_mode%3Dforce_custom_plan"

// searches compares typical searches with ILIKE, which the backend uses, with and without indexes. Both use one open
// session, because starting a process can take a hundred milliseconds.
func (x *exports) searches() error {
	// two syllables of a name of average frequency
	name, err := x.ask("SELECT right(full_name, 2) FROM idam.users WHERE full_name ~ '^[가-힣]{3}$' GROUP BY 1 HAVING count(*) > 0 ORDER BY count(*) LIMIT 1")
	if err != nil {
		return err
	}
	d, err := db.Open(x.ctx, db.Options{Name: "manager", URL: x.dsn + customPlans})
	if err != nil {
		return err
	}
	defer d.Close()
	cat, err := schema.Read(x.ctx, d, schema.Users)
	if err != nil {
		return err
	}
	table, err := users.NewTable(cat)
	if err != nil {
		return err
	}
	if err := x.search(d, table, 0, "two syllables, no index", name, "≥ 3"); err != nil {
		return err
	}
	if err := x.search(d, table, 0, "three letters, no index", "kim", ""); err != nil {
		return err
	}
	grams, err := table.Grams(x.ctx, d)
	if err != nil {
		return err
	}
	if grams == 0 { // kept data may have the index; it was not used above
		if _, _, err := x.run(contender{"migrate", nil, []string{x.tool, "-q", "migrate", "up", "--database", "manager", "--with", "search", "--timeout", "1h"}, ""}); err != nil {
			return err
		}
		if _, err := x.ask("VACUUM ANALYZE idam.users"); err != nil {
			return err
		}
		if grams, err = table.Grams(x.ctx, d); err != nil {
			return err
		}
	}
	if err := x.search(d, table, grams, "two syllables, optional index", name, "≥ 50"); err != nil {
		return err
	}
	return x.search(d, table, grams, "a rare text, optional index", "99123", "")
}

// search measures count and first page of 20 for a text both ways, in turns, using the index with grams of that size,
// 0 for none.
func (x *exports) search(d *db.DB, table *users.Table, grams int, title, text, goal string) error {
	where := " FROM idam.users WHERE is_active AND (username ILIKE @text OR full_name ILIKE @text OR email ILIKE @text)"
	args := pgx.NamedArgs{"text": "%" + text + "%"}
	var counted int64
	ilike := func(ctx context.Context) error {
		if err := d.QueryRow(ctx, "SELECT count(*)"+where, args).Scan(&counted); err != nil {
			return err
		}
		rows, err := d.Query(ctx, "SELECT "+userColumns+where+" ORDER BY created_at DESC, id DESC LIMIT 20", args)
		if err != nil {
			return err
		}
		for rows.Next() { // read to the end
		}
		return rows.Err()
	}
	ours := func(ctx context.Context) error {
		if _, err := table.Grams(ctx, d); err != nil { // the command asks this first
			return err
		}
		page, err := table.List(users.Filter{Search: text, Grams: grams}).Page(ctx, d, db.Paging{Page: 1, Size: 20})
		if err == nil && page.Total != counted {
			err = fmt.Errorf("%s: %d found where ILIKE finds %d", title, page.Total, counted)
		}
		return err
	}
	times := make([][]time.Duration, 2)
	rounds := max(x.rounds, 5)
	for round := range rounds + 1 {
		for i, search := range []func(context.Context) error{ilike, ours} {
			start := time.Now()
			if err := search(x.ctx); err != nil {
				return err
			}
			if round > 0 { // the first warms the session
				times[i] = append(times[i], time.Since(start))
			}
		}
	}
	median := func(i int) float64 {
		slices.SortFunc(times[i], cmp.Compare)
		return times[i][len(times[i])/2].Seconds()
	}
	_, _ = fmt.Fprintf(x.w, "%s\tcount and page by ILIKE, in one session\t%.4f s\t\t\t\t1.00\t\t%d\n\tthe statements of users list --search %s\t%.4f s\t\t\t\t%.2f\t%s\t%d\n",
		title, median(0), rounds, text, median(1), median(0)/median(1), goal, rounds)
	return nil
}

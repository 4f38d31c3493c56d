package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// perRow compares the cost of a row in small and large exports.
func (x *exports) perRow() error {
	day, err := x.ask("SELECT invoice_date FROM bill.invoices WHERE NOT deleted ORDER BY invoice_date DESC OFFSET least(20000, (SELECT count(*) / 10 FROM bill.invoices)) LIMIT 1")
	if err != nil {
		return err
	}
	counts, err := x.ask("SELECT count(*), count(*) FILTER (WHERE invoice_date >= '" + day + "') FROM bill.invoices WHERE NOT deleted")
	if err != nil {
		return err
	}
	var all, few float64
	if _, err := fmt.Sscanf(counts, "%f|%f", &all, &few); err != nil {
		return err
	}
	csv := func(args ...string) contender {
		return contender{"", nil, x.list("invoices", append([]string{"--all", "-o", "csv", "--output-file", x.file("c.csv")}, args...)...), ""}
	}
	m, rounds, err := x.medians(trial{"", []contender{csv("--from", "2999-01-01"), csv("--from", day), csv()}})
	if err != nil {
		return err
	}
	cost := func(i int, rows float64) float64 { return (m[i].wall - m[0].wall).Seconds() / rows * 1e6 }
	_, _ = fmt.Fprintf(x.w, "cost of a row, csv\tamong %.0f rows\t%.2f µs\t\t\t\t1.00\t\t%d\n\tamong %.0f rows\t%.2f µs\t\t\t\ttakes %.2f ×\t≤ 1.1\t%d\n",
		few, cost(1, few), rounds, all, cost(2, all), cost(2, all)/cost(1, few), rounds)
	return nil
}

// apiWay reads like the backend, by OFFSET pages with a count each, and extrapolates from a sample.
func (x *exports) apiWay() error {
	n, err := x.ask("SELECT count(*) FROM bill.invoices WHERE NOT deleted")
	if err != nil {
		return err
	}
	rows, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	var sum time.Duration
	const samples = 5
	for i := range samples {
		start := time.Now()
		sql := "SELECT count(*) FROM bill.invoices WHERE NOT deleted; " + invoiceSelect + fmt.Sprintf(" LIMIT 100 OFFSET %d", rows*(2*i+1)/(2*samples))
		if _, err := x.ask(sql); err != nil {
			return err
		}
		sum += time.Since(start)
	}
	api := sum.Seconds() / samples * float64(rows) / 100
	t, _, err := x.run(contender{"", nil, x.list("invoices", "--all", "-o", "csv", "--output-file", x.file("c.csv")), ""})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(x.w, "every invoice, the API's way\t%d pages of 100 with a count (from %d of them)\t%.0f s\t\t\t\t1.00\t\t1\n", rows/100, samples, api)
	x.line("", "cxgctl … -o csv", t, fmt.Sprintf("%.0f", api/t.wall.Seconds()), "", 1)
	return x.clear()
}

// cursors compares a distant page with the first one.
func (x *exports) cursors() error {
	token := "first"
	const size = 20
	for range 10000 * size / 1000 {
		_, out, err := x.run(contender{"", nil, x.list("invoices", "--cursor", token, "--page-size", "1000", "--columns", "id", "-o", "json"), ""})
		if err != nil {
			return err
		}
		var doc struct {
			Data struct {
				Next *string `json:"next_cursor"`
			} `json:"data"`
		}
		if err := json.Unmarshal(out, &doc); err != nil {
			return err
		}
		if doc.Data.Next == nil {
			break // too few rows
		}
		token = *doc.Data.Next
	}
	page := func(name, token, goal string) contender {
		return contender{name, nil, x.list("invoices", "--cursor", token, "-o", "json"), goal}
	}
	wide := *x
	wide.rounds = max(x.rounds, 21) // single runs are short
	return wide.print(trial{"a page of 20 by cursor", []contender{page("page 1", "first", ""), page("page 10,000", token, "≤ 1.5")}}, fast, 0)
}

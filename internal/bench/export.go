package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cxgctl/cxgctl/internal/devdb"
)

// exports measures what exports, searches and pages cost, in seconds and in memory.
type exports struct {
	ctx       context.Context
	w         io.Writer
	dir, psql string
	tool, dsn string
	rounds    int
}

// invoiceSelect is what `invoices list --all` reads, as a person would write it.
const invoiceSelect = "SELECT i.id, i.invoice_no, i.tenant_id, t.code AS tenant_code, i.subscription_id, i.invoice_date, i.due_date, i.start_date, " +
	"i.close_date, i.base_amount, i.usage_amount, i.discount_amount, i.tax_amount, i.total_amount, i.currency, i.user_count, i.used_storage, " +
	"i.api_calls, i.status, i.paid_at, i.payment_method, i.deleted, i.created_at, i.updated_at, i.created_by, i.updated_by " +
	"FROM bill.invoices i LEFT JOIN tnnt.tenants t ON t.id = i.tenant_id WHERE NOT i.deleted ORDER BY i.invoice_date DESC, i.id DESC"

const userTable = "SELECT username, full_name, email, user_type, status, last_login_at, created_at FROM idam.users WHERE is_active"

// took is what one run of a command cost.
type took struct {
	wall time.Duration
	peak int64 // bytes of memory
}

func (x *exports) run(c contender) (took, []byte, error) {
	cmd := exec.CommandContext(x.ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = []string{
		"HOME=" + x.dir, "XDG_DATA_HOME=" + x.dir, "PATH=" + os.Getenv("PATH"),
		"CXGCTL_MANAGER_DATABASE_URL=" + x.dsn, "CXGCTL_OPERATOR=admin",
	}
	cmd.Dir = x.dir
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if c.env != nil { // a table of any size, neither to memory nor to a device that takes no time
		f, err := os.Create(filepath.Join(x.dir, "out.txt"))
		if err != nil {
			return took{}, nil, err
		}
		defer func() { _ = f.Close() }()
		cmd.Stdout = f
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return took{}, nil, fmt.Errorf("%s: %w\n%s", c.name, err, stderr.String())
	}
	t := took{wall: time.Since(start)}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.peak = usage.Maxrss << 10
	}
	return t, out.Bytes(), nil
}

// toFile is the environment of contenders whose output goes to a file.
var toFile = []string{}

func (x *exports) query(sql string) contender {
	return contender{name: "psql", argv: []string{x.psql, "-X", "-q", "-At", x.dsn, "-c", sql}}
}

func (x *exports) ask(sql string) (string, error) {
	_, out, err := x.run(x.query(sql))
	return strings.TrimSpace(string(out)), err
}

func (x *exports) list(noun string, args ...string) []string {
	return append([]string{x.tool, "-q", noun, "list"}, args...)
}

// medians runs the contenders in turns.
func (x *exports) medians(t trial) ([]took, error) {
	all := make([][]took, len(t.contenders))
	for range x.rounds {
		for i, c := range t.contenders {
			took, _, err := x.run(c)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], took)
		}
	}
	out := make([]took, len(all))
	for i, runs := range all {
		slices.SortFunc(runs, func(a, b took) int { return int(a.wall - b.wall) })
		out[i] = runs[len(runs)/2]
		for _, r := range runs {
			out[i].peak = max(out[i].peak, r.peak)
		}
	}
	return out, nil
}

// measureExports prints one line a contender; the ratio is how many times as fast as the first it is.
func measureExports(ctx context.Context, w io.Writer, tool, dir string, rounds int, s devdb.Status) error {
	x := &exports{ctx: ctx, w: w, dir: dir, psql: filepath.Join(s.BinDir, "psql"), tool: tool, dsn: s.DSN("mgmt"), rounds: rounds}
	if _, err := x.ask("VACUUM ANALYZE"); err != nil {
		return err
	}
	hundred, err := x.ask("SELECT coalesce(to_char(min(created_at) - interval '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '2000-01-01') FROM (SELECT created_at FROM idam.users WHERE is_active ORDER BY created_at DESC LIMIT 100000) t")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "\t\t\t\t\t\ncase\tcommand\tmedian\tpeak\ttimes as fast\tgoal")
	table := userTable + " AND created_at > '" + hundred + "' ORDER BY created_at DESC, id DESC"
	file := func(name string) string { return filepath.Join(dir, name) }
	export := func(format, name, goal string) contender {
		return contender{"cxgctl … -o " + format + " to " + name, nil, x.list("invoices", "--all", "-o", format, "--output-file", file(name)), goal}
	}
	for _, t := range []trial{
		{"every invoice, 26 columns, csv", []contender{
			{"psql \\copy (same SELECT)", nil, []string{x.psql, "-X", "-q", x.dsn, "-c", `\copy (` + invoiceSelect + `) TO '` + file("p.csv") + `' CSV HEADER`}, ""},
			export("csv", "c.csv", "≥ 1.3, ≤ 24 MB"),
			export("csv", "c.csv.gz", "≤ 1.5 × csv, ≤ 40 MB"),
			export("csv", "c.csv.zst", "≤ 1.2 × csv, ≤ 40 MB"),
		}},
		{"every invoice, jsonl", []contender{
			{"psql \\copy (SELECT row_to_json …)", nil, []string{x.psql, "-X", "-q", x.dsn, "-c", `\copy (SELECT row_to_json(r) FROM (` + invoiceSelect + `) r) TO '` + file("p.jsonl") + `'`}, ""},
			export("jsonl", "c.jsonl", "≥ 2.5, ≤ 24 MB"),
			export("json", "c.json", "≤ 1.1 × jsonl, ≤ 24 MB"),
			export("yaml", "c.yaml", ""),
			export("xlsx", "c.xlsx", "≤ 300 MB"),
		}},
		{"100,000 users as a table", []contender{
			{"psql aligned", toFile, []string{x.psql, "-X", "-q", "-P", "pager=off", x.dsn, "-c", table}, ""},
			{"cxgctl users list --all", toFile, x.list("users", "--all", "--created-after", hundred), "≥ 1.0, ≤ 64 MB"},
		}},
	} {
		if err := x.print(t); err != nil {
			return err
		}
	}
	if err := x.perRow(); err != nil {
		return err
	}
	if err := x.apiWay(); err != nil {
		return err
	}
	if err := x.cursors(); err != nil {
		return err
	}
	return x.searches()
}

func (x *exports) print(t trial) error {
	m, err := x.medians(t)
	if err != nil {
		return err
	}
	for i, c := range t.contenders {
		title := t.title
		if i > 0 {
			title = ""
		}
		_, _ = fmt.Fprintf(x.w, "%s\t%s\t%.3f s\t%.0f MB\t%.2f\t%s\n", title, c.name, m[i].wall.Seconds(), float64(m[i].peak)/1e6,
			m[0].wall.Seconds()/m[i].wall.Seconds(), c.goal)
	}
	return nil
}

// perRow compares what a row costs among few with what it costs among all.
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
		return contender{"", nil, x.list("invoices", append([]string{"--all", "-o", "csv", "--output-file", filepath.Join(x.dir, "c.csv")}, args...)...), ""}
	}
	m, err := x.medians(trial{"", []contender{csv("--from", "2999-01-01"), csv("--from", day), csv()}})
	if err != nil {
		return err
	}
	cost := func(i int, rows float64) float64 { return (m[i].wall - m[0].wall).Seconds() / rows * 1e6 }
	_, _ = fmt.Fprintf(x.w, "cost of a row, csv\tamong %.0f rows\t%.2f µs\t\t1.00\t\n\tamong %.0f rows\t%.2f µs\t\t%.2f\t≥ 0.91\n",
		few, cost(1, few), all, cost(2, all), cost(1, few)/cost(2, all))
	return nil
}

// apiWay reads as the backend does, by OFFSET pages with a count each, of which some stand for all.
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
	t, _, err := x.run(contender{"", nil, x.list("invoices", "--all", "-o", "csv", "--output-file", filepath.Join(x.dir, "c.csv")), ""})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(x.w, "every invoice, the API's way\t%d pages of 100 with a count (from %d of them)\t%.0f s\t\t1.00\t\n\tcxgctl … -o csv\t%.3f s\t\t%.0f\t\n",
		rows/100, samples, api, t.wall.Seconds(), api/t.wall.Seconds())
	return nil
}

// cursors compares a page far behind with the first one.
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
			break // there are not so many
		}
		token = *doc.Data.Next
	}
	page := func(name, token, goal string) contender {
		return contender{name, nil, x.list("invoices", "--cursor", token, "-o", "json"), goal}
	}
	wide := *x
	wide.rounds = max(x.rounds, 21) // they are short
	return wide.print(trial{"a page of 20 by cursor", []contender{page("page 1", "first", ""), page("page 10,000", token, "≥ 0.67")}})
}

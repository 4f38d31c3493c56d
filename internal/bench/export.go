package main

import (
	"bytes"
	"context"
	"errors"
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

// exports measures the time and memory of exports, searches and pages.
type exports struct {
	ctx       context.Context
	w         io.Writer
	dir, psql string
	tool, dsn string
	server    int // pid
	rounds    int
	begun     bool
}

// invoiceSelect is the query of `invoices list --all`, as a person would write it.
const invoiceSelect = "SELECT i.id, i.invoice_no, i.tenant_id, t.code AS tenant_code, i.subscription_id, i.invoice_date, i.due_date, i.start_date, " +
	"i.close_date, i.base_amount, i.usage_amount, i.discount_amount, i.tax_amount, i.total_amount, i.currency, i.user_count, i.used_storage, " +
	"i.api_calls, i.status, i.paid_at, i.payment_method, i.deleted, i.created_at, i.updated_at, i.created_by, i.updated_by " +
	"FROM bill.invoices i LEFT JOIN tnnt.tenants t ON t.id = i.tenant_id WHERE NOT i.deleted ORDER BY i.invoice_date DESC, i.id DESC"

const userTable = "SELECT username, full_name, email, user_type, status, last_login_at, created_at FROM idam.users WHERE is_active"

// took is the cost of one run of a command.
type took struct {
	wall           time.Duration
	client, server time.Duration // processor time; the server's covers all backends that ended meanwhile
	peak           int64         // bytes of memory
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
	if c.env != nil { // output of any size, so neither kept in memory nor discarded for free
		f, err := os.Create(filepath.Join(x.dir, "out.txt"))
		if err != nil {
			return took{}, nil, err
		}
		defer func() { _ = f.Close() }()
		cmd.Stdout = f
	}
	start := time.Now()
	peak, err := watched(cmd)
	if err != nil {
		return took{}, nil, fmt.Errorf("%s: %w\n%s", c.name, err, stderr.String())
	}
	t := took{wall: time.Since(start), peak: peak, client: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	return t, out.Bytes(), nil
}

// watched runs a command and returns its peak memory in bytes: as observed, or as reported by the kernel if it ended
// before the first sample.
func watched(cmd *exec.Cmd) (peak int64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	seen := watchPeak(cmd.Process.Pid)
	err = cmd.Wait()
	if peak = seen(); peak == 0 {
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			peak = usage.Maxrss << 10
		}
	}
	return peak, err
}

// settling is how long a backend may take to exit after its client has disconnected.
const settling = 300 * time.Millisecond

// watchPeak samples a process's memory until the returned function is called, which returns the peak, or 0 if the
// process ended before the first sample. The kernel's own figure includes what the bench had at fork.
func watchPeak(pid int) func() int64 {
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var peak int64
		for {
			select {
			case <-done:
				most <- peak
				return
			case <-tick.C:
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				continue // it has ended
			}
			if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var kilobytes int64
				if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
					peak = max(peak, kilobytes<<10)
				}
			}
		}
	}()
	return func() int64 {
		close(done)
		return <-most
	}
}

// backends returns the processor time of the server's processes that have ended, or 0 if the system does not report
// it.
func (x *exports) backends() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", x.server))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const waitedUser, waitedSystem, tick = 13, 14, time.Second / 100
	user, _ := strconv.Atoi(fields[waitedUser])
	system, _ := strconv.Atoi(fields[waitedSystem])
	return time.Duration(user+system) * tick
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

// partTime is the time after which a part starts no further round.
const partTime = 3 * time.Minute

// medians runs the contenders in turns and returns the number of rounds.
func (x *exports) medians(t trial) ([]took, int, error) {
	all := make([][]took, len(t.contenders))
	began, rounds := time.Now(), 0
	for rounds < x.rounds && (rounds == 0 || time.Since(began)*time.Duration(rounds+1)/time.Duration(rounds) < partTime) {
		for turn := range t.contenders {
			i := (turn + rounds) % len(t.contenders) // a run after a long one is slower, so rotate the order
			c := t.contenders[i]
			// Leftovers of another contender must not be written back or freed during this run.
			if err := x.clear(); err != nil {
				return nil, 0, err
			}
			before := x.backends()
			took, _, err := x.run(c)
			if err != nil {
				return nil, 0, err
			}
			time.Sleep(settling)
			took.server = x.backends() - before
			all[i] = append(all[i], took)
		}
		rounds++
	}
	out := make([]took, len(all))
	for i, runs := range all {
		slices.SortFunc(runs, func(a, b took) int { return int(a.wall - b.wall) })
		out[i] = runs[len(runs)/2]
		for _, r := range runs {
			out[i].peak = max(out[i].peak, r.peak)
		}
	}
	return out, rounds, x.clear()
}

// clear removes the exported files.
func (x *exports) clear() error {
	files, err := filepath.Glob(filepath.Join(x.dir, exported+"*"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	if len(files) > 0 {
		syscall.Sync()
	}
	return err
}

// exported is the prefix of exported files.
const exported = "export-"

func (x *exports) file(name string) string { return filepath.Join(x.dir, exported+name) }

// exportSections measures exports, one line per contender; the ratio is the speed relative to the first.
func exportSections(ctx context.Context, w io.Writer, tool, dir string, rounds int, s devdb.Status) []section {
	x := &exports{ctx: ctx, w: w, dir: dir, psql: filepath.Join(s.BinDir, "psql"), tool: tool, dsn: s.DSN("mgmt"), server: s.PID, rounds: rounds}
	parts := []section{
		{"exports/csv", func() error { return x.print(x.csv(), fast, fast, 1, 1) }},
		{"exports/jsonl", func() error { return x.print(x.jsonl(), fast, fast, 1) }},
		{"exports/xlsx", func() error { return x.print(x.xlsx()) }},
		{"exports/table", x.table},
		{"exports/rows", x.perRow},
		{"exports/api", x.apiWay},
		{"exports/cursor", x.cursors},
		{"exports/summary", func() error { return x.print(summaries(tool, x.psql, s), fast, 0, 0) }},
		{"exports/search", x.searches},
	}
	for i, part := range parts {
		parts[i].run = func() error {
			if !x.begun {
				x.begun = true
				if _, err := x.ask("VACUUM ANALYZE bill.invoices, idam.users, tnnt.tenants"); err != nil {
					return err
				}
				_, _ = fmt.Fprintln(w, "\t\t\t\t\t\t\t\t\ncase\tcommand\tmedian\tclient CPU\tserver CPU\tpeak\ttimes as fast\tgoal\trounds")
			}
			return part.run()
		}
	}
	return parts
}

// export returns a contender that exports every invoice.
func (x *exports) export(format, name, goal string) contender {
	return contender{"cxgctl … -o " + format + " to " + name, nil, x.list("invoices", "--all", "-o", format, "--output-file", x.file(name)), goal}
}

// copied returns psql's \copy of a query to a file.
func (x *exports) copied(name, query, file, options string) contender {
	return contender{name, nil, []string{x.psql, "-X", "-q", x.dsn, "-c", `\copy (` + query + `) TO '` + x.file(file) + `'` + options}, ""}
}

func (x *exports) csv() trial {
	return trial{"every invoice, 26 columns, csv", []contender{
		x.copied(`psql \copy (same SELECT)`, invoiceSelect, "p.csv", " CSV HEADER"),
		x.export("csv", "c.csv", "≥ 1.3, ≤ 24 MB"),
		x.export("csv", "c.csv.gz", "≤ 1.5 × csv, ≤ 40 MB"),
		x.export("csv", "c.csv.zst", "≤ 1.2 × csv, ≤ 40 MB"),
	}}
}

func (x *exports) jsonl() trial {
	return trial{"every invoice, jsonl", []contender{
		x.copied(`psql \copy (SELECT row_to_json …)`, "SELECT row_to_json(r) FROM ("+invoiceSelect+") r", "p.jsonl", ""),
		x.export("jsonl", "c.jsonl", "≥ 2.5, ≤ 24 MB"),
		x.export("json", "c.json", "≤ 1.1 × jsonl, ≤ 24 MB"),
	}}
}

func (x *exports) xlsx() trial {
	return trial{"every invoice, for people", []contender{x.export("yaml", "c.yaml", ""), x.export("xlsx", "c.xlsx", "≤ 300 MB")}}
}

// table compares the newest 100,000 users with psql's aligned output.
func (x *exports) table() error {
	since, err := x.ask("SELECT coalesce(to_char(min(created_at) - interval '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '2000-01-01') " +
		"FROM (SELECT created_at FROM idam.users WHERE is_active ORDER BY created_at DESC LIMIT 100000) t")
	if err != nil {
		return err
	}
	query := userTable + " AND created_at > '" + since + "' ORDER BY created_at DESC, id DESC"
	return x.print(trial{"100,000 users as a table", []contender{
		{"psql aligned", toFile, []string{x.psql, "-X", "-q", "-P", "pager=off", x.dsn, "-c", query}, ""},
		{"cxgctl users list --all", toFile, x.list("users", "--all", "--created-after", since), "≥ 1.0, ≤ 64 MB"},
	}})
}

// fast makes print show the speed relative to the first contender.
const fast = -1

// print measures a trial and prints one line per contender: the speed relative to the first, or the time relative to
// the one in against.
func (x *exports) print(t trial, against ...int) error {
	m, rounds, err := x.medians(t)
	if err != nil {
		return err
	}
	for i, c := range t.contenders {
		title := t.title
		if i > 0 {
			title = ""
		}
		ratio := fmt.Sprintf("%.2f", m[0].wall.Seconds()/m[i].wall.Seconds())
		if i < len(against) && against[i] != fast {
			ratio = fmt.Sprintf("takes %.2f ×", m[i].wall.Seconds()/m[against[i]].wall.Seconds())
		}
		x.line(title, c.name, m[i], ratio, c.goal, rounds)
	}
	return nil
}

func (x *exports) line(title, name string, t took, ratio, goal string, rounds int) {
	_, _ = fmt.Fprintf(x.w, "%s\t%s\t%.3f s\t%.2f s\t%.2f s\t%.0f MB\t%s\t%s\t%d\n", title, name, t.wall.Seconds(), t.client.Seconds(),
		t.server.Seconds(), float64(t.peak)/1e6, ratio, goal, rounds)
}

// Command bench compares cxgctl with psql, alternating between them, and prints medians and ratios. It does not fail
// if a goal, shown in the last column, is missed, because the machine may be noisy.
//
//	make bench
//	go run ./internal/bench -rounds 101 -users 100000 -invoices 200000
//	go run ./internal/bench -only exports -users 1000000 -invoices 2000000 # exports at full size
//	go run ./internal/bench -only exports/csv,exports/search -exports 1 -home /var/tmp/big # with existing data
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cxgctl/cxgctl/internal/devdb"
)

// contender is one command line of a case.
type contender struct {
	name string
	env  []string
	argv []string
	goal string // relative to the case's first contender
}

// trial is a set of contenders that do the same work; the first is the baseline.
type trial struct {
	title      string
	contenders []contender
}

// scale is the amount of data and rounds.
type scale struct {
	rounds            int
	users, invoices   int
	exports, imported int
	only, home        string
	tenants           counts
	many              int
}

// counts is a list of numbers in a flag: 10,100,1000.
type counts []int

func (c *counts) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*c)), " ", ","), "[]")
}

func (c *counts) Set(text string) error {
	*c = nil
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 || len(*c) > 0 && n <= (*c)[len(*c)-1] {
			return errors.New("ascending numbers, such as 10,100,1000")
		}
		*c = append(*c, n)
	}
	return nil
}

func main() {
	var n scale
	flag.IntVar(&n.rounds, "rounds", 41, "number of runs of each one-off command")
	flag.IntVar(&n.users, "users", 20000, "users in the database")
	flag.IntVar(&n.invoices, "invoices", 50000, "invoices in the database")
	flag.IntVar(&n.exports, "exports", 3, "maximum number of runs of each export; each part ends after about three minutes")
	flag.IntVar(&n.imported, "import", 100000, "users in the largest import; a million takes minutes")
	flag.StringVar(&n.only, "only", "", "`sections`: commands, identity, exports, imports, seals, tenants; of the exports also parts:\n"+
		"exports/csv, jsonl, xlsx, table, rows, api, cursor, summary, search")
	flag.StringVar(&n.home, "home", "", "data `home` (XDG_DATA_HOME) of an existing dev database to use and keep, instead of a new one")
	n.tenants = counts{10, 100, 1000}
	flag.Var(&n.tenants, "tenants", "numbers of tenant databases, ascending; each is a copy of 8 MB, and 1,000 take about ten minutes")
	flag.IntVar(&n.many, "many", 100000, "tenants in the list of tenants")
	flag.Parse()
	if err := run(n); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(n scale) (err error) {
	ctx := context.Background()
	// The server's user must reach the directory, and socket paths are short.
	dir, err := os.MkdirTemp("/tmp", "cxgbench")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	home, size := cmp.Or(n.home, dir), []string{"dev", "up", "--port", "54399"}
	getenv := func(name string) string {
		if name == "XDG_DATA_HOME" {
			return home
		}
		return os.Getenv(name)
	}
	defer func() {
		err = errors.Join(err, devdb.Down(ctx, devdb.Options{Getenv: getenv}), os.RemoveAll(dir))
	}()
	tool := filepath.Join(dir, "cxgctl-bench") // dir/cxgctl is the data home
	if out, err := exec.CommandContext(ctx, "make", "build", "BIN="+tool).CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	if n.home == "" {
		size = append(size, "--users", fmt.Sprint(n.users), "--invoices", fmt.Sprint(n.invoices))
	}
	up := exec.CommandContext(ctx, tool, size...)
	up.Env = append(os.Environ(), "XDG_DATA_HOME="+home)
	if out, err := up.CombinedOutput(); err != nil {
		return fmt.Errorf("dev up: %w\n%s", err, out)
	}
	status, err := devdb.Inspect(ctx, devdb.Options{Getenv: getenv})
	if err != nil {
		return err
	}
	trials, err := trials(tool, status)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d cores, PostgreSQL %s, %s; %s; medians of %d rounds in turns\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), status.Version, runtime.Version(), held(n), n.rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	few := min(n.rounds, 3) // for cases that take seconds
	sections := []section{
		{"commands", func() error {
			_, _ = fmt.Fprintln(w, "case\tcommand\tmedian\tbest\tratio\tgoal")
			for _, t := range trials {
				if err := t.measure(ctx, w, dir, n.rounds); err != nil {
					return err
				}
			}
			return nil
		}},
		{"identity", func() error { return identity(ctx, w, status, dir, n.rounds) }},
	}
	sections = append(sections, exportSections(ctx, w, tool, dir, n.exports, status)...)
	sections = append(sections, []section{
		{"seals", func() error { return measureSeals(ctx, w, tool, status.DSN("mgmt"), dir) }},
		{"imports", func() error {
			return errors.Join(imports(ctx, w, tool, status, dir, []int{n.imported}, few), hashing(ctx, w, few))
		}},
		{"tenants", func() error { // last, because it removes the demo tenants
			return measureTenants(ctx, w, tool, dir, status, n.tenants, n.many, few)
		}},
	}...)
	for _, s := range sections {
		if !s.asked(n.only) {
			continue
		}
		if err := errors.Join(s.run(), w.Flush()); err != nil {
			return err
		}
	}
	return nil
}

// section is a part of the measurements; a/b is a part of a.
type section struct {
	name string
	run  func() error
}

// asked reports whether a list of sections, empty for all, contains this one or its parent.
func (s section) asked(only string) bool {
	whole, _, _ := strings.Cut(s.name, "/")
	list := strings.Split(only, ",")
	return only == "" || slices.Contains(list, s.name) || slices.Contains(list, whole)
}

// held describes the content of the database.
func held(n scale) string {
	if n.home != "" {
		return "the data in " + n.home
	}
	return fmt.Sprintf("%d users, %d invoices", n.users, n.invoices)
}

const userColumns = "id, username, full_name, email, phone, user_type, status, mfa_enabled, sso_provider, email_verified, " +
	"phone_verified, last_login_at, host(last_login_ip), failed_login_attempts, locked_until, password_changed_at, " +
	"force_password_change, timezone, locale, department, position, is_active, created_at, updated_at, created_by, updated_by"

func trials(tool string, s devdb.Status) ([]trial, error) {
	// Debian's psql on PATH is a Perl wrapper that costs 20 ms, so use PostgreSQL's own.
	psql := filepath.Join(s.BinDir, "psql")
	if _, err := os.Stat(psql); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return nil, err
	}
	get := "SELECT " + userColumns + " FROM idam.users WHERE username = 'admin'"
	list := "SELECT " + userColumns + " FROM idam.users WHERE is_active ORDER BY created_at DESC, id DESC LIMIT 100"
	count := "SELECT count(*) FROM idam.users WHERE is_active"
	socketEnv := []string{"CXGCTL_MANAGER_DATABASE_URL=" + s.DSN("mgmt"), "CXGCTL_OPERATOR=admin"}
	// psql takes the password from the environment and cxgctl from a file; neither prompts for it
	tcpEnv := []string{"CXGCTL_MANAGER_DATABASE_URL=" + s.TCPDSN("mgmt"), "CXGCTL_OPERATOR=admin", "PGPASSWORD=" + strings.TrimSpace(string(password))}
	query := func(dsn string, statements ...string) []string {
		argv := []string{psql, "-X", "-q", dsn}
		for _, sql := range statements {
			argv = append(argv, "-c", sql)
		}
		return argv
	}
	return []trial{
		{"cold start", []contender{
			{"psql --version", nil, []string{psql, "--version"}, ""},
			{"cxgctl version", nil, []string{tool, "version"}, "≤ 1.0"},
			{"cxgctl --help", nil, []string{tool, "--help"}, "≤ 1.0"},
		}},
		{"one user, unix socket", []contender{
			{"psql -c SELECT", nil, query(s.DSN("mgmt"), get), ""},
			{"cxgctl users get (operator checked)", socketEnv, []string{tool, "users", "get", "admin"}, "≤ 1.3"},
		}},
		{"one user, TCP with SCRAM", []contender{
			{"psql -c SELECT", tcpEnv, query(s.TCPDSN("mgmt"), get), ""},
			{"cxgctl users get (operator checked)", tcpEnv, []string{tool, "users", "get", "admin"}, "≤ 1.3"},
		}},
		{"a page of 100 users, with their count", []contender{
			{"psql -c count -c SELECT", nil, query(s.DSN("mgmt"), count, list), ""},
			{"cxgctl users list --page-size 100", socketEnv, []string{tool, "users", "list", "--page-size", "100"}, ""},
			{"… -o json", socketEnv, []string{tool, "users", "list", "--page-size", "100", "-o", "json"}, ""},
			{"… -o csv", socketEnv, []string{tool, "users", "list", "--page-size", "100", "-o", "csv"}, ""},
		}},
		summaries(tool, psql, s),
	}, nil
}

// measure runs the contenders in turns, so that disturbances affect all of them.
func (t trial) measure(ctx context.Context, w *tabwriter.Writer, dir string, rounds int) error {
	times := make([][]time.Duration, len(t.contenders))
	for round := range rounds + 1 {
		for i, c := range t.contenders {
			cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
			// A separate environment and home directory, so that the user's configuration has no effect.
			cmd.Env = append([]string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "PATH=" + os.Getenv("PATH")}, c.env...)
			cmd.Dir = dir
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			start := time.Now()
			err := cmd.Run()
			took := time.Since(start)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", c.name, err, stderr.String())
			}
			if round > 0 { // the first warms the caches
				times[i] = append(times[i], took)
			}
		}
	}
	yardstick := 0.0
	for i, c := range t.contenders {
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		if i == 0 {
			yardstick = float64(median)
		}
		title := t.title
		if i > 0 {
			title = ""
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.1f ms\t%.1f ms\t%.2f\t%s\n", title, c.name,
			float64(median.Microseconds())/1000, float64(times[i][0].Microseconds())/1000, float64(median)/yardstick, c.goal)
	}
	return nil
}

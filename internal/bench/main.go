// Command bench compares cxgctl with psql, running them in turns, and prints medians and ratios. It does not fail if a
// goal, shown in the last column, is missed, because the machine may be noisy.
//
//	make bench
//	go run ./internal/bench -only exports,search -users 1000000 -invoices 2000000
//	go run ./internal/bench -only imports -import 1000000
package main

import (
	"bytes"
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

// bench is the server and the programs that are measured.
type bench struct {
	ctx     context.Context
	w       *tabwriter.Writer
	dir     string // of the bench
	tool    string // cxgctl
	psql    string // PostgreSQL's own, because Debian's wrapper on PATH costs 20 ms
	self    string // this program, for baselines
	server  devdb.Status
	rounds  int
	limit   time.Duration // after which a case starts no further round
	imports []int
	tenants []int
}

// section is a group of cases. Its function prepares their data.
type section struct {
	name string
	make func(*bench) ([]testCase, error)
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "baseline" {
		exit(baseline(context.Background(), os.Args[2:]))
	}
	b := &bench{ctx: context.Background(), imports: []int{10_000, 100_000}, tenants: []int{10, 100}}
	var users, invoices int
	var only string
	flag.IntVar(&b.rounds, "rounds", 21, "maximum number of runs of each command")
	flag.DurationVar(&b.limit, "limit", time.Minute, "time after which a case starts no further round")
	flag.IntVar(&users, "users", 20_000, "users in the database")
	flag.IntVar(&invoices, "invoices", 50_000, "invoices in the database")
	flag.Func("import", "`numbers` of imported users (default 10000,100000)", numbers(&b.imports))
	flag.Func("tenants", "ascending `numbers` of tenant databases, 8 MB each (default 10,100)", numbers(&b.tenants))
	flag.StringVar(&only, "only", "", "`sections`: "+strings.Join(names(), ", "))
	flag.Parse()
	exit(b.run(users, invoices, only))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// numbers returns a flag's function that reads a list such as 10,100,1000.
func numbers(list *[]int) func(string) error {
	return func(text string) error {
		*list = nil
		for one := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(one)
			if err != nil || n < 1 {
				return errors.New("not a list of positive numbers, such as 10,100,1000")
			}
			*list = append(*list, n)
		}
		return nil
	}
}

func names() []string {
	list := make([]string, len(sections))
	for i, s := range sections {
		list[i] = s.name
	}
	return list
}

func (b *bench) run(users, invoices int, only string) (err error) {
	for _, name := range strings.Split(only, ",") {
		if only != "" && !slices.Contains(names(), name) {
			return fmt.Errorf("-only: no section %q; the sections are %s", name, strings.Join(names(), ", "))
		}
	}
	// The server's user must reach the directory, and socket paths are short.
	if b.dir, err = os.MkdirTemp("/tmp", "cxgbench"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	options := devdb.Options{
		Getenv: func(name string) string {
			if name == "XDG_DATA_HOME" {
				return b.dir
			}
			return os.Getenv(name)
		},
	}
	defer func() { err = errors.Join(err, devdb.Down(b.ctx, options), os.RemoveAll(b.dir)) }()

	b.tool = filepath.Join(b.dir, "cxgctl-bench") // dir/cxgctl is the data home
	if out, err := exec.CommandContext(b.ctx, "make", "build", "BIN="+b.tool).CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.server, err = devdb.Up(b.ctx, options); err != nil {
		return err
	}
	up := exec.CommandContext(b.ctx, b.tool, "dev", "up", "--users", strconv.Itoa(users), "--invoices", strconv.Itoa(invoices))
	up.Env = append(os.Environ(), "XDG_DATA_HOME="+b.dir)
	if out, err := up.CombinedOutput(); err != nil {
		return fmt.Errorf("dev up: %w\n%s", err, out)
	}
	b.psql = filepath.Join(b.server.BinDir, "psql")

	fmt.Printf("%s, %d cores, PostgreSQL %s, %s; medians of up to %d rounds in turns\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), b.server.Version, runtime.Version(), b.rounds)
	b.w = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(b.w, "case\tcommand\tmedian\tbest\tCPU\tpeak\tratio\tgoal\trounds")
	for _, s := range sections {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		cases, err := s.make(b)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, c := range cases {
			if err := b.measure(c); err != nil {
				return err
			}
		}
		if err := b.w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// sql runs a script in a database with psql and returns its unaligned output.
func (b *bench) sql(database, script string) (string, error) {
	cmd := exec.CommandContext(b.ctx, b.psql, "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", b.server.DSN(database))
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", script, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// copyDatabase makes a database a new copy of the manager's.
func (b *bench) copyDatabase(name string) error {
	_, err := b.sql("postgres", "DROP DATABASE IF EXISTS "+name+";\nCREATE DATABASE "+name+" TEMPLATE mgmt;\nCHECKPOINT;\n")
	return err
}

// file returns the path of an output file, which the next run removes.
func (b *bench) file(name string) string { return filepath.Join(b.dir, "out", name) }

// Package doctor checks everything that commands depend on: the configuration, the connections, the servers, the
// tables and their rows. It changes nothing and suggests a remedy for each finding.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Status is the outcome of one check.
type Status string

// The outcomes. WARN and FAIL are findings; FAIL means that commands will be refused because of it.
const (
	OK   Status = "OK"
	Warn Status = "WARN"
	Fail Status = "FAIL"
	Skip Status = "SKIP" // nothing to check, or not possible
)

// Finding is the result of a check.
type Finding struct {
	Status   Status   `json:"status"`
	Found    string   `json:"found"`
	Count    int      `json:"count"`    // number of defects
	Examples []string `json:"examples"` // up to three
	Remedy   string   `json:"remedy"`   // a command or a sentence; "" if there is nothing to do
}

// Result is the output record of one check.
type Result struct {
	Check  string `json:"check"`
	Target string `json:"target"` // Local, or the name of the database
	Finding
}

// Local is the target of checks that do not concern a database.
const Local = "cxgctl"

// Target is a database to check.
type Target struct {
	Database migrate.Database
	Options  db.Options
	Source   string // where the setting comes from: a variable, a profile; "" if it is not set
	Absent   string // reason to skip the database
	Err      error  // why Options could not be determined
	Required bool   // doctor fails without it

	Direct  bool        // migrations use a connection string of their own
	Replica *db.Options // the replica that lists read; nil without one
}

// Input is the configuration of the command.
type Input struct {
	Client   string // name and version of this program
	Config   Config
	Secrets  []File
	Dev      *Dev // nil unless the dev database is used
	Operator Operator
	LockFor  time.Duration // how long accounts are locked after wrong passwords
	Targets  []Target
	Names    bool // examples show usernames instead of ids
}

// Operator is the user that commands would run as.
type Operator struct {
	Name   string // "" if none is configured
	Source string // where the name comes from
	// Accept returns the error with which commands would refuse the operator.
	Accept func(ctx context.Context, r db.Reader) error
}

// subject is a database while it is checked.
type subject struct {
	Target
	in *Input

	db      *db.DB // nil until the first check has connected
	session session
	layout  db.Layout // nil without Citus
	catalog schema.Catalog

	mu   sync.Mutex // guards gone, because row checks run in parallel
	gone string     // why the remaining checks cannot run, or ""
}

// check examines one aspect of a database. An error means that it could not run.
type check struct {
	name    string
	run     func(ctx context.Context, s *subject) (Finding, error)
	only    migrate.Database // "" means both
	catalog bool             // requires the tables, which the schema check reads
	rows    bool             // scans whole tables, so it runs in parallel with others
}

// checks run in this order. The first one connects. Row checks come last, because they are slow.
var checks = []check{
	{name: "connection", run: connection},
	{name: "version", run: version},
	{name: "replica", run: replica, only: migrate.Manager},
	{name: "clock", run: clock},
	{name: "migrations", run: migrations},
	{name: "schema", run: tables},
	{name: "drift", run: drift, catalog: true},
	{name: "soft-delete", run: softDelete, catalog: true},
	{name: "rights", run: rights},
	{name: "features", run: features},
	{name: "audit-log", run: auditLog, only: migrate.Manager, catalog: true},
	{name: "audit-seals", run: auditSeals, only: migrate.Manager, catalog: true},
	{name: "audit-cascade", run: auditCascade, only: migrate.Manager, catalog: true},
	{name: "audit-references", run: auditReferences, only: migrate.Manager, catalog: true},
	{name: "roles", run: roles, only: migrate.Manager, catalog: true},
	{name: "keys", run: keys, only: migrate.Manager, catalog: true},
	{name: "operator", run: operator, only: migrate.Manager, catalog: true},
	{name: "user-type-default", run: userTypeDefault, only: migrate.Manager, catalog: true},
	{name: "user-type", run: rowsWith(&unknownUserType), only: migrate.Manager, catalog: true, rows: true},
	{name: "username-case", run: usernameTwins, catalog: true, rows: true},
	{name: "user-status", run: rowsWith(&unknownUserStatus), only: migrate.Manager, catalog: true, rows: true},
	{name: "active-locked", run: rowsWith(&activeLocked), only: migrate.Manager, catalog: true, rows: true},
	{name: "empty-password", run: rowsWith(&emptyPassword), catalog: true, rows: true},
	{name: "email-case", run: emailTwins, catalog: true, rows: true},
	{name: "ambiguous-username", run: ambiguous, catalog: true, rows: true},
	{name: "user-values", run: userValues, catalog: true, rows: true},
	{name: "tenant-values", run: tenantValues, only: migrate.Manager, catalog: true, rows: true},
	{name: "repeated-grant", run: repeatedGrants, only: migrate.Manager, catalog: true, rows: true},
	{name: "invoice-number", run: repeatedNumbers, only: migrate.Manager, catalog: true, rows: true},
	{name: "invoice-status", run: rowsWith(&unknownInvoiceStatus), only: migrate.Manager, catalog: true, rows: true},
	{name: "invoice-total", run: rowsWith(&wrongTotal), only: migrate.Manager, catalog: true, rows: true},
	{name: "paid-without-date", run: rowsWith(&paidWithoutDate), only: migrate.Manager, catalog: true, rows: true},
	{name: "paid-without-method", run: rowsWith(&paidWithoutMethod), only: migrate.Manager, catalog: true, rows: true},
}

// Run runs every check and returns a result for each in a fixed order, including skipped ones. It returns
// PARTIAL_FAILURE if there are findings, or the reason, such as a DATABASE_ERROR or a configuration error, if a
// required database could not be checked.
func Run(ctx context.Context, in Input) ([]Result, error) {
	results := local(&in)
	subjects := make([]*subject, len(in.Targets))
	found := make([][]Result, len(in.Targets))
	var wg sync.WaitGroup
	for i, t := range in.Targets {
		subjects[i] = &subject{Target: t, in: &in}
		// in parallel, so that an unreachable host does not delay the others
		wg.Go(func() { found[i] = subjects[i].examine(ctx) })
	}
	wg.Wait()
	results = append(results, slices.Concat(found...)...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if in.Config.Err != nil {
		return results, in.Config.Err
	}
	for _, s := range subjects {
		if s.Required && s.db == nil {
			return results, s.unreachable(results)
		}
	}
	return results, verdict(results)
}

// Look runs the checks of one database and reports whether it could be reached.
func Look(ctx context.Context, client string, t Target) (results []Result, reached bool) {
	s := &subject{Target: t, in: &Input{Client: client}}
	results = s.examine(ctx)
	return results, s.db != nil
}

// lanes is the number of row checks that run in parallel. Queries that the server cannot parallelize share its
// processors, and a production server keeps some free.
const lanes = 2

// examine runs the checks of one database.
func (s *subject) examine(ctx context.Context) []Result {
	own := slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return c.only != "" && c.only != s.Database })
	results := make([]Result, len(own))
	var workers errgroup.Group
	workers.SetLimit(lanes)
	for i, c := range own {
		run := func() error {
			results[i] = Result{c.name, string(s.Database), s.make(ctx, c)}
			return nil
		}
		if c.rows {
			workers.Go(run)
		} else {
			_ = run()
		}
	}
	_ = workers.Wait() // findings hold the errors
	if s.db != nil {
		s.db.Close()
	}
	return results
}

// lost returns why the remaining checks cannot run.
func (s *subject) lost() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

func (s *subject) lose(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = fmt.Sprintf(format, args...)
}

// make runs one check with its own timeout.
func (s *subject) make(ctx context.Context, c check) Finding {
	switch {
	case s.in.Config.Err != nil:
		return skipped("the configuration cannot be read")
	case s.Absent != "":
		return skipped("%s", s.Absent)
	case s.lost() != "":
		return skipped("%s", s.lost())
	case c.catalog && s.catalog == nil:
		return skipped("the tables could not be read")
	}
	if t := s.Options.Timeout; t > 0 {
		var cancel context.CancelFunc
		// the server's timeouts fire first with a better message, unless the network drops it
		ctx, cancel = context.WithTimeout(ctx, t+t/10)
		defer cancel()
	}
	f, err := c.run(ctx, s)
	if err != nil {
		f = failure(err)
	}
	switch {
	case s.db == nil:
		s.lose("not connected")
	case errors.Is(err, context.DeadlineExceeded):
		s.lose("the server did not answer the %s check within %s", c.name, s.Options.Timeout)
	}
	return f
}

// unreachable returns the error if a required database could not be checked.
func (s *subject) unreachable(results []Result) error {
	i := slices.IndexFunc(results, func(r Result) bool { return r.Target == string(s.Database) })
	f := fault.New(fault.Database, "%s", results[i].Found).With("database", string(s.Database)).Because(s.Err)
	if fault.Is(s.Err, fault.Validation) {
		f.Code = fault.Validation
	}
	return f.WithHint("%s", results[i].Remedy)
}

func verdict(results []Result) error {
	made, found := 0, 0
	for _, r := range results {
		if r.Status != Skip {
			made++
		}
		if r.Bad() {
			found++
		}
	}
	if found == 0 {
		return nil
	}
	return fault.New(fault.PartialFailure, "%d of %s found something", found, fault.Plural(made, "check")).
		WithHint("the report shows how to fix each").With("checks", made).With("found", found)
}

// Bad reports whether the check found a problem.
func (f Finding) Bad() bool { return f.Status == Warn || f.Status == Fail }

// Constructors of findings.

func fine(format string, args ...any) Finding {
	return Finding{Status: OK, Found: fmt.Sprintf(format, args...), Examples: []string{}}
}

func skipped(format string, args ...any) Finding {
	return Finding{Status: Skip, Found: fmt.Sprintf(format, args...), Examples: []string{}}
}

// wrong returns a finding with one defect.
func wrong(s Status, format string, args ...any) Finding {
	return Finding{Status: s, Found: fmt.Sprintf(format, args...), Count: 1, Examples: []string{}}
}

func (f Finding) remedied(format string, args ...any) Finding {
	f.Remedy = fmt.Sprintf(format, args...)
	return f
}

// of sets the defects of a finding; the first three are its examples.
func (f Finding) of(things []string) Finding {
	f.Count, f.Examples = len(things), slices.Clone(things[:min(len(things), 3)])
	return f
}

// failure returns the finding of a check that could not run.
func failure(err error) Finding {
	f := fault.From(db.Translate(err))
	return wrong(Fail, "%s", f.Message).remedied("%s", f.Hint)
}

// span formats a duration: 0.3 ms, 12.4s, 1h0m3.1s.
func span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return d.Round(100 * time.Millisecond).String()
}

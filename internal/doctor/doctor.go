// Package doctor looks at what a command depends on, before one fails: the configuration, the
// connections, the servers, the tables that are there and the rows in them. It changes nothing, and says
// for everything that it finds what mends it.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Status is the outcome of one check.
type Status string

// The outcomes. A WARN and a FAIL are findings; FAIL means that commands will be refused for it.
const (
	OK   Status = "OK"
	Warn Status = "WARN"
	Fail Status = "FAIL"
	Skip Status = "SKIP" // there was nothing to look at, or no way to
)

// Finding is what a check saw.
type Finding struct {
	Status   Status   `json:"status"`
	Found    string   `json:"found"`
	Count    int      `json:"count"`    // how many things are wrong
	Examples []string `json:"examples"` // up to three of them
	Remedy   string   `json:"remedy"`   // a command or a sentence; "" where nothing is to be done
}

// Result is the record of one check.
type Result struct {
	Check  string `json:"check"`
	Target string `json:"target"` // Local, or the database that was looked at
	Finding
}

// Local is the target of the checks that concern no database.
const Local = "cxgctl"

// Target is a database to look at.
type Target struct {
	Database migrate.Database
	Options  db.Options
	Source   string // what names the database: a variable, a profile; "" if nothing does
	Absent   string // why there is nothing to look at; such a target is skipped
	Err      error  // why Options could not be settled
	Required bool   // doctor cannot do its work without it

	Direct  bool        // migrations have an address of their own
	Replica *db.Options // where lists read; nil where none is configured
}

// Input is what the command line knows.
type Input struct {
	Compat   bool   // what servers can do, in place of everything else
	Client   string // this program's name and version
	Config   Config
	Secrets  []File
	Dev      *Dev // nil where the dev database is not in use
	Operator Operator
	LockFor  time.Duration // how long wrong passwords lock an account
	Targets  []Target
	Names    bool // examples name users; otherwise they have their ids
}

// Operator is whom commands would be run for.
type Operator struct {
	Name   string // "" if nobody is named
	Source string // what names them
	// Accept says why commands would refuse them.
	Accept func(ctx context.Context, r db.Reader) error
}

// subject is one database while it is looked at.
type subject struct {
	Target
	in *Input

	db      *db.DB // nil until the first check has connected
	session session
	catalog schema.Catalog

	mu     sync.Mutex             // guards what checks of rows share, which are made side by side
	passes map[string]func() pass // by table; the first check that asks for one makes it
	gone   string                 // why no further check can look; "" while they can
}

// check looks at one thing in a database. What it returns as an error is why it could not look.
type check struct {
	name    string
	run     func(ctx context.Context, s *subject) (Finding, error)
	only    migrate.Database // "" for both
	catalog bool             // it needs to know the tables, which the schema check reads
	rows    bool             // it reads whole tables, and so is made beside another
}

// checks are made in this order; the first one connects, and the others need it. A further one is a
// function and a line here. Those of rows stand last, so that nothing waits for them; the slow ones are
// spread, so that two of them do not wait for the same pass.
var checks = []check{
	{name: "connection", run: connection},
	{name: "version", run: version},
	{name: "replica", run: replica, only: migrate.Manager},
	{name: "clock", run: clock},
	{name: "migrations", run: migrations},
	{name: "schema", run: tables},
	{name: "generation", run: generation, catalog: true},
	{name: "drift", run: drift, catalog: true},
	{name: "soft-delete", run: softDelete, catalog: true},
	{name: "rights", run: rights},
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
	{name: "created-by", run: creators, only: migrate.Manager, catalog: true, rows: true},
	{name: "invoice-status", run: rowsWith(&unknownInvoiceStatus), only: migrate.Manager, catalog: true, rows: true},
	{name: "invoice-total", run: rowsWith(&wrongTotal), only: migrate.Manager, catalog: true, rows: true},
	{name: "paid-without-date", run: rowsWith(&paidWithoutDate), only: migrate.Manager, catalog: true, rows: true},
	{name: "paid-without-method", run: rowsWith(&paidWithoutMethod), only: migrate.Manager, catalog: true, rows: true},
}

// Run makes every check and returns a result for each, in a fixed order: one that could not be made is
// there as well. The error is the verdict: PARTIAL_FAILURE where something was found; the reason, a
// DATABASE_ERROR or what is wrong with the configuration, where a required database could not be
// looked at.
func Run(ctx context.Context, in Input) ([]Result, error) {
	var results []Result
	if !in.Compat {
		results = local(&in)
	}
	subjects := make([]*subject, len(in.Targets))
	found := make([][]Result, len(in.Targets))
	var wg sync.WaitGroup
	for i, t := range in.Targets {
		subjects[i] = &subject{Target: t, in: &in, passes: map[string]func() pass{}}
		// at once, so that a host that does not answer holds up nobody else's checks
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

// Look makes the checks of one database alone, and says whether it could be reached.
func Look(ctx context.Context, client string, t Target) (results []Result, reached bool) {
	s := &subject{Target: t, in: &Input{Client: client}, passes: map[string]func() pass{}}
	results = s.examine(ctx)
	return results, s.db != nil
}

// lanes is how many checks of rows are made at once: the queries that the server cannot make in parallel
// share its processors, and a production server still has some left.
const lanes = 2

// examine makes the checks of one database.
func (s *subject) examine(ctx context.Context) []Result {
	list := checks
	if s.in.Compat {
		list = compatibility()
	}
	own := slices.DeleteFunc(slices.Clone(list), func(c check) bool { return c.only != "" && c.only != s.Database })
	results := make([]Result, len(own))
	var wg sync.WaitGroup
	busy := make(chan struct{}, lanes)
	for i, c := range own {
		if !c.rows {
			results[i] = Result{c.name, string(s.Database), s.make(ctx, c)}
			continue
		}
		busy <- struct{}{}
		wg.Go(func() {
			results[i] = Result{c.name, string(s.Database), s.make(ctx, c)}
			<-busy
		})
	}
	wg.Wait()
	if s.db != nil {
		s.db.Close()
	}
	return results
}

// lost returns why no further check can look.
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

// make makes one check, in its own time.
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
		// the server's own time-outs come first, with a better message, unless the network swallows them
		ctx, cancel = context.WithTimeout(ctx, t+t/10)
		defer cancel()
	}
	f, err := c.run(ctx, s)
	if err != nil {
		f = failure(err)
	}
	switch {
	case s.db == nil:
		s.lose("there is no connection")
	case errors.Is(err, context.DeadlineExceeded):
		s.lose("the server did not answer the %s check within %s", c.name, s.Options.Timeout)
	}
	return f
}

// unreachable is the verdict on a required database that could not be looked at.
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
	return fault.New(fault.PartialFailure, "%d of %d checks found something", found, made).
		WithHint("the report says what mends each").With("checks", made).With("found", found)
}

// Bad says whether something is wrong.
func (f Finding) Bad() bool { return f.Status == Warn || f.Status == Fail }

// The ways that a check ends.

func fine(format string, args ...any) Finding {
	return Finding{Status: OK, Found: fmt.Sprintf(format, args...), Examples: []string{}}
}

func skipped(format string, args ...any) Finding {
	return Finding{Status: Skip, Found: fmt.Sprintf(format, args...), Examples: []string{}}
}

// wrong is a finding of one thing; remedied says what to do about it.
func wrong(s Status, format string, args ...any) Finding {
	return Finding{Status: s, Found: fmt.Sprintf(format, args...), Count: 1, Examples: []string{}}
}

func (f Finding) remedied(format string, args ...any) Finding {
	f.Remedy = fmt.Sprintf(format, args...)
	return f
}

// of makes the finding one of these things, the first three of which are its examples.
func (f Finding) of(things []string) Finding {
	f.Count, f.Examples = len(things), slices.Clone(things[:min(len(things), 3)])
	return f
}

// failure is the finding of a check that could not look.
func failure(err error) Finding {
	f := fault.From(db.Translate(err))
	return wrong(Fail, "%s", f.Message).remedied("%s", f.Hint)
}

// span prints a duration as a person reads it: 0.3 ms, 12.4s, 1h0m3.1s.
func span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return d.Round(100 * time.Millisecond).String()
}

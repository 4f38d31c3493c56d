package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/fleet"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// The default and the largest value of --parallel.
const (
	defaultParallel = 8
	maxParallel     = 256
)

// bindTenants adds the flags of commands that work in several tenants' databases.
func (a *app) bindTenants(cmd *cobra.Command) *cobra.Command {
	fs := cmd.Flags()
	const usage = "in the databases of these `tenants`, by id, code or pattern: 'acme-*'"
	if f := fs.Lookup("tenant"); f != nil {
		f.Usage = usage
	} else {
		fs.Var(&a.tenant.refs, "tenant", usage)
		must(cmd.RegisterFlagCompletionFunc("tenant", tenantNoun.completion(a, true)))
	}
	fs.BoolVar(&a.tenant.all, "all-tenants", false, "in the databases of all tenants")
	fs.IntVar(&a.tenant.parallel, "parallel", defaultParallel, "number of tenants' databases to work in at once")
	fs.StringVar(&a.tenant.retry, "retry-failed", "", "with several tenants: only those listed in `file`, if it exists; then write those that failed to it")
	markFlags(fs, recorded, "tenant", "all-tenants", "parallel", "retry-failed")
	readsTables(fs, "all-tenants", schema.Tenants, schema.Intents)
	names(cmd, "retry-failed", fileKept)
	cmd.MarkFlagsMutuallyExclusive("tenant", "all-tenants")
	if cmd.Flags().Lookup("member-of") != nil { // memberships exist only in the manager database
		cmd.MarkFlagsMutuallyExclusive("tenant", "member-of")
		cmd.MarkFlagsMutuallyExclusive("all-tenants", "member-of")
	}
	return cmd
}

// check refuses values out of range, and flags that need others.
func (f tenantFlags) check() error {
	var p fault.Problems
	if f.parallel < 1 || f.parallel > maxParallel {
		p.Add("parallel", "%d is out of range; use 1 to %d", f.parallel, maxParallel)
	}
	if err := p.Err(); err != nil {
		return err
	}
	if f.retry != "" && !f.many() {
		return fault.New(fault.Usage, "--retry-failed needs --all-tenants or a pattern in --tenant")
	}
	return nil
}

// matches returns a function that reports whether a code matches the pattern: * is any text, ? any one character.
func matches(pattern string) func(code string) bool {
	text := regexp.QuoteMeta(pattern)
	text = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(text)
	return regexp.MustCompile("^" + text + "$").MatchString // quoted, so that it always compiles
}

// named returns the ids of the tenants that --tenant names by id or code, and matchers of its patterns.
func (f tenantFlags) named(ctx context.Context, s *session) (ids map[uuid.UUID]bool, patterns []func(code string) bool, err error) {
	ids = map[uuid.UUID]bool{}
	for _, text := range f.refs {
		if isPattern(text) {
			patterns = append(patterns, matches(text))
			continue
		}
		t, err := tenants.Find(ctx, s.db, s.cat, text, false)
		if err != nil {
			return nil, nil, err
		}
		ids[t.ID] = true
	}
	return ids, patterns, nil
}

// resolveTenants returns the live tenants that the flags select, ordered by code, with how to reach their databases. It
// is a RESOURCE_NOT_FOUND if the patterns match none.
func (a *app) resolveTenants(ctx context.Context, cmd *cobra.Command, s *session) ([]tenantTarget, error) {
	if err := a.tenant.check(); err != nil {
		return nil, err
	}
	if !a.tenant.many() {
		t, err := tenants.Find(ctx, s.db, s.cat, a.tenant.refs[0], false)
		return []tenantTarget{a.resolveTenantTarget(ctx, cmd, t)}, err
	}
	named, patterns, err := a.tenant.named(ctx, s)
	if err != nil {
		return nil, err
	}
	list, err := tenants.List(ctx, s.db, s.cat)
	if err != nil {
		return nil, err
	}
	again, err := a.tenant.again()
	if err != nil {
		return nil, err
	}
	var out []tenantTarget
	for _, t := range list {
		name := t.Name()
		fits := a.tenant.all || named[t.ID] || slices.ContainsFunc(patterns, func(fits func(string) bool) bool { return fits(name) })
		if !fits || again != nil && !again[name] {
			continue
		}
		delete(again, name)
		out = append(out, a.resolveTenantTarget(ctx, cmd, t))
	}
	if strange := slices.Sorted(maps.Keys(again)); len(strange) > 0 { // another file, which result would overwrite
		return nil, fault.New(fault.Validation, "--retry-failed %s lists %.40q, which is not one of the selected tenants", a.tenant.retry, strange[0]).
			WithHint("use a file written by a command with the same tenants, or omit --retry-failed to include all of them").With("file", a.tenant.retry)
	}
	if len(out) == 0 && again == nil && !a.tenant.all {
		refs := strings.Join(a.tenant.refs, ",")
		return nil, fault.New(fault.NotFound, "no tenant's code matches %q", refs).
			WithHint("codes are listed by: cxgctl tenants list").With("tenant", refs)
	}
	return out, nil
}

// again reads the codes of the tenants that failed in an earlier run, nil if none did.
func (f tenantFlags) again() (map[string]bool, error) {
	if f.retry == "" {
		return nil, nil
	}
	place, err := outfile.Locate(f.retry) // fails before any change if the failures could not be written
	if err != nil {
		return nil, unreadable(f.retry, err)
	}
	defer place.Close()
	text, err := place.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(f.retry, err)
	}
	codes := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if code := strings.TrimSpace(line); code != "" {
			codes[code] = true
		}
	}
	if len(codes) == 0 {
		return nil, nil // the last run had no failures
	}
	return codes, nil
}

// unreadable returns the error for a --retry-failed file that cannot be read.
func unreadable(path string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return fault.New(fault.Validation, "--retry-failed %s cannot be read", path).Because(err)
}

// tenantErrors collects the tenants whose databases failed, in order.
type tenantErrors struct {
	*app
	list []failedTenant
}

type failedTenant struct {
	Tenant  string     `json:"tenant"`
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	hint    string
	unknown bool // the outcome of a change is unknown, or not recorded yet
}

func (f *tenantErrors) add(code string, err error) {
	e := fault.From(db.Translate(err))
	f.list = append(f.list, failedTenant{code, e.Code, e.Message, e.Hint, audit.OutcomeUnknown(err)})
}

// common returns the refusal that all tenants have in common, which is about the command rather than the databases. It
// is nil if some succeeded or their errors differ.
func (f *tenantErrors) common(of int) error {
	if len(f.list) < of || of == 0 {
		return nil
	}
	first := f.list[0]
	if first.Code != fault.Validation && first.Code != fault.Usage && first.Code != fault.PermissionDenied && first.Code != fault.Unauthenticated {
		return nil
	}
	if slices.ContainsFunc(f.list, func(x failedTenant) bool { return x.Message != first.Message }) {
		return nil
	}
	return fault.New(first.Code, "%s", first.Message).WithHint("%s", first.hint)
}

// result returns the command's error: it names the tenants that failed, of that many, and writes them to --retry-failed.
func (f *tenantErrors) result(of int) error {
	if err := f.common(of); err != nil {
		return err
	}
	if f.tenant.retry != "" {
		var codes bytes.Buffer
		for _, x := range f.list {
			codes.WriteString(x.Tenant + "\n")
		}
		if err := output.WriteFile(f.tenant.retry, codes.Bytes()); err != nil {
			return err
		}
	}
	if len(f.list) == 0 {
		return nil
	}
	if cause := context.Cause(f.ctx); cause != nil {
		return cause // a signal, not a failure of the databases
	}
	names := make([]string, len(f.list))
	for i, x := range f.list {
		names[i] = x.Tenant
		if !isStructured(f.print.Format) {
			f.printf("cxgctl: error: tenant %s: %s", x.Tenant, x.Message)
		}
	}
	const named = 20
	if more := len(names) - named; more > 0 {
		names = append(names[:named], "and "+output.Thousands(int64(more))+" more")
	}
	e := fault.New(fault.PartialFailure, "%d of %s failed: %s; the rest is done", len(f.list), plural(of, "tenant"), strings.Join(names, ", ")).
		With("failed", f.list)
	switch {
	case slices.ContainsFunc(f.list, func(x failedTenant) bool { return x.unknown }):
		e.WithHint("to find and record the outcome of the changes: cxgctl audit reconcile")
	case f.tenant.retry != "":
		e.WithHint("run the same command again to retry only the tenants listed in %s", f.tenant.retry)
	}
	return e
}

// forEachTenant runs work in the database of each tenant, several at once, and yields the emitted rows with the tenant's
// code, in the order of the tenants. Errors are added to failed. A stream is limited by its idle time-out, other work by
// the time-out of a command.
func forEachTenant[R any](ctx context.Context, a *app, home *session, places []tenantTarget, failed *tenantErrors, stream bool,
	work func(ctx context.Context, s *session, emit func(R) error) error,
) iter.Seq2[string, R] {
	a.clock.stop() // each database has its own time-out
	return func(yield func(string, R) bool) {
		for e := range fleet.Run(ctx, places, a.tenant.parallel, func(ctx context.Context, p tenantTarget, emit func(R) error) error {
			return p.visit(ctx, home, stream, func(ctx context.Context, s *session) error { return work(ctx, s, emit) })
		}) {
			switch code := places[e.Place].code; {
			case e.Done && e.Err != nil:
				failed.add(code, e.Err)
			case e.Done:
			case !yield(code, e.Row):
				return
			}
		}
	}
}

// visit runs work with a connection to the tenant's database.
func (p tenantTarget) visit(ctx context.Context, home *session, stream bool, work func(context.Context, *session) error) error {
	if p.err != nil {
		return p.err
	}
	reached, cancel := ctx, func() {}
	if t := p.target.timeout; t > 0 {
		reached, cancel = context.WithTimeout(ctx, t+t/10) // in case the network drops the server's own time-outs
	}
	defer cancel()
	d, err := db.Open(reached, p.target.options("tenant "+p.code))
	if err != nil {
		return err
	}
	defer d.Close()
	cat, err := schema.Read(reached, d, schema.SysUsers, schema.Applied)
	if err != nil {
		return err
	}
	s := p.session(home, d, cat)
	if stream {
		return work(ctx, s)
	}
	return work(reached, s)
}

// split returns the users of a session, or an error if they cannot be told apart by tenant.
func (s *session) separableUsers() (*users.Table, error) {
	t, err := s.users()
	if err == nil && !t.Separable() {
		err = fault.New(fault.Validation, "the tenants share one database, whose sys.users has no tenant_id to tell their users apart").
			WithHint("use --tenant with a single tenant to work on the whole table")
	}
	return t, err
}

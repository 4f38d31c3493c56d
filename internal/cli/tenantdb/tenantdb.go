// Package tenantdb makes commands that work in the databases of several tenants: their flags, the fan-out, and the
// errors of single databases.
package tenantdb

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
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/fleet"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// Bind adds the flags of commands that work in several tenants' databases.
func Bind(env *cmdutil.Env, cmd *cobra.Command) *cobra.Command {
	fs := cmd.Flags()
	const usage = "in the databases of these `tenants`, by id, code or pattern: 'acme-*'"
	if f := fs.Lookup("tenant"); f != nil {
		f.Usage = usage
	} else {
		fs.Var(&env.Tenants.Refs, "tenant", usage)
		cmdutil.Tenants.CompleteFlag(env, cmd, "tenant")
	}
	fs.BoolVar(&env.Tenants.All, "all-tenants", false, "in the databases of all tenants")
	fs.IntVar(&env.Tenants.Parallel, "parallel", cmdutil.DefaultParallel, "number of tenants' databases to work in at once")
	fs.StringVar(&env.Tenants.Retry, "retry-failed", "", "with several tenants: only those listed in `file`, if it exists; then write those that failed to it")
	cliflag.MarkFlags(fs, cliflag.Recorded, "tenant", "all-tenants", "parallel", "retry-failed")
	cliflag.ExplainIn(fs, "tenants", "tenant", "all-tenants", "parallel", "retry-failed")
	cliflag.MarkTables(fs, "all-tenants", schema.Tenants, schema.Intents)
	cliflag.MarkFile(cmd, "retry-failed", cliflag.FileKept)
	cmd.MarkFlagsMutuallyExclusive("tenant", "all-tenants")
	if cmd.Flags().Lookup("member-of") != nil { // memberships exist only in the manager database
		cmd.MarkFlagsMutuallyExclusive("tenant", "member-of")
		cmd.MarkFlagsMutuallyExclusive("all-tenants", "member-of")
	}
	return cmd
}

// matches returns a function that reports whether a code matches the pattern: * is any text, ? any one character.
func matches(pattern string) func(code string) bool {
	text := regexp.QuoteMeta(pattern)
	text = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(text)
	return regexp.MustCompile("^" + text + "$").MatchString // always compiles, because the text is quoted
}

// resolve returns the ids of the tenants that --tenant names by id or code, and matchers of its patterns.
func resolve(ctx context.Context, f cmdutil.TenantFlags, s *cmdutil.Session) (ids map[uuid.UUID]bool, patterns []func(code string) bool, err error) {
	ids = map[uuid.UUID]bool{}
	for _, text := range f.Refs {
		if cmdutil.IsPattern(text) {
			patterns = append(patterns, matches(text))
			continue
		}
		t, err := tenants.Find(ctx, s.DB, s.Catalog, text, false)
		if err != nil {
			return nil, nil, err
		}
		ids[t.ID] = true
	}
	return ids, patterns, nil
}

// Resolve returns the live tenants that the flags select, with their databases, ordered by code. If the patterns
// match none, it returns RESOURCE_NOT_FOUND.
func Resolve(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, s *cmdutil.Session) ([]cmdutil.TenantTarget, error) {
	if err := env.Tenants.Check(); err != nil {
		return nil, err
	}
	if !env.Tenants.Many() {
		t, err := tenants.Find(ctx, s.DB, s.Catalog, env.Tenants.Refs[0], false)
		return []cmdutil.TenantTarget{cmdutil.ResolveTenantTarget(ctx, env, cmd, t)}, err
	}
	named, patterns, err := resolve(ctx, env.Tenants, s)
	if err != nil {
		return nil, err
	}
	list, err := tenants.List(ctx, s.DB, s.Catalog)
	if err != nil {
		return nil, err
	}
	retried, err := codesToRetry(env.Tenants)
	if err != nil {
		return nil, err
	}
	var out []cmdutil.TenantTarget
	for _, t := range list {
		name := t.Name()
		fits := env.Tenants.All || named[t.ID] || slices.ContainsFunc(patterns, func(fits func(string) bool) bool { return fits(name) })
		if !fits || retried != nil && !retried[name] {
			continue
		}
		delete(retried, name)
		out = append(out, cmdutil.ResolveTenantTarget(ctx, env, cmd, t))
	}
	if unknown := slices.Sorted(maps.Keys(retried)); len(unknown) > 0 { // not a file of this command, and Result would overwrite it
		return nil, fault.New(fault.Validation, "--retry-failed %s lists %.40q, which is not one of the selected tenants", env.Tenants.Retry, unknown[0]).
			WithHint("use a file written by a command with the same tenants, or omit --retry-failed to include all of them").With("file", env.Tenants.Retry)
	}
	if len(out) == 0 && retried == nil && !env.Tenants.All {
		refs := strings.Join(env.Tenants.Refs, ",")
		return nil, fault.New(fault.NotFound, "no tenant's code matches %q", refs).
			WithHint("codes are listed by: cxgctl tenants list").With("tenant", refs)
	}
	return out, nil
}

// codesToRetry returns the codes of the tenants that failed in an earlier run, nil if none did.
func codesToRetry(f cmdutil.TenantFlags) (map[string]bool, error) {
	if f.Retry == "" {
		return nil, nil
	}
	place, err := outfile.Locate(f.Retry) // fails before any change if the failures could not be written
	if err != nil {
		return nil, unreadable(f.Retry, err)
	}
	defer place.Close()
	text, err := place.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(f.Retry, err)
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
	return fault.New(fault.FileCode(err), "--retry-failed %s cannot be read: %s", path, fault.Reason(err)).Because(err)
}

// Errors collects the tenants whose databases failed, in order.
type Errors struct {
	*cmdutil.Env
	Failed []Failed
}

// Failed is a tenant whose database failed.
type Failed struct {
	Tenant  string     `json:"tenant"`
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	hint    string
	unknown bool // the outcome of a change is unknown or not yet recorded
}

func (f *Errors) add(code string, err error) {
	e := fault.From(db.Translate(err))
	f.Failed = append(f.Failed, Failed{code, e.Code, e.Message, e.Hint, audit.OutcomeUnknown(err)})
}

// Common returns the refusal that all tenants have in common, which is about the command rather than the databases. It
// is nil if some succeeded or their errors differ.
func (f *Errors) Common(of int) error {
	if len(f.Failed) < of || of == 0 {
		return nil
	}
	first := f.Failed[0]
	if first.Code != fault.Validation && first.Code != fault.Usage && first.Code != fault.PermissionDenied && first.Code != fault.Unauthenticated {
		return nil
	}
	if slices.ContainsFunc(f.Failed, func(x Failed) bool { return x.Message != first.Message }) {
		return nil
	}
	return fault.New(first.Code, "%s", first.Message).WithHint("%s", first.hint)
}

// Result returns the command's error, which names the failed tenants, and writes them to --retry-failed. of is the
// number of all tenants.
func (f *Errors) Result(of int) error {
	if err := f.Common(of); err != nil {
		return err
	}
	if f.Tenants.Retry != "" {
		var codes bytes.Buffer
		for _, x := range f.Failed {
			codes.WriteString(x.Tenant + "\n")
		}
		if err := output.WriteFile(f.Tenants.Retry, codes.Bytes()); err != nil {
			return err
		}
	}
	if len(f.Failed) == 0 {
		return nil
	}
	if cause := context.Cause(f.Context); cause != nil {
		return cause // a signal, not a failure of the databases
	}
	names := make([]string, len(f.Failed))
	for i, x := range f.Failed {
		names[i] = x.Tenant
		if !cmdutil.IsStructured(f.Printer.Format) {
			f.Printf("cxgctl: error: tenant %s: %s", x.Tenant, x.Message)
		}
	}
	const named = 20
	if more := len(names) - named; more > 0 {
		names = append(names[:named], "and "+output.Thousands(int64(more))+" more")
	}
	rest := "; the rest is done"
	if len(f.Failed) == of {
		rest = ""
	}
	e := fault.New(fault.PartialFailure, "%d of %s failed: %s%s", len(f.Failed), fault.Plural(of, "tenant"), strings.Join(names, ", "), rest).
		With("failed", f.Failed)
	switch {
	case slices.ContainsFunc(f.Failed, func(x Failed) bool { return x.unknown }):
		e.WithHint("to find and record the outcome of the changes: cxgctl audit reconcile")
	case f.Tenants.Retry != "":
		e.WithHint("run the same command again to retry only the tenants listed in %s", f.Tenants.Retry)
	}
	return e
}

// ForEach runs work in the database of each tenant, several at once, and yields the emitted rows with the
// tenant's code, in the order of the tenants. Errors are added to failed. A stream is limited by its idle time-out,
// other work by the time-out of a command.
func ForEach[R any](ctx context.Context, env *cmdutil.Env, manager *cmdutil.Session, targets []cmdutil.TenantTarget, failed *Errors, stream bool,
	work func(ctx context.Context, s *cmdutil.Session, emit func(R) error) error,
) iter.Seq2[string, R] {
	env.Deadline.Stop() // each database has its own time-out
	return run(ctx, env, targets, failed, func(ctx context.Context, t cmdutil.TenantTarget, emit func(R) error) error {
		if t.Err != nil {
			return t.Err
		}
		limited, cancel := ctx, func() {}
		if timeout := t.Options.Timeout; timeout > 0 {
			limited, cancel = context.WithTimeout(ctx, timeout+timeout/10) // in case the network drops the server's own time-outs
		}
		defer cancel()
		d, err := db.Open(limited, t.Options)
		if err != nil {
			return err
		}
		defer d.Close()
		cat, err := schema.Read(limited, d, schema.SysUsers, schema.Applied)
		if err != nil {
			return err
		}
		if !stream {
			ctx = limited
		}
		return work(ctx, t.NewSession(manager, d, cat), emit)
	})
}

// run runs work for each tenant, several at once, and yields the emitted rows, in the order of the tenants. Errors are
// added to failed.
func run[R any](
	ctx context.Context, env *cmdutil.Env, targets []cmdutil.TenantTarget, failed *Errors,
	work func(ctx context.Context, t cmdutil.TenantTarget, emit func(R) error) error,
) iter.Seq2[string, R] {
	return func(yield func(string, R) bool) {
		for e := range fleet.Run(ctx, targets, env.Tenants.Parallel, work) {
			switch code := targets[e.Place].CodeOrID; {
			case e.Done && e.Err != nil:
				failed.add(code, e.Err)
			case e.Done:
			case !yield(code, e.Row):
				return
			}
		}
	}
}

// SeparableUsers returns the users of a session, or an error if they cannot be told apart by tenant.
func SeparableUsers(s *cmdutil.Session) (*users.Table, error) {
	t, err := s.Users()
	if err == nil && !t.Separable() {
		err = fault.New(fault.Validation, "the tenants share one database, whose sys.users has no tenant_id to tell their users apart").
			WithHint("use --tenant with a single tenant to work on the whole table")
	}
	return t, err
}

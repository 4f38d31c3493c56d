package user

import (
	"context"
	"slices"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/users"
)

// tenantSelection is the selection of a batch in one tenant's database.
type tenantSelection struct {
	rows []users.User
	due  int      // number of rows that would change
	refs []string // REFs that named one of the rows
}

// tenantChange is the result of a batch in one tenant's database.
type tenantChange struct {
	rows    []users.User
	entries []audit.Entry
}

// changeInTenants applies a batch to users of several tenants. It first selects the rows in all databases, so that the
// guards and the prompt apply to the total, and then changes each tenant's users in a separate transaction.
func changeInTenants(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, b *cmdutil.Batch[users.User, *users.Table], targets []cmdutil.TenantTarget, refs []string) error {
	failed := &tenantdb.Errors{Env: env}
	selections := map[string]tenantSelection{}
	var names []string
	due, found := 0, map[string]bool{}
	for code, x := range tenantdb.ForEach(ctx, env, w.Session, targets, failed, false, func(ctx context.Context, s *cmdutil.Session, emit func(tenantSelection) error) error {
		x, err := selectInTenant(ctx, s, b, refs)
		if err != nil {
			return err
		}
		return emit(x)
	}) {
		for _, r := range x.refs {
			found[r] = true
		}
		if len(x.rows) > 0 {
			selections[code], due = x, due+x.due
		}
		for _, u := range x.rows {
			names = append(names, u.Username+" of "+code)
		}
	}
	if err := failed.Common(len(targets)); err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(refs), func(r string) bool { return found[r] })
	if len(failed.Failed) > 0 {
		missing = nil // the users may be in a database that failed
	}
	if b.Ref.Ignore {
		for _, r := range missing {
			env.Note("%s; ignored", notFoundInAny(r, targets).Message)
		}
		missing = nil
	}
	for _, r := range missing {
		_ = cmdutil.FailedOn(ctx, w, r, notFoundInAny(r, targets))
	}
	if len(names) == 0 && len(missing) > 0 {
		return notFoundInAny(missing[0], targets)
	}
	if err := w.Guard.Check(due); err != nil {
		return err
	}
	if err := b.AskAboutTenants(ctx, names, len(selections)); err != nil {
		return err
	}
	guarded := w.Guard != audit.Guard{}
	var after []tenantUser
	changing := slices.DeleteFunc(slices.Clone(targets), func(p cmdutil.TenantTarget) bool { _, ok := selections[p.CodeOrID]; return !ok })
	for code, x := range tenantdb.ForEach(ctx, env, w.Session, changing, failed, false, func(ctx context.Context, s *cmdutil.Session, emit func(tenantChange) error) error {
		t, err := s.Users()
		if err != nil {
			return err
		}
		edit, err := b.Edit(t)
		if err != nil {
			return err
		}
		selection := selections[s.Tenant.CodeOrID]
		l := s.LedgerFor(w.Ledger)
		if l.Guard = (audit.Guard{}); guarded {
			l.Guard.Expect = &selection.due
		}
		rows, err := t.Apply(ctx, l, selection.rows, edit)
		if err != nil {
			return err
		}
		return emit(tenantChange{rows, l.Entries()})
	}) {
		for _, u := range x.rows {
			after = append(after, tenantUser{code, u})
		}
		w.Merge(x.entries)
	}
	if err := cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintWhole(env, tenantUserView, after) }); err != nil {
		return err
	}
	for _, r := range missing {
		env.Printf("cxgctl: error: %s", notFoundInAny(r, targets))
	}
	err := failed.Result(len(targets))
	if err == nil && len(missing) > 0 {
		err = cmdutil.PartialFailure(w.DryRun, len(missing), len(refs)).With("failed", missing)
	}
	return err
}

func notFoundInAny(ref string, targets []cmdutil.TenantTarget) *fault.Error {
	return fault.New(fault.NotFound, "user %q not found in any of %s", ref, fault.Plural(len(targets), "tenant")).With(users.Kind.Guess(ref), ref)
}

// selectInTenant returns the users of one tenant that the REFs name or, without REFs, that the filter selects.
func selectInTenant(ctx context.Context, s *cmdutil.Session, b *cmdutil.Batch[users.User, *users.Table], refs []string) (out tenantSelection, err error) {
	t, err := tenantdb.SeparableUsers(s)
	if err != nil {
		return out, err
	}
	edit, err := b.Edit(t)
	if err != nil {
		return out, err
	}
	if len(refs) == 0 {
		out.rows, err = b.Filter.Rows(ctx, s, t, b.Deleted)
	} else {
		var by string
		if by, err = b.Resource.ParseKey(b.Ref.By); err != nil {
			return out, err
		}
		var found []resource.Match[users.User]
		found, err = t.Find(ctx, s.DB, refs, by, b.Deleted)
		seen := map[string]bool{}
		for _, f := range found {
			switch {
			case fault.Is(f.Err, fault.NotFound):
			case f.Err != nil:
				return out, f.Err
			default:
				out.refs = append(out.refs, f.Ref)
				if id := f.Row.ID.String(); !seen[id] {
					seen[id] = true
					out.rows = append(out.rows, f.Row)
				}
			}
		}
	}
	for _, row := range out.rows {
		if edit.IsNoop == nil || !edit.IsNoop(row) {
			out.due++
		}
	}
	return out, err
}

package user

import (
	"context"
	"slices"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
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
// guards and the question apply to the total, and then changes each tenant's users in a separate transaction.
func changeInTenants(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, b *cmdutil.Batch[users.User, *users.Table], places []cmdutil.TenantTarget, refs []string) error {
	failed := &cmdutil.TenantErrors{Env: env}
	chosen := map[string]tenantSelection{}
	total, due, found := 0, 0, map[string]bool{}
	for code, x := range cmdutil.ForEachTenant(ctx, env, w.Session, places, failed, false, func(ctx context.Context, s *cmdutil.Session, emit func(tenantSelection) error) error {
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
			chosen[code], total, due = x, total+len(x.rows), due+x.due
		}
	}
	if err := failed.Common(len(places)); err != nil {
		return err
	}
	lost := slices.DeleteFunc(slices.Clone(refs), func(r string) bool { return found[r] })
	if len(failed.Failed) > 0 {
		lost = nil // the users may be in a database that failed
	}
	for _, r := range lost {
		_ = cmdutil.FailedOn(ctx, w, r, notInAny(r, places))
	}
	if total == 0 && len(lost) > 0 {
		return notInAny(lost[0], places)
	}
	if err := w.Guard.Check(due); err != nil {
		return err
	}
	if err := b.AskAboutTenants(ctx, total, len(chosen)); err != nil {
		return err
	}
	guarded := w.Guard != audit.Guard{}
	var after []tenantUser
	these := slices.DeleteFunc(slices.Clone(places), func(p cmdutil.TenantTarget) bool { _, ok := chosen[p.CodeOrID]; return !ok })
	for code, x := range cmdutil.ForEachTenant(ctx, env, w.Session, these, failed, false, func(ctx context.Context, s *cmdutil.Session, emit func(tenantChange) error) error {
		t, err := s.Users()
		if err != nil {
			return err
		}
		edit, err := b.Edit(t)
		if err != nil {
			return err
		}
		mine := chosen[s.Tenant.CodeOrID]
		l := s.LedgerFor(w.Ledger)
		if l.Guard = (audit.Guard{}); guarded {
			l.Guard.Expect = &mine.due
		}
		rows, err := t.Apply(ctx, l, mine.rows, edit)
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
	for _, r := range lost {
		env.Printf("cxgctl: error: %s", notInAny(r, places))
	}
	err := failed.Result(len(places))
	if err == nil && len(lost) > 0 {
		err = cmdutil.PartialFailure(env, w.DryRun, len(lost), len(refs)).With("failed", lost)
	}
	return err
}

func notInAny(name string, places []cmdutil.TenantTarget) *fault.Error {
	return fault.New(fault.NotFound, "user %q not found in any of %s", name, cmdutil.Plural(len(places), "tenant")).With(users.Kind.GuessKey(name), name)
}

// selectInTenant returns the users of one tenant that the REFs name or, without REFs, that the filter selects.
func selectInTenant(ctx context.Context, s *cmdutil.Session, b *cmdutil.Batch[users.User, *users.Table], refs []string) (out tenantSelection, err error) {
	t, err := s.SeparableUsers()
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

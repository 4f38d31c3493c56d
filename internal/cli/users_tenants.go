package cli

import (
	"context"
	"iter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// tenantUser is a user's record with the code of the tenant in whose database it stands.
type tenantUser struct {
	Tenant string `json:"tenant"`
	users.User
}

var tenantUserView = output.View{
	Table: []string{"tenant", "username", "full_name", "email", "status", "last_login_at", "created_at"},
	Wide: []string{
		"tenant", "id", "username", "full_name", "email", "phone", "status", "failed_login_attempts", "locked_until", "last_login_at",
		"is_active", "created_at", "updated_at",
	},
}

// ofTenants gives a command about users the flags of several tenants: with them its records are others.
func (a *app) withTenantsFlags(build func() *cobra.Command) func() *cobra.Command {
	return func() *cobra.Command {
		cmd := a.bindTenants(a.bindTenant(build()))
		one := cmd.PreRunE
		cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
			if a.tenant.many() {
				return output.CheckColumns[tenantUser](a.out.columns)
			}
			return one(cmd, args)
		}
		return cmd
	}
}

// listInTenants lists the users of several tenants: every row that the filter selects, the tenants in the order of
// their codes.
func (a *app) listInTenants(ctx context.Context, s *session, cmd *cobra.Command, f users.Filter) error {
	for _, flag := range []string{"page", "page-size", "cursor", "state", "manifest"} {
		if cmd.Flags().Changed(flag) {
			return fault.New(fault.Usage, "--%s does not go with several tenants", flag).WithHint("every row of theirs is listed")
		}
	}
	places, err := a.resolveTenants(ctx, cmd, s)
	if err != nil {
		return err
	}
	leave, err := a.logFullRead(ctx, s, cmd, users.Kind.Name)
	if err != nil {
		return err
	}
	failed := &tenantErrors{app: a}
	rows := forEachTenant(ctx, a, s, places, failed, true, func(ctx context.Context, s *session, emit func(users.User) error) error {
		t, err := s.separableUsers()
		if err != nil {
			return err
		}
		q, err := t.List(f).All()
		if err != nil {
			return err
		}
		for u, err := range db.Stream[users.User](ctx, s.db, s.idle, q) {
			if err != nil {
				return err
			}
			if err := emit(u); err != nil {
				return err
			}
		}
		return nil
	})
	n, err := output.Stream(a.print, tenantUserView, unlessAllFailed(rows, failed, len(places)))
	if unrecorded := leave(n); err == nil {
		err = unrecorded
	}
	if err != nil {
		return err
	}
	return failed.result(len(places))
}

// unlessAlike yields rows as records; where every tenant refused the same, that is its end, and nothing is printed.
func unlessAllFailed(rows iter.Seq2[string, users.User], failed *tenantErrors, of int) iter.Seq2[tenantUser, error] {
	return func(yield func(tenantUser, error) bool) {
		for code, u := range rows {
			if !yield(tenantUser{code, u}, nil) {
				return
			}
		}
		if err := failed.common(of); err != nil {
			yield(tenantUser{}, err)
		}
	}
}

// getInTenants shows the users of several tenants that a REF names: in each at most one.
func (a *app) getInTenants(ctx context.Context, s *session, cmd *cobra.Command, how refFlags, name string) error {
	by, err := users.Kind.ParseKey(how.by)
	if err != nil {
		return err
	}
	places, err := a.resolveTenants(ctx, cmd, s)
	if err != nil {
		return err
	}
	failed := &tenantErrors{app: a}
	var list []tenantUser
	for code, u := range forEachTenant(ctx, a, s, places, failed, false, func(ctx context.Context, s *session, emit func(users.User) error) error {
		t, err := s.separableUsers()
		if err != nil {
			return err
		}
		found, err := t.Find(ctx, s.db, []string{name}, by, how.deleted)
		switch {
		case err != nil:
			return err
		case fault.Is(found[0].Err, fault.NotFound):
			return nil
		case found[0].Err != nil:
			return found[0].Err
		}
		return emit(found[0].Row)
	}) {
		list = append(list, tenantUser{code, u})
	}
	if err := failed.common(len(places)); err != nil {
		return err
	}
	if len(list) == 0 && len(failed.list) == 0 {
		return fault.New(fault.NotFound, "user %q not found in any of %s", name, plural(len(places), "tenant")).With(users.Kind.GuessKey(name), name)
	}
	if err := a.logReveal(ctx, s, cmd, users.Kind.Name, int64(len(list)), uuid.Nil); err != nil {
		return err
	}
	if err := printWhole(a, tenantUserView, list); err != nil {
		return err
	}
	return failed.result(len(places))
}

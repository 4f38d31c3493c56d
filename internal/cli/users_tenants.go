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

// tenantUser is a user in the database of a tenant.
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

// userColumns checks --columns of a command that prints users, or tenantUser records with several tenants.
func (a *app) userColumns(columns []string) error {
	if a.tenant.many() {
		return output.CheckColumns[tenantUser](columns)
	}
	return output.CheckColumns[users.User](columns)
}

// listInTenants lists all selected users of several tenants, in the order of the tenants' codes.
func (a *app) listInTenants(ctx context.Context, s *session, cmd *cobra.Command, f users.Filter) error {
	for _, flag := range []string{"page", "page-size", "cursor", "state", "manifest"} {
		if cmd.Flags().Changed(flag) {
			return fault.New(fault.Usage, "--%s cannot be used with several tenants", flag).WithHint("every selected row is listed")
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

// unlessAllFailed yields rows as records. If all tenants fail with the same error it yields only that error.
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

// getInTenants shows the users that a REF names in several tenants, at most one per tenant.
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

package user

import (
	"context"
	"iter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// tenantUser is a user in the database of a tenant.
type tenantUser struct {
	Tenant string `json:"tenant" table:"key"`
	users.User
}

var tenantUserView = output.View{
	Name:  "users",
	Table: []string{"tenant", "username", "full_name", "email", "status", "last_login_at", "created_at"},
	Wide: []string{
		"tenant", "id", "username", "full_name", "email", "phone", "status", "failed_login_attempts", "locked_until", "last_login_at",
		"is_active", "created_at", "updated_at",
	},
}

// userColumns checks --columns of a command that prints users, or tenantUser records with several tenants.
func userColumns(env *cmdutil.Env, columns []string) error {
	if env.Tenants.Many() {
		return output.CheckColumns[tenantUser](columns)
	}
	return output.CheckColumns[users.User](columns)
}

// listInTenants lists all selected users of several tenants, in the order of the tenants' codes.
func listInTenants(ctx context.Context, env *cmdutil.Env, s *cmdutil.Session, cmd *cobra.Command, f users.Filter) error {
	for _, flag := range []string{"page", "page-size", "cursor", "state", "manifest"} {
		if cmd.Flags().Changed(flag) {
			return fault.New(fault.Usage, "--%s cannot be used with several tenants", flag).WithHint("every selected row is listed")
		}
	}
	targets, err := cmdutil.ResolveTenants(ctx, env, cmd, s)
	if err != nil {
		return err
	}
	recordRead, err := cmdutil.LogFullRead(ctx, env, s, cmd)
	if err != nil {
		return err
	}
	failed := &cmdutil.TenantErrors{Env: env}
	rows := cmdutil.ForEachTenant(ctx, env, s, targets, failed, true, func(ctx context.Context, s *cmdutil.Session, emit func(users.User) error) error {
		t, err := s.SeparableUsers()
		if err != nil {
			return err
		}
		q, err := t.List(f).All()
		if err != nil {
			return err
		}
		for u, err := range db.Stream[users.User](ctx, s.DB, s.IdleTimeout, q) {
			if err != nil {
				return err
			}
			if err := emit(u); err != nil {
				return err
			}
		}
		return nil
	})
	n, err := output.Stream(env.Printer, tenantUserView, unlessAllFailed(rows, failed, len(targets)))
	if recordErr := recordRead(n); err == nil {
		err = recordErr
	}
	if err != nil {
		return err
	}
	return failed.Result(len(targets))
}

// unlessAllFailed yields rows as records. If all tenants fail with the same error it yields only that error.
func unlessAllFailed(rows iter.Seq2[string, users.User], failed *cmdutil.TenantErrors, of int) iter.Seq2[tenantUser, error] {
	return func(yield func(tenantUser, error) bool) {
		for code, u := range rows {
			if !yield(tenantUser{code, u}, nil) {
				return
			}
		}
		if err := failed.Common(of); err != nil {
			yield(tenantUser{}, err)
		}
	}
}

// getInTenants shows the users that a REF names in several tenants, at most one per tenant.
func getInTenants(ctx context.Context, env *cmdutil.Env, s *cmdutil.Session, cmd *cobra.Command, flags cmdutil.RefFlags, ref string) error {
	by, err := users.Kind.ParseKey(flags.By)
	if err != nil {
		return err
	}
	targets, err := cmdutil.ResolveTenants(ctx, env, cmd, s)
	if err != nil {
		return err
	}
	failed := &cmdutil.TenantErrors{Env: env}
	var list []tenantUser
	for code, u := range cmdutil.ForEachTenant(ctx, env, s, targets, failed, false, func(ctx context.Context, s *cmdutil.Session, emit func(users.User) error) error {
		t, err := s.SeparableUsers()
		if err != nil {
			return err
		}
		found, err := t.Find(ctx, s.DB, []string{ref}, by, flags.Deleted)
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
	if err := failed.Common(len(targets)); err != nil {
		return err
	}
	if len(list) == 0 && len(failed.Failed) == 0 {
		return fault.New(fault.NotFound, "user %q not found in any of %s", ref, cmdutil.Plural(len(targets), "tenant")).With(users.Kind.GuessKey(ref), ref)
	}
	if err := cmdutil.LogReveal(ctx, env, s, cmd, int64(len(list)), uuid.Nil); err != nil {
		return err
	}
	if err := cmdutil.PrintWhole(env, tenantUserView, list); err != nil {
		return err
	}
	return failed.Result(len(targets))
}

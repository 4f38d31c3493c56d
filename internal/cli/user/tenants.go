package user

import (
	"cmp"
	"context"
	"iter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/resource"
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
	targets, err := tenantdb.Resolve(ctx, env, cmd, s)
	if err != nil {
		return err
	}
	recordRead, err := cmdutil.LogFullRead(ctx, env, s, cmd)
	if err != nil {
		return err
	}
	failed := &tenantdb.Errors{Env: env}
	rows := tenantdb.ForEach(ctx, env, s, targets, failed, true, func(ctx context.Context, s *cmdutil.Session, emit func(users.User) error) error {
		t, err := tenantdb.SeparableUsers(s)
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
	if err := cmp.Or(err, recordRead(n)); err != nil {
		return err
	}
	return failed.Result(len(targets))
}

// unlessAllFailed yields rows as records. If all tenants fail with the same error it yields only that error.
func unlessAllFailed(rows iter.Seq2[string, users.User], failed *tenantdb.Errors, of int) iter.Seq2[tenantUser, error] {
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

// getInTenants shows the users that the REFs name in several tenants.
func getInTenants(ctx context.Context, env *cmdutil.Env, s *cmdutil.Session, cmd *cobra.Command, flags cmdutil.RefFlags, refs []string) error {
	by, err := users.Kind.ParseKey(flags.By)
	if err != nil {
		return err
	}
	targets, err := tenantdb.Resolve(ctx, env, cmd, s)
	if err != nil {
		return err
	}
	failed := &tenantdb.Errors{Env: env}
	matched := map[string]bool{}
	var found []resource.Match[tenantUser]
	for code, m := range tenantdb.ForEach(ctx, env, s, targets, failed, false, func(ctx context.Context, s *cmdutil.Session, emit func(resource.Match[users.User]) error) error {
		t, err := tenantdb.SeparableUsers(s)
		if err != nil {
			return err
		}
		found, err := t.Find(ctx, s.DB, refs, by, flags.Deleted)
		for _, m := range found {
			if err == nil && m.Err == nil {
				err = emit(m)
			} else if err == nil && !fault.Is(m.Err, fault.NotFound) {
				err = m.Err
			}
		}
		return err
	}) {
		matched[m.Ref] = true
		found = append(found, resource.Match[tenantUser]{Ref: m.Ref, Row: tenantUser{code, m.Row}})
	}
	if err := failed.Common(len(targets)); err != nil {
		return err
	}
	for _, ref := range refs {
		if !matched[ref] && len(failed.Failed) == 0 { // it may be in a database that failed
			found = append(found, resource.Match[tenantUser]{Ref: ref, Err: notFoundInAny(ref, targets)})
		}
	}
	err = cmdutil.ShowFound(env, func(u tenantUser) [2]string { return [2]string{u.Tenant, u.ID.String()} }, flags, found, func(rows []tenantUser) error {
		if err := cmdutil.LogReveal(ctx, env, s, cmd, int64(len(rows)), uuid.Nil); err != nil {
			return err
		}
		return cmdutil.PrintWhole(env, tenantUserView, rows)
	})
	return cmp.Or(err, failed.Result(len(targets)))
}

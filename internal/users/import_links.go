package users

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// linked is a membership or a grant that a row asks for.
type linked struct {
	in     *incoming
	of     uuid.UUID // the tenant or the role
	code   string    // of the role
	within *uuid.UUID
	sql    string
	args   pgx.NamedArgs
	change audit.Change
}

// write inserts memberships and grants, and returns a change for each that is new, as the database stored it. It
// fails rows whose membership or grant the server refuses or does not store.
func (x *tenancy) write(ctx context.Context, tx *audit.Tx, list []linked) ([]audit.Change, error) {
	if len(list) == 0 {
		return nil, nil
	}
	err := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error { return send(ctx, save, list) })
	if err != nil {
		if err = x.refusals(ctx, tx, list, err); err == nil {
			err = importer.ErrAgain
		}
		return nil, err
	}
	made, err := x.readBack(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(l linked) bool { return l.in.Failure != nil }) {
		return nil, importer.ErrAgain
	}
	return made, nil
}

func send(ctx context.Context, tx pgx.Tx, list []linked) error {
	batch := &pgx.Batch{}
	for _, l := range list {
		batch.Queue(l.sql, l.args)
	}
	batch.Queue("SET CONSTRAINTS ALL IMMEDIATE")
	return tx.SendBatch(ctx, batch).Close()
}

// refusals fails the rows whose membership or grant the server refuses. It returns cause if the error is not about a
// row.
func (x *tenancy) refusals(ctx context.Context, tx *audit.Tx, list []linked, cause error) error {
	of, err := importer.OfRow(ctx, tx, cause, func(save pgx.Tx) error { return send(ctx, save, nil) })
	if err != nil {
		return err
	}
	if !of {
		return cause
	}
	failed := false
	for i, l := range list {
		err := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error { return send(ctx, save, list[i:i+1]) })
		if err == nil {
			continue
		}
		if !db.MayBeOfRow(err) && !db.OfRow(err) {
			return err
		}
		field, value := "tenant", l.in.tenant
		if l.change.Resource == "role" {
			field, value = "roles", l.change.Name
		}
		l.in.Fail(field, value, fault.From(db.Translate(err)), nil)
		failed = true
	}
	if !failed {
		return cause
	}
	return nil
}

const (
	readMembers = `
SELECT m.id, m.tenant_id AS of, m.user_id, NULL::uuid AS within, m.role, m.status, {status} IS DISTINCT FROM 'LEFT' AS counts
  FROM tnnt.tenant_users m
 WHERE (m.tenant_id, m.user_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))`
	readGrants = `
SELECT g.id, g.role_id AS of, g.user_id, g.tenant_context AS within, NULL::text AS role, g.status,
       {status} = 'ACTIVE' AND (g.expires_at IS NULL OR g.expires_at > now()) AS counts
  FROM idam.user_roles g
 WHERE (g.role_id, g.user_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))`
)

// there is a membership or a grant as stored.
type there struct {
	ID     uuid.UUID  `db:"id"`
	Of     uuid.UUID  `db:"of"`
	UserID uuid.UUID  `db:"user_id"`
	Within *uuid.UUID `db:"within"`
	Role   *string    `db:"role"`
	Status string     `db:"status"`
	Counts bool       `db:"counts"` // in force: not LEFT, revoked, expired or marked as deleted
}

// readBack returns a change for each membership or grant that was inserted, revives existing ones that are not in
// force, and fails the rows whose membership or grant is missing.
func (x *tenancy) readBack(ctx context.Context, tx *audit.Tx, list []linked) ([]audit.Change, error) {
	var of, who [2][]uuid.UUID // of memberships, and of grants
	kind := func(l linked) int {
		if l.change.Resource == "role" {
			return 1
		}
		return 0
	}
	for _, l := range list {
		k := kind(l)
		of[k], who[k] = append(of[k], l.of), append(who[k], l.in.New.ID)
	}
	type link struct {
		kind     int
		of, user uuid.UUID
		within   uuid.UUID
	}
	ids := map[uuid.UUID]there{}
	links := map[link]bool{} // whether it is in force
	for k, sql := range []string{readMembers, readGrants} {
		if len(of[k]) == 0 {
			continue
		}
		status := [...]func() string{
			func() string { return x.members.LiveStatus("m", "LEFT") }, func() string { return x.grants.LiveStatus("g", "INACTIVE") },
		}[k]()
		sql = strings.Replace(sql, "{status}", status, 1)
		found, err := db.Collect[there](ctx, tx, sql, of[k], who[k])
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			ids[f.ID] = f
			key := link{k, f.Of, f.UserID, orZero(f.Within)}
			links[key] = links[key] || f.Counts
		}
	}
	var made []audit.Change
	done := func(l linked, change audit.Change) {
		made = append(made, change)
		if l.in.Outcome == importer.Unchanged {
			l.in.Outcome = importer.Updated
		}
	}
	for _, l := range list {
		is, mine := ids[l.change.ID]
		counts, there := links[link{kind(l), l.of, l.in.New.ID, orZero(l.within)}]
		switch {
		case mine:
			switch record := l.change.After.(type) {
			case member:
				record.Role, record.Status = is.Role, is.Status
				l.change.After = record
			case grant:
				record.Status = is.Status
				l.change.After = record
			}
			done(l, l.change)
		case there && !counts:
			change, err := x.revive(ctx, tx, l)
			if err != nil {
				return nil, err
			}
			if change != nil {
				done(l, *change)
			}
		case !there:
			table := [...]string{schema.TenantUsers, schema.UserRoles}[kind(l)]
			l.in.Fail([...]string{"tenant", "roles"}[kind(l)], l.change.Name,
				db.NotStored(ctx, tx, table, db.Insert, "kept "+l.change.Resource+" "+l.change.Name+" from being stored"), nil)
		}
	}
	return made, nil
}

// revive renews a grant that was revoked, has expired or is marked as deleted, or a membership that was LEFT, as
// `roles grant` and `tenants members add` do. It fails the row if that is refused or not stored.
func (x *tenancy) revive(ctx context.Context, tx *audit.Tx, l linked) (change *audit.Change, err error) {
	user := &l.in.New
	field, value := "tenant", l.in.tenant
	err = pgx.BeginFunc(ctx, tx, func(pgx.Tx) error {
		if l.change.Resource == "role" {
			field, value = "roles", l.change.Name
			table, err := roles.NewTable(x.cat)
			if err != nil {
				return err
			}
			_, change, err = table.Give(ctx, tx, roles.Given{
				Role: roles.Role{ID: l.of, Code: l.code}, To: roles.Holder{ID: user.ID, Name: user.Username}, Tenant: l.within, Keep: true,
			})
			return err
		}
		table, err := tenants.NewMembers(x.cat)
		if err != nil {
			return err
		}
		var said tenants.Membership
		if l.in.tenantRole != "" {
			said.Role = &l.in.tenantRole
		}
		change, err = table.Rejoin(ctx, tx, l.change.Subject, l.of, tenants.User{ID: user.ID, Name: user.Username}, said)
		return err
	})
	_, ours := errors.AsType[*fault.Error](err)
	if err != nil && (ours || db.OfRow(err) || db.MayBeOfRow(err)) {
		l.in.Fail(field, value, fault.From(db.Translate(err)), nil)
		return nil, nil
	}
	return change, err
}

func orZero(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

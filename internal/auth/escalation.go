package auth

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/users"
)

// done is what a transaction did that these rules are about.
type done struct {
	outranked []uuid.UUID // users whose way in was changed: password, e-mail, status, …
	lost      []uuid.UUID // MASTERs who were able to act before it
	granted   bool
	given     []uuid.UUID // roles that were given or taken away
	stripped  []uuid.UUID // users who lost SUPER_ADMIN
}

// Leave implements audit.Gate: nobody gives what is above their own level, changes their own roles or
// status, or makes a MASTER without being one, and the last MASTER stays. Whatever way a change came
// about, it passes here.
func (g *Gate) Leave(ctx context.Context, tx *audit.Tx, changes []audit.Change) error {
	var d done
	for _, c := range changes {
		var err error
		switch {
		case c.Resource == "user" && c.TenantID == nil:
			err = g.judgeUser(c, &d)
		case c.Resource == "role":
			err = g.judgeGrant(c, &d)
		}
		if err != nil {
			return err
		}
	}
	if err := g.stronger(ctx, tx, d.given); err != nil {
		return err
	}
	if err := g.outranked(ctx, tx, d.outranked); err != nil {
		return err
	}
	return g.chair(ctx, tx, d)
}

// record returns one side of a change as a T: as it is, or out of its JSON form; nil for none.
func record[T any](v any) (*T, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case *T:
		return v, nil
	case T:
		return &v, nil
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out T
	return &out, json.Unmarshal(doc, &out)
}

// sides are both sides of a change.
func sides[T any](c audit.Change) (before, after *T, err error) {
	before, err = record[T](c.Before)
	after, aerr := record[T](c.After)
	if err = errors.Join(err, aerr); err != nil {
		err = fault.New(fault.Internal, "a change of a %s cannot be judged", c.Resource).Because(err)
	}
	return before, after, err
}

func is(s *string, want string) bool { return s != nil && *s == want }

// canAct says whether a user is a MASTER who fills the chair.
func canAct(u *users.User) bool {
	return u != nil && u.IsActive && is(u.UserType, "MASTER") && is(u.Status, "ACTIVE")
}

func (g *Gate) judgeUser(c audit.Change, d *done) error {
	before, after, err := sides[users.User](c)
	if err != nil {
		return err
	}
	master := func(u *users.User) bool { return u != nil && u.IsActive && is(u.UserType, "MASTER") }
	if master(after) && !master(before) && g.who.Type != "MASTER" {
		return g.deny(c.ID, "operator %q is %s, and only a MASTER makes a MASTER of %q", g.who.Name, g.who.Type, c.Name)
	}
	if before == nil {
		return nil
	}
	if after == nil {
		after = &users.User{}
	}
	differ := func(a, b *string) bool { return (a == nil) != (b == nil) || a != nil && *a != *b }
	standing := before.IsActive != after.IsActive || differ(before.Status, after.Status) || differ(before.UserType, after.UserType)
	way := len(c.Secrets) > 0 || before.Email != after.Email || before.Username != after.Username
	self := c.ID == g.who.ID
	switch {
	case standing && self:
		return g.deny(c.ID, "operator %q may not change their own status", g.who.Name).WithHint("another operator can")
	case way && !self && master(before) && g.who.Type != "MASTER":
		return g.deny(c.ID, "operator %q is %s, and only a MASTER changes the password, e-mail or name of MASTER %q", g.who.Name, g.who.Type, c.Name)
	case (standing || way) && !self:
		d.outranked = append(d.outranked, c.ID)
	}
	if canAct(before) && !canAct(after) {
		d.lost = append(d.lost, c.ID)
	}
	return nil
}

func (g *Gate) judgeGrant(c audit.Change, d *done) error {
	before, after, err := sides[roles.Grant](c)
	if err != nil {
		return err
	}
	grant := after
	if grant == nil {
		grant = before
	}
	if grant.UserID == g.who.ID {
		return g.deny(c.ID, "operator %q may not change their own roles", g.who.Name).WithHint("another operator can")
	}
	d.given = append(d.given, grant.RoleID)
	held := func(x *roles.Grant) bool { return x != nil && is(x.Status, "ACTIVE") }
	switch {
	case held(after):
		d.granted = true
	case held(before) && grant.Role == SuperAdmin && grant.TenantID == nil:
		d.stripped = append(d.stripped, grant.UserID)
	}
	return nil
}

const findOutranking = `
SELECT o.username
  FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id JOIN idam.users o ON o.id = ur.user_id
 WHERE ur.user_id = ANY ($1) AND {in force} AND {everywhere} AND {rank} < $2
 ORDER BY o.username LIMIT 1`

// findStronger finds a role that is stronger than a rank. What the change says of the role is not asked: it may be
// from another generation of the table.
const findStronger = `SELECT {role}::text FROM idam.roles r WHERE r.id = ANY ($1) AND {rank} < $2 ORDER BY {role} LIMIT 1`

// stronger refuses to give or take away a role that is above all of the operator's.
func (g *Gate) stronger(ctx context.Context, tx *audit.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 || g.tables.holes == nil || g.who.Level() == 0 {
		return nil
	}
	var role string
	err := tx.QueryRow(ctx, g.tables.sql(findStronger), ids, min(int64(g.who.Level()), 1<<31-1)).Scan(&role)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.deny(uuid.Nil, "role %s is stronger than any of operator %q", role, g.who.Name).With("role", role)
}

// outranked refuses to change the way in of somebody with a stronger role: a new password of theirs would be
// a way around their level.
func (g *Gate) outranked(ctx context.Context, tx *audit.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 || g.tables.holes == nil || !g.enforce || !g.who.Enforced || g.who.Level() == 0 {
		return nil
	}
	var name string
	err := tx.QueryRow(ctx, g.tables.sql(findOutranking), ids, min(int64(g.who.Level()), 1<<31-1)).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.deny(uuid.Nil, "user %q holds a stronger role than operator %q", name, g.who.Name).With("username", name)
}

// chairLock is the advisory lock that makes everybody who may empty the chair come one after the other.
const chairLock = `SELECT pg_advisory_xact_lock(hashtextextended('cxgctl: the last MASTER', 0))`

const superLeft = `
SELECT EXISTS (SELECT FROM idam.users o JOIN idam.user_roles ur ON ur.user_id = o.id JOIN idam.roles r ON r.id = ur.role_id
                WHERE o.user_type = 'MASTER' AND {operator o} AND {in force} AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       EXISTS (SELECT FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id
                WHERE ur.user_id = ANY ($1) AND {in force} AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       ` + someoneHolds

// chair refuses what would leave nobody in it: no MASTER who can act, or none who holds SUPER_ADMIN where
// one did, or where the first role ever given would shut everybody out. It looks after the change, under
// a lock, so that two who each leave one to the other cannot both go through.
func (g *Gate) chair(ctx context.Context, tx *audit.Tx, d done) error {
	starts := d.granted && !g.who.Enforced
	if len(d.lost) == 0 && len(d.stripped) == 0 && !starts {
		return nil
	}
	if _, err := tx.Exec(ctx, chairLock); err != nil {
		return err
	}
	if len(d.lost) > 0 {
		var left bool
		sql := "SELECT EXISTS (SELECT FROM idam.users o WHERE o.user_type = 'MASTER' AND " + operator("o", g.tables.users) + ")"
		if err := tx.QueryRow(ctx, sql).Scan(&left); err != nil {
			return err
		}
		if !left {
			return g.deny(d.lost[0], "the last live, ACTIVE MASTER cannot be deleted, locked or demoted").
				WithHint("nothing was changed; make another MASTER first")
		}
	}
	if g.tables.holes == nil {
		return nil
	}
	var left, before, enforced bool
	if err := tx.QueryRow(ctx, g.tables.sql(superLeft), append(d.lost, d.stripped...)).Scan(&left, &before, &enforced); err != nil {
		return err
	}
	switch {
	case left:
		return nil
	case before || len(d.stripped) > 0:
		return g.deny(uuid.Nil, "the last live, ACTIVE MASTER with SUPER_ADMIN cannot be deleted, locked, demoted or stripped of it").
			WithHint("nothing was changed; grant SUPER_ADMIN to another MASTER first")
	case starts && enforced && g.enforce:
		return g.deny(uuid.Nil, "the first role given to an operator would shut everybody out: no MASTER holds SUPER_ADMIN").
			WithHint("begin with: cxgctl auth bootstrap")
	}
	return nil
}

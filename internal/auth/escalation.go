package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/users"
)

// done is what a transaction did that these rules are about.
type changeSummary struct {
	touched  []uuid.UUID // users whose way in was changed: a field of the account, or a session, key or role
	lost     []uuid.UUID // MASTERs who were able to act before it
	granted  bool
	given    []roles.Grant // in force now, and not before or for less long
	fresh    []uuid.UUID   // those of given that were not in force before
	moved    []uuid.UUID   // roles that were given or taken away
	stripped []uuid.UUID   // users who lost SUPER_ADMIN, or hold it no longer without an end
}

// Changes implements audit.Judge. An operator gives only what they hold, changes nothing that lets a stronger account
// in, and neither their own roles nor their own status. Only a MASTER makes a MASTER, and the last MASTER stays.
// Whatever way a change came about, it passes here.
func (j *judge) Changes(ctx context.Context, tx *audit.Tx, changes []audit.Change) error {
	var d changeSummary
	for _, c := range changes {
		var err error
		switch {
		case c.Resource == users.Resource.Name && c.TenantID == nil && c.Action != audit.Read:
			err = j.judgeUser(c, &d)
		case c.Resource == roles.Resource.Name:
			err = j.judgeGrant(c, &d)
		case c.Resource == "session", c.Resource == "key":
			err = j.judgeCredential(c, &d)
		}
		if err != nil {
			return err
		}
	}
	for _, rule := range []func(context.Context, *audit.Tx, changeSummary) error{j.onlyWhatTheyHold, j.notTheStronger, j.keepLastMaster} {
		if err := rule(ctx, tx, d); err != nil {
			return err
		}
	}
	return nil
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

// canAct says whether a user is a MASTER who may act as an operator.
func canAct(u *users.User) bool {
	return u != nil && u.IsActive && is(u.UserType, "MASTER") && is(u.Status, "ACTIVE")
}

// standingFields are the fields of the way in that say whether an account counts at all. Operators change those of others,
// and a SYSTEM operator those of a MASTER too.
var standingFields = []string{"status", "user_type", "is_active", "locked_until", "failed_login_attempts"}

func (j *judge) judgeUser(c audit.Change, d *changeSummary) error {
	before, after, err := sides[users.User](c)
	if err != nil {
		return err
	}
	master := func(u *users.User) bool { return u != nil && u.IsActive && is(u.UserType, "MASTER") }
	if master(after) && !master(before) && j.who.Type != "MASTER" {
		return j.deny(c.ID, "operator %q is %s, and only a MASTER makes a MASTER of %q", j.who.Name, j.who.Type, c.Name)
	}
	if before == nil {
		return nil
	}
	if after == nil {
		after = &users.User{}
	}
	fields, err := users.WayIn(*before, *after)
	if err != nil {
		return err
	}
	fields = append(fields, c.Secrets...)
	self := c.ID == j.who.ID
	own := func(name string) bool { return slices.Contains([]string{"status", "user_type", "is_active"}, name) }
	identifying := func(name string) bool {
		if !j.who.Enforced { // without roles to compare
			return name == "username" || name == "email" || slices.Contains(c.Secrets, name)
		}
		return !slices.Contains(standingFields, name)
	}
	switch {
	case len(fields) == 0:
		return nil
	case self && slices.ContainsFunc(fields, own):
		return j.deny(c.ID, "operator %q may not change their own status", j.who.Name).WithHint("another operator can")
	case !self && master(before) && j.who.Type != "MASTER" && slices.ContainsFunc(fields, identifying):
		return j.deny(c.ID, "operator %q is %s, and only a MASTER changes the password, e-mail or name of MASTER %q", j.who.Name, j.who.Type, c.Name)
	case !self:
		d.touched = append(d.touched, c.ID)
	}
	if canAct(before) && !canAct(after) {
		d.lost = append(d.lost, c.ID)
	}
	return nil
}

// credential is what a change of a session or a key is judged by.
type credential struct {
	UserID uuid.UUID `json:"user_id"`
	Status string    `json:"status"`
	Scopes []string  `json:"scopes"`
}

// judgeCredential refuses a key that may do more than its maker. A session that has expired and is marked so loses
// nothing.
func (j *judge) judgeCredential(c audit.Change, d *changeSummary) error {
	before, after, err := sides[credential](c)
	if err != nil {
		return err
	}
	row := after
	if row == nil {
		row = before
	}
	if s := j.who.Session; s != nil && c.ID == s.ID {
		j.ended = true
	}
	if row.UserID != j.who.ID && row.Status != "EXPIRED" {
		d.touched = append(d.touched, row.UserID)
	}
	if c.Resource == "key" && row.Status == "ACTIVE" {
		if err := j.who.Require(nil, row.Scopes...); err != nil {
			return fault.From(err).WithHint("a key may only have permissions that its maker holds")
		}
	}
	return nil
}

func (j *judge) judgeGrant(c audit.Change, d *changeSummary) error {
	before, after, err := sides[roles.Grant](c)
	if err != nil {
		return err
	}
	grant := after
	if grant == nil {
		grant = before
	}
	if grant.UserID == uuid.Nil { // a role itself, which bootstrap makes
		return nil
	}
	if grant.UserID == j.who.ID {
		return j.deny(c.ID, "operator %q may not change their own roles", j.who.Name).WithHint("another operator can")
	}
	d.moved, d.touched = append(d.moved, grant.RoleID), append(d.touched, grant.UserID)
	held := func(x *roles.Grant) bool { return x != nil && is(x.Status, "ACTIVE") }
	if held(after) {
		d.granted = true
		d.given = append(d.given, *after)
		if !held(before) {
			d.fresh = append(d.fresh, after.ID)
		}
	}
	forGood := func(x *roles.Grant) bool { return held(x) && x.ExpiresAt == nil }
	if held(before) && (!held(after) || forGood(before) && !forGood(after)) && grant.Role == SuperAdmin && grant.TenantID == nil {
		d.stripped = append(d.stripped, grant.UserID)
	}
	return nil
}

const (
	// What the change says of the role is not asked: it may be from another generation of the table.
	findStronger = `SELECT {role}::text FROM idam.roles r WHERE r.id = ANY ($1) AND {rank} < $2 ORDER BY {role} LIMIT 1`
	readContents = `
SELECT DISTINCT rp.role_id, {permission}::text
  FROM idam.role_permissions rp JOIN idam.permissions p ON p.id = rp.permission_id
 WHERE rp.role_id = ANY ($1) AND {usable}`
	readMaker = `
SELECT min({rank})
  FROM idam.api_keys k JOIN idam.user_roles ur ON ur.user_id = k.created_by JOIN idam.roles r ON r.id = ur.role_id
 WHERE k.id = $1 AND {in force} AND {everywhere}`
)

// onlyWhatTheyHold refuses to give or take away a role that is above all of the operator's, or to give one with a
// permission that they do not hold in the same scope. A key gives roles whose permissions it lists, up to the rank of
// the operator who made it.
func (j *judge) onlyWhatTheyHold(ctx context.Context, tx *audit.Tx, d changeSummary) error {
	tables := j.gate.tables
	if len(d.moved) == 0 || tables.missing != "" || j.who.Level() == 0 {
		return nil
	}
	level := j.who.Level()
	if j.who.Scopes != nil {
		var maker *int
		if err := tx.QueryRow(ctx, tables.sql(readMaker), j.who.Session.ID).Scan(&maker); err != nil {
			return err
		}
		if maker != nil {
			level = max(min(level, *maker), 1)
		}
		if !j.who.Enforced {
			level = 1 // no operator holds a role yet
		}
	}
	var role string
	err := tx.QueryRow(ctx, tables.sql(findStronger), d.moved, level).Scan(&role)
	if err == nil {
		return j.deny(uuid.Nil, "role %s is stronger than any of operator %q", role, j.who.Name).With("role", role)
	}
	if !errors.Is(err, pgx.ErrNoRows) || len(d.given) == 0 {
		return ignoreNoRows(err)
	}
	rows, err := tx.Query(ctx, tables.sql(readContents), roleIDs(d.given))
	if err != nil {
		return err
	}
	contents := map[uuid.UUID][]string{}
	var id uuid.UUID
	var code string
	if _, err := pgx.ForEachRow(rows, []any{&id, &code}, func() error {
		contents[id] = append(contents[id], code)
		return nil
	}); err != nil {
		return err
	}
	for _, grant := range d.given {
		slices.Sort(contents[grant.RoleID])
		if missing := j.who.Lacks(grant.TenantID, contents[grant.RoleID]...); len(missing) > 0 {
			return j.deny(uuid.Nil, "role %s has permissions that operator %q does not hold: %s", grant.Role, j.who.Name, strings.Join(missing, ", ")).
				WithHint("an operator gives only what they hold themselves").With("role", grant.Role).With("permissions", missing)
		}
	}
	return nil
}

func roleIDs(grants []roles.Grant) []uuid.UUID {
	ids := make([]uuid.UUID, len(grants))
	for i, g := range grants {
		ids[i] = g.RoleID
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

func ignoreNoRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

const findOutranking = `
SELECT o.username
  FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id JOIN idam.users o ON o.id = ur.user_id
 WHERE ur.user_id = ANY ($1) AND {in force} AND {everywhere} AND {rank} < $2 AND ur.id <> ALL ($3::uuid[])
 ORDER BY o.username LIMIT 1`

// notTheStronger refuses to change what lets an account with a stronger role in: a new password, or no second factor,
// would be a way around its level. Roles that the transaction itself gives do not count; onlyWhatTheyHold judges them.
func (j *judge) notTheStronger(ctx context.Context, tx *audit.Tx, d changeSummary) error {
	if len(d.touched) == 0 || j.gate.tables.missing != "" || !j.who.Enforced || j.who.Level() == 0 {
		return nil
	}
	var name string
	err := tx.QueryRow(ctx, j.gate.tables.sql(findOutranking), d.touched, j.who.Level(), append([]uuid.UUID{}, d.fresh...)).Scan(&name)
	if err != nil {
		return ignoreNoRows(err)
	}
	return j.deny(uuid.Nil, "user %q holds a stronger role than operator %q", name, j.who.Name).With("username", name)
}

// lastMasterLock makes transactions that may take the last MASTER away come one after the other.
const lastMasterLock = `SELECT pg_advisory_xact_lock(hashtextextended('cxgctl: the last MASTER', 0))`

// readSupers asks for a MASTER who holds SUPER_ADMIN without an end, for the role among the users of $1, and whether
// permissions are enforced. A role with an end would leave none when it is over.
const readSupers = `
SELECT EXISTS (SELECT FROM idam.users o JOIN idam.user_roles ur ON ur.user_id = o.id JOIN idam.roles r ON r.id = ur.role_id
                WHERE o.user_type = 'MASTER' AND {operator o} AND {in force} AND ur.expires_at IS NULL AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       EXISTS (SELECT FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id
                WHERE ur.user_id = ANY ($1) AND {in force} AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       {begun}`

// keepLastMaster rejects changes that would leave no active MASTER, or none with SUPER_ADMIN where one had it or where
// the first role ever given would make every other operator powerless. It runs after the change, under an advisory
// lock, so that two concurrent demotions cannot both succeed.
func (j *judge) keepLastMaster(ctx context.Context, tx *audit.Tx, d changeSummary) error {
	starts := d.granted && !j.who.Enforced
	if len(d.lost) == 0 && len(d.stripped) == 0 && !starts {
		return nil
	}
	if _, err := tx.Exec(ctx, lastMasterLock); err != nil {
		return err
	}
	tables := j.gate.tables
	if len(d.lost) > 0 {
		var left bool
		sql := "SELECT EXISTS (SELECT FROM idam.users o WHERE o.user_type = 'MASTER' AND {operator o})"
		if err := tx.QueryRow(ctx, tables.sql(sql)).Scan(&left); err != nil {
			return err
		}
		if !left {
			return j.deny(d.lost[0], "the last live, ACTIVE MASTER cannot be deleted, locked or demoted").
				WithHint("nothing was changed; make another MASTER first")
		}
	}
	if tables.missing != "" {
		return nil
	}
	var left, before, enforced bool
	if err := tx.QueryRow(ctx, tables.sql(readSupers), append(d.lost, d.stripped...)).Scan(&left, &before, &enforced); err != nil {
		return err
	}
	switch {
	case !left && len(d.stripped) > 0, !left && before:
		return j.deny(uuid.Nil, "the last live, ACTIVE MASTER with SUPER_ADMIN cannot be deleted, locked, demoted or stripped of it, nor hold it with an end").
			WithHint("nothing was changed; grant SUPER_ADMIN to another MASTER first, without --expires")
	case !left && starts && enforced:
		return j.deny(uuid.Nil, "the first role given to an operator would shut everybody out: no MASTER holds SUPER_ADMIN").
			WithHint("begin with: cxgctl auth bootstrap")
	case starts && enforced:
		return tables.mark(ctx, tx)
	}
	return nil
}

package auth

import (
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

// changeSummary is what the escalation rules need to know about a transaction's changes.
type changeSummary struct {
	touched  []uuid.UUID // users with a changed account, session, key or role
	lost     []uuid.UUID // MASTERs who can no longer act as operators
	granted  bool
	given    []roles.Grant // grants that are new or were extended
	fresh    []uuid.UUID   // the new ones among given
	moved    []uuid.UUID   // roles granted or revoked
	stripped []uuid.UUID   // users who lost SUPER_ADMIN or now hold it with an expiry
}

// Changes implements audit.TxAuthorizer. Operators grant only what they hold, cannot change the credentials of a stronger
// account, and cannot change their own roles or status. Only a MASTER makes a MASTER, and the last MASTER stays. The
// rules apply to every change, whichever command made it.
func (a *txAuthorizer) Changes(ctx context.Context, tx *audit.Tx, changes []audit.Change) error {
	var d changeSummary
	for _, c := range changes {
		var err error
		switch {
		case c.Resource == users.Resource.Name && c.TenantID == nil && c.Action != audit.Read:
			err = a.checkUser(c, &d)
		case c.Resource == roles.Resource.Name:
			err = a.checkGrant(c, &d)
		case c.Resource == "session", c.Resource == "key":
			err = a.checkCredential(c, &d)
		}
		if err != nil {
			return err
		}
	}
	for _, rule := range []func(context.Context, *audit.Tx, changeSummary) error{a.checkGrantedRights, a.checkRank, a.keepLastMaster} {
		if err := rule(ctx, tx, d); err != nil {
			return err
		}
	}
	return nil
}

// record returns one side of a change as a T, decoded from JSON if necessary; nil if the change lacks that side.
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

func sides[T any](c audit.Change) (before, after *T, err error) {
	before, err = record[T](c.Before)
	after, aerr := record[T](c.After)
	if err = errors.Join(err, aerr); err != nil {
		err = fault.New(fault.Internal, "a change of a %s cannot be judged", c.Resource).Because(err)
	}
	return before, after, err
}

func is(s *string, want string) bool { return s != nil && *s == want }

// canAct reports whether a user is a MASTER who may act as an operator.
func canAct(u *users.User) bool {
	return u != nil && u.IsActive && is(u.UserType, "MASTER") && is(u.Status, "ACTIVE")
}

// statusFields are the account fields that decide whether the account is usable at all. Operators may change them for
// others, and a SYSTEM operator may do so for a MASTER.
var statusFields = []string{"status", "user_type", "is_active", "locked_until", "failed_login_attempts"}

func (a *txAuthorizer) checkUser(c audit.Change, d *changeSummary) error {
	before, after, err := sides[users.User](c)
	if err != nil {
		return err
	}
	master := func(u *users.User) bool { return u != nil && u.IsActive && is(u.UserType, "MASTER") }
	if master(after) && !master(before) && a.who.Type != "MASTER" {
		return a.deny(c.ID, "operator %q is %s; only a MASTER can make %q a MASTER", a.who.Name, a.who.Type, c.Name)
	}
	if before == nil {
		return nil
	}
	if after == nil {
		after = &users.User{}
	}
	fields := append(users.WayIn(*before, *after), c.Secrets...)
	self := c.ID == a.who.ID
	own := func(name string) bool { return slices.Contains([]string{"status", "user_type", "is_active"}, name) }
	identifying := func(name string) bool {
		if !a.who.Enforced { // without roles to compare
			return name == "username" || name == "email" || slices.Contains(c.Secrets, name)
		}
		return !slices.Contains(statusFields, name)
	}
	switch {
	case len(fields) == 0:
		return nil
	case self && slices.ContainsFunc(fields, own):
		return a.deny(c.ID, "operator %q may not change their own status", a.who.Name).WithHint("ask another operator")
	case !self && master(before) && a.who.Type != "MASTER" && slices.ContainsFunc(fields, identifying):
		return a.deny(c.ID, "operator %q is %s; only a MASTER can change the password, e-mail or name of MASTER %q", a.who.Name, a.who.Type, c.Name)
	case !self:
		d.touched = append(d.touched, c.ID)
	}
	if canAct(before) && !canAct(after) {
		d.lost = append(d.lost, c.ID)
	}
	return nil
}

// credential holds the fields of a session or key that the rules look at.
type credential struct {
	UserID uuid.UUID `json:"user_id"`
	Status string    `json:"status"`
	Scopes []string  `json:"scopes"`
}

// checkCredential refuses a key with more permissions than its maker. Marking an expired session as EXPIRED takes
// nothing from its user, so that does not count as touching them.
func (a *txAuthorizer) checkCredential(c audit.Change, d *changeSummary) error {
	before, after, err := sides[credential](c)
	if err != nil {
		return err
	}
	row := after
	if row == nil {
		row = before
	}
	if s := a.who.Session; s != nil && c.ID == s.ID {
		a.ended = true
	}
	if row.UserID != a.who.ID && row.Status != "EXPIRED" {
		d.touched = append(d.touched, row.UserID)
	}
	if c.Resource == "key" && row.Status == "ACTIVE" {
		if err := a.who.Require(nil, row.Scopes...); err != nil {
			return fault.From(err).WithHint("a key can only have permissions that its maker holds")
		}
	}
	return nil
}

func (a *txAuthorizer) checkGrant(c audit.Change, d *changeSummary) error {
	before, after, err := sides[roles.Grant](c)
	if err != nil {
		return err
	}
	grant := after
	if grant == nil {
		grant = before
	}
	if grant.UserID == uuid.Nil { // the role itself, created by bootstrap
		return nil
	}
	if grant.UserID == a.who.ID {
		return a.deny(c.ID, "operator %q may not change their own roles", a.who.Name).WithHint("ask another operator")
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
	// The role's code and rank are read from the table: the change may come from another generation of it.
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

// checkGrantedRights refuses to grant or revoke a role stronger than all of the operator's, and to grant one with a
// permission that the operator does not hold in the same scope. A key can grant roles whose permissions it lists, up to
// the rank of the operator who created it.
func (a *txAuthorizer) checkGrantedRights(ctx context.Context, tx *audit.Tx, d changeSummary) error {
	tables := a.authorizer.tables
	if len(d.moved) == 0 || tables.missing != "" || a.who.Level() == 0 {
		return nil
	}
	level := a.who.Level()
	if a.who.Scopes != nil {
		var maker *int
		if err := tx.QueryRow(ctx, tables.sql(readMaker), a.who.Session.ID).Scan(&maker); err != nil {
			return err
		}
		if maker != nil {
			level = max(min(level, *maker), 1)
		}
		if !a.who.Enforced {
			level = 1 // before any operator holds a role
		}
	}
	var role string
	err := tx.QueryRow(ctx, tables.sql(findStronger), d.moved, level).Scan(&role)
	if err == nil {
		return a.deny(uuid.Nil, "role %s is stronger than every role of operator %q", role, a.who.Name).With("role", role)
	}
	if !errors.Is(err, pgx.ErrNoRows) || len(d.given) == 0 {
		return ignoreNoRows(err)
	}
	rows, err := tx.Query(ctx, tables.sql(readContents), d.moved)
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
		if missing := a.who.Lacks(grant.TenantID, contents[grant.RoleID]...); len(missing) > 0 {
			return a.deny(uuid.Nil, "role %s has permissions that operator %q does not hold: %s", grant.Role, a.who.Name, strings.Join(missing, ", ")).
				WithHint("operators can only grant permissions that they hold").With("role", grant.Role).With("permissions", missing)
		}
	}
	return nil
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

// checkRank refuses to change the credentials of an account with a stronger role: setting its password or removing its
// second factor would bypass its rank. Roles granted by the same transaction do not count; checkGrantedRights checks
// those.
func (a *txAuthorizer) checkRank(ctx context.Context, tx *audit.Tx, d changeSummary) error {
	if len(d.touched) == 0 || a.authorizer.tables.missing != "" || !a.who.Enforced || a.who.Level() == 0 {
		return nil
	}
	var name string
	err := tx.QueryRow(ctx, a.authorizer.tables.sql(findOutranking), d.touched, a.who.Level(), append([]uuid.UUID{}, d.fresh...)).Scan(&name)
	if err != nil {
		return ignoreNoRows(err)
	}
	return a.deny(uuid.Nil, "user %q holds a stronger role than operator %q", name, a.who.Name).With("username", name)
}

// lastMasterLock serializes transactions that may remove the last MASTER.
const lastMasterLock = `SELECT pg_advisory_xact_lock(hashtextextended('cxgctl: the last MASTER', 0))`

// readSuperAdmins reads whether any MASTER holds SUPER_ADMIN without an expiry, whether any user in $1 holds that role,
// and whether permissions are enforced. A role with an expiry does not count, because it would leave none later.
const readSuperAdmins = `
SELECT EXISTS (SELECT FROM idam.users o JOIN idam.user_roles ur ON ur.user_id = o.id JOIN idam.roles r ON r.id = ur.role_id
                WHERE o.user_type = 'MASTER' AND {operator o} AND {in force} AND ur.expires_at IS NULL AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       EXISTS (SELECT FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id
                WHERE ur.user_id = ANY ($1) AND {in force} AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       {begun}`

// keepLastMaster rejects changes that would leave no active MASTER. It also rejects those that would leave no MASTER
// with SUPER_ADMIN, if one had it or if the first role ever granted would leave every other operator without
// permissions. It runs after the change, under an advisory lock, so that two concurrent demotions cannot both succeed.
func (a *txAuthorizer) keepLastMaster(ctx context.Context, tx *audit.Tx, d changeSummary) error {
	starts := d.granted && !a.who.Enforced
	if len(d.lost) == 0 && len(d.stripped) == 0 && !starts {
		return nil
	}
	if _, err := tx.Exec(ctx, lastMasterLock); err != nil {
		return err
	}
	tables := a.authorizer.tables
	if len(d.lost) > 0 {
		var left bool
		sql := "SELECT EXISTS (SELECT FROM idam.users o WHERE o.user_type = 'MASTER' AND {operator o})"
		if err := tx.QueryRow(ctx, tables.sql(sql)).Scan(&left); err != nil {
			return err
		}
		if !left {
			return a.deny(d.lost[0], "the last live, ACTIVE MASTER cannot be deleted, locked or demoted").
				WithHint("nothing was changed; create another MASTER first")
		}
	}
	if tables.missing != "" {
		return nil
	}
	var left, before, enforced bool
	if err := tx.QueryRow(ctx, tables.sql(readSuperAdmins), append(d.lost, d.stripped...)).Scan(&left, &before, &enforced); err != nil {
		return err
	}
	switch {
	case !left && len(d.stripped) > 0, !left && before:
		return a.deny(uuid.Nil, "the last live, ACTIVE MASTER with SUPER_ADMIN cannot be deleted, locked or demoted, and their SUPER_ADMIN cannot be revoked or given an expiry").
			WithHint("nothing was changed; grant SUPER_ADMIN to another MASTER first, without --expires")
	case !left && starts && enforced:
		return a.deny(uuid.Nil, "granting a first role would lock every operator out: no MASTER holds SUPER_ADMIN").
			WithHint("start with: cxgctl auth bootstrap")
	case starts && enforced:
		return tables.mark(ctx, tx)
	}
	return nil
}

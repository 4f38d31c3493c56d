package auth

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/sessions"
	"github.com/cxgctl/cxgctl/internal/users"
)

// Issued is a new token. This is its only copy: the database stores at most a hash.
type Issued struct {
	Token   string
	ID      uuid.UUID // of the session or the key
	User    string
	Expires time.Time
	Bounded bool // the key expires with the grant or key that it was created under
}

// Keep stores a new token and makes the change that makes it valid, in this order, so that the token cannot be lost.
type Keep func(token string, change func() error) error

// The kinds of the backend's tokens.
const (
	AccessToken  = "access"
	RefreshToken = "refresh"
)

// Issue creates a token of the backend for the operator. Its session is stored in the database and can be revoked
// there.
func (d *Login) Issue(ctx context.Context, l *audit.Ledger, who Identity, secret, kind string, keep Keep) (Issued, error) {
	life := AccessLife
	if kind == RefreshToken {
		life = RefreshLife
	}
	var email string
	var now time.Time
	if err := l.Reader().QueryRow(ctx, `SELECT email, now() FROM idam.users WHERE id = $1`, who.ID).Scan(&email, &now); err != nil {
		return Issued{}, err
	}
	session := uuid.NewString()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		Username: who.Name, Email: email, Session: session, Type: kind,
		RegisteredClaims: jwt.RegisteredClaims{Subject: who.ID.String(), ExpiresAt: jwt.NewNumericDate(now.Add(life))},
	}).SignedString([]byte(secret))
	if err != nil {
		return Issued{}, err
	}
	out := Issued{Token: token, User: who.Name}
	intent := audit.Intent{Subject: audit.Subject{Resource: "session", Name: who.Name}, Action: audit.Create}
	err = keep(token, func() error {
		return l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
			change, err := d.createSession(ctx, tx, who.ID, who.Name, session, life, who.Session != nil && who.Session.verified)
			change.Action = audit.Create
			out.ID, out.Expires = change.ID, tx.Now.Add(life)
			return []audit.Change{change}, err
		})
	})
	return out, err
}

// NewKey describes a key to be created for the service account svc-Name.
type NewKey struct {
	Name   string
	TTL    time.Duration // 0 means no expiry
	Scopes []string      // its permissions
}

var keyName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?$`) })

// check normalizes the key and refuses an invalid one, or one with permissions that its maker does not hold.
func (n *NewKey) check(who Identity) error {
	var p fault.Problems
	n.Name = strings.TrimPrefix(n.Name, "svc-")
	if !keyName().MatchString(n.Name) {
		p.Add("name", "%.60q is not a valid name; use lower-case letters, digits and hyphens", n.Name)
	}
	if n.TTL < 0 {
		p.Add("ttl", "must not be negative")
	}
	for i, code := range n.Scopes {
		n.Scopes[i] = strings.ToUpper(strings.TrimSpace(code))
	}
	slices.Sort(n.Scopes)
	n.Scopes = slices.DeleteFunc(slices.Compact(n.Scopes), func(s string) bool { return s == "" })
	if len(n.Scopes) == 0 {
		p.Add("permissions", "at least one is required")
	}
	if err := p.Err(); err != nil {
		return err
	}
	if err := who.Require(nil, n.Scopes...); err != nil {
		return fault.From(err).WithHint("a key can only have permissions that its maker holds")
	}
	return nil
}

// Keys creates the keys of services.
type Keys struct {
	keys        *schema.Table
	permissions *schema.Table // nil if the database lacks the table
	users       *users.Table
	grants      grants
}

// NewKeys returns a Keys; a database without users or keys gives a DATABASE_ERROR.
func NewKeys(cat schema.Catalog) (*Keys, error) {
	u, err := users.NewTable(cat)
	if err != nil {
		return nil, err
	}
	k, err := cat.Table(schema.APIKeys)
	if err != nil {
		return nil, err
	}
	g, err := newGrants(cat)
	return &Keys{k, cat[schema.Permissions], u, g}, err
}

var keyValues = [][2]string{
	{"id", "@id"},
	{"created_at", "@now"},
	{"created_by", "@by"},
	{"key_id", "@key_id"},
	{"key_hash", "@hash"},
	{"key_name", "@name"},
	{"user_id", "@user"},
	{"service_account", "@account"},
	{"scopes", "@scopes"},
	{"status", "'ACTIVE'"},
	{"expires_at", "@expires"},
	{"usage_count", "0"},
}

// KeyWarning is how long before its end a key is reported.
const KeyWarning = 14 * 24 * time.Hour

// maxGrace is the longest time that a replaced key stays valid.
const maxGrace = 7 * 24 * time.Hour

// Rotation describes how a key is replaced.
type Rotation struct {
	Grace time.Duration // how long the old key stays valid; 0 revokes it
	TTL   time.Duration // of the new key; 0 means as long as the old one was made for
}

// Rotate replaces a key by one with a new secret for the same service and with the same permissions, which the maker
// must hold. The old key is revoked, or expires after the grace period.
func (k *Keys) Rotate(ctx context.Context, l *audit.Ledger, who Identity, old sessions.Key, r Rotation, keep Keep) (Issued, error) {
	name := strings.TrimPrefix(text(old.Username), "svc-")
	n := NewKey{Name: name, TTL: r.TTL, Scopes: slices.Clone(old.Scopes)}
	intent := audit.Intent{Subject: audit.Subject{Resource: "key", ID: old.ID, Name: text(old.KeyName)}, Action: audit.Update}
	table, err := sessions.KeyKind.Open(schema.Catalog{schema.APIKeys: k.keys})
	if err != nil {
		return Issued{}, err
	}
	switch {
	case is(old.Status, "REVOKED"):
		err = fault.New(fault.Conflict, "key %s is revoked", old.ID).WithHint("create another: cxgctl auth token --create")
	case r.Grace < 0 || r.Grace > maxGrace:
		err = fault.New(fault.Validation, "--grace must be from 0 to 7d")
	case text(old.Username) != "svc-"+name:
		err = fault.New(fault.Validation, "key %s belongs to %s, not to a service account of cxgctl", old.ID, text(old.Username))
	default:
		err = n.check(who)
	}
	if err != nil {
		l.RecordFailure(ctx, intent, err)
		return Issued{}, err
	}
	if n.TTL == 0 && old.ExpiresAt != nil && old.ExpiresAt.Infinity == pgtype.Finite && old.CreatedAt != nil {
		n.TTL = old.ExpiresAt.Instant.Sub(old.CreatedAt.Instant)
	}
	id, token := newKey()
	var out Issued
	err = keep(token, func() error {
		return l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) (changes []audit.Change, err error) {
			if out, changes, err = k.make(ctx, tx, who, n, id, token); err != nil {
				return nil, err
			}
			_, ended, err := table.End(ctx, tx, sessions.Ended{IDs: []uuid.UUID{old.ID}, Grace: r.Grace})
			if err == nil && len(ended) == 0 {
				err = fault.New(fault.Conflict, "key %s was revoked meanwhile", old.ID).WithHint("nothing was changed")
			}
			return append(changes, ended...), err
		})
	})
	return out, err
}

// Make creates a key, and the service account if it is missing: a SYSTEM user without a password, who can authenticate
// by keys only.
func (k *Keys) Make(ctx context.Context, l *audit.Ledger, who Identity, n NewKey, keep Keep) (Issued, error) {
	intent := audit.Intent{Subject: audit.Subject{Resource: "key", Name: n.Name}, Action: audit.Create}
	if err := n.check(who); err != nil {
		l.RecordFailure(ctx, intent, err)
		return Issued{}, err
	}
	if err := k.requireKnown(ctx, l.Reader(), n.Scopes); err != nil {
		return Issued{}, err
	}
	id, token := newKey()
	var out Issued
	err := keep(token, func() error {
		return l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) (changes []audit.Change, err error) {
			out, changes, err = k.make(ctx, tx, who, n, id, token)
			return changes, err
		})
	})
	return out, err
}

// make creates the key of a token in a transaction, and its service account if it is missing. The caller makes the
// token before the transaction, which may run twice.
func (k *Keys) make(ctx context.Context, tx *audit.Tx, who Identity, n NewKey, id, token string) (Issued, []audit.Change, error) {
	u, changes, err := k.serviceAccount(ctx, tx, "svc-"+n.Name)
	if err != nil {
		return Issued{}, nil, err
	}
	out := Issued{Token: token, ID: tx.NewID(), User: u.Username}
	status, now := "ACTIVE", db.At(tx.Now)
	r := sessions.Key{
		ID: out.ID, KeyID: id, KeyName: &n.Name, UserID: u.ID, Username: &u.Username, ServiceAccount: &u.Username, Scopes: n.Scopes,
		Status: &status, UsageCount: new(int64), CreatedAt: &now,
	}
	var expires *time.Time
	if n.TTL > 0 {
		out.Expires = tx.Now.Add(n.TTL)
	}
	end, err := k.end(ctx, tx, who, n.Scopes)
	if err != nil {
		return Issued{}, nil, err
	}
	if end != nil && end.Infinity == pgtype.Finite && (out.Expires.IsZero() || end.Instant.Before(out.Expires)) {
		out.Expires, out.Bounded = end.Instant, true
	}
	if !out.Expires.IsZero() {
		at := db.At(out.Expires)
		expires, r.ExpiresAt = &out.Expires, &at
	}
	err = tx.Insert(ctx, k.keys, fmt.Sprintf("key %q", n.Name), keyValues, pgx.NamedArgs{
		"id": out.ID, "now": tx.Now, "by": tx.By.ID, "key_id": id, "hash": fingerprint(token), "name": n.Name,
		"user": u.ID, "account": u.Username, "scopes": n.Scopes, "expires": expires,
	})
	return out, append(changes, audit.Change{
		Subject: audit.Subject{Resource: "key", ID: out.ID, Name: n.Name}, Action: audit.Create, Event: audit.PermissionChange,
		After: r, Secrets: []string{"key"},
	}), err
}

// A key expires no later than the grants behind its permissions: for each permission the last such grant counts, and
// across permissions the first to expire.
const endOfGrants = `
SELECT min(g.ends)
  FROM (SELECT c.code, max(coalesce(ur.expires_at, 'infinity')) AS ends
          FROM idam.users u CROSS JOIN unnest($2::text[]) AS c (code)
          JOIN idam.user_roles ur ON ur.user_id = u.id JOIN idam.roles r ON r.id = ur.role_id
         WHERE u.id = $1 AND {in force} AND {everywhere}
           AND ({role} = 'SUPER_ADMIN' OR EXISTS (
                   SELECT FROM idam.role_permissions rp JOIN idam.permissions p ON p.id = rp.permission_id
                    WHERE rp.role_id = r.id AND {permission} = c.code AND {valid}))
         GROUP BY c.code) g`

// end returns when the rights behind a key expire; nil for never.
func (k *Keys) end(ctx context.Context, tx *audit.Tx, who Identity, scopes []string) (*db.Time, error) {
	switch {
	case who.AuthMethod == MethodKey && who.Session != nil:
		return who.Session.Expires, nil
	case k.grants.missing != "":
		return nil, nil
	}
	var end *db.Time
	err := tx.QueryRow(ctx, k.grants.sql(endOfGrants), who.ID, scopes).Scan(&end)
	return end, err
}

// Orphan is a key whose maker no longer holds all of its permissions.
type Orphan struct {
	ID      uuid.UUID
	KeyName string
	Maker   string
	Lacks   []string
}

// A maker that is a service account holds the permissions of its own keys.
const findOrphans = `
SELECT x.id, coalesce(x.key_name, x.id::text), u.username, array_agg(DISTINCT c.code ORDER BY c.code)
  FROM idam.api_keys x JOIN idam.users u ON u.id = x.created_by CROSS JOIN unnest(array_remove(x.scopes, NULL)) AS c (code)
 WHERE x.status = 'ACTIVE' AND (x.expires_at IS NULL OR x.expires_at > statement_timestamp()) AND {live key}
   AND ($1::uuid[] IS NULL OR x.created_by = ANY ($1))
   AND NOT ({operator u} AND (NOT {begun} OR EXISTS (
           SELECT FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id
            WHERE ur.user_id = u.id AND {in force} AND {everywhere}
              AND ({role} = 'SUPER_ADMIN' OR EXISTS (
                      SELECT FROM idam.role_permissions rp JOIN idam.permissions p ON p.id = rp.permission_id
                       WHERE rp.role_id = r.id AND {permission} = c.code AND {valid})))
        OR EXISTS (SELECT FROM idam.api_keys o
                    WHERE o.user_id = u.id AND o.status = 'ACTIVE' AND (o.expires_at IS NULL OR o.expires_at > statement_timestamp())
                      AND c.code = ANY (o.scopes))))
 GROUP BY x.id, x.key_name, u.username
 ORDER BY 2, 1`

// Orphans lists the valid keys whose maker no longer holds all of their permissions, limited to makers unless that is
// nil. It returns none if the database lacks a table for this.
func Orphans(ctx context.Context, r db.Reader, cat schema.Catalog, makers []uuid.UUID) ([]Orphan, error) {
	keys := cat[schema.APIKeys]
	if keys == nil || cat[schema.Users] == nil {
		return nil, nil
	}
	g, err := newGrants(cat)
	if err != nil || g.missing != "" {
		return nil, err
	}
	sql := g.sql(strings.ReplaceAll(findOrphans, "{live key}", keys.NotDeleted("x")))
	return db.CollectAs(ctx, r, pgx.RowToStructByPos[Orphan], sql, makers)
}

// Weakened lists the operators who may have lost a permission by changes: their account is closed, or their type or roles
// changed.
func Weakened(changes []audit.Change) (list []uuid.UUID) {
	for _, c := range changes {
		switch {
		case c.Before == nil, c.TenantID != nil && c.Resource == users.Kind.Name:
		case c.Resource == roles.Resource.Name:
			if _, grant, err := sides[roles.Grant](c); err == nil && grant != nil {
				list = append(list, grant.UserID)
			}
		case c.Resource == users.Kind.Name:
			before, after, err := sides[users.User](c)
			if err == nil && before != nil && after != nil && text(before.UserType) != "TENANT" &&
				(before.CanSignIn() && !after.CanSignIn() || !is(after.UserType, text(before.UserType))) {
				list = append(list, c.ID)
			}
		}
	}
	return list
}

// requireKnown refuses unknown permission codes, in databases that have permissions.
func (k *Keys) requireKnown(ctx context.Context, r db.Reader, codes []string) error {
	if k.permissions == nil {
		return nil
	}
	column := k.permissions.FirstOf("code", "permission_code")
	unknown, err := db.CollectAs(ctx, r, pgx.RowTo[string], "SELECT c FROM unnest($1::text[]) AS c WHERE EXISTS (SELECT FROM idam.permissions) AND NOT EXISTS (SELECT FROM idam.permissions p WHERE p."+column+" = c)", codes)
	if err == nil && len(unknown) > 0 {
		err = fault.New(fault.Validation, "unknown permissions: %s", strings.Join(unknown, ", ")).
			WithHint("list the codes with: cxgctl roles get SUPER_ADMIN")
	}
	return err
}

// serviceAccount returns the service account, and the changes that created it.
func (k *Keys) serviceAccount(ctx context.Context, tx *audit.Tx, name string) (users.User, []audit.Change, error) {
	found, err := k.users.Find(ctx, tx, []string{name}, "username", true)
	if err != nil {
		return users.User{}, nil, err
	}
	u, err := resource.Single(found)
	switch {
	case fault.Is(err, fault.NotFound):
		fullName, kind := "Service "+strings.TrimPrefix(name, "svc-"), "SYSTEM"
		made, change, err := k.users.CreateTx(ctx, tx, users.New{User: users.User{
			Username: name, Email: name + "@service.invalid", FullName: &fullName, UserType: &kind,
		}})
		return made, []audit.Change{change}, err
	case err != nil:
		return u, nil, err
	case !u.IsActive || !is(u.Status, "ACTIVE") || !is(u.UserType, "SYSTEM"):
		return u, nil, fault.New(fault.AlreadyExists, "user %q exists and is not a live, ACTIVE SYSTEM user", name).
			WithHint("choose another name").With("username", name)
	}
	return u, nil, nil
}

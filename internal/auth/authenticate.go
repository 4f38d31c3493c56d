package auth

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Credential is what a caller presents to be identified as an operator. A name alone is only a claim. Next to any other
// credential, the name states which operator the caller expects.
type Credential struct {
	Name     string  // "" where none is named
	Token    string  // a login token or an API key
	Access   *Access // a verified access token of the backend
	DBRole   bool    // session_user is the operator's username
	Optional bool    // fall back to the claimed name if the token has expired or was revoked
}

// possibleTables returns the tables that the credential is looked up in, in addition to Tables.
func (p Credential) possibleTables() []string {
	switch {
	case isKey(p.Token):
		return []string{schema.APIKeys}
	case p.Token != "", p.Access != nil:
		return []string{schema.Sessions}
	}
	return nil
}

// candidate is a user found for a credential, with everything that decides whether they may act as an operator.
type candidate struct {
	ID           uuid.UUID
	Username     string
	Type, Status *string
	LockedUntil  *db.Time
	MFA          *bool
	Live         bool

	Session              *uuid.UUID
	SessionStatus        *string
	Expires              *db.Time
	Expired, Idle, Stale *bool
	Verified             *bool // the second factor was checked
	Scopes               []string
	Elsewhere            *bool // allowed_ips excludes the client's address
}

// The session columns of candidate, per kind of credential.
const (
	noSession  = `NULL::uuid, NULL::text, NULL::timestamptz, NULL::boolean, NULL::boolean, NULL::boolean, NULL::boolean, NULL::text[], false`
	ofSession  = `s.id, s.status, s.expires_at, s.expires_at <= now(), s.last_activity_at < now() - interval '30 minutes', s.last_activity_at < now() - interval '1 minute', s.mfa_verified, NULL::text[], false`
	ofKey      = `s.id, s.status, s.expires_at, s.expires_at <= now(), false, true, true, array_remove(coalesce(s.scopes, '{}'), NULL), s.elsewhere`
	ofAnAccess = `s.id, s.status, s.expires_at, s.expires_at <= now(), false, false, s.mfa_verified, NULL::text[], false`
)

// The query that finds the operator is sent in the same round trip as the query for the tables' columns, so it cannot
// assume columns that some generations lack. It relies on SQL name resolution: a name that the innermost FROM does not
// have is looked up in the next outer one, so a missing column takes its value from the row "absent".
const userWhere = `
LATERAL (SELECT x.*
   FROM (SELECT NULL::text AS user_type, NULL::text AS status, NULL::timestamptz AS locked_until, false AS mfa_enabled, ` + schema.AbsentFlags + `) absent,
LATERAL (SELECT o.id, o.username, user_type, status, locked_until, mfa_enabled, ` + schema.LiveFlags + ` AS live
           FROM idam.users o WHERE {condition}) x) u`

// A session or key that is marked as deleted counts as revoked.
const (
	sessionWhere = `
LATERAL (SELECT x.*
   FROM (SELECT false AS mfa_verified, ` + schema.AbsentFlags + `) absent,
LATERAL (SELECT o.id, o.user_id, CASE WHEN ` + schema.LiveFlags + ` THEN o.status ELSE 'REVOKED' END AS status, o.expires_at, o.last_activity_at,
                mfa_verified
           FROM idam.sessions o WHERE {condition}) x) s`
	keyWhere = `
LATERAL (SELECT x.*
   FROM (SELECT NULL::inet[] AS allowed_ips, ` + schema.AbsentFlags + `) absent,
LATERAL (SELECT o.id, o.user_id, CASE WHEN ` + schema.LiveFlags + ` THEN o.status ELSE 'REVOKED' END AS status, o.expires_at, o.scopes,
                allowed_ips <> '{}' AND (coalesce(inet_client_addr(), '127.0.0.1') <<= ANY (allowed_ips)) IS NOT TRUE AS elsewhere
           FROM idam.api_keys o WHERE {condition}) x) s`
)

// statement returns the query that finds the credential's candidates, and its arguments.
func (p Credential) statement() (string, []any) {
	user := func(condition string) string { return strings.Replace(userWhere, "{condition}", condition, 1) }
	login := func(condition string) string { return strings.Replace(sessionWhere, "{condition}", condition, 1) }
	session, from := noSession, user("o.username = $1")
	args := []any{p.Name}
	switch {
	case p.DBRole:
		from, args = user("o.username = session_user::text"), nil
	case p.Access != nil:
		session, from = ofAnAccess, user("o.id = $1::uuid")+" LEFT JOIN "+login("o.session_id = $2 AND o.user_id = u.id")+" ON true"
		args = []any{p.Access.User.String(), p.Access.Session}
	case isKey(p.Token):
		id, _ := splitKey(p.Token)
		session, from = ofKey, strings.Replace(keyWhere, "{condition}", "o.key_id = $1 AND o.key_hash = $2", 1)+", "+user("o.id = s.user_id")
		args = []any{id, fingerprint(p.Token)}
	case p.Token != "" && p.Optional:
		session, from = ofSession, user("o.username = $1")+" LEFT JOIN "+login("o.session_id = $2 AND o.user_id = u.id")+" ON true"
		args = []any{p.Name, fingerprint(p.Token)}
	case p.Token != "":
		session, from = ofSession, login("o.session_id = $1")+", "+user("o.id = s.user_id")
		args = []any{fingerprint(p.Token)}
	}
	return "SELECT u.*, " + session + " FROM " + from, args
}

// Identify reads the columns of the given tables and of Tables, and resolves a credential to an operator, in one round
// trip with more queries, after which now is called. A second one reads the operator's rights. An operator is a live,
// ACTIVE user of type MASTER or SYSTEM who is not locked. A claimed name is matched against usernames only, so it cannot
// be claimed through another user's id or e-mail. Any other outcome is AUTHENTICATION_REQUIRED with the reason; the
// returned identity then holds the claimed name.
func Identify(ctx context.Context, d *db.DB, p Credential, tables []string, now func() time.Time, more ...db.PipelineQuery) (Identity, schema.Catalog, error) {
	who := Identity{Operator: audit.Operator{Name: p.Name, Claimed: p.Name, AuthMethod: p.method()}}
	cat := schema.Catalog{}
	tables = slices.Concat(tables, p.possibleTables(), Tables)
	slices.Sort(tables)
	shape := cat.Question(slices.Compact(tables)...)
	var rules []db.PipelineQuery
	if slices.Contains(tables, schema.AuditLogs) { // the command may write audit rows
		rules = append(rules, cat.RulesQuestion(schema.AuditLogs))
	}
	if p.Name == "" && p.method() == MethodClaim {
		if err := d.Pipeline(ctx, append(more, shape)...); err != nil {
			return who, cat, err
		}
		return who, cat, fault.New(fault.Unauthenticated, "no operator given").
			WithHint("use --operator NAME, CXGCTL_OPERATOR, or operator: in the profile")
	}
	var found []candidate
	sql, args := p.statement()
	known := false
	readShape := shape.Read
	shape.Read = func(rows pgx.Rows) error {
		err := readShape(rows)
		known = err == nil
		return err
	}
	candidates := db.PipelineQuery{SQL: sql, Args: args, Read: db.Into(&found, pgx.RowToStructByPos[candidate])}
	failed := d.Pipeline(ctx, slices.Concat(more, []db.PipelineQuery{shape}, rules, []db.PipelineQuery{candidates})...)
	if !known {
		return who, cat, failed
	}
	for _, t := range p.possibleTables() {
		if _, err := cat.Table(t); err != nil {
			return who, cat, err
		}
	}
	g, err := newGrants(cat)
	if err != nil {
		return who, cat, err
	}
	if failed != nil {
		return who, cat, failed
	}
	if err := who.resolve(p, found, now()); err != nil {
		return who, cat, err
	}
	if who.Rights, err = g.read(ctx, d, who.ID, lockNothing); err == nil && !who.accepted {
		err = who.errNotAccepted()
	}
	return who, cat, err
}

// errNotAccepted is the error for an operator who lost that status after the credential was checked.
func (i Identity) errNotAccepted() error {
	return fault.New(fault.Unauthenticated, "operator %q has just been locked, deleted or demoted", i.Name).
		WithHint("nothing was changed").With("operator", i.Name)
}

// Claim returns nil if name belongs to an operator, whatever their permissions.
func Claim(ctx context.Context, r db.Reader, name string, now time.Time) error {
	p := Credential{Name: name}
	sql, args := p.statement()
	found, err := db.CollectAs(ctx, r, pgx.RowToStructByPos[candidate], sql, args...)
	if err != nil {
		return err
	}
	var who Identity
	return who.resolve(p, found, now)
}

// resolve sets the identity from the credential and its candidates, of which at most one is expected.
func (i *Identity) resolve(p Credential, found []candidate, now time.Time) error {
	if len(found) == 0 {
		return p.errUnknown()
	}
	u := found[0]
	if i.Name == "" {
		i.Name, i.Claimed = u.Username, u.Username
	}
	for _, other := range found {
		if other.ID != u.ID {
			return fault.New(fault.Unauthenticated, "the %s belongs to more than one user", p.kindName())
		}
	}
	if err := p.checkSession(u); err != nil {
		return err
	}
	if p.method() != MethodClaim && !p.Optional {
		i.ID, i.Name = u.ID, u.Username // proven, so a refusal is recorded under this name; Claimed keeps the claimed one
		if u.Session != nil {
			i.Proof = *u.Session
		}
	}
	if err := p.checkUser(u, now); err != nil {
		return err
	}
	if p.Optional && !u.isProven() {
		i.AuthMethod = MethodClaim
	}
	i.ID, i.Name, i.Type, i.Scopes = u.ID, u.Username, *u.Type, u.Scopes
	if u.Session != nil && i.AuthMethod != MethodClaim {
		i.Proof = *u.Session
		i.Session = &Session{ID: *u.Session, Expires: u.Expires, stale: truth(u.Stale), verified: truth(u.Verified)}
	}
	return nil
}

// isProven reports whether the candidate has a valid session.
func (u candidate) isProven() bool {
	return u.Session != nil && u.SessionStatus != nil && *u.SessionStatus == "ACTIVE" && !truth(u.Expired) && !truth(u.Idle) &&
		(!truth(u.MFA) || truth(u.Verified))
}

func truth(b *bool) bool { return b != nil && *b }

const touchSession = `UPDATE idam.sessions SET last_activity_at = now() WHERE id = $1 AND status = 'ACTIVE'`

const touchKey = `
UPDATE idam.api_keys SET last_used_at = now(), last_used_ip = inet_client_addr(), usage_count = usage_count + 1
 WHERE id = $1 AND status = 'ACTIVE'`

// Touch records that the login or key was used. For a login it writes at most once a minute, so that most commands do
// not pay for it. If the write fails, the login merely expires sooner.
func (i Identity) Touch(ctx context.Context, d *db.DB) error {
	switch {
	case i.Session == nil || !i.Session.stale:
		return nil
	case i.AuthMethod == MethodKey:
		return audit.Trace(ctx, d, touchKey, i.Session.ID)
	}
	return audit.Trace(ctx, d, touchSession, i.Session.ID)
}

package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Proof is what somebody offers to be taken for an operator. A name alone is a claim; with anything else
// it only says whom the caller expects.
type Proof struct {
	Name   string  // "" where none is named
	Token  string  // of a login, or a service's key
	Access *Access // an access token of the backend, checked
	DBRole bool    // the database's session_user is the operator's name
	Spare  bool    // the token is only a better proof of the name: where it is no longer good, the claim stands
}

// PossibleTables are the tables that a proof is looked up in, besides Tables.
func (p Proof) PossibleTables() []string {
	switch {
	case isKey(p.Token):
		return []string{schema.APIKeys}
	case p.Token != "", p.Access != nil:
		return []string{schema.Sessions}
	}
	return nil
}

// candidate is what decides whether a user may act as an operator, and what as.
type candidate struct {
	ID           uuid.UUID
	Username     string
	Type, Status *string
	LockedUntil  *db.Time
	Live         bool

	Session              *uuid.UUID
	SessionStatus        *string
	Expires              *db.Time
	Expired, Idle, Stale *bool
	Scopes               []string
	Granted              bool // somebody was ever given a role here
}

// fields are candidate's first, in order.
var fields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "username", Type: "text"},
	{Name: "user_type", Type: "text"},
	{Name: "status", Type: "text"},
	{Name: "locked_until", Type: "timestamptz"},
}

// Every command pays for this statement, so it runs without the round trip of a preparation. The grants are
// left to a second one, which runs where there are any: a new session reads the catalog for every table that
// a statement names, and theirs, with what is around them, took 10 ms of a command's 85.
const (
	noSession  = `NULL::uuid, NULL::text, NULL::timestamptz, NULL::boolean, NULL::boolean, NULL::boolean, NULL::text[]`
	ofSession  = `s.id, s.status, s.expires_at, s.expires_at <= now(), s.last_activity_at < now() - interval '30 minutes', s.last_activity_at < now() - interval '1 minute', NULL::text[]`
	ofKey      = `s.id, s.status, s.expires_at, s.expires_at <= now(), false, true, coalesce(s.scopes, '{}')`
	ofAnAccess = `s.id, s.status, s.expires_at, s.expires_at <= now(), false, false, NULL::text[]`
)

// statement returns the query that finds the proof's candidate, and its arguments.
func (p Proof) statement(g grants) (string, []any) {
	granted := "false"
	if g.holes != nil {
		granted = "EXISTS (SELECT FROM idam.user_roles)"
	}
	session, from, args := noSession, "", []any{pgx.QueryExecModeExec}
	switch {
	case p.DBRole:
		from = "idam.users u WHERE u.username = session_user::text"
	case p.Access != nil:
		session, from = ofAnAccess, "idam.users u LEFT JOIN idam.sessions s ON s.session_id = $2 AND s.user_id = u.id WHERE u.id = $1"
		args = append(args, p.Access.User, p.Access.Session)
	case isKey(p.Token):
		id, _ := splitKey(p.Token)
		session, from = ofKey, "idam.api_keys s JOIN idam.users u ON u.id = s.user_id WHERE s.key_id = $1 AND s.key_hash = $2"
		args = append(args, id, fingerprint(p.Token))
	case p.Token != "" && p.Spare:
		session, from = ofSession, "idam.users u LEFT JOIN idam.sessions s ON s.session_id = $2 AND s.user_id = u.id WHERE u.username = $1"
		args = append(args, p.Name, fingerprint(p.Token))
	case p.Token != "":
		session, from = ofSession, "idam.sessions s JOIN idam.users u ON u.id = s.user_id WHERE s.session_id = $1"
		args = append(args, fingerprint(p.Token))
	default:
		from = "idam.users u WHERE u.username = $1"
		args = append(args, p.Name)
	}
	return "SELECT " + g.users.Select("u", fields) + ", (" + g.users.Live("u") + "), " + session + ", " + granted + " FROM " + from, args
}

// Identify resolves a proof to an operator and, where roles are in use, finds what they may do: a live, ACTIVE user of type MASTER or SYSTEM
// who is not locked at this moment, by the username alone where one is claimed, so that a name cannot be
// claimed through somebody's id or e-mail. Anything else is AUTHENTICATION_REQUIRED and names the reason;
// the identity then says who was claimed.
func Identify(ctx context.Context, r db.Reader, cat schema.Catalog, p Proof, now time.Time) (Identity, error) {
	who := Identity{Operator: audit.Operator{Name: p.Name, Claimed: p.Name, AuthMethod: p.method()}}
	if p.Name == "" && p.method() == MethodClaim {
		return who, fault.New(fault.Unauthenticated, "no operator is named").
			WithHint("say who you are: --operator NAME, CXGCTL_OPERATOR, or operator: in the profile")
	}
	for _, t := range p.PossibleTables() {
		if _, err := cat.Table(t); err != nil {
			return who, err
		}
	}
	g, err := grantsIn(cat)
	if err != nil {
		return who, err
	}
	sql, args := p.statement(g)
	rows, err := r.Query(ctx, sql, args...)
	if err != nil {
		return who, err
	}
	u, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[candidate])
	if errors.Is(err, pgx.ErrNoRows) {
		return who, p.unknown()
	}
	if err != nil {
		return who, err
	}
	if who.Name == "" {
		who.Name, who.Claimed = u.Username, u.Username
	}
	if err := p.judge(u, now); err != nil {
		return who, err
	}
	if p.Spare && !u.proven() {
		who.AuthMethod = MethodClaim
	}
	who.ID, who.Name, who.Type, who.Scopes = u.ID, u.Username, *u.Type, u.Scopes
	if u.Session != nil && who.AuthMethod != MethodClaim {
		who.Session = &Session{ID: *u.Session, Expires: u.Expires, stale: truth(u.Stale)}
	}
	if u.Granted {
		err = who.find(ctx, r, g)
	}
	return who, err
}

// proven says whether there is a session, and it is good.
func (u candidate) proven() bool {
	return u.Session != nil && u.SessionStatus != nil && *u.SessionStatus == "ACTIVE" && !truth(u.Expired) && !truth(u.Idle)
}

func truth(b *bool) bool { return b != nil && *b }

// Claim resolves a claimed name.
func Claim(ctx context.Context, r db.Reader, cat schema.Catalog, name string, now time.Time) (Identity, error) {
	return Identify(ctx, r, cat, Proof{Name: name}, now)
}

const touchSession = `UPDATE idam.sessions SET last_activity_at = now() WHERE id = $1 AND status = 'ACTIVE'`

const touchKey = `
UPDATE idam.api_keys SET last_used_at = now(), last_used_ip = inet_client_addr(), usage_count = usage_count + 1
 WHERE id = $1 AND status = 'ACTIVE'`

// Touch writes down that the login or the key was used: of a login once a minute at most, so that most
// commands do not pay for it. Where that cannot be written the login ends sooner, and nothing else.
func (i Identity) Touch(ctx context.Context, d *db.DB) error {
	switch {
	case i.Session == nil || !i.Session.stale:
		return nil
	case i.AuthMethod == MethodKey:
		return audit.Trace(ctx, d, touchKey, i.Session.ID)
	}
	return audit.Trace(ctx, d, touchSession, i.Session.ID)
}

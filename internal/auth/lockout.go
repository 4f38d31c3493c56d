package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// standing is what a login changes of a user, as audit rows show it.
type lockState struct {
	FailedLoginAttempts int      `json:"failed_login_attempts"`
	LockedUntil         *db.Time `json:"locked_until"`
	LastLoginAt         *db.Time `json:"last_login_at"`
}

func (a *account) standing() lockState {
	s := lockState{LockedUntil: a.LockedUntil, LastLoginAt: a.LastLogin}
	if a.Attempts != nil {
		s.FailedLoginAttempts = *a.Attempts
	}
	return s
}

// loginSession is a session as audit rows show it.
type loginSession struct {
	ID        uuid.UUID `json:"id"`
	UserID    uuid.UUID `json:"user_id"`
	Type      string    `json:"session_type"`
	Status    string    `json:"status"`
	ExpiresAt db.Time   `json:"expires_at"`
}

// sessionValues are the columns of a new session. An address is not optional there, and over a unix
// socket there is none.
var sessionValues = [][2]string{
	{"id", "@id"},
	{"created_at", "@now"},
	{"created_by", "@user"},
	{"session_id", "@session"},
	{"user_id", "@user"},
	{"session_type", "'API'"},
	{"user_agent", "@agent"},
	{"ip_address", "coalesce(inet_client_addr(), '127.0.0.1')"},
	{"status", "'ACTIVE'"},
	{"expires_at", "@expires"},
	{"last_activity_at", "@now"},
	{"mfa_verified", "@verified"},
	{"mfa_verified_at", "CASE WHEN @verified THEN @now::timestamptz END"},
}

// open makes a session of a user; verified says that the second factor was checked.
func (d *Login) open(ctx context.Context, tx *audit.Tx, user uuid.UUID, name, session string, life time.Duration, verified bool) (audit.Change, error) {
	id, expires := tx.NewID(), tx.Now.Add(life)
	err := tx.Insert(ctx, d.sessions, "a session of "+name, sessionValues, pgx.NamedArgs{
		"id": id, "now": tx.Now, "user": user, "session": session, "agent": d.userAgent, "expires": expires, "verified": verified,
	})
	return audit.Change{
		Subject: audit.Subject{Resource: "session", ID: id, Name: name}, Action: audit.Login, Event: audit.LoggedIn,
		After: loginSession{id, user, "API", "ACTIVE", db.At(expires)},
	}, err
}

// The columns of a user who logged in, and of one whose password was wrong.
var (
	admitted = [][2]string{
		{"last_login_at", "@now"},
		{"last_login_ip", "inet_client_addr()"},
		{"failed_login_attempts", "0"},
		{"locked_until", "NULL"},
	}
	turnedAway = [][2]string{
		{"failed_login_attempts", "@attempts"},
		{"locked_until", "@until"},
	}
)

// The columns of a user who used up a backup code, and of one who set another password.
var (
	usedCode    = [][2]string{{"backup_codes", "@codes"}}
	newPassword = [][2]string{
		{"password", "@hash"},
		{"password_changed_at", "@now"},
		{"force_password_change", "false"},
	}
)

// admit makes the session, and resets what wrong passwords left. updated_at stays: the user was not edited. A password that
// the user set is stored before the session is made, since it ends all sessions.
func (d *Login) openSession(ctx context.Context, tx *audit.Tx, a *account, at Attempt) (Entered, []audit.Change, error) {
	name := fmt.Sprintf("user %q", a.Username)
	in := Entered{Token: newLogin(), UserID: a.ID, Username: a.Username, Expires: tx.Now.Add(Life)}
	if at.newHash != "" {
		args := pgx.NamedArgs{"hash": at.newHash, "now": tx.Now}
		if err := tx.Update(ctx, d.users, name, newPassword, args, a.ID); err != nil {
			return in, nil, err
		}
		set := a.change(a.standing())
		set.Event, set.Secrets = audit.PasswordChange, []string{"password"}
		if err := tx.Log(ctx, []audit.Change{set}); err != nil {
			return in, nil, err
		}
	}
	replaced, err := d.leave(ctx, tx, lockKept, fingerprint(at.Replaces))
	if err != nil {
		return in, nil, err
	}
	if len(replaced) > 0 {
		in.Replaced = replaced[0].Name
	}
	opened, err := d.open(ctx, tx, a.ID, a.Username, fingerprint(in.Token), Life, truth(a.MFA))
	if err != nil {
		return in, nil, err
	}
	in.ID = opened.ID
	if err := tx.Update(ctx, d.users, name, admitted, pgx.NamedArgs{"now": tx.Now}, a.ID); err != nil {
		return in, nil, err
	}
	now := db.At(tx.Now)
	admitted := a.change(lockState{LastLoginAt: &now})
	if left, used := a.usedBackup(at, tx.Now); used {
		if err := tx.Update(ctx, d.users, name, usedCode, pgx.NamedArgs{"codes": left}, a.ID); err != nil {
			return in, nil, err
		}
		admitted.Secrets = []string{"backup_codes"}
	}
	e := entry{user: a, username: a.Username, kind: "LOGIN", success: true, session: fingerprint(in.Token), mfa: truth(a.MFA)}
	return in, append(replaced, opened, admitted), d.logAttempt(ctx, tx, e)
}

func (a *account) change(after lockState) audit.Change {
	return audit.Change{
		Subject: audit.Subject{Resource: "user", ID: a.ID, Name: a.Username}, Action: audit.Update, Event: audit.LoggedIn,
		Before: a.standing(), After: after,
	}
}

// turnAway counts a wrong password or code and locks the account after too many; a lock that is over begins a new
// count. Where nothing is counted, for an attempt on a locked account or with a right password, the entry
// for the log of logins is returned instead of written.
func (d *Login) recordFailure(ctx context.Context, tx *audit.Tx, username string, a *account, counts bool, why *fault.Error) ([]audit.Change, *entry, error) {
	e := entry{user: a, username: username, kind: "FAILED_LOGIN", reason: why.Message, at: tx.Now}
	locked := a != nil && a.locked(tx.Now)
	if locked {
		e.kind = "LOCKED"
	}
	if a == nil || locked || !counts || !a.Live {
		return nil, &e, nil
	}
	after := a.standing()
	if a.LockedUntil != nil {
		after.FailedLoginAttempts, after.LockedUntil = 0, nil
	}
	if after.FailedLoginAttempts++; after.FailedLoginAttempts >= d.lock.After {
		until := db.At(tx.Now.Add(d.lock.For))
		after.LockedUntil, e.kind = &until, "LOCKED"
	}
	args := pgx.NamedArgs{"attempts": after.FailedLoginAttempts, "until": after.LockedUntil}
	if err := tx.Update(ctx, d.users, fmt.Sprintf("user %q", a.Username), turnedAway, args, a.ID); err != nil {
		return nil, nil, err
	}
	return []audit.Change{a.change(after)}, nil, d.logAttempt(ctx, tx, e)
}

// entry is a row of the log of logins.
type entry struct {
	user                            *account
	username, kind, reason, session string
	success, mfa                    bool
	at                              time.Time
}

var logValues = [][2]string{
	{"id", "@id"},
	{"created_at", "@now"},
	{"user_id", "@user"},
	{"user_type", "@type"},
	{"username", "left(@username, 100)"},
	{"attempt_type", "@kind"},
	{"success", "@success"},
	{"failure_reason", "left(nullif(@reason, ''), 100)"},
	{"session_id", "nullif(@session, '')"},
	{"ip_address", "coalesce(inet_client_addr(), '127.0.0.1')"},
	{"user_agent", "@agent"},
	{"mfa_used", "@mfa"},
}

// note writes a row of the log of logins, where the database keeps one.
func (d *Login) logAttempt(ctx context.Context, tx *audit.Tx, e entry) error {
	if d.log == nil {
		return nil
	}
	e.at = tx.Now
	return tx.Insert(ctx, d.log, "a row of the log of logins", logValues, d.values(e))
}

func (d *Login) values(e entry) pgx.NamedArgs {
	args := pgx.NamedArgs{
		"id": uuid.Must(uuid.NewV7()), "now": e.at, "user": nil, "type": nil, "username": e.username, "kind": e.kind,
		"success": e.success, "reason": e.reason, "session": e.session, "agent": d.userAgent, "mfa": e.mfa,
	}
	if e.user != nil {
		args["user"], args["type"] = e.user.ID, e.user.Type
	}
	return args
}

const (
	lockSessions = `
SELECT s.id, s.user_id, coalesce(u.username, ''), s.session_id, s.session_type, s.expires_at
  FROM idam.sessions s LEFT JOIN idam.users u ON u.id = s.user_id
 WHERE s.user_id = $2 AND s.status = 'ACTIVE' AND (s.id = $1::uuid OR $1::uuid IS NULL AND s.session_type = 'API')
 ORDER BY s.id FOR UPDATE OF s`
	lockKept = `
SELECT s.id, s.user_id, coalesce(u.username, ''), s.session_id, s.session_type, s.expires_at
  FROM idam.sessions s LEFT JOIN idam.users u ON u.id = s.user_id
 WHERE s.session_id = $1 AND s.status = 'ACTIVE' FOR UPDATE OF s`
	countSessions = `SELECT count(*) FROM idam.sessions s WHERE s.user_id = $1 AND s.status = 'ACTIVE' AND s.session_type = 'API'`
)

// leaving is a session that a logout ends.
type leaving struct {
	ID, UserID    uuid.UUID
	Username      string
	Session, Type string
	Expires       db.Time
}

// left are the columns of a session whose user logged out.
var left = [][2]string{
	{"status", "'REVOKED'"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}

// Logins counts what Leave with a nil id ends.
func (d *Login) Logins(ctx context.Context, r db.Reader, user uuid.UUID) (n int, err error) {
	return n, r.QueryRow(ctx, countSessions, user).Scan(&n)
}

// Leave ends the operator's login, or with a nil id all of their logins and those of API clients; the ledger's
// Entries say which.
func (d *Login) LogOut(ctx context.Context, l *audit.Ledger, session *uuid.UUID) error {
	intent := audit.Intent{Subject: audit.Subject{Resource: "session"}, Action: audit.Logout}
	return l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		return d.leave(ctx, tx, lockSessions, session, tx.By.ID)
	})
}

// leave ends the sessions that a query locks.
func (d *Login) leave(ctx context.Context, tx *audit.Tx, query string, args ...any) ([]audit.Change, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[leaving])
	if err != nil {
		return nil, err
	}
	changes := make([]audit.Change, len(list))
	for i, s := range list {
		if err := tx.Update(ctx, d.sessions, "session "+s.ID.String(), left, pgx.NamedArgs{"now": tx.Now, "by": tx.ByID()}, s.ID); err != nil {
			return nil, err
		}
		before := loginSession{s.ID, s.UserID, s.Type, "ACTIVE", s.Expires}
		after := before
		after.Status = "REVOKED"
		changes[i] = audit.Change{
			Subject: audit.Subject{Resource: "session", ID: s.ID, Name: s.Username}, Action: audit.Logout, Event: audit.LoggedOut,
			Before: before, After: after,
		}
		e := entry{user: &account{ID: s.UserID}, username: s.Username, kind: "LOGOUT", success: true, session: s.Session}
		if err := d.logAttempt(ctx, tx, e); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

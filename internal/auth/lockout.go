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

// lockState holds the user's fields that a login changes, as audit rows show them.
type lockState struct {
	FailedLoginAttempts int      `json:"failed_login_attempts"`
	LockedUntil         *db.Time `json:"locked_until"`
	LastLoginAt         *db.Time `json:"last_login_at"`
}

func (a *account) lockState() lockState {
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

// sessionValues are the columns of a new session. ip_address is NOT NULL, but unix sockets do not have one.
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

// createSession creates a session of a user; verified means that the second factor was checked.
func (d *Login) createSession(ctx context.Context, tx *audit.Tx, user uuid.UUID, name, session string, life time.Duration, verified bool) (audit.Change, error) {
	id, expires := tx.NewID(), tx.Now.Add(life)
	err := tx.Insert(ctx, d.sessions, "a session of "+name, sessionValues, pgx.NamedArgs{
		"id": id, "now": tx.Now, "user": user, "session": session, "agent": d.userAgent, "expires": expires, "verified": verified,
	})
	return audit.Change{
		Subject: audit.Subject{Resource: "session", ID: id, Name: name}, Action: audit.Login, Event: audit.LoggedIn,
		After: loginSession{id, user, "API", "ACTIVE", db.At(expires)},
	}, err
}

// The columns to set after a successful login and after a wrong password.
var (
	loggedInColumns = [][2]string{
		{"last_login_at", "@now"},
		{"last_login_ip", "inet_client_addr()"},
		{"failed_login_attempts", "0"},
		{"locked_until", "NULL"},
	}
	failedColumns = [][2]string{
		{"failed_login_attempts", "@attempts"},
		{"locked_until", "@until"},
	}
)

// The columns to set after using up a backup code and after setting a new password.
var (
	backupCodeColumns = [][2]string{{"backup_codes", "@codes"}}
	passwordColumns   = [][2]string{
		{"password", "@hash"},
		{"password_changed_at", "@now"},
		{"force_password_change", "false"},
	}
)

// openSession creates the session and resets the failure count. updated_at is not set, because the user was not edited.
// A new password is stored before the session is created, because storing it ends all sessions.
func (d *Login) openSession(ctx context.Context, tx *audit.Tx, a *account, at Attempt) (Entered, []audit.Change, error) {
	name := fmt.Sprintf("user %q", a.Username)
	in := Entered{Token: newLogin(), UserID: a.ID, Username: a.Username, Expires: tx.Now.Add(Life)}
	if at.newHash != "" {
		args := pgx.NamedArgs{"hash": at.newHash, "now": tx.Now}
		if err := tx.Update(ctx, d.users, name, passwordColumns, args, a.ID); err != nil {
			return in, nil, err
		}
		set := a.change(a.lockState())
		set.Event, set.Secrets = audit.PasswordChange, []string{"password"}
		if err := tx.Log(ctx, []audit.Change{set}); err != nil {
			return in, nil, err
		}
	}
	replaced, err := d.endSessions(ctx, tx, lockReplaced, fingerprint(at.Replaces))
	if err != nil {
		return in, nil, err
	}
	if len(replaced) > 0 {
		in.Replaced = replaced[0].Name
	}
	opened, err := d.createSession(ctx, tx, a.ID, a.Username, fingerprint(in.Token), Life, truth(a.MFA))
	if err != nil {
		return in, nil, err
	}
	in.ID = opened.ID
	if err := tx.Update(ctx, d.users, name, loggedInColumns, pgx.NamedArgs{"now": tx.Now}, a.ID); err != nil {
		return in, nil, err
	}
	now := db.At(tx.Now)
	admitted := a.change(lockState{LastLoginAt: &now})
	if left, used := a.usedBackup(at, tx.Now); used {
		if err := tx.Update(ctx, d.users, name, backupCodeColumns, pgx.NamedArgs{"codes": left}, a.ID); err != nil {
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
		Before: a.lockState(), After: after,
	}
}

// recordFailure counts a wrong password or code and locks the account after too many. A lock that has expired starts a
// new count. For attempts that do not count, on a locked account or with the right password, it returns the entry of
// the login log instead of writing it.
func (d *Login) recordFailure(ctx context.Context, tx *audit.Tx, username string, a *account, counts bool, why *fault.Error) ([]audit.Change, *entry, error) {
	e := entry{user: a, username: username, kind: "FAILED_LOGIN", reason: why.Message, at: tx.Now}
	locked := a != nil && a.locked(tx.Now)
	if locked {
		e.kind = "LOCKED"
	}
	if a == nil || locked || !counts || !a.Live {
		return nil, &e, nil
	}
	after := a.lockState()
	if a.LockedUntil != nil {
		after.FailedLoginAttempts, after.LockedUntil = 0, nil
	}
	if after.FailedLoginAttempts++; after.FailedLoginAttempts >= d.lock.After {
		until := db.At(tx.Now.Add(d.lock.For))
		after.LockedUntil, e.kind = &until, "LOCKED"
	}
	args := pgx.NamedArgs{"attempts": after.FailedLoginAttempts, "until": after.LockedUntil}
	if err := tx.Update(ctx, d.users, fmt.Sprintf("user %q", a.Username), failedColumns, args, a.ID); err != nil {
		return nil, nil, err
	}
	return []audit.Change{a.change(after)}, nil, d.logAttempt(ctx, tx, e)
}

// entry is a row of the login log.
type entry struct {
	user                            *account
	username, kind, reason, session string
	success, mfa                    bool
	at                              time.Time
}

var loginLogValues = [][2]string{
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

// logAttempt writes a row of the login log, if the database has one.
func (d *Login) logAttempt(ctx context.Context, tx *audit.Tx, e entry) error {
	if d.log == nil {
		return nil
	}
	e.at = tx.Now
	return tx.Insert(ctx, d.log, "a row of the login log", loginLogValues, d.values(e))
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
	lockReplaced = `
SELECT s.id, s.user_id, coalesce(u.username, ''), s.session_id, s.session_type, s.expires_at
  FROM idam.sessions s LEFT JOIN idam.users u ON u.id = s.user_id
 WHERE s.session_id = $1 AND s.status = 'ACTIVE' FOR UPDATE OF s`
	countSessions = `SELECT count(*) FROM idam.sessions s WHERE s.user_id = $1 AND s.status = 'ACTIVE' AND s.session_type = 'API'`
)

type endedSession struct {
	ID, UserID    uuid.UUID
	Username      string
	Session, Type string
	Expires       db.Time
}

// loggedOutColumns are the columns to set on a session that has been logged out.
var loggedOutColumns = [][2]string{
	{"status", "'REVOKED'"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}

// Logins counts the sessions that LogOut with a nil id would end.
func (d *Login) Logins(ctx context.Context, r db.Reader, user uuid.UUID) (n int, err error) {
	err = r.QueryRow(ctx, countSessions, user).Scan(&n)
	return n, err
}

// LogOut ends the operator's login, or with a nil id all of their logins and API client sessions. The ledger's Entries
// list them.
func (d *Login) LogOut(ctx context.Context, l *audit.Ledger, session *uuid.UUID) error {
	intent := audit.Intent{Subject: audit.Subject{Resource: "session"}, Action: audit.Logout}
	return l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		return d.endSessions(ctx, tx, lockSessions, session, tx.By.ID)
	})
}

// endSessions ends the sessions that query locks.
func (d *Login) endSessions(ctx context.Context, tx *audit.Tx, query string, args ...any) ([]audit.Change, error) {
	list, err := db.CollectAs(ctx, tx, pgx.RowToStructByPos[endedSession], query, args...)
	if err != nil {
		return nil, err
	}
	changes := make([]audit.Change, len(list))
	for i, s := range list {
		if err := tx.Update(ctx, d.sessions, "session "+s.ID.String(), loggedOutColumns, pgx.NamedArgs{"now": tx.Now, "by": tx.ByID()}, s.ID); err != nil {
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

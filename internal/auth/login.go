package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	passwords "github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Lock is how many wrong passwords lock an account, and for how long.
type Lock struct {
	After int
	For   time.Duration
}

// Login logs operators in and out.
type Login struct {
	users, sessions, log *schema.Table // log is nil if the database lacks the table
	userAgent            string
	lock                 Lock
}

// LoginTables are the tables that a login needs.
var LoginTables = []string{schema.Users, schema.Sessions, schema.LoginLogs}

// NewLogin returns a Login; a database without users or sessions gives a DATABASE_ERROR.
func NewLogin(cat schema.Catalog, userAgent string, lock Lock) (*Login, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	sessions, err := cat.Table(schema.Sessions)
	return &Login{users: users, sessions: sessions, log: cat[schema.LoginLogs], userAgent: userAgent, lock: lock}, err
}

// account holds the fields of a user that decide whether they may log in.
type account struct {
	ID           uuid.UUID
	Username     string
	Type, Status *string
	LockedUntil  *db.Time
	Hash         *string
	Attempts     *int
	LastLogin    *db.Time
	MustChange   *bool
	MFA          *bool
	Secret       *string
	Backup       []string
	Live         bool
}

var accountFields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "username", Type: "text"},
	{Name: "user_type", Type: "text"},
	{Name: "status", Type: "text"},
	{Name: "locked_until", Type: "timestamptz"},
	{Name: "password", Type: "text"},
	{Name: "failed_login_attempts", Type: "integer"},
	{Name: "last_login_at", Type: "timestamptz"},
	{Name: "force_password_change", Type: "boolean"},
	{Name: "mfa_enabled", Type: "boolean"},
	{Name: "mfa_secret", Type: "text"},
	{Name: "backup_codes", Type: "text[]", Expr: "array_remove(%s, NULL)"},
}

func (d *Login) account(ctx context.Context, r db.Reader, username, lock string) (*account, error) {
	sql := "SELECT " + d.users.Select("u", accountFields) + ", (" + d.users.NotDeleted("u") + ") FROM idam.users u WHERE u.username = $1" + lock
	rows, err := r.Query(ctx, sql, username)
	if err != nil {
		return nil, err
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[account])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &a, err
}

// maxBytes is bcrypt's input limit. The platform truncates longer passwords, so every check here does too.
const maxBytes = 72

// matches reports whether password is the account's password, either normalized as cxgctl stores it, or as typed, for
// one that other software set.
func matches(a *account, password string) bool {
	if a == nil || a.Hash == nil || strings.ContainsRune(password, 0) { // Go's bcrypt accepts x followed by NUL for x
		return false
	}
	fits := func(password string) bool {
		return bcrypt.CompareHashAndPassword([]byte(*a.Hash), []byte(password[:min(len(password), maxBytes)])) == nil
	}
	normal := passwords.Normal(password)
	return fits(normal) || normal != password && fits(password)
}

// errWrong is the same error for an unknown name, a wrong password and a locked account, so that a guesser cannot tell
// them apart.
func (d *Login) errWrong(username string) *fault.Error {
	return fault.New(fault.Unauthenticated, "wrong username or password, or the account is locked").
		WithHint("after %d wrong passwords cxgctl refuses an account for %s, and the platform does not; "+
			"another operator can end that: cxgctl users unlock %s",
			d.lock.After, d.lock.For, fault.Word(username))
}

// refusal returns why an account may not log in, nil if it may. Without the right password it is always errWrong.
func (d *Login) refusal(a *account, username string, right bool, now time.Time) *fault.Error {
	switch {
	case a == nil, a.locked(now), !right:
		return d.errWrong(username)
	case !a.Live:
		return refuse(a.Username, "is deleted")
	case !is(a.Type, "MASTER") && !is(a.Type, "SYSTEM"):
		return refuse(a.Username, "is of type "+text(a.Type)+"; operators are MASTER or SYSTEM")
	case !is(a.Status, "ACTIVE"):
		return refuse(a.Username, "has status "+text(a.Status))
	}
	return nil
}

// locked reports whether the account is locked after wrong passwords.
func (a *account) locked(now time.Time) bool { return a.LockedUntil != nil && a.LockedUntil.After(now) }

// Attempt is an attempt to log in: a username and what was typed to prove it.
type Attempt struct {
	Username string
	Replaces string // token of a login that this one replaces, or ""
	DryRun   bool   // roll back a successful login; a wrong password still counts
	login    *Login
	seen     *account
	right    bool
	code     *string // of the second factor; nil if none was typed
	backup   string  // stored form of the backup code that was typed, or ""
	newHash  string  // of the new password, or ""
}

// Attempt looks an account up. LogIn decides the outcome.
func (d *Login) Attempt(ctx context.Context, r db.Reader, username string) (Attempt, error) {
	a, err := d.account(ctx, r, username, "")
	return Attempt{Username: username, login: d, seen: a}, err
}

// Password checks the password that was typed. It takes as long as bcrypt at the hash's cost.
func (a *Attempt) Password(password string) { a.right = matches(a.seen, password) }

// admissible reports whether the account may log in as far as the password is concerned.
func (a Attempt) admissible() bool {
	return a.login.refusal(a.seen, a.Username, a.right, time.Now()) == nil
}

// By is the operator that the attempt's audit rows are attributed to. It has an id only if the password matches.
func (a Attempt) By() audit.Operator {
	by := audit.Operator{Name: a.Username, Claimed: a.Username, AuthMethod: MethodLogin}
	if a.right && a.seen != nil {
		by.ID = a.seen.ID
	}
	return by
}

// Entered is a successful login.
type Entered struct {
	Token    string // its only copy
	ID       uuid.UUID
	UserID   uuid.UUID
	Username string
	Expires  time.Time
	Replaced string // user of the login that it replaced, or ""
}

// LogIn accepts or refuses an attempt and records the outcome: the failure count, the lock, the login log and the
// session. It reads the account again under a lock, so that concurrent attempts cannot exceed the limit.
func (d *Login) LogIn(ctx context.Context, pool *db.DB, l *audit.Ledger, a Attempt) (Entered, error) {
	intent := audit.Intent{Subject: audit.Subject{Resource: "session", Name: a.Username}, Action: audit.Login}
	var in Entered
	var refused *fault.Error
	var only *entry // a row of the login log, if nothing else is written
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		now, err := d.account(ctx, tx, a.Username, " FOR UPDATE")
		if err != nil {
			return nil, err
		}
		right := a.right && now != nil && a.seen.Hash != nil && now.Hash != nil && *now.Hash == *a.seen.Hash
		counts := !right
		if refused = d.refusal(now, a.Username, right, tx.Now); refused == nil {
			refused, counts = now.errCode(a, tx.Now)
		}
		if refused == nil && truth(now.MustChange) && a.newHash == "" {
			refused = fault.New(fault.Unauthenticated, "user %q must set a new password first", a.Username).
				WithHint("log in on a terminal, or ask another operator to run: cxgctl users password %s", fault.Word(a.Username))
		}
		var changes []audit.Change
		if refused != nil {
			changes, only, err = d.recordFailure(ctx, tx, a.Username, now, counts, refused)
			return changes, err
		}
		l.DryRun = a.DryRun
		in, changes, err = d.openSession(ctx, tx, now, a)
		return changes, err
	})
	if err != nil {
		return Entered{}, err
	}
	if refused != nil {
		if only != nil && d.log != nil {
			if err := audit.Trace(ctx, pool, d.log.Insert(loginLogValues), d.values(*only)); err != nil {
				return Entered{}, err
			}
		}
		l.RecordFailure(ctx, intent, refused)
		return Entered{}, refused
	}
	return in, nil
}

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
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Lock says how many wrong passwords lock an account, and for how long.
type Lock struct {
	After int
	For   time.Duration
}

// Door is where operators log in and out.
type Door struct {
	users, sessions, log *schema.Table // log is nil where the database keeps none
	userAgent            string
	lock                 Lock
}

// DoorTables are those that logging in needs.
var DoorTables = []string{schema.Users, schema.Sessions, schema.LoginLogs}

// DoorIn returns the door of a database; one without users or sessions gives a DATABASE_ERROR.
func DoorIn(cat schema.Catalog, userAgent string, lock Lock) (*Door, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	sessions, err := cat.Table(schema.Sessions)
	return &Door{users: users, sessions: sessions, log: cat[schema.LoginLogs], userAgent: userAgent, lock: lock}, err
}

// account is what a login is judged by.
type account struct {
	ID           uuid.UUID
	Username     string
	Type, Status *string
	LockedUntil  *db.Time
	Hash         *string
	Attempts     *int
	LastLogin    *db.Time
	MustChange   *bool
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
}

func (d *Door) account(ctx context.Context, r db.Reader, username, lock string) (*account, error) {
	sql := "SELECT " + d.users.Select("u", accountFields) + ", (" + d.users.Live("u") + ") FROM idam.users u WHERE u.username = $1" + lock
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

// maxBytes is how much of a password bcrypt reads: what is longer is nobody's password.
const maxBytes = 72

// matches checks a password in about the same time whether there is an account or not, so that the time
// tells nobody which names exist. cost is that of the hash that stands in for one that is not there.
func matches(a *account, password string, cost int) bool {
	valid := len(password) <= maxBytes && !strings.ContainsRune(password, 0)
	if a != nil && a.Hash != nil && valid {
		if err := bcrypt.CompareHashAndPassword([]byte(*a.Hash), []byte(password)); err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return err == nil
		}
	}
	_, _ = bcrypt.GenerateFromPassword([]byte(password[:min(len(password), maxBytes)]), cost)
	return false
}

// errWrong is all that a wrong password or an unknown name is told.
func errWrong() *fault.Error {
	return fault.New(fault.Unauthenticated, "the username or the password is wrong")
}

func errLocked(a *account) *fault.Error {
	return fault.New(fault.Unauthenticated, "user %q is locked until %s", a.Username, a.LockedUntil).
		WithHint("wait, or have another operator run: cxgctl users unlock %s", a.Username).With("locked_until", a.LockedUntil)
}

// refusal says why an account may not log in, nil if it may. Only who knows the password hears of
// anything but a lock.
func (a *account) refusal(right bool, now time.Time) *fault.Error {
	switch {
	case a == nil:
		return errWrong()
	case a.LockedUntil != nil && a.LockedUntil.After(now):
		return errLocked(a) // whatever the password was, so that a locked account cannot be guessed at
	case !right:
		return errWrong()
	case !a.Live:
		return refuse(a.Username, "is deleted")
	case !is(a.Type, "MASTER") && !is(a.Type, "SYSTEM"):
		return refuse(a.Username, "is of type "+text(a.Type)+"; operators are MASTER or SYSTEM")
	case !is(a.Status, "ACTIVE"):
		return refuse(a.Username, "has status "+text(a.Status))
	}
	return nil
}

// Attempt is somebody at the door: a name, and whether the password fits.
type Attempt struct {
	Username string
	DryRun   bool // lets nobody in: what a right password would do is rolled back, and a wrong one counts all the same
	seen     *account
	right    bool
}

// Attempt checks a password. What comes of it is Enter's to say.
func (d *Door) Attempt(ctx context.Context, r db.Reader, username, password string, cost int) (Attempt, error) {
	a, err := d.account(ctx, r, username, "")
	if err != nil {
		return Attempt{}, err
	}
	return Attempt{Username: username, seen: a, right: matches(a, password, cost)}, nil
}

// By is whom the attempt's audit rows are attributed to: a name without an id unless the password fits.
func (a Attempt) By() audit.Operator {
	by := audit.Operator{Name: a.Username, Claimed: a.Username, AuthMethod: MethodLogin}
	if a.right && a.seen != nil {
		by.ID = a.seen.ID
	}
	return by
}

// Entered is a login that was let in.
type Entered struct {
	Token      string // its only copy
	ID         uuid.UUID
	UserID     uuid.UUID
	Username   string
	Expires    time.Time
	MustChange bool // the user is to set another password
}

// Enter lets an attempt in or turns it away, and writes down either: the counter, the lock, the log of
// logins, the session. The account is looked at again under a lock, so that of many attempts at once none
// gets past the limit.
func (d *Door) Enter(ctx context.Context, pool *db.DB, l *audit.Ledger, a Attempt) (Entered, error) {
	intent := audit.Intent{Subject: audit.Subject{Resource: "session", Name: a.Username}, Action: audit.Login}
	var in Entered
	var refused *fault.Error
	var only *entry // for the log of logins, where nothing else is to be written
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		now, err := d.account(ctx, tx, a.Username, " FOR UPDATE")
		if err != nil {
			return nil, err
		}
		right := a.right && now != nil && a.seen.Hash != nil && now.Hash != nil && *now.Hash == *a.seen.Hash
		if refused = now.refusal(right, tx.Now); refused == nil {
			l.DryRun = a.DryRun
			var changes []audit.Change
			in, changes, err = d.admit(ctx, tx, now)
			return changes, err
		}
		var changes []audit.Change
		changes, only, err = d.turnAway(ctx, tx, a.Username, now, right, refused)
		return changes, err
	})
	if err != nil {
		return Entered{}, err
	}
	if refused != nil {
		if only != nil && d.log != nil {
			if err := audit.Trace(ctx, pool, d.log.Insert(logValues), d.values(*only)); err != nil {
				return Entered{}, err
			}
		}
		l.Failed(ctx, intent, refused)
		return Entered{}, refused
	}
	return in, nil
}

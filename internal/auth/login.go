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

// Lock says how many wrong passwords lock an account, and for how long.
type Lock struct {
	After int
	For   time.Duration
}

// Door is where operators log in and out.
type Login struct {
	users, sessions, log *schema.Table // log is nil where the database keeps none
	userAgent            string
	lock                 Lock
}

// DoorTables are those that logging in needs.
var DoorTables = []string{schema.Users, schema.Sessions, schema.LoginLogs}

// DoorIn returns the door of a database; one without users or sessions gives a DATABASE_ERROR.
func NewLogin(cat schema.Catalog, userAgent string, lock Lock) (*Login, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	sessions, err := cat.Table(schema.Sessions)
	return &Login{users: users, sessions: sessions, log: cat[schema.LoginLogs], userAgent: userAgent, lock: lock}, err
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

// maxBytes is how much of a password the platform reads: it cuts what is longer, and so does every check here.
const maxBytes = 72

// matches reports whether a password is that of an account, in the form that cxgctl stores or, for one that another program
// set, as it was typed.
func matches(a *account, password string) bool {
	if a == nil || a.Hash == nil || strings.ContainsRune(password, 0) { // Go's hash of x also fits x followed by NUL
		return false
	}
	fits := func(password string) bool {
		return bcrypt.CompareHashAndPassword([]byte(*a.Hash), []byte(password[:min(len(password), maxBytes)])) == nil
	}
	normal := passwords.Normal(password)
	return fits(normal) || normal != password && fits(password)
}

// errWrong is the one refusal of an unknown name, a wrong password and a locked account, so that a guesser cannot tell
// them apart.
func (d *Login) errWrong(username string) *fault.Error {
	return fault.New(fault.Unauthenticated, "wrong username or password, or the account is locked").
		WithHint("after %d wrong passwords cxgctl refuses an account for %s, and the platform does not; "+
			"another operator can end that: cxgctl users unlock %s",
			d.lock.After, d.lock.For, fault.Word(username))
}

// refusal returns why an account may not log in, nil if it may. Anything but errWrong is told only with the right password.
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

// locked reports whether wrong passwords have locked an account.
func (a *account) locked(now time.Time) bool { return a.LockedUntil != nil && a.LockedUntil.After(now) }

// Attempt is an attempt to log in: a name, and what was typed to prove it.
type Attempt struct {
	Username string
	Replaces string // the token of a login that ends with this one; "" for none
	DryRun   bool   // opens no session: what a right password would do is rolled back, and a wrong one counts all the same
	door     *Login
	seen     *account
	right    bool
	code     *string // of the second factor; nil where none was typed
	backup   string  // the stored form of the backup code that was typed, if it was one
	newHash  string  // of the password that the user set; "" for none
}

// Attempt looks an account up. What comes of it is Enter's to say.
func (d *Login) Attempt(ctx context.Context, r db.Reader, username string) (Attempt, error) {
	a, err := d.account(ctx, r, username, "")
	return Attempt{Username: username, door: d, seen: a}, err
}

// Password takes the password that was typed. It takes as long as its hash was made to take.
func (a *Attempt) Password(password string) { a.right = matches(a.seen, password) }

// admissible reports whether the account may log in as far as the password goes.
func (a Attempt) admissible() bool {
	return a.door.refusal(a.seen, a.Username, a.right, time.Now()) == nil
}

// By is the operator that the attempt's audit rows are attributed to: a name without an id unless the password fits.
func (a Attempt) By() audit.Operator {
	by := audit.Operator{Name: a.Username, Claimed: a.Username, AuthMethod: MethodLogin}
	if a.right && a.seen != nil {
		by.ID = a.seen.ID
	}
	return by
}

// Entered is a login that was let in.
type Entered struct {
	Token    string // its only copy
	ID       uuid.UUID
	UserID   uuid.UUID
	Username string
	Expires  time.Time
	Replaced string // the user of the login that it ended; "" for none
}

// Enter lets an attempt in or turns it away, and writes down either: the counter, the lock, the log of
// logins, the session. The account is looked at again under a lock, so that of many attempts at once none
// gets past the limit.
func (d *Login) LogIn(ctx context.Context, pool *db.DB, l *audit.Ledger, a Attempt) (Entered, error) {
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
		counts := !right
		if refused = d.refusal(now, a.Username, right, tx.Now); refused == nil {
			refused, counts = now.errCode(a, tx.Now)
		}
		if refused == nil && truth(now.MustChange) && a.newHash == "" {
			refused = fault.New(fault.Unauthenticated, "user %q has to set a new password first", a.Username).
				WithHint("log in on a terminal, or have another operator run: cxgctl users password %s", fault.Word(a.Username))
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
			if err := audit.Trace(ctx, pool, d.log.Insert(logValues), d.values(*only)); err != nil {
				return Entered{}, err
			}
		}
		l.RecordFailure(ctx, intent, refused)
		return Entered{}, refused
	}
	return in, nil
}

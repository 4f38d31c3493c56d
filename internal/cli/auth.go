package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/credstore"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/sessions"
)

func (a *app) authCommand() *cobra.Command {
	return a.group("auth", "Log in, log out, create tokens and the first operator",
		a.authBootstrap(),
		a.authLogin(), a.authLogout(), a.authWhoami(), a.authToken())
}

// loginRecord is the record of auth login.
type loginRecord struct {
	ID        uuid.UUID `json:"id"` // of the session
	Username  string    `json:"username"`
	ExpiresAt db.Time   `json:"expires_at"`
	KeptIn    string    `json:"kept_in"`    // "keyring", or the file's path
	IdleLimit string    `json:"idle_limit"` // after which an unused login ends
}

var loginView = output.View{
	Table: []string{"username", "expires_at", "idle_limit", "kept_in"},
	Wide:  []string{"id", "username", "expires_at", "idle_limit", "kept_in"},
}

func (a *app) authLogin() *cobra.Command {
	var username string
	var stdin, otpStdin bool
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "login [--username U]", Short: "Log in with a password; the login lasts 8 hours, or 30 minutes without use", Args: exactly(),
		Long: `Log in with a password; the login lasts 8 hours, or 30 minutes without use.

The token is stored in the desktop's keyring or, without one, in a file that only you can read. A login stored earlier
for the same profile and database is ended.

If the user has a second factor, cxgctl asks for the code of the authenticator app or a backup code; a backup code works
once. --otp-stdin reads it from standard input, from the line after the password. If a new password is due, cxgctl asks
for it on the terminal first.

After 5 wrong passwords or codes cxgctl refuses the account for 15 minutes; auth.lock_after in the profile can lower
that number. The platform's own login is not affected: cxgctl users status --set LOCKED locks an account there too. A
refusal takes 2 seconds and is the same for an unknown name, a wrong password and a locked account. --dry-run opens no
session, but a wrong password still counts.`,
		Example: "  cxgctl auth login --username ada\n  pass show cxg/ada | cxgctl auth login --username ada --password-stdin\n" +
			"  { pass show cxg/ada; pass otp cxg/ada; } | cxgctl auth login --username ada --password-stdin --otp-stdin",
	}
	cmd.RunE = a.runAnonymous(func(ctx context.Context, cmd *cobra.Command) error {
		if username == "" {
			username = a.cfg.Operator
		}
		username, password, err := a.credentials(ctx, username, stdin)
		if err != nil {
			return err
		}
		s, err := a.connect(ctx, cmd, auth.LoginTables...)
		if err != nil {
			return err
		}
		door, err := auth.NewLogin(s.cat, userAgent(), auth.Lock{After: a.cfg.LockAfter, For: a.cfg.LockFor})
		if err != nil {
			return err
		}
		since := time.Now()
		attempt, err := door.Attempt(ctx, s.db, username)
		if err != nil {
			return err
		}
		a.clock.pause() // a time-out would reveal how long the hash takes
		attempt.Password(password)
		a.clock.resume()
		if attempt.NeedsCode() {
			if err := a.code(ctx, &attempt, otpStdin); err != nil {
				return err
			}
			since = time.Now()
		}
		if attempt.NeedsPassword() {
			if err := a.replacePassword(ctx, &attempt); err != nil {
				return err
			}
		}
		attempt.DryRun = flags.dryRun
		if kept, err := a.storedLogin(s).Load(); err == nil && kept != nil {
			attempt.Replaces = kept.Token
		}
		l, err := audit.Open(ctx, s.db, s.cat, attempt.By(), a.origin(cmd))
		if err != nil {
			return err
		}
		l.Follow = sessions.EndOfClosed
		in, err := door.LogIn(ctx, s.db, l, attempt)
		if fault.Is(err, fault.Unauthenticated) {
			a.rest(since)
		}
		if err != nil {
			return err
		}
		if l.DryRun {
			return a.printDryRun(l)
		}
		a.clock.done()
		return a.keepLogin(s, in)
	})
	flags.bind(cmd)
	cmd.Flags().StringVar(&username, "username", "", "username (default: the configured operator, else a prompt)")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	markFlags(cmd.Flags(), recorded, "password-stdin")
	cmd.Flags().BoolVar(&otpStdin, "otp-stdin", false, "read the code of the second factor from the next line of standard input")
	a.specify(cmd, Spec{Permission: noOperator, Audit: always})
	return addOutputFlags[loginRecord](a, cmd)
}

// refusalTime is how long a refused login takes, so that the time does not reveal whether the name exists, the cost of
// its hash or the state of its account. Tests lower it.
var refusalTime = 2 * time.Second

// rest waits until a refused login has taken refusalTime, or the next multiple of it.
func (a *app) rest(since time.Time) {
	a.clock.pause()
	defer a.clock.resume()
	select {
	case <-time.After(remaining(time.Since(since), refusalTime)):
	case <-a.ctx.Done():
	}
}

// remaining returns the time from elapsed to the next multiple of span.
func remaining(elapsed, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	return span - elapsed%span
}

// code reads the code of the second factor. Without --otp-stdin and a terminal the attempt goes on and is refused.
func (a *app) code(ctx context.Context, attempt *auth.Attempt, stdin bool) error {
	var code string
	var err error
	fd, ok := a.terminal()
	switch {
	case stdin:
		code, err = a.firstLine()
	case ok:
		code, err = a.readHidden(ctx, fd, "code of the authenticator app: ")
	default:
		return nil
	}
	if err != nil {
		return err
	}
	a.clock.pause()
	defer a.clock.resume()
	attempt.Code(code)
	return nil
}

// replacePassword asks for the new password that is due. Without a terminal the attempt goes on and is refused.
func (a *app) replacePassword(ctx context.Context, attempt *auth.Attempt) error {
	if _, ok := a.terminal(); !ok {
		return nil
	}
	a.printf("%s must set a new password first", attempt.Username)
	pw, err := a.askPassword(ctx)
	if err != nil {
		return err
	}
	if attempt.Uses(pw) {
		return fault.New(fault.Validation, "the new password is the same as the old one")
	}
	if err := password.Check(pw); err != nil {
		return err
	}
	hash, err := password.Hash(pw, hashCost)
	attempt.NewPassword(hash)
	return err
}

// runAnonymous wraps a command that runs without an operator, or before the operator is known.
func (a *app) runAnonymous(fn func(ctx context.Context, cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if err := a.printer(cmd); err != nil {
			return err
		}
		ctx, cancel := a.clock.start(ctx, a.cfg.Timeout)
		defer cancel()
		return a.clock.verdict(fn(ctx, cmd))
	})
}

// keepLogin stores a login for later commands, and prints it.
func (a *app) keepLogin(s *session, in auth.Entered) error {
	kept, err := a.storedLogin(s).Save(credstore.Login{Username: in.Username, Expires: in.Expires, Token: in.Token})
	if err != nil {
		return err
	}
	where := "keyring"
	if !kept.Keyring {
		where = a.storedLogin(s).File()
		a.note("no keyring found; the login is stored in %s, which only you can read", where)
	}
	if in.Replaced != "" {
		a.note("the previous login of %s was ended", in.Replaced)
	}
	return output.One(a.print, loginView, loginRecord{in.ID, in.Username, db.At(in.Expires), where, auth.IdleLimit})
}

// credentials prompts for the username and password that are not given.
func (a *app) credentials(ctx context.Context, username string, stdin bool) (name, password string, err error) {
	if stdin {
		if username == "" {
			return "", "", fault.New(fault.Usage, "--username is missing")
		}
		password, err = a.firstLine()
		return username, password, err
	}
	fd, ok := a.terminal()
	if !ok {
		return "", "", fault.New(fault.Usage, "no password given").WithHint("add --password-stdin, or log in on a terminal")
	}
	if username == "" {
		a.prompt("username: ")
		username, err = a.interruptible(ctx, fd, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
		if username = strings.TrimSpace(username); username == "" && err == nil {
			err = fault.New(fault.Usage, "no username given")
		}
		if err != nil {
			return "", "", err
		}
	}
	password, err = a.readHidden(ctx, fd, "password of "+username+": ")
	return username, password, err
}

// firstLine reads a secret from the next line of standard input.
func (a *app) firstLine() (string, error) {
	in, resume := a.input()
	defer resume()
	if a.secrets == nil {
		a.secrets = bufio.NewReader(io.LimitReader(in, maxPasswordInput))
	}
	text, err := a.secrets.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), err
}

func (a *app) authLogout() *cobra.Command {
	var all bool
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "logout", Short: "End your login, or all your logins with --all", Args: exactly(),
		Example: "  cxgctl auth logout\n  cxgctl auth logout --all --yes",
	}
	cmd.RunE = a.runAnonymous(func(ctx context.Context, cmd *cobra.Command) error {
		s, err := a.session(ctx, cmd)
		if s == nil {
			return err
		}
		store := a.storedLogin(s)
		stored := store.LoadInfo()
		if fault.Is(err, fault.Unauthenticated) && stored != nil && !all {
			a.note("the login had already ended")
			if flags.dryRun {
				return nil
			}
			return store.Delete()
		}
		if err != nil {
			return err
		}
		if s.who.Session == nil && !all {
			return fault.New(fault.Unauthenticated, "not logged in").WithHint("--all ends the logins of %s elsewhere", s.by.Name)
		}
		if s.who.AuthMethod == auth.MethodKey {
			return fault.New(fault.Usage, "an API key is not a login").WithHint("to revoke a key: cxgctl keys revoke ID")
		}
		l, err := a.endLogins(ctx, s, cmd, all, flags.dryRun)
		if err != nil {
			return err
		}
		if l.DryRun {
			return a.printDryRun(l)
		}
		a.note("%s ended", plural(len(l.Entries()), "login"))
		if stored == nil || stored.Username != s.by.Name {
			return nil
		}
		return store.Delete()
	})
	flags.bind(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "end all your logins, on every machine, and tokens made by auth token")
	markFlags(cmd.Flags(), recorded, "all")
	a.specify(cmd, Spec{Permission: anyOperator, Audit: always})
	return cmd
}

// endLogins ends the login of this run, or all of the operator's after a confirmation, since other machines and running
// jobs may use them.
func (a *app) endLogins(ctx context.Context, s *session, cmd *cobra.Command, all, dryRun bool) (*audit.Ledger, error) {
	cat, err := readTables(ctx, s, append(auth.LoginTables, a.tables(cmd)...))
	if err != nil {
		return nil, err
	}
	door, err := auth.NewLogin(cat, userAgent(), auth.Lock{})
	if err != nil {
		return nil, err
	}
	l, err := audit.Open(ctx, s.db, cat, s.by, a.origin(cmd))
	if err != nil {
		return nil, err
	}
	l.DryRun = dryRun
	if !all {
		return l, door.LogOut(ctx, l, &s.who.Session.ID)
	}
	n, err := door.Logins(ctx, s.db, s.by.ID)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		a.note("%s has no login to end; nothing changed", s.by.Name)
		return l, nil
	}
	a.note("%s has %s, including tokens made by auth token", s.by.Name, plural(n, "login"))
	if err := a.confirmChange(ctx, l, "end every login of "+s.by.Name); err != nil {
		return nil, err
	}
	return l, door.LogOut(ctx, l, nil)
}

// whoami is the record of auth whoami.
type whoami struct {
	ID                  uuid.UUID `json:"id"`
	Username            string    `json:"username"`
	UserType            string    `json:"user_type"`
	Method              string    `json:"method"`
	Profile             *string   `json:"profile"`
	Database            string    `json:"database"`
	PermissionsEnforced bool      `json:"permissions_enforced"`
	Roles               []string  `json:"roles"`
	Permissions         []string  `json:"permissions"`
	SessionExpiresAt    *db.Time  `json:"session_expires_at"`
	SessionIdleLimit    *string   `json:"session_idle_limit"` // after which an unused login ends; null for other methods
}

var whoamiView = output.View{
	Table: []string{"username", "user_type", "method", "profile", "database", "roles", "session_expires_at", "session_idle_limit"},
	Wide:  []string{"id", "username", "user_type", "method", "profile", "database", "permissions_enforced", "roles", "permissions", "session_expires_at", "session_idle_limit"},
}

func (a *app) authWhoami() *cobra.Command {
	cmd := &cobra.Command{
		Use: "whoami", Short: "Show the operator, how they authenticated, and their permissions", Args: exactly(),
		Example: "  cxgctl auth whoami\n  cxgctl auth whoami --jq '.data.permissions[]'",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, _ *cobra.Command, _ []string) error {
		w := whoami{
			ID: s.who.ID, Username: s.who.Name, UserType: s.who.Type, Method: s.who.AuthMethod, Database: s.db.Addr(),
			PermissionsEnforced: s.who.Enforced, Roles: append([]string{}, s.who.Roles...), Permissions: s.who.Permissions(),
		}
		if a.cfg.Profile != "" {
			w.Profile = &a.cfg.Profile
		}
		if s.who.Session != nil {
			w.SessionExpiresAt = s.who.Session.Expires
			if limit := auth.IdleLimit; s.who.AuthMethod == auth.MethodLogin {
				w.SessionIdleLimit = &limit
			}
		}
		if err := output.One(a.print, whoamiView, w); err != nil || s.who.Enforced || s.who.Scopes != nil {
			return err
		}
		a.note("permissions are not enforced, since no operator holds a role; to start: cxgctl auth bootstrap, then cxgctl roles grant")
		return nil
	})
	a.specify(cmd, Spec{Permission: anyOperator})
	return addOutputFlags[whoami](a, cmd)
}

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
	return a.group("auth", "Who you are to cxgctl, and how that is proved",
		child{"bootstrap", a.authBootstrap},
		child{"login", a.authLogin}, child{"logout", a.authLogout}, child{"whoami", a.authWhoami}, child{"token", a.authToken})
}

// loginRecord is what a login prints.
type loginRecord struct {
	ID        uuid.UUID `json:"id"` // of the session
	Username  string    `json:"username"`
	ExpiresAt db.Time   `json:"expires_at"`
	KeptIn    string    `json:"kept_in"`    // keyring, or the file
	IdleLimit string    `json:"idle_limit"` // without use it ends sooner
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

The token is kept in the desktop's keyring, or where there is none in a file that only you can read. A login that
was kept for the same profile and database ends.

Where the user has a second factor, the code of the authenticator app or a backup code is asked for; a backup code
is good once. --otp-stdin reads it from standard input, from the line after the password's. Where a new password is
due, a terminal asks for it first.

After 5 wrong passwords or codes cxgctl refuses the account for 15 minutes; auth.lock_after in the profile can lower
that number. The platform's own login is not affected: cxgctl users status --set LOCKED locks an account there too. A
refusal takes 2 seconds and is the same for an unknown name, a wrong password and a locked account. With --dry-run
no session is opened, and a wrong password counts all the same.`,
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
		a.clock.pause() // a time-out would tell how long the hash takes
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
	cmd.Flags().StringVar(&username, "username", "", "who (default: the operator that is named otherwise, else a prompt)")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	markFlags(cmd.Flags(), recorded, "password-stdin")
	cmd.Flags().BoolVar(&otpStdin, "otp-stdin", false, "read the code of the second factor from the next line of standard input")
	a.specify(cmd, Spec{Permission: noOperator, Audit: always})
	return addOutputFlags[loginRecord](a, cmd)
}

// refusalTime is how long the refusal of a login takes, so that the time tells nothing about the name, the cost of its hash
// or the state of its account. Tests lower it.
var refusalTime = 2 * time.Second

// rest waits after a refused login until refusalTime is over, or a multiple of it where the work took longer.
func (a *app) rest(since time.Time) {
	a.clock.pause()
	defer a.clock.resume()
	select {
	case <-time.After(remaining(time.Since(since), refusalTime)):
	case <-a.ctx.Done():
	}
}

// remaining is how much is missing to the next multiple of a span.
func remaining(elapsed, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	return span - elapsed%span
}

// code gets the code of the second factor. Without a way to get one the attempt goes on, and is refused.
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

// replacePassword asks for the new password that is due. Off a terminal the attempt goes on, and is refused.
func (a *app) replacePassword(ctx context.Context, attempt *auth.Attempt) error {
	if _, ok := a.terminal(); !ok {
		return nil
	}
	a.printf("%s has to set a new password first", attempt.Username)
	pw, err := a.askPassword(ctx)
	if err != nil {
		return err
	}
	if attempt.Uses(pw) {
		return fault.New(fault.Validation, "the new password is the old one")
	}
	if err := password.Check(pw); err != nil {
		return err
	}
	hash, err := password.Hash(pw, hashCost)
	attempt.NewPassword(hash)
	return err
}

// apart wraps a command that runs without an operator, or before there is one.
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

// keepLogin keeps a login for the runs to come, and prints it.
func (a *app) keepLogin(s *session, in auth.Entered) error {
	kept, err := a.storedLogin(s).Save(credstore.Login{Username: in.Username, Expires: in.Expires, Token: in.Token})
	if err != nil {
		return err
	}
	where := "keyring"
	if !kept.Keyring {
		where = a.storedLogin(s).File()
		a.note("there is no keyring here: the login is kept in %s, which only you can read", where)
	}
	if in.Replaced != "" {
		a.note("the login of %s that was kept here has ended", in.Replaced)
	}
	return output.One(a.print, loginView, loginRecord{in.ID, in.Username, db.At(in.Expires), where, auth.IdleLimit})
}

// credentials asks for what is not given.
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
		return "", "", fault.New(fault.Usage, "no password is given").WithHint("add --password-stdin, or log in on a terminal")
	}
	if username == "" {
		a.prompt("username: ")
		username, err = a.interruptible(ctx, fd, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
		if username = strings.TrimSpace(username); username == "" && err == nil {
			err = fault.New(fault.Usage, "no username is given")
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
		Use: "logout", Short: "End your login; --all ends every one that you have anywhere", Args: exactly(),
		Example: "  cxgctl auth logout\n  cxgctl auth logout --all --yes",
	}
	cmd.RunE = a.runAnonymous(func(ctx context.Context, cmd *cobra.Command) error {
		s, err := a.session(ctx, cmd)
		if s == nil {
			return err
		}
		place := a.storedLogin(s)
		kept := place.LoadInfo()
		if fault.Is(err, fault.Unauthenticated) && kept != nil && !all {
			a.note("the login had ended already")
			if flags.dryRun {
				return nil
			}
			return place.Delete()
		}
		if err != nil {
			return err
		}
		if s.who.Session == nil && !all {
			return fault.New(fault.Unauthenticated, "nobody is logged in").WithHint("--all ends the logins of %s elsewhere", s.by.Name)
		}
		if s.who.AuthMethod == auth.MethodKey {
			return fault.New(fault.Usage, "a key is no login").WithHint("cxgctl keys revoke ends one")
		}
		l, err := a.endLogins(ctx, s, cmd, all, flags.dryRun)
		if err != nil {
			return err
		}
		if l.DryRun {
			return a.printDryRun(l)
		}
		a.note("%s ended", plural(len(l.Entries()), "login"))
		if kept == nil || kept.Username != s.by.Name {
			return nil
		}
		return place.Delete()
	})
	flags.bind(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every login of yours, on whatever machine, and tokens that auth token made")
	markFlags(cmd.Flags(), recorded, "all")
	a.specify(cmd, Spec{Permission: anyOperator, Audit: always})
	return cmd
}

// endLogins ends the login of this run, or all of the operator's. Those may be on other machines, and of jobs that
// run at this moment, so all of them are asked about as what cannot be taken back is.
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
	a.note("%s has %s, tokens that auth token made included", s.by.Name, plural(n, "login"))
	if err := a.confirmChange(ctx, l, "end every login of "+s.by.Name); err != nil {
		return nil, err
	}
	return l, door.LogOut(ctx, l, nil)
}

// whoami is an operator as cxgctl sees them.
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
	SessionIdleLimit    *string   `json:"session_idle_limit"` // of a login, which ends sooner without use
}

var whoamiView = output.View{
	Table: []string{"username", "user_type", "method", "profile", "database", "roles", "session_expires_at", "session_idle_limit"},
	Wide:  []string{"id", "username", "user_type", "method", "profile", "database", "permissions_enforced", "roles", "permissions", "session_expires_at", "session_idle_limit"},
}

func (a *app) authWhoami() *cobra.Command {
	cmd := &cobra.Command{
		Use: "whoami", Short: "Show the operator, how they are known, and what they may do", Args: exactly(),
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
		return output.One(a.print, whoamiView, w)
	})
	a.specify(cmd, Spec{Permission: anyOperator})
	return addOutputFlags[whoami](a, cmd)
}

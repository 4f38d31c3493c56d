// Package auth implements the auth commands.
package auth

import (
	"bufio"
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/passwordflag"
	"github.com/cxgctl/cxgctl/internal/credstore"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/sessions"
)

// NewCommand returns the commands that log operators in and out.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("auth", "Log in, log out, create tokens and the first operator",
		newBootstrap(env),
		newLogin(env), newLogout(env), newWhoami(env), newToken(env))
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

func newLogin(env *cmdutil.Env) *cobra.Command {
	var username string
	var stdin, otpStdin bool
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "login [--username U]", Short: "Log in with a password; the login lasts 8 hours, or 30 minutes without use", Args: cmdutil.ExactArgs(),
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
	cmd.RunE = cmdutil.RunAnonymous(env, func(ctx context.Context, cmd *cobra.Command) error {
		if username == "" {
			username = env.Config.Operator
		}
		username, password, err := credentials(ctx, env, username, stdin)
		if err != nil {
			return err
		}
		s, err := env.Connect(ctx, cmd, auth.LoginTables...)
		if err != nil {
			return err
		}
		door, err := auth.NewLogin(s.Catalog, cmdutil.UserAgent(), auth.Lock{After: env.Config.Auth.LockAfter, For: env.Config.Auth.LockFor})
		if err != nil {
			return err
		}
		since := time.Now()
		attempt, err := door.Attempt(ctx, s.DB, username)
		if err != nil {
			return err
		}
		env.Deadline.Pause() // a time-out would reveal how long the hash takes
		attempt.Password(password)
		env.Deadline.Resume()
		if attempt.NeedsCode() {
			if err := askCode(ctx, env, &attempt, otpStdin); err != nil {
				return err
			}
			since = time.Now()
		}
		if attempt.NeedsPassword() {
			if err := replacePassword(ctx, env, &attempt); err != nil {
				return err
			}
		}
		attempt.DryRun = flags.DryRun
		if kept, err := cmdutil.StoredLogin(env, s).Load(); err == nil && kept != nil {
			attempt.Replaces = kept.Token
		}
		l, err := audit.Open(ctx, s.DB, s.Catalog, attempt.By(), env.Origin(cmd))
		if err != nil {
			return err
		}
		l.Follower = sessions.NewCloser(s.Catalog)
		in, err := door.LogIn(ctx, s.DB, l, attempt)
		if fault.Is(err, fault.Unauthenticated) {
			waitOutRefusal(env, since)
		}
		if err != nil {
			return err
		}
		if l.DryRun {
			return cmdutil.PrintDryRun(env, l)
		}
		env.Deadline.Done()
		return keepLogin(env, s, in)
	})
	flags.Bind(cmd)
	cmd.Flags().StringVar(&username, "username", "", "username (default: the configured operator, else a prompt)")
	cliflag.CompleteFlagWith(cmd, "username", cmdutil.CompleteOperators(env))
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "password-stdin")
	cmd.Flags().BoolVar(&otpStdin, "otp-stdin", false, "read the code of the second factor from the next line of standard input")
	cliflag.Exits(cmd, "6")
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.NoOperator, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[loginRecord](env, cmd)
}

// RefusalTime is how long a refused login takes, so that the time does not reveal whether the name exists, the cost of
// its hash or the state of its account. Tests lower it.
var RefusalTime = 2 * time.Second

// waitOutRefusal waits until a refused login has taken RefusalTime, or the next multiple of it.
func waitOutRefusal(env *cmdutil.Env, since time.Time) {
	env.Deadline.Pause()
	defer env.Deadline.Resume()
	select {
	case <-time.After(remaining(time.Since(since), RefusalTime)):
	case <-env.Context.Done():
	}
}

// remaining returns the time from elapsed to the next multiple of span.
func remaining(elapsed, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	return span - elapsed%span
}

// askCode reads the code of the second factor. Without --otp-stdin and a terminal the attempt goes on and is refused.
func askCode(ctx context.Context, env *cmdutil.Env, attempt *auth.Attempt, stdin bool) error {
	var code string
	var err error
	fd, ok := env.Terminal()
	switch {
	case stdin:
		code, err = env.FirstLine()
	case ok:
		code, err = env.ReadHidden(ctx, fd, "code of the authenticator app: ")
	default:
		return nil
	}
	if err != nil {
		return err
	}
	env.Deadline.Pause()
	defer env.Deadline.Resume()
	attempt.Code(code)
	return nil
}

// replacePassword asks for the new password that is due. Without a terminal the attempt goes on and is refused.
func replacePassword(ctx context.Context, env *cmdutil.Env, attempt *auth.Attempt) error {
	if _, ok := env.Terminal(); !ok {
		return nil
	}
	env.Printf("%s must set a new password first", attempt.Username)
	pw, err := passwordflag.Ask(ctx, env, false)
	if err != nil {
		return err
	}
	if attempt.Uses(pw) {
		return fault.New(fault.Validation, "the new password is the same as the old one")
	}
	hash, err := password.Hash(pw, cmdutil.HashCost)
	attempt.NewPassword(hash)
	return err
}

// keepLogin stores a login for later commands, and prints it.
func keepLogin(env *cmdutil.Env, s *cmdutil.Session, in auth.Entered) error {
	kept, err := cmdutil.StoredLogin(env, s).Save(credstore.Login{Username: in.Username, Expires: in.Expires, Token: in.Token})
	if err != nil {
		return err
	}
	where := "keyring"
	if !kept.Keyring {
		where = cmdutil.StoredLogin(env, s).File()
		env.Note("no keyring found; the login is stored in %s, which only you can read", where)
	}
	if in.Replaced != "" {
		env.Note("the previous login of %s was ended", in.Replaced)
	}
	return output.One(env.Printer, loginView, loginRecord{in.ID, in.Username, db.At(in.Expires), where, auth.IdleLimit})
}

// credentials prompts for the username and password that are not given.
func credentials(ctx context.Context, env *cmdutil.Env, username string, stdin bool) (name, password string, err error) {
	if stdin {
		if username == "" {
			return "", "", fault.New(fault.Usage, "--username is missing")
		}
		if password, err = env.FirstLine(); err == nil && password == "" {
			err = fault.New(fault.Usage, "no password given").WithHint("the first line of standard input is empty; no attempt was counted")
		}
		return username, password, err
	}
	fd, ok := env.Terminal()
	if !ok {
		return "", "", fault.New(fault.Usage, "no password given").WithHint("add --password-stdin, or log in on a terminal")
	}
	if username == "" {
		env.Prompt("username: ")
		username, err = env.Interruptible(ctx, fd, func() (string, error) { return bufio.NewReader(env.Stdin).ReadString('\n') })
		if username = strings.TrimSpace(username); username == "" && err == nil {
			err = fault.New(fault.Usage, "no username given")
		}
		if err != nil {
			return "", "", err
		}
	}
	password, err = env.ReadHidden(ctx, fd, "password of "+username+": ")
	return username, password, err
}

func newLogout(env *cmdutil.Env) *cobra.Command {
	var all bool
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "logout", Short: "End your login, or all your logins with --all", Long: "The login is revoked in the database and removed from this machine.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl auth logout\n  cxgctl auth logout --all --yes",
	}
	cmd.RunE = cmdutil.RunAnonymous(env, func(ctx context.Context, cmd *cobra.Command) error {
		s, err := cmdutil.OpenSession(ctx, env, cmd)
		if s == nil {
			return err
		}
		store := cmdutil.StoredLogin(env, s)
		if !flags.DryRun && store.Protect() {
			s, err = cmdutil.OpenSession(ctx, env, cmd) // now with the login, which is to be ended in the database too
		}
		stored := store.LoadInfo()
		if fault.Is(err, fault.Unauthenticated) && stored != nil && !all {
			env.Note("the login had already ended")
			if flags.DryRun {
				return nil
			}
			return store.Delete()
		}
		if err != nil {
			return err
		}
		if s.Identity.Session == nil && !all {
			return fault.New(fault.Unauthenticated, "not logged in").WithHint("--all ends the logins of %s elsewhere", s.Operator.Name)
		}
		if s.Identity.AuthMethod == auth.MethodKey {
			return fault.New(fault.Usage, "an API key is not a login").WithHint("to revoke a key: cxgctl keys revoke ID")
		}
		l, err := endLogins(ctx, env, s, cmd, all, flags.DryRun)
		if err != nil {
			return err
		}
		if l.DryRun {
			return cmdutil.PrintDryRun(env, l)
		}
		env.Note("%s ended", fault.Plural(len(l.Entries()), "login"))
		if stored == nil || stored.Username != s.Operator.Name {
			return nil
		}
		return store.Delete()
	})
	flags.Bind(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "end all your logins, on every machine, and tokens made by auth token")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "all")
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.AnyOperator, Resource: "auth", Audit: cmdutil.Always})
	return cmd
}

// endLogins ends the login of this run, or all of the operator's after a confirmation, since other machines and running
// jobs may use them.
func endLogins(ctx context.Context, env *cmdutil.Env, s *cmdutil.Session, cmd *cobra.Command, all, dryRun bool) (*audit.Ledger, error) {
	cat, err := cmdutil.ReadTables(ctx, s, append(auth.LoginTables, env.TablesOf(cmd)...))
	if err != nil {
		return nil, err
	}
	door, err := auth.NewLogin(cat, cmdutil.UserAgent(), auth.Lock{})
	if err != nil {
		return nil, err
	}
	l, err := audit.Open(ctx, s.DB, cat, s.Operator, env.Origin(cmd))
	if err != nil {
		return nil, err
	}
	l.DryRun = dryRun
	if !all {
		return l, door.LogOut(ctx, l, &s.Identity.Session.ID)
	}
	n, err := door.Logins(ctx, s.DB, s.Operator.ID)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		env.Note("%s has no login to end; nothing changed", s.Operator.Name)
		return l, nil
	}
	env.Note("%s has %s, including tokens made by auth token", s.Operator.Name, fault.Plural(n, "login"))
	if err := cmdutil.ConfirmChange(ctx, env, l, "end every login of "+s.Operator.Name, n); err != nil {
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
	TLS                 *string   `json:"tls"` // null without encryption
	PermissionsEnforced bool      `json:"permissions_enforced"`
	Roles               []string  `json:"roles"`
	Permissions         []string  `json:"permissions"`
	SessionExpiresAt    *db.Time  `json:"session_expires_at"`
	SessionIdleLimit    *string   `json:"session_idle_limit"` // after which an unused login ends; null for other methods
}

var whoamiView = output.View{
	Table: []string{"username", "user_type", "method", "profile", "database", "tls", "roles", "session_expires_at", "session_idle_limit"},
	Wide:  []string{"id", "username", "user_type", "method", "profile", "database", "tls", "permissions_enforced", "roles", "permissions", "session_expires_at", "session_idle_limit"},
}

func newWhoami(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "whoami", Short: "Show the operator, how they authenticated, and their permissions", Long: "Says too whether the database enforces permissions, and how strong the proof of identity is: a login or a key, the database role, or only a name.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl auth whoami\n  cxgctl auth whoami --jq '.data.permissions[]'",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command, _ []string) error {
		w := whoami{
			ID: s.Identity.ID, Username: s.Identity.Name, UserType: s.Identity.Type, Method: s.Identity.AuthMethod, Database: s.DB.Addr(),
			PermissionsEnforced: s.Identity.Enforced, Roles: append([]string{}, s.Identity.Roles...), Permissions: s.Identity.Permissions(),
		}
		if env.Config.Profile != "" {
			w.Profile = &env.Config.Profile
		}
		if tls := s.DB.TLS(); tls != "" {
			w.TLS = &tls
		}
		if s.Identity.Session != nil {
			w.SessionExpiresAt = s.Identity.Session.Expires
			if limit := auth.IdleLimit; s.Identity.AuthMethod == auth.MethodLogin {
				w.SessionIdleLimit = &limit
			}
		}
		if err := output.One(env.Printer, whoamiView, w); err != nil || s.Identity.Enforced || s.Identity.Scopes != nil {
			return err
		}
		env.Note("permissions are not enforced, since no operator holds a role; to start: cxgctl auth bootstrap, then cxgctl roles grant")
		return nil
	})
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.AnyOperator, Resource: "auth"})
	return cmdutil.AddOutputFlags[whoami](env, cmd)
}

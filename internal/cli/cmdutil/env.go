// Package cmdutil holds what the commands of several nouns share: the environment of a run, the session with the
// databases, flags, output, lists, exports, batches, confirmation and dry runs.
package cmdutil

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// HashCost is bcrypt's cost for new passwords; tests lower it.
var HashCost = 12

// Env is one run of the program.
type Env struct {
	Context        context.Context
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Started        time.Time
	Running        bool // the code of a command has started

	Global struct {
		ConfigFile, Profile, Operator, Reason, ticket, TimeZone, Color string

		Timeout                      time.Duration
		NoInput, Yes, Quiet, Verbose bool
		NoPager                      bool
	}
	Output     OutputFlags
	Config     *config.Config
	Printer    *output.Printer
	pager      *output.Pager // the last one, or nil
	Deadline   Deadline
	opened     []*db.DB
	OpenDB     func(context.Context, db.Options) (*db.DB, error) // opens connections in tests; nil means db.Open
	Notes      []string                                          // kept until the command ends, see Note
	secrets    *bufio.Reader                                     // standard input with secrets, one per line
	spare      *spareSecret                                      // see KeepSecret
	Renew      string                                            // the command that replaces the secret to be printed
	Reveal     bool                                              // --reveal
	Tenants    TenantFlags
	cron       cronFlags
	specs      map[*cobra.Command]Spec
	Undoable   []audit.Resource // whose changes audit undo reverses; each noun adds its own
	Times      cliflag.TimeContext
	names      func(kind string, ids []string) map[string]string // names of rows by id; nil before the session is open
	ServerAddr string                                            // the server and database, named in prompts
	skew       time.Duration                                     // how far the server's clock is ahead
}

// Open opens a connection that Close closes.
func (env *Env) Open(ctx context.Context, o db.Options) (*db.DB, error) {
	stop := env.waiting(func(context.Context) string { return "connecting to " + o.Addr() })
	defer stop()
	open := env.OpenDB
	if open == nil {
		open = db.Open
	}
	d, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if env.OpenDB == nil {
		env.opened = append(env.opened, d)
	}
	where := o.Addrs()
	if strings.Contains(where, ", ") && env.Global.Verbose {
		where += ", connected to " + d.Server(ctx)
	}
	env.Tell("%s database: %s, PostgreSQL %s", d.Name(), where, d.Version())
	return d, nil
}

// Close closes all connections.
func (env *Env) Close() {
	for _, d := range env.opened {
		d.Close()
	}
	env.opened = nil
}

// Day returns the date of an instant in the zone of the command, for notes.
func (env *Env) Day(at time.Time) string {
	return at.In(cmp.Or(env.Times.Zone, time.UTC)).Format(time.DateOnly)
}

// TerminalOf describes the terminal behind one of the standard streams.
func (env *Env) TerminalOf(w io.Writer) output.Terminal {
	t := output.DetectTerminal(w, env.Getenv, env.Global.Color)
	if env.Config != nil {
		t.Zone = env.Config.Zone
	}
	return t
}

// Printf writes a sanitized message to standard error.
func (env *Env) Printf(format string, args ...any) {
	text := output.Sanitize(fmt.Sprintf(format, args...))
	_, _ = io.WriteString(env.Stderr, env.TerminalOf(env.Stderr).Message(text)+"\n")
}

// Note writes a line to standard error unless --quiet is given. With a structured format, notes are kept until the
// command ends and dropped if it fails, so that the error is the only document on standard error.
func (env *Env) Note(format string, args ...any) {
	switch {
	case env.Global.Quiet:
	case IsStructured(env.ErrorFormat()):
		env.Notes = append(env.Notes, fmt.Sprintf(format, args...))
	default:
		if l := env.logger(); l != nil {
			l.Info(output.Sanitize(fmt.Sprintf(format, args...)))
			return
		}
		env.Printf(format, args...)
	}
}

// LoadConfig loads the configuration once.
func (env *Env) LoadConfig(cmd *cobra.Command) (*config.Config, error) {
	if env.Config != nil {
		return env.Config, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	flags := env.ConfigFlags(cmd)
	c, err := config.Load(flags, env.Getenv, dir)
	if err != nil {
		return nil, err
	}
	env.Config = &c
	env.Times.Zone, env.Times.Now = c.Zone, env.now
	env.Tell("configuration: %s", cmp.Or(c.File, "no file"))
	if c.Profile != "" {
		env.Tell("profile: %s (%s)", c.Profile, c.Sources["profile"])
	}
	for _, s := range config.View(c) {
		if s.Source != "" && s.Source != "built-in" && s.Key != "file" && s.Key != "profile" {
			env.Tell("setting %s: %s", s.Key, c.From(s.Key))
		}
	}
	return env.Config, nil
}

// ConfigFlags returns the global flags that the configuration depends on.
func (env *Env) ConfigFlags(cmd *cobra.Command) config.Flags {
	return config.Flags{
		ConfigFile: env.Global.ConfigFile, Profile: env.Global.Profile, Operator: env.Global.Operator,
		Output: env.Output.Format, TimeZone: env.Global.TimeZone, Timeout: env.Global.Timeout, Stdin: env.Stdin,
		Changed: func(flag string) bool {
			f := cmd.Flags().Lookup(flag)
			return f != nil && f.Changed
		},
	}
}

// options returns the options of a connection to the database at url, which a key of the configuration gives. Messages
// call the database name.
func (env *Env) options(name, key, url, program string) db.Options {
	c := env.Config
	return db.Options{
		Name: name, From: c.From(key), URL: url, Password: env.passwords(), Program: program, Timeout: c.Timeout, Pooled: c.Pooled,
		Filtered: c.RowSecurity, Watcher: env.watcher(),
	}
}

// Target returns the options of a connection to the manager or the tenants database. The dev database is used, and
// started, only if the profile sets embedded: without a configuration, a command must not show demo data.
func (env *Env) Target(ctx context.Context, cmd *cobra.Command, name string) (db.Options, error) {
	c, err := env.LoadConfig(cmd)
	if err != nil {
		return db.Options{}, err
	}
	url := c.ManagerURL
	if name == "tenants" {
		url = c.TenantsURL
	}
	if name == "tenants" && c.EachTenantItsOwn() {
		return db.Options{}, fault.New(fault.Database, "each tenant has its own database").
			WithHint("select tenants with --tenant or --all-tenants; commands without these flags use the database in CXGCTL_TENANTS_DATABASE_URL")
	}
	o := env.options(name, name+"_database_url", url, cmd.CommandPath())
	if url != "" {
		return o, nil
	}
	o.Pooled, o.Password = false, nil
	if !c.Embedded {
		return o, fault.New(fault.Database, "no %s database is configured", name).
			WithHint("set CXGCTL_%s_DATABASE_URL, or write a profile (cxgctl config init); to try cxgctl out, run cxgctl dev up and set embedded: true in the profile", strings.ToUpper(name))
	}
	dev := env.DevOptions()
	if env.IsCompleting() {
		if status, err := devdb.Inspect(dev); err != nil || !status.Running {
			return o, fault.New(fault.Database, "the dev database is not running")
		}
	}
	if !devdb.Exists(dev) && cmd.Parent().Name() != "migrate" {
		return o, fault.New(fault.Database, "the dev database does not exist yet").WithHint("create it with demo data: cxgctl dev up")
	}
	status, err := devdb.Ensure(ctx, dev)
	if err != nil {
		return o, err
	}
	o.URL = status.DSN(DevName(name))
	return o, nil
}

// passwords returns where the profile's password comes from, or nil.
func (env *Env) passwords() db.Passwords {
	if env.Config.PasswordFile == "" && len(env.Config.PasswordCommand) == 0 {
		return nil
	}
	return env.Config
}

// Session is a connection to the manager database on behalf of an operator.
type Session struct {
	DB          *db.DB
	primary     *db.DB // for the audit rows of reads if DB is a replica or filtered; else nil
	Catalog     schema.Catalog
	Operator    audit.Operator
	Identity    auth.Identity // Operator, with its permissions
	IdleTimeout time.Duration // how long a stream waits for its next row

	tenantOnly []string // permissions that the operator holds only in the tenant of --tenant; nil if they hold everywhere

	// set in a session with a tenant's database: the tenant, and the session with the manager database
	Tenant         *TenantTarget
	managerSession *Session
}

// OpenManager connects to the manager database, read-only.
func (env *Env) OpenManager(ctx context.Context, cmd *cobra.Command) (*Session, error) {
	o, err := env.Target(ctx, cmd, "manager")
	if err != nil {
		return nil, err
	}
	d, err := env.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	env.ServerAddr = d.Addr()
	return &Session{DB: d, IdleTimeout: o.Timeout}, nil
}

// Connect opens the manager database without an operator and reads the columns of the tables that the command needs,
// and of the additional ones.
func (env *Env) Connect(ctx context.Context, cmd *cobra.Command, more ...string) (*Session, error) {
	s, err := env.OpenManager(ctx, cmd)
	if err != nil {
		return nil, err
	}
	s.Catalog = schema.Catalog{}
	tables := append(env.TablesOf(cmd), more...)
	slices.Sort(tables)
	return s, db.Translate(s.DB.Pipeline(ctx, env.clock(), s.Catalog.Question(slices.Compact(tables)...)))
}

// maxSkew is the largest clock difference that --verbose does not report.
const maxSkew = 5 * time.Second

// clock returns the query that measures how far the server's clock is ahead. Stored times always follow the server's
// clock.
func (env *Env) clock() db.PipelineQuery {
	sent := time.Now()
	return db.PipelineQuery{SQL: `SELECT clock_timestamp()`, Read: func(rows pgx.Rows) error {
		server, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
		if err != nil {
			return err
		}
		env.skew = server.Sub(sent.Add(time.Since(sent) / 2))
		if env.Global.Verbose && env.skew.Abs() > maxSkew {
			env.Note("the server's clock differs from this machine's by %s; the server's is used", env.skew.Round(time.Second))
		}
		return nil
	}}
}

// now returns the time by the server's clock, once connected.
func (env *Env) now() time.Time { return time.Now().Add(env.skew) }

// OSUser returns the name of a uid in the system's user database, or uid:N. user.Current would trust $USER for a uid
// that the database does not know.
func OSUser(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid:" + strconv.Itoa(uid)
}

// Origin returns where the command came from, for audit rows.
func (env *Env) Origin(cmd *cobra.Command) audit.Origin {
	o := audit.Origin{
		PID: os.Getpid(), Version: buildinfo.Version(), Command: commandLine(cmd),
		Reason: env.Global.Reason, Ticket: env.Global.ticket, SudoUser: env.Getenv("SUDO_USER"),
	}
	o.UID = os.Getuid()
	o.OSUser = OSUser(o.UID)
	o.Host, _ = os.Hostname()
	// The login uid identifies who logged in to the machine, also after su and sudo. 4294967295 means unset.
	if uid, err := os.ReadFile("/proc/self/loginuid"); err == nil && string(uid) != "4294967295" {
		o.LoginUID = strings.TrimSpace(string(uid))
	}
	return o
}

// DevOptions returns the options of the dev database.
func (env *Env) DevOptions() devdb.Options { return devdb.Options{Getenv: env.Getenv} }

// DevName returns the name of one of the platform's databases on the dev server.
func DevName(which string) string {
	if which == "tenants" {
		return "tnnt"
	}
	return "mgmt"
}

// Today returns the current day in the zone of --tz, by the server's clock.
func Today(env *Env) db.Date { return env.Times.Today() }

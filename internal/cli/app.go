package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// hashCost is bcrypt's cost for new passwords; tests lower it.
var hashCost = 12

// app is one run of the program.
type app struct {
	ctx            context.Context
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	started        time.Time
	running        bool // a command's own code has begun
	completing     bool // answering a shell's request for completions

	global struct {
		config, profile, operator, reason, ticket, tz string
		timeout                                       time.Duration
		noInput, yes, quiet, verbose                  bool
	}
	out     outputFlags
	cfg     *config.Config
	print   *output.Printer
	clock   clock
	opened  []*db.DB
	lend    func(context.Context, db.Options) (*db.DB, error) // opens connections in tests; nil means db.Open
	notes   []string                                          // held until the command ends, see note
	secrets *bufio.Reader                                     // standard input with secrets, one per line
	reveal  bool                                              // --reveal
	tenant  tenantFlags
	specs   map[*cobra.Command]Spec
	timing  timing
	askedOn string        // the server and database, named in prompts
	skew    time.Duration // how far the server's clock is ahead
}

// open opens a connection that lasts until close.
func (a *app) open(ctx context.Context, o db.Options) (*db.DB, error) {
	if a.lend != nil {
		return a.lend(ctx, o)
	}
	d, err := db.Open(ctx, o)
	if err == nil {
		a.opened = append(a.opened, d)
	}
	return d, err
}

// close closes all connections.
func (a *app) close() {
	for _, d := range a.opened {
		d.Close()
	}
}

// printf writes a sanitized line to standard error.
func (a *app) printf(format string, args ...any) {
	_, _ = io.WriteString(a.stderr, output.Sanitize(fmt.Sprintf(format, args...))+"\n")
}

// note writes a line to standard error unless --quiet is given. With a structured format, notes are held until the
// command ends and dropped if it fails, so that the error is the only document on standard error.
func (a *app) note(format string, args ...any) {
	switch {
	case a.global.quiet:
	case isStructured(a.errorFormat()):
		a.notes = append(a.notes, fmt.Sprintf(format, args...))
	default:
		a.printf(format, args...)
	}
}

// config loads the configuration once.
func (a *app) config(cmd *cobra.Command) (*config.Config, error) {
	if a.cfg != nil {
		return a.cfg, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	flags := a.configFlags(cmd)
	c, err := config.Load(flags, a.getenv, dir)
	if err != nil {
		return nil, err
	}
	a.cfg = &c
	a.timing.zone, a.timing.now = c.Zone, a.now
	return a.cfg, nil
}

func (a *app) configFlags(cmd *cobra.Command) config.Flags {
	return config.Flags{
		ConfigFile: a.global.config, Profile: a.global.profile, Operator: a.global.operator,
		Output: a.out.format, TimeZone: a.global.tz, Timeout: a.global.timeout, Stdin: a.stdin,
		Changed: func(flag string) bool {
			f := cmd.Flags().Lookup(flag)
			return f != nil && f.Changed
		},
	}
}

// target is how to reach a database.
type target struct {
	url, password string
	from          string // see db.Options
	timeout       time.Duration
	pooled        bool
	filtered      bool // see db.Options
}

func (t target) options(name string) db.Options {
	return db.Options{Name: name, From: t.from, URL: t.url, Password: t.password, Timeout: t.timeout, Pooled: t.pooled, Filtered: t.filtered}
}

// database returns how to reach the manager or the tenants database. The dev database is used, and started, only if the
// profile says embedded: a command whose configuration is missing must not show demo data.
func (a *app) database(ctx context.Context, cmd *cobra.Command, name string) (target, error) {
	c, err := a.config(cmd)
	if err != nil {
		return target{}, err
	}
	url := c.ManagerURL
	if name == "tenants" {
		url = c.TenantsURL
	}
	if name == "tenants" && c.EachTenantItsOwn() {
		return target{}, fault.New(fault.Database, "each tenant has its own database").
			WithHint("select tenants with --tenant or --all-tenants; commands without these flags use the database in CXGCTL_TENANTS_DATABASE_URL")
	}
	t := target{url: url, from: c.From(name + "_database_url"), timeout: c.Timeout, filtered: c.RowSecurity}
	if url != "" {
		t.pooled = c.Pooled
		t.password, err = c.Password()
		return t, err
	}
	if !c.Embedded {
		return t, fault.New(fault.Database, "no %s database is configured", name).
			WithHint("set CXGCTL_%s_DATABASE_URL, or write a profile (cxgctl config init); to try cxgctl out, run cxgctl dev up and set embedded: true in the profile", strings.ToUpper(name))
	}
	dev := a.devOptions()
	if !devdb.Exists(dev) && cmd.Parent().Name() != "migrate" {
		return t, fault.New(fault.Database, "the dev database does not exist yet").WithHint("create it with demo data: cxgctl dev up")
	}
	status, err := devdb.Ensure(ctx, dev)
	if err != nil {
		return t, err
	}
	t.url = status.DSN(devName(name))
	return t, nil
}

// session is a connection to the manager database on behalf of an operator.
type session struct {
	db      *db.DB
	primary *db.DB // receives the audit rows of reads where db is a replica or filtered; else nil
	cat     schema.Catalog
	by      audit.Operator
	who     auth.Identity    // by, with their permissions
	now     func() time.Time // by the server's clock
	idle    time.Duration    // how long a stream waits for its next row

	narrowed []string // permissions that the operator holds only in the tenant of --tenant; nil if they hold everywhere

	// set in a session with a tenant's database: the tenant, and the session with the manager database
	place *tenantTarget
	home  *session
}

// reach opens the manager database, read-only.
func (a *app) reach(ctx context.Context, cmd *cobra.Command) (*session, error) {
	t, err := a.database(ctx, cmd, "manager")
	if err != nil {
		return nil, err
	}
	d, err := a.open(ctx, t.options("manager"))
	if err != nil {
		return nil, err
	}
	a.askedOn = d.Addr()
	if err := a.setClock(ctx, d); err != nil {
		return nil, err
	}
	return &session{db: d, idle: t.timeout, now: a.now}, nil
}

// connect opens the manager database without an operator and reads the columns of the tables that the command needs,
// and of the additional ones.
func (a *app) connect(ctx context.Context, cmd *cobra.Command, more ...string) (*session, error) {
	s, err := a.reach(ctx, cmd)
	if err == nil {
		s.cat, err = readTables(ctx, s, append(a.tables(cmd), more...))
	}
	return s, err
}

// maxSkew is the largest clock difference that --verbose does not report.
const maxSkew = 5 * time.Second

// setClock measures how far the server's clock is ahead. Stored times always follow the server's clock.
func (a *app) setClock(ctx context.Context, d *db.DB) error {
	var theirs time.Time
	began := time.Now()
	if err := d.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return db.Translate(err)
	}
	a.skew = theirs.Sub(began.Add(time.Since(began) / 2))
	if a.global.verbose && a.skew.Abs() > maxSkew {
		a.note("the server's clock differs from this machine's by %s; the server's is used", a.skew.Round(time.Second))
	}
	return nil
}

// now returns the time by the server's clock, once connected.
func (a *app) now() time.Time { return time.Now().Add(a.skew) }

// osUser returns the name of a uid in the system's user database, or uid:N. user.Current would trust $USER for a uid
// that the database does not know.
func osUser(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid:" + strconv.Itoa(uid)
}

// origin returns where the command came from, for audit rows.
func (a *app) origin(cmd *cobra.Command) audit.Origin {
	o := audit.Origin{
		PID: os.Getpid(), Version: buildinfo.Version(), Command: commandLine(cmd),
		Reason: a.global.reason, Ticket: a.global.ticket, SudoUser: a.getenv("SUDO_USER"),
	}
	o.UID = os.Getuid()
	o.OSUser = osUser(o.UID)
	o.Host, _ = os.Hostname()
	// The login uid identifies who logged in to the machine, also after su and sudo. 4294967295 means unset.
	if uid, err := os.ReadFile("/proc/self/loginuid"); err == nil && string(uid) != "4294967295" {
		o.LoginUID = strings.TrimSpace(string(uid))
	}
	return o
}

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
	completing     bool // a shell asks what could stand next

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
	lend    func(context.Context, db.Options) (*db.DB, error) // sessions that outlive the command, in tests; nil opens new ones
	notes   []string                                          // that wait for the end of a command
	secrets *bufio.Reader                                     // standard input, where it holds secrets, a line each
	reveal  bool                                              // --reveal
	tenant  tenantFlags
	specs   map[*cobra.Command]Spec
	timing  timing
	askedOn string        // the server and database that a question names
	skew    time.Duration // how far the server's clock is ahead
}

// open opens a database until the command's end.
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

// close ends every session.
func (a *app) close() {
	for _, d := range a.opened {
		d.Close()
	}
}

// printf writes a line for people to standard error, whatever it holds made harmless.
func (a *app) printf(format string, args ...any) {
	_, _ = io.WriteString(a.stderr, output.Sanitize(fmt.Sprintf(format, args...))+"\n")
}

// note is printf that --quiet silences. Where an error would be one document on standard error, notes wait
// for the end and give way to it.
func (a *app) note(format string, args ...any) {
	switch {
	case a.global.quiet:
	case isStructured(a.errorFormat()):
		a.notes = append(a.notes, fmt.Sprintf(format, args...))
	default:
		a.printf(format, args...)
	}
}

// config settles the configuration, once.
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

// target is a database that a command is to reach.
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

// database finds out how to reach the manager or the tenants database: as configured, or in the dev
// database, which is started where a profile says embedded, and nowhere else: what lost its configuration must
// not show demo data.
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
		return target{}, fault.New(fault.Database, "every tenant has a database of its own").
			WithHint("name tenants by --tenant, or all of them by --all-tenants; a command without these works on the one that CXGCTL_TENANTS_DATABASE_URL leads to")
	}
	t := target{url: url, from: c.From(name + "_database_url"), timeout: c.Timeout, filtered: c.RowSecurity}
	if url != "" {
		t.pooled = c.Pooled
		t.password, err = c.Password()
		return t, err
	}
	if !c.Embedded {
		return t, fault.New(fault.Database, "no %s database is configured", name).
			WithHint("set CXGCTL_%s_DATABASE_URL, or write a profile (cxgctl config init); to try things out: cxgctl dev up, and embedded: true in the profile", strings.ToUpper(name))
	}
	dev := a.devOptions()
	if !devdb.Exists(dev) && cmd.Parent().Name() != "migrate" {
		return t, fault.New(fault.Database, "the dev database has not been made yet").WithHint("make it, with demo data in it: cxgctl dev up")
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
	primary *db.DB // what audit rows of readings are written to, where db is a replica or may be filtered; else nil
	cat     schema.Catalog
	by      audit.Operator
	who     auth.Identity    // by, with what they may do
	now     func() time.Time // by the server's clock
	idle    time.Duration    // how long a stream waits for its next row

	narrowed []string // the permissions that the operator has in the one tenant of --tenant only; nil for everywhere

	// of a session with a tenant's database: which, and the one with the manager's
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

// connect opens the manager database without an operator and reads the shape of the tables that the
// command is known to need, and of more that the caller names.
func (a *app) connect(ctx context.Context, cmd *cobra.Command, more ...string) (*session, error) {
	s, err := a.reach(ctx, cmd)
	if err == nil {
		s.cat, err = readTables(ctx, s, append(a.tables(cmd), more...))
	}
	return s, err
}

// maxSkew is from which difference of the two clocks on --verbose says so.
const maxSkew = 5 * time.Second

// setClock finds out how far the server's clock is from this machine's, whose clock decides nothing that is stored.
func (a *app) setClock(ctx context.Context, d *db.DB) error {
	var theirs time.Time
	began := time.Now()
	if err := d.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return db.Translate(err)
	}
	a.skew = theirs.Sub(began.Add(time.Since(began) / 2))
	if a.global.verbose && a.skew.Abs() > maxSkew {
		a.note("the server's clock is %s from this machine's, and is the one that counts", a.skew.Round(time.Second))
	}
	return nil
}

// now is the time by the server's clock, once the database was reached.
func (a *app) now() time.Time { return time.Now().Add(a.skew) }

// osUser is the name that the system's user database has for a uid, or uid:N. The environment is not asked: user.Current
// believes USER where the database does not know the uid.
func osUser(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid:" + strconv.Itoa(uid)
}

// origin is what an audit row records of where the command came from.
func (a *app) origin(cmd *cobra.Command) audit.Origin {
	o := audit.Origin{
		PID: os.Getpid(), Version: version(), Command: commandLine(cmd),
		Reason: a.global.reason, Ticket: a.global.ticket, SudoUser: a.getenv("SUDO_USER"),
	}
	o.UID = os.Getuid()
	o.OSUser = osUser(o.UID)
	o.Host, _ = os.Hostname()
	// The login uid survives su and sudo: it says who logged in to the machine. 4294967295 means unset.
	if uid, err := os.ReadFile("/proc/self/loginuid"); err == nil && string(uid) != "4294967295" {
		o.LoginUID = strings.TrimSpace(string(uid))
	}
	return o
}

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// session is what the server reports about itself and our session.
type session struct {
	User     string  `db:"role"`
	Database string  `db:"database"`
	Address  *string `db:"address"` // nil for a unix socket
	TLS      *string `db:"tls"`     // protocol version; nil without TLS
	Standby  bool    `db:"standby"`
	Engine   string  `db:"engine"`
	Version  string  `db:"version"`
	Number   int     `db:"number"`
	Encoding string  `db:"encoding"`
	Commit   *string `db:"commit"` // synchronous_commit if set for the database or the role
}

const readSession = `
SELECT current_user::text AS role, current_database()::text AS database,
       host(inet_server_addr()) AS address,
       (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls,
       pg_is_in_recovery() AS standby, version() AS engine,
       current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number,
       getdatabaseencoding()::text AS encoding,
       (SELECT s.setting FROM pg_settings s WHERE s.name = 'synchronous_commit' AND s.source IN ('database', 'user', 'database user')) AS commit`

// connection opens the database for all checks.
func connection(ctx context.Context, s *subject) (Finding, error) {
	if s.Err != nil {
		return Finding{}, s.Err
	}
	began := time.Now()
	d, err := db.Open(ctx, s.Options)
	if err != nil {
		return s.refused(err), nil
	}
	rows, err := db.Collect[session](ctx, d, readSession)
	if err != nil {
		d.Close()
		s.Err = err
		return Finding{}, err
	}
	s.db, s.session = d, rows[0]
	s.Options.Pooled = d.Pooled()
	f := fine("connected as %s to %s, %s, in %s%s", s.session.User, d.Addr(), s.session.way(d.TLS()), span(time.Since(began)), s.named())
	if d.Pooled() && !s.Direct {
		f.Found += ", through a pooler; migrate needs direct_database_url, or direct_tenants_database_url for the tenants"
	}
	switch {
	case s.session.Standby:
		f.Status, f.Count = Warn, 1
		f.Remedy = "changes are refused here: put the primary, or every host and target_session_attrs=read-write, into the connection string"
	case s.session.exposed():
		f.Status, f.Count = Warn, 1
		f.Remedy = "network traffic can be read by others: enable ssl on the server and put sslmode=verify-full into the connection string"
	}
	return f, nil
}

// refused returns the finding for a failed connection and keeps its error for the result of Run.
func (s *subject) refused(err error) Finding {
	s.Err = err
	f := failure(err)
	if s.Options.From == "" {
		f.Found += s.named()
	}
	_, answered := errors.AsType[*pgconn.PgError](err)
	_, unasked := errors.AsType[*exec.ExitError](err) // of password_command
	if !answered && !unasked && fault.Is(err, fault.Database) {
		f.Remedy = "check that the server is running, that it listens at this address, and that no firewall blocks it"
	}
	return f
}

// named returns where the connection string comes from. The string itself is never printed.
func (s *subject) named() string {
	source := cmp.Or(s.Options.From, s.Source)
	if source == "" {
		return ""
	}
	return " (" + source + ")"
}

// way describes the transport of the session, with our TLS, and the kind of server.
func (x session) way(tls string) string {
	kind := "a primary"
	if x.Standby {
		kind = "a standby"
	}
	switch {
	case tls != "":
		return kind + " over " + tls
	case x.Address == nil:
		return kind + " over a unix socket"
	case x.TLS != nil:
		return kind + " over " + *x.TLS
	}
	return kind + " over TCP without TLS"
}

// exposed reports whether the session crosses a network unencrypted.
func (x session) exposed() bool {
	if x.Address == nil || x.TLS != nil {
		return false
	}
	addr, err := netip.ParseAddr(*x.Address)
	return err != nil || !addr.IsLoopback()
}

// oldest is the first version with a built-in gen_random_uuid(), the default of every id.
const oldest = 13

func version(ctx context.Context, s *subject) (Finding, error) {
	f := judgeVersion(s)
	layout, err := db.ReadLayout(ctx, s.db)
	s.layout = layout
	if err != nil || layout == nil || f.Status == Fail {
		return f, err
	}
	var nodes int
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM pg_catalog.pg_dist_node WHERE isactive AND noderole = 'primary'`).Scan(&nodes); err != nil {
		return f, err
	}
	f.Found += fmt.Sprintf("; Citus, %s of %s, %s", layout.Role(), fault.Plural(nodes, "node"), layout.Count())
	if err := layout.Check(); err != nil {
		refused := fault.From(err)
		return wrong(Fail, "%s: changes are refused, because %s", f.Found, refused.Message).remedied("%s", strings.TrimPrefix(refused.Hint, "nothing was changed; ")), nil
	}
	if layout.Copied() && f.Status == OK {
		return wrong(Warn, "%s: changes lock whole tables on every node, and reads gain nothing", f.Found).
			remedied("SELECT undistribute_table(…) for each reference table, or distribute sys.users or bill.invoices by tenant_id"), nil
	}
	return f, nil
}

func judgeVersion(s *subject) Finding {
	x := s.session
	engine, _, _ := strings.Cut(x.Engine, " ")
	switch {
	case x.Number/10000 < oldest:
		return wrong(Fail, "%s %s; %s needs PostgreSQL %d or later", engine, x.Version, s.in.Client, oldest).
			remedied("upgrade the server, or do not point %s at it", Local)
	case engine != "PostgreSQL":
		return wrong(Warn, "%s, which reports itself as PostgreSQL %s; %s is only tested with PostgreSQL", engine, x.Version, s.in.Client).
			remedied("try changes with --dry-run first")
	case x.Encoding != "UTF8":
		return wrong(Warn, "PostgreSQL %s; the database's encoding %s does not have all characters of UTF8", x.Version, x.Encoding).
			remedied("values with other characters are refused; a database with ENCODING 'UTF8' accepts all")
	case x.Commit != nil && (*x.Commit == "off" || *x.Commit == "local"):
		return fine("PostgreSQL %s, %s; synchronous_commit is %s, so a server crash may lose changes of other software, but none of %s's",
			x.Version, s.in.Client, *x.Commit, Local)
	}
	return fine("PostgreSQL %s, %s", x.Version, s.in.Client)
}

// maxSkew is the accepted difference between the clocks. Locks, expiry and the order of audit rows depend on both
// clocks.
const maxSkew = time.Second

// clock compares the clocks. The server's answer was made during a round trip, so half of its duration is the
// uncertainty. The shortest of a few round trips is the most precise.
func clock(ctx context.Context, s *subject) (Finding, error) {
	var skew, trip time.Duration
	for i := range 5 {
		var theirs time.Time
		ours := time.Now()
		if err := s.db.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
			return Finding{}, err
		}
		took := time.Since(ours)
		if i == 0 || took < trip {
			skew, trip = theirs.Sub(ours.Add(took/2)), took
		}
	}
	return judgeClock(skew, trip/2), nil
}

func judgeClock(skew, uncertain time.Duration) Finding {
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	f := fine("the server's clock is %s %s ours, to within %s", span(skew.Abs()), side, span(uncertain))
	if skew.Abs()-uncertain > maxSkew {
		f.Status, f.Count = Warn, 1
		f.Remedy = "synchronize both clocks with NTP; check with timedatectl status"
	}
	return f
}

// migrations compares the applied migrations with those of this program.
func migrations(ctx context.Context, s *subject) (Finding, error) {
	steps, err := migrate.StatusIn(ctx, s.db, s.Database)
	if state, _ := db.State(err); state == db.InsufficientRights {
		return wrong(Warn, "%s may not read the applied migrations", s.session.User).
			remedied("GRANT SELECT ON %s TO %s", migrate.Table, pgx.Identifier{s.session.User}.Sanitize()), nil
	}
	if err != nil {
		return Finding{}, err
	}
	return judgeMigrations(steps, s.Database), nil
}

func judgeMigrations(steps []migrate.Step, which migrate.Database) Finding {
	var pending, unknown, optional []string
	applied := 0
	for _, step := range steps {
		switch state := step.State(); state {
		case "unknown":
			unknown = append(unknown, fmt.Sprintf("version %d", step.Version))
		case "applied":
			applied++
		case "pending":
			pending = append(pending, step.Name)
		default:
			optional = append(optional, step.Name+" ("+state+")")
		}
	}
	f := fine("%d of %s applied", applied, fault.Plural(applied+len(pending), "migration"))
	if len(optional) > 0 {
		f.Found += "; not applied: " + strings.Join(optional, ", ")
	}
	if len(unknown) > 0 {
		f.Found += fmt.Sprintf(", and %d unknown to this cxgctl", len(unknown))
		f = f.of(unknown)
		f.Status, f.Remedy = Warn, "use the newer cxgctl that applied them"
	}
	if len(pending) > 0 {
		f = f.of(append(pending, unknown...))
		f.Status = Warn
		f.Remedy = "cxgctl migrate up --database " + string(which)
		if len(unknown) > 0 {
			f.Remedy = "use the newer cxgctl that applied the others, and run: " + f.Remedy
		}
	}
	return f
}

func operator(ctx context.Context, s *subject) (Finding, error) {
	o := s.in.Operator
	if o.Name == "" {
		return skipped("no operator is configured; commands on the platform's data need one").
			remedied("set --operator, CXGCTL_OPERATOR, or operator in the profile"), nil
	}
	if s.catalog[schema.Users] == nil {
		return skipped("cannot look up %s: %s does not exist", o.Name, schema.Users), nil
	}
	if err := o.Accept(ctx, s.db); err != nil {
		return Finding{}, err
	}
	f := fine("%s is accepted", o.Name)
	if o.Source != "" {
		f.Found += " (" + o.Source + ")"
	}
	return f, nil
}

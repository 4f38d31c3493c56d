package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// session is what the server says about itself and about us.
type session struct {
	User     string  `db:"role"`
	Database string  `db:"database"`
	Address  *string `db:"address"` // nil over a unix socket
	TLS      *string `db:"tls"`     // the protocol's version; nil without TLS
	Standby  bool    `db:"standby"`
	Engine   string  `db:"engine"`
	Version  string  `db:"version"`
	Number   int     `db:"number"`
	Encoding string  `db:"encoding"`
	Commit   *string `db:"commit"` // synchronous_commit where the database or the role sets it
}

const readSession = `
SELECT current_user::text AS role, current_database()::text AS database,
       host(inet_server_addr()) AS address,
       (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls,
       pg_is_in_recovery() AS standby, version() AS engine,
       current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number,
       getdatabaseencoding()::text AS encoding,
       (SELECT s.setting FROM pg_settings s WHERE s.name = 'synchronous_commit' AND s.source IN ('database', 'user', 'database user')) AS commit`

// connection opens the database for itself and for every check after it.
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
	f := fine("connected as %s to %s, %s, in %s%s", s.session.User, d.Addr(), s.session.way(), span(time.Since(began)), s.named())
	switch {
	case s.session.Standby:
		f.Status, f.Count = Warn, 1
		f.Remedy = "changes are refused here: name the primary, or every host and target_session_attrs=read-write, in the connection string"
	case s.session.exposed():
		f.Status, f.Count = Warn, 1
		f.Remedy = "what goes over the network can be read on its way: enable ssl on the server and put sslmode=verify-full into the connection string"
	}
	return f, nil
}

// refused is the finding of a connection that could not be had, and keeps the reason for the verdict.
func (s *subject) refused(err error) Finding {
	s.Err = err
	f := failure(err)
	if s.Options.From == "" {
		f.Found += s.named()
	}
	if _, answered := errors.AsType[*pgconn.PgError](err); !answered && fault.Is(err, fault.Database) {
		f.Remedy = "see that the server runs and listens where the connection string says, and that no firewall stands between"
	}
	return f
}

// named says where the connection string comes from, which itself is never printed.
func (s *subject) named() string {
	source := cmp.Or(s.Options.From, s.Source)
	if source == "" {
		return ""
	}
	return " (" + source + ")"
}

// way is how the session reaches the server, and what kind of server that is.
func (x session) way() string {
	kind := "a primary"
	if x.Standby {
		kind = "a standby"
	}
	switch {
	case x.Address == nil:
		return kind + " over a unix socket"
	case x.TLS != nil:
		return kind + " over " + *x.TLS
	}
	return kind + " over TCP without TLS"
}

// exposed says whether the session crosses a network in the clear.
func (x session) exposed() bool {
	if x.Address == nil || x.TLS != nil {
		return false
	}
	addr, err := netip.ParseAddr(*x.Address)
	return err != nil || !addr.IsLoopback()
}

// oldest is the first PostgreSQL with gen_random_uuid() built in, which every table's id needs.
const oldest = 13

func version(_ context.Context, s *subject) (Finding, error) {
	x := s.session
	engine, _, _ := strings.Cut(x.Engine, " ")
	switch {
	case x.Number/10000 < oldest:
		return wrong(Fail, "%s %s; %s needs PostgreSQL %d or later", engine, x.Version, s.in.Client, oldest).
			remedied("upgrade the server, or do not point %s at it", Local), nil
	case engine != "PostgreSQL":
		return wrong(Warn, "%s, which calls itself PostgreSQL %s; %s is tested with PostgreSQL only", engine, x.Version, s.in.Client).
			remedied("try changes out with --dry-run first"), nil
	case x.Encoding != "UTF8":
		return wrong(Warn, "PostgreSQL %s; the database's encoding is %s, which lacks characters that UTF8 has", x.Version, x.Encoding).
			remedied("values with such characters are refused; a database with ENCODING 'UTF8' takes them all"), nil
	case x.Commit != nil && (*x.Commit == "off" || *x.Commit == "local"):
		return fine("PostgreSQL %s, %s; synchronous_commit is %s here, so that a crash of the server may lose changes of other software, but none of %s's",
			x.Version, s.in.Client, *x.Commit, Local), nil
	}
	return fine("PostgreSQL %s, %s", x.Version, s.in.Client), nil
}

// maxSkew is how far the clocks may be apart: locks, expiry and the order of audit rows are compared
// over both, and people read them to the second.
const maxSkew = time.Second

// clock compares the clocks over a round trip: the server's answer was made within it, so half of it is
// how far the measure can be wrong. Of a few round trips the shortest says most.
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
		f.Remedy = "set both clocks by NTP; timedatectl status shows whether they are"
	}
	return f
}

// insufficientRights is the SQLSTATE of a right that our role lacks.
const insufficientRights = "42501"

// migrations compares what the database has with what this program brings.
func migrations(ctx context.Context, s *subject) (Finding, error) {
	steps, err := migrate.StatusIn(ctx, s.db, s.Database)
	if state, _ := db.State(err); state == insufficientRights {
		return wrong(Warn, "%s may not read what was applied", s.session.User).
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
	f := fine("%d of %d migrations applied", applied, applied+len(pending))
	if len(optional) > 0 {
		f.Found += "; not applied: " + strings.Join(optional, ", ")
	}
	if len(unknown) > 0 {
		f.Found += fmt.Sprintf(", and %d that this cxgctl does not know", len(unknown))
		f = f.of(unknown)
		f.Status, f.Remedy = Warn, "use the newer cxgctl that applied them"
	}
	if len(pending) > 0 {
		f = f.of(append(pending, unknown...))
		f.Status = Warn
		f.Remedy = "cxgctl migrate up --database " + string(which)
		if len(unknown) > 0 {
			f.Remedy = "use the newer cxgctl that applied the others, and with it: " + f.Remedy
		}
	}
	return f
}

func operator(ctx context.Context, s *subject) (Finding, error) {
	o := s.in.Operator
	if o.Name == "" {
		return skipped("no operator is named, and commands on the platform's data need one").
			remedied("name one by --operator, CXGCTL_OPERATOR, or operator: in the profile"), nil
	}
	if s.catalog[schema.Users] == nil {
		return skipped("%s is named, but there is no %s to look them up in", o.Name, schema.Users), nil
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

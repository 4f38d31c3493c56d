// Package db reaches PostgreSQL: connecting, time-outs, reading, the values that Go's own types cannot
// hold, and the one translation from a server's error to words for a person.
package db

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Reader is what reading code is given: a pool, a connection or a transaction. It has no Exec on
// purpose, so that a function's signature says whether it can change anything.
type Reader interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Options say where a database is and how long to wait for it.
type Options struct {
	Name     string        // how messages call it: "manager", "tenants"
	From     string        // what names it, for messages: "profile prod, manager_database_url in c.yaml:4"
	URL      string        // postgres:// URL or keyword/value string; never printed
	Password string        // from a file or a terminal; "" leaves what the URL or .pgpass says
	Timeout  time.Duration // for connecting, for a statement and for a lock; 0 means none
	Pooled   bool          // a pooler in transaction mode stands before the server; Open finds out where it is not said
	Replica  bool          // of several servers a standby is wanted, not the primary
	Filtered bool          // row policies may filter what the DB that Filtered returns reads

	anyServer bool // there is no primary among several servers
}

// DB is a small pool of sessions to one database. Its sessions are read-only by default, or each transaction
// says that it is: only BeginWrite opens one that can change anything.
type DB struct {
	name     string
	pool     *pgxpool.Pool
	pooled   bool
	begins   string       // statements that every transaction begins with, each after a semicolon
	reads    string       // the same, of transactions that only read
	filtered *DB          // what Filtered returns; nil for d itself
	strict   *atomic.Bool // new sessions are with a primary or not at all
}

// maxConns bounds what one command takes from the server; a command needs one session, and a second
// to settle a lost COMMIT or to write a failure's audit row beside a broken transaction.
const maxConns = 4

// Config parses o into a connection configuration with cxgctl's session settings. Its error never
// quotes the URL: pgx's own parse errors leak passwords (reliability.md, threat 1).
func Config(o Options) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil || !plausible(cfg) {
		return nil, malformed(o)
	}
	if o.Password != "" {
		cfg.Password = o.Password
	} else if err := refusePassfile(cfg, o.URL); err != nil {
		return nil, err
	}
	cfg.BuildFrontend = frontend
	if cfg.RequireAuth == "" {
		cfg.BuildFrontend = guardPassword
	}
	cfg.Tracer = roleOf(cfg)
	if o.Timeout > 0 {
		cfg.ConnectTimeout = o.Timeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "cxgctl"
	}
	which := wanted(cfg, o.Replica)
	if which == preferPrimary && o.anyServer {
		which = anyServer
	}
	cfg.ValidateConnect = which.validate(o.Pooled)
	if o.Pooled {
		unpin(cfg.RuntimeParams)                   // each transaction sets them
		cfg.RuntimeParams[clientEncoding] = "UTF8" // every pooler knows this one
		// What was prepared under a name would be in another server process; what is described is prepared anew
		// with each execution. QueryExecModeDescribeExec binds values to whatever was prepared last by anybody.
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		cfg.StatementCacheCapacity, cfg.DescriptionCacheCapacity = 0, 64
		return cfg, nil
	}
	cfg.DefaultQueryExecMode, cfg.StatementCacheCapacity = pgx.QueryExecModeCacheStatement, 64
	if o.Timeout > 0 {
		statement, lock := limits(o.Timeout)
		cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(statement, 10)
		cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(lock, 10)
	}
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	Pin(cfg.RuntimeParams)
	cfg.RuntimeParams[canary] = "direct"
	return cfg, nil
}

// limits returns statement_timeout and lock_timeout, in milliseconds. The bound on locks is the lower one, else
// the statement's, which begins first, would always hide that it was a lock. 0 would mean no bound.
func limits(timeout time.Duration) (statement, lock int64) {
	ms := timeout.Milliseconds()
	return max(ms, 1), max(ms*9/10, 1)
}

func malformed(o Options) error {
	from := ""
	if o.From != "" {
		from = " (" + o.From + ")"
	}
	return fault.New(fault.Validation, "the %s database's connection string is malformed%s", o.Name, from).
		WithHint("it reads like postgres://user@host:5432/database; special characters in it are percent-encoded, and the password belongs in password_file")
}

var (
	hostName      = regexp.MustCompile(`^[\pL\pN._:%/@-]+$`)
	parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
)

// plausible says whether hosts and parameters look like such. In a malformed connection string a piece of the password may
// be in their place, and errors name them.
func plausible(cfg *pgx.ConnConfig) bool {
	hosts := []string{cfg.Host}
	for _, f := range cfg.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		// a folder may have any name, an abstract socket begins with @
		if !strings.HasPrefix(host, "/") && (!hostName.MatchString(host) || strings.LastIndexByte(host, '@') > 0) {
			return false
		}
	}
	for name := range cfg.RuntimeParams {
		if !parameterName.MatchString(name) {
			return false
		}
	}
	return true
}

// Open connects to the database and returns its pool; a server that cannot be reached or refuses us
// is a DATABASE_ERROR that names the database, never its connection string. A pooler in transaction mode is
// recognised by what it refuses or forgets, and worked with.
func Open(ctx context.Context, o Options) (*DB, error) {
	d, err := dial(ctx, o)
	if !o.Pooled && refusedByPooler(err) {
		o.Pooled = true
		d, err = dial(ctx, o)
	}
	if errors.Is(err, errStandby) && !o.anyServer {
		// Without a primary there is still something to read, unless the connection string says otherwise.
		o.anyServer = true
		if other, failed := dial(ctx, o); failed == nil {
			return other, nil
		}
	}
	if err == nil {
		return d, nil
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return nil, f
	}
	return nil, connectFault(o, err)
}

// dial makes the pool with its first session.
func dial(ctx context.Context, o Options) (*DB, error) {
	cfg, err := Config(o)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, malformed(o)
	}
	d := &DB{name: o.Name, pooled: o.Pooled, strict: new(atomic.Bool)}
	if o.Pooled {
		d.begins = setPinned() + bounds(o.Timeout)
		d.reads = d.begins
	}
	pc.ConnConfig = cfg
	pc.MaxConns = maxConns
	pc.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		if d.strict.Load() {
			c.ValidateConnect = primary.validate(o.Pooled)
		}
		return nil
	}
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		registerTypes(c.TypeMap())
		if o.Pooled {
			return nil
		}
		return CheckSession(ctx, c.PgConn())
	}
	if d.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, malformed(o)
	}
	// The first map of types takes 2 ms, which the server's forking of a process hides.
	go pgtype.NewMap()
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		d.pool.Close()
		return nil, err
	}
	conn.Release()
	if o.Filtered {
		f := *d
		f.reads += filtered
		d.filtered = &f
	}
	return d, nil
}

// Filtered returns a view of d for reading the platform's data, which row policies may filter where Options.Filtered
// says so. Without it, and in everything that decides about identity, rights or the audit log, a statement whose rows a
// policy would filter fails.
func (d *DB) Filtered() *DB {
	if d.filtered == nil {
		return d
	}
	return d.filtered
}

// registerTypes makes times come back in UTC, whatever the machine's zone.
func registerTypes(m *pgtype.Map) {
	m.RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
}

// Name returns how messages call this database.
func (d *DB) Name() string { return d.name }

// Where names the server and the database, without anything secret: db1:5432/mgmt. Of several hosts it is
// the first.
func (d *DB) Addr() string {
	c := d.pool.Config().ConnConfig
	return c.Host + ":" + strconv.Itoa(int(c.Port)) + "/" + c.Database
}

// Pooled says whether a pooler in transaction mode stands before the server.
func (d *DB) Pooled() bool { return d.pooled }

// Close ends every session.
func (d *DB) Close() { d.pool.Close() }

// Query implements Reader.
func (d *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if d.reads != "" {
		return d.queryOnce(ctx, sql, args...)
	}
	return d.pool.Query(ctx, sql, args...)
}

// QueryRow implements Reader.
func (d *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if d.reads != "" {
		rows, err := d.queryOnce(ctx, sql, args...)
		return onceRow{rows, err}
	}
	return d.pool.QueryRow(ctx, sql, args...)
}

// Snapshot runs fn in one READ ONLY, REPEATABLE READ transaction, so that everything fn reads is of
// one moment.
func (d *DB) Snapshot(ctx context.Context, fn func(Reader) error) error {
	return d.snapshot(ctx, "", fn)
}

// snapshot is Snapshot of a transaction that begins with more statements, each after a semicolon, in the same round
// trip.
func (d *DB) snapshot(ctx context.Context, set string, fn func(Reader) error) error {
	tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, d.reads+set)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after the commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// FindPrimary has every session from now on be with a server that takes writes.
func (d *DB) FindPrimary() {
	d.strict.Store(true)
	d.pool.Reset()
}

// Collect runs a query and returns its rows as structs, matched by column name (the db tag).
func Collect[T any](ctx context.Context, r Reader, sql string, args ...any) ([]T, error) {
	rows, err := r.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// Package db connects to PostgreSQL, pins the session settings, streams rows, and translates server errors into
// messages.
package db

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Reader is implemented by pools, connections and transactions. It has no Exec on purpose: a function's signature
// shows whether it can change anything.
type Reader interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Options describe a database and how long to wait for it.
type Options struct {
	Name     string        // the database's name in messages: "manager", "tenants"
	From     string        // where the setting comes from, for messages: "profile prod, manager_database_url in c.yaml:4"
	URL      string        // postgres:// URL or keyword/value string; never printed
	Password Passwords     // asked for each connection; nil means the URL or .pgpass provides it
	Program  string        // application_name, unless the URL or PGAPPNAME sets one: "cxgctl users update"
	Timeout  time.Duration // limit for connecting, statements and locks; 0 means none
	Pooled   bool          // connects through a pooler in transaction mode; Open detects one if this is false
	Replica  bool          // prefer a standby if the URL names several servers
	Filtered bool          // DB.Filtered lets row policies filter what it reads
	Watcher  Watcher       // is told about statements; may be nil

	anyServer bool // none of the servers is a primary
}

// Passwords is a source of passwords that may change between connections.
type Passwords interface {
	Password(context.Context) (string, error)
}

// DB is a small pool of sessions to one database. Its sessions default to read-only, or each transaction declares
// itself read-only. Only BeginWrite opens a transaction that can change anything.
type DB struct {
	name     string
	version  string // of the server
	tls      string // see TLS
	pool     *pgxpool.Pool
	pooled   bool
	begins   string       // statements at the start of every transaction, each after a semicolon
	reads    string       // the same for transactions that only read
	filtered *DB          // the result of Filtered; nil for d itself
	strict   *atomic.Bool // new sessions require a primary
	citus    *atomic.Bool // the database is known to have Citus
}

// maxConns bounds the connections of one command. A command needs one session, and a second to resolve a lost COMMIT
// or to write a failure's audit row next to a broken transaction.
const maxConns = 4

// Config parses o into a connection configuration with cxgctl's session settings. Its error never quotes the URL,
// because pgx's own parse errors leak passwords.
func Config(o Options) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil || !plausible(cfg) {
		return nil, malformed(o, flaw(err, o.URL))
	}
	if err := adoptLibpq(cfg, o); err != nil {
		return nil, err
	}
	if o.Password == nil {
		if err := refusePassfile(cfg, o.URL); err != nil {
			return nil, err
		}
	}
	cfg.BuildFrontend = frontend
	if cfg.RequireAuth == "" {
		cfg.BuildFrontend = guardPassword
	}
	cfg.Tracer = roleOf(cfg)
	if o.Watcher != nil {
		cfg.Tracer = multitracer.New(cfg.Tracer, watching{o.Watcher})
	}
	if o.Timeout > 0 {
		cfg.ConnectTimeout = o.Timeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = cmp.Or(o.Program, "cxgctl")
	}
	// One round trip for each statement. Named statements would take two, and behind a pooler one may exist in another
	// server process only. QueryExecModeDescribeExec would bind values to the last statement that any client prepared.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.StatementCacheCapacity, cfg.DescriptionCacheCapacity = 0, 64
	which := wanted(cfg, o.Replica)
	if which == preferPrimary && o.anyServer {
		which = anyServer
	}
	cfg.ValidateConnect = which.validate(o.Pooled)
	if o.Pooled {
		unpin(cfg.RuntimeParams)                   // each transaction sets these
		cfg.RuntimeParams[clientEncoding] = "UTF8" // every pooler supports this parameter
		return cfg, nil
	}
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

// Connected calls use with the configuration of a connection that is not from Open. A failed connection has the same
// error as in Open.
func Connected[T any](ctx context.Context, o Options, use func(*pgx.ConnConfig) (T, error)) (result T, err error) {
	cfg, err := Config(o)
	if err == nil {
		err = o.setPassword(ctx, cfg)
	}
	if err == nil {
		result, err = use(cfg)
	}
	return result, explain(ctx, o, err)
}

func (o Options) setPassword(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	if o.Password != nil {
		cfg.Password, err = o.Password.Password(ctx)
	}
	return err
}

// limits returns statement_timeout and lock_timeout in milliseconds. The statement's timer starts first, so the lock
// timeout must be lower for the error to name the lock. 0 would mean no limit.
func limits(timeout time.Duration) (statement, lock int64) {
	ms := timeout.Milliseconds()
	return max(ms, 1), max(ms*9/10, 1)
}

// malformed returns the error about a connection string. The reason is fixed text, because the string may be split in
// the middle of a password.
func malformed(o Options, reason string) error {
	from := ""
	if o.From != "" {
		from = " (" + o.From + ")"
	}
	if reason != "" {
		return fault.New(fault.Validation, "the %s database's connection string: %s%s", o.Name, reason, from)
	}
	return fault.New(fault.Validation, "the %s database's connection string is malformed%s", o.Name, from).
		WithHint("use the form postgres://user@host:5432/database, percent-encode special characters, and put the password in password_file")
}

var (
	hostName      = regexp.MustCompile(`^[\pL\pN._:%/@-]+$`)
	parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
)

// plausible reports whether hosts and parameter names look valid. In a malformed connection string, a part of the
// password may be taken for one of them, and errors print them.
func plausible(cfg *pgx.ConnConfig) bool {
	hosts := []string{cfg.Host}
	for _, f := range cfg.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		// a socket directory can have any name; an abstract socket starts with @
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

// Open connects to the database and returns its pool. If the server cannot be reached or refuses the connection, the
// error is a DATABASE_ERROR that names the database, never its connection string. Open detects a pooler in transaction
// mode by the parameters it refuses or ignores, and adapts to it.
func Open(ctx context.Context, o Options) (*DB, error) {
	d, err := dial(ctx, o)
	if !o.Pooled && refusedByPooler(err) {
		o.Pooled = true
		d, err = dial(ctx, o)
	}
	if errors.Is(err, errStandby) && !o.anyServer {
		// Reading works without a primary, unless the connection string requires one.
		o.anyServer = true
		if other, failed := dial(ctx, o); failed == nil {
			return other, nil
		}
	}
	if err == nil {
		return d, nil
	}
	return nil, explain(ctx, o, err)
}

// explain returns the fault for the error of a connection.
func explain(ctx context.Context, o Options, err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return connectFault(o, cmp.Or(otherServer(ctx, err), err))
}

// dial creates the pool and its first session.
func dial(ctx context.Context, o Options) (*DB, error) {
	cfg, err := Config(o)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, malformed(o, "")
	}
	d := &DB{name: o.Name, pooled: o.Pooled, strict: new(atomic.Bool), citus: new(atomic.Bool)}
	if o.Pooled {
		d.begins = setPinned() + bounds(o.Timeout)
		d.reads = d.begins
	}
	pc.ConnConfig = cfg
	pc.MaxConns = maxConns
	pc.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		if d.strict.Load() {
			c.ValidateConnect = primary.validate(o.Pooled)
		}
		return o.setPassword(ctx, c)
	}
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		registerTypes(c.TypeMap())
		if o.Pooled {
			return nil
		}
		return CheckSession(ctx, c.PgConn())
	}
	if d.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, malformed(o, "")
	}
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		d.pool.Close()
		return nil, err
	}
	d.version = conn.Conn().PgConn().ParameterStatus("server_version")
	d.tls = describeTLS(conn.Conn().PgConn().Conn(), cfg)
	conn.Release()
	if o.Filtered {
		f := *d
		f.reads += filtered
		d.filtered = &f
	}
	return d, nil
}

// Filtered returns a view of d for reading the platform's data. If Options.Filtered is set, row policies may filter
// what the view reads. Everything else, including all checks of identity, permissions and the audit log, fails if a
// policy would filter its rows.
func (d *DB) Filtered() *DB {
	if d.filtered == nil {
		return d
	}
	return d.filtered
}

// Described is the mode of statements whose rows are read in binary format, or whose arguments have no type of their
// own. It asks the server for the types, which takes a round trip more than the mode of other statements.
const Described = pgx.QueryExecModeCacheDescribe

// registerTypes makes times scan in UTC, regardless of the local time zone.
func registerTypes(m *pgtype.Map) {
	m.RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	m.RegisterDefaultPgType(uuid.UUID{}, "uuid")
	m.RegisterDefaultPgType(&uuid.UUID{}, "uuid")
	m.RegisterDefaultPgType([]uuid.UUID{}, "_uuid")
	m.RegisterDefaultPgType([]*uuid.UUID{}, "_uuid")
	m.RegisterDefaultPgType(Time{}, "timestamptz")
	m.RegisterDefaultPgType(&Time{}, "timestamptz")
	m.RegisterDefaultPgType([]Time{}, "_timestamptz")
	m.RegisterDefaultPgType([]*Time{}, "_timestamptz")
	m.RegisterDefaultPgType(Date{}, "date")
	m.RegisterDefaultPgType(&Date{}, "date")
	m.RegisterDefaultPgType([]*Date{}, "_date")
}

// Name returns the database's name in messages.
func (d *DB) Name() string { return d.name }

// Version returns the version of the server.
func (d *DB) Version() string { return d.version }

// TLS describes the encryption of the connection, such as "TLS 1.3 (TLS_AES_128_GCM_SHA256), certificate verified". It
// is "" without encryption.
func (d *DB) TLS() string { return d.tls }

func describeTLS(c net.Conn, cfg *pgx.ConnConfig) string {
	encrypted, ok := c.(*tls.Conn)
	if !ok {
		return ""
	}
	state := encrypted.ConnectionState()
	verified := "certificate not verified"
	switch {
	case len(state.VerifiedChains) > 0:
		verified = "certificate verified"
	case cfg.TLSConfig != nil && cfg.TLSConfig.VerifyPeerCertificate != nil: // verify-ca
		verified = "certificate verified, but not its host name"
	}
	return fmt.Sprintf("%s (%s), %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), verified)
}

// Addr returns the server and the database without secrets, such as db1:5432/mgmt. For several hosts it is the first.
func (d *DB) Addr() string {
	c := d.pool.Config().ConnConfig
	return c.Host + ":" + strconv.Itoa(int(c.Port)) + "/" + c.Database
}

// Server returns the host and the port that a session is connected to, or "" without one.
func (d *DB) Server(ctx context.Context) string {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return ""
	}
	defer conn.Release()
	return conn.Conn().PgConn().Conn().RemoteAddr().String()
}

// Addr returns the same as DB.Addr without connecting, or "" if the connection string is malformed.
func (o Options) Addr() string {
	c, err := Config(o)
	if err != nil {
		return ""
	}
	return c.Host + ":" + strconv.Itoa(int(c.Port)) + "/" + c.Database
}

// Addrs returns every server and the database, such as "db1:5432, db2:5432/mgmt", or "" if the connection string is
// malformed.
func (o Options) Addrs() string {
	hosts, database := addresses(o, nil)
	return strings.TrimSuffix(hosts+"/"+database, "/")
}

// Pooled reports whether the connection goes through a pooler in transaction mode.
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

// Snapshot runs fn in one READ ONLY, REPEATABLE READ transaction, so that everything fn reads is consistent.
func (d *DB) Snapshot(ctx context.Context, fn func(Reader) error) error {
	return d.snapshot(ctx, "", fn)
}

// snapshot is Snapshot with more statements at the start of the transaction, each after a semicolon, sent in the same
// round trip.
func (d *DB) snapshot(ctx context.Context, set string, fn func(Reader) error) error {
	tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, d.reads+set)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // a no-op after the commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Hold runs fn in a READ ONLY transaction without a snapshot of its own, which may be idle for long, for locks that end
// with it.
func (d *DB) Hold(ctx context.Context, fn func(Reader) error) error {
	tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly}, d.reads+"; SET LOCAL idle_in_transaction_session_timeout = 0")
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	return fn(tx)
}

// FindPrimary makes all new sessions connect to a primary.
func (d *DB) FindPrimary() {
	d.strict.Store(true)
	d.pool.Reset()
}

// Collect runs a query and returns its rows as structs, matched by column name (the db tag).
func Collect[T any](ctx context.Context, r Reader, sql string, args ...any) ([]T, error) {
	return CollectAs(ctx, r, pgx.RowToStructByName[T], sql, args...)
}

// CollectAs runs a query and returns its rows as row converts them.
func CollectAs[T any](ctx context.Context, r Reader, row pgx.RowToFunc[T], sql string, args ...any) (list []T, err error) {
	err = PipelineQuery{SQL: sql, Args: args, Read: Into(&list, row)}.Ask(ctx, r)
	return list, err
}

// Into returns the function that reads the rows of a query into a list, as row converts them.
func Into[T any](list *[]T, row pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*list, err = pgx.CollectRows(rows, row)
		return err
	}
}

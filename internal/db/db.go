// Package db reaches PostgreSQL: connecting, time-outs, reading, the values that Go's own types cannot
// hold, and the one translation from a server's error to words for a person.
package db

import (
	"context"
	"strconv"
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
	URL      string        // postgres:// URL or keyword/value string; never printed
	Password string        // from a file or a terminal; "" leaves what the URL or .pgpass says
	Timeout  time.Duration // for connecting, for a statement and for a lock; 0 means none
}

// DB is a small pool of sessions to one database. Its sessions are read-only by default: only
// BeginWrite opens a transaction that can change anything.
type DB struct {
	name string
	pool *pgxpool.Pool
}

// maxConns bounds what one command takes from the server; a command needs one session, and a second
// to settle a lost COMMIT or to write a failure's audit row beside a broken transaction.
const maxConns = 4

// Config parses o into a connection configuration with cxgctl's session settings. Its error never
// quotes the URL: pgx's own parse errors leak passwords (reliability.md, threat 1).
func Config(o Options) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, malformed(o.Name)
	}
	cfg.StatementCacheCapacity = 64
	cfg.BuildFrontend = frontend
	if o.Password != "" {
		cfg.Password = o.Password
	}
	if o.Timeout > 0 {
		cfg.ConnectTimeout = o.Timeout
		// The bound on locks is the lower one, else the statement's, which begins first, would always hide
		// that it was a lock. 0 would mean no bound.
		ms := o.Timeout.Milliseconds()
		cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(max(ms, 1), 10)
		cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(max(ms*9/10, 1), 10)
	}
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	cfg.RuntimeParams["timezone"] = "UTC"
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "cxgctl"
	}
	return cfg, nil
}

func malformed(name string) error {
	return fault.New(fault.Validation, "the %s database's connection string is malformed", name).
		WithHint("it reads like postgres://user@host:5432/database; special characters in it are percent-encoded, and the password belongs in password_file")
}

// Open connects to the database and returns its pool; a server that cannot be reached or refuses us
// is a DATABASE_ERROR that names the database, never its connection string.
func Open(ctx context.Context, o Options) (*DB, error) {
	cfg, err := Config(o)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, malformed(o.Name)
	}
	pc.ConnConfig = cfg
	pc.MaxConns = maxConns
	pc.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		registerTypes(c.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, malformed(o.Name)
	}
	// The first map of types takes 2 ms, which the server's forking of a process hides.
	go pgtype.NewMap()
	d := &DB{name: o.Name, pool: pool}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		pool.Close()
		return nil, connectFault(o.Name, err)
	}
	conn.Release()
	return d, nil
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
func (d *DB) Where() string {
	c := d.pool.Config().ConnConfig
	return c.Host + ":" + strconv.Itoa(int(c.Port)) + "/" + c.Database
}

// Close ends every session.
func (d *DB) Close() { d.pool.Close() }

// Query implements Reader.
func (d *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.pool.Query(ctx, sql, args...)
}

// QueryRow implements Reader.
func (d *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.pool.QueryRow(ctx, sql, args...)
}

// Snapshot runs fn in one READ ONLY, REPEATABLE READ transaction, so that everything fn reads is of
// one moment.
func (d *DB) Snapshot(ctx context.Context, fn func(Reader) error) error {
	return pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error { return fn(tx) })
}

// BeginWrite opens the transaction that can change something. It belongs to the audit ledger, and a
// linter keeps every other room away from it.
func (d *DB) BeginWrite(ctx context.Context) (pgx.Tx, error) {
	return d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
}

// Collect runs a query and returns its rows as structs, matched by column name (the db tag).
func Collect[T any](ctx context.Context, r Reader, sql string, args ...any) ([]T, error) {
	rows, err := r.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

package db

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Write is a transaction that can change data. It holds its session until it ends.
type Write struct {
	pgx.Tx
	Now  time.Time // start of the transaction by the server's clock, since the client's cannot be trusted
	db   *DB
	conn *pgxpool.Conn // nil after the end
}

// BeginWrite opens a transaction that can change data. Only the audit ledger may call it; a linter enforces that. If
// the server turns out to be a standby, BeginWrite looks for the primary once.
func (d *DB) BeginWrite(ctx context.Context) (*Write, error) {
	w, err := d.beginWrite(ctx)
	if !isStandby(err) {
		return w, err
	}
	d.FindPrimary()
	if w, failed := d.beginWrite(ctx); failed == nil {
		return w, nil
	}
	return nil, readOnlyServer(err)
}

func (d *DB) beginWrite(ctx context.Context) (*Write, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if err := TooOld(conn.Conn().PgConn()); err != nil {
		conn.Release()
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, options(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, d.begins+synchronous))
	if err != nil {
		conn.Release()
		return nil, err
	}
	w := &Write{Tx: tx, db: d, conn: conn}
	if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&w.Now); err != nil {
		_ = w.Rollback(ctx) // the query's error is more useful
		return nil, err
	}
	w.Now = w.Now.UTC()
	return w, nil
}

// oldest is the first version with a built-in gen_random_uuid(), which changes and migrations need.
const oldest = 13

// TooOld returns an error if the server is too old for changes.
func TooOld(c *pgconn.PgConn) error { return tooOld(c.ParameterStatus("server_version")) }

func tooOld(version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= oldest {
		return nil //nolint:nilerr // a version that is not a number says nothing
	}
	return fault.New(fault.Database, "PostgreSQL %s is too old for changes, which need PostgreSQL %d or later", version, oldest).
		WithHint("nothing was changed; upgrade the server, see: cxgctl doctor")
}

// Commit implements pgx.Tx.
func (w *Write) Commit(ctx context.Context) error {
	if w.conn == nil {
		return pgx.ErrTxClosed
	}
	defer w.end()
	return w.Tx.Commit(ctx)
}

// Rollback implements pgx.Tx.
func (w *Write) Rollback(ctx context.Context) error {
	if w.conn == nil {
		return pgx.ErrTxClosed
	}
	defer w.end()
	return w.Tx.Rollback(ctx)
}

func (w *Write) end() {
	w.conn.Release()
	w.conn = nil
}

// SettleConstraints runs deferred constraints and constraint triggers now, because they may change rows that are read
// back next.
const SettleConstraints = `SET CONSTRAINTS ALL IMMEDIATE`

// Statement is sent together with others.
type Statement struct {
	Name  string // name of the prepared statement in the session; "" if it is used only once
	SQL   string
	Args  [][]byte             // binary
	Types []uint32             // OIDs
	Read  func(pgx.Rows) error // reads the result; may be nil
}

// Do runs the statements in one round trip.
func (w *Write) Do(ctx context.Context, statements ...Statement) error {
	if len(statements) == 0 {
		return nil
	}
	_, err := w.send(ctx, statements)
	return err
}

// CommitAfter runs the statements and commits in one round trip, so that locks taken by the last statement are held
// only briefly. It returns how many statements were run; an error after the last of them belongs to the COMMIT. If a
// statement fails, the caller must roll back. If the connection breaks (see Lost), the transaction may have been
// committed.
func (w *Write) CommitAfter(ctx context.Context, statements ...Statement) (done int, err error) {
	if len(statements) == 0 {
		return 0, w.Commit(ctx)
	}
	if w.conn == nil {
		return 0, pgx.ErrTxClosed
	}
	tags, err := w.send(ctx, slices.Concat(statements, []Statement{{SQL: "commit"}}))
	done = min(len(tags), len(statements))
	if err != nil {
		return done, err
	}
	defer w.end()
	if tags[len(statements)].String() == "ROLLBACK" {
		return done, pgx.ErrTxCommitRollback
	}
	return done, nil
}

// send sends the statements together and returns the command tags of those that were run. It prepares a named
// statement on first use. That takes no extra round trip and saves the server parsing and planning later on. Behind a
// pooler nothing is prepared, because the next transaction may have another session.
func (w *Write) send(ctx context.Context, statements []Statement) (tags []pgconn.CommandTag, err error) {
	conn := w.Conn().PgConn()
	known := prepared(conn)
	p := conn.StartPipeline(ctx)
	for i, s := range statements {
		formats := make([]int16, len(s.Args))
		for i := range formats {
			formats[i] = pgx.BinaryFormatCode
		}
		if s.Name == "" || w.db.pooled {
			p.SendQueryParams(s.SQL, s.Args, s.Types, formats, nil)
			continue
		}
		if !known[s.Name] && !slices.ContainsFunc(statements[:i], func(before Statement) bool { return before.Name == s.Name }) {
			p.SendPrepare(s.Name, s.SQL, s.Types)
		}
		p.SendQueryPrepared(s.Name, s.Args, formats, nil)
	}
	err = p.Sync()
	for err == nil && len(tags) < len(statements) {
		s := statements[len(tags)]
		var results any
		switch results, err = p.GetResults(); r := results.(type) {
		case *pgconn.StatementDescription:
			known[s.Name] = true
		case *pgconn.ResultReader:
			if s.Read != nil {
				err = s.Read(pgx.RowsFromResultReader(w.Conn().TypeMap(), r))
			}
			tag, failed := r.Close()
			if err == nil {
				err = failed
			}
			if err == nil {
				tags = append(tags, tag)
			}
		}
	}
	if failed := p.Close(); err == nil {
		err = failed
	}
	if err != nil {
		for _, s := range statements {
			roleOf(w.Conn().Config()).complete(err, s.SQL)
		}
	}
	return tags, err
}

// prepared returns the names of the statements that send has prepared in a session.
func prepared(conn *pgconn.PgConn) map[string]bool {
	const key = "prepared by send"
	known, ok := conn.CustomData()[key].(map[string]bool)
	if !ok {
		known = map[string]bool{}
		conn.CustomData()[key] = known
	}
	return known
}

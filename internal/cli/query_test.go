package cli

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/db"
)

// query runs statements as the owner of the databases and returns the rows of the last one in PostgreSQL's text form.
func query(ctx context.Context, dsn, sql string) ([][]string, error) {
	conn, err := idleConns.take(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer idleConns.give(dsn, conn)
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	var rows [][]string
	for _, r := range results[len(results)-1].Rows {
		cells := make([]string, len(r))
		for i, c := range r {
			if cells[i] = string(c); c == nil {
				cells[i] = "NULL"
			}
		}
		rows = append(rows, cells)
	}
	return rows, nil
}

// idleConns are the idle connections of query. Opening one takes fifty times as long as a query.
var idleConns connPool

// connPool is a pool of idle connections, the oldest first.
type connPool struct {
	mu   sync.Mutex
	idle []resting
}

type resting struct {
	dsn  string
	conn *pgconn.PgConn
}

// maxIdle is the maximum number of idle connections.
const maxIdle = 16

// take returns an idle connection to a database that is still usable, or a new one.
func (s *connPool) take(ctx context.Context, dsn string) (*pgconn.PgConn, error) {
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.idle, func(one resting) bool { return one.dsn == dsn })
		if i < 0 {
			s.mu.Unlock()
			cfg, err := pgconn.ParseConfig(dsn)
			if err != nil {
				return nil, err
			}
			db.Pin(cfg.RuntimeParams) // scripts also run with hostile settings
			cfg.RuntimeParams["default_transaction_read_only"], cfg.RuntimeParams["default_transaction_isolation"] = "off", "read committed"
			conn, err := pgconn.ConnectConfig(ctx, cfg)
			if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "08P01" { // a pooler refuses startup parameters
				return pgconn.Connect(ctx, dsn)
			}
			return conn, err
		}
		conn := s.idle[i].conn
		s.idle = slices.Delete(s.idle, i, i+1)
		s.mu.Unlock()
		if conn.Ping(ctx) == nil {
			return conn, nil
		}
	}
}

// give returns a connection to the pool.
func (s *connPool) give(dsn string, conn *pgconn.PgConn) {
	if conn.IsClosed() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle = append(s.idle, resting{dsn, conn}); len(s.idle) > maxIdle {
		_ = s.idle[0].conn.Close(context.Background())
		s.idle = slices.Delete(s.idle, 0, 1)
	}
}

// leave closes the idle connections to a database, so that it can be copied.
func (s *connPool) leave(dsn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = slices.DeleteFunc(s.idle, func(one resting) bool {
		if one.dsn == dsn {
			_ = one.conn.Close(context.Background())
		}
		return one.dsn == dsn
	})
}

package db

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Watcher is told about the statements of sessions.
type Watcher interface {
	// Began is called when a statement begins. The returned function is called when it ends.
	Began(s *Statement) (ended func(rows int64, err error))
}

// Statement is a statement that runs.
type Statement struct {
	Purpose string // command and table, such as SELECT idam.users; contains no values

	conn   *pgx.Conn
	stream *IdleTimer // nil if the statement ends before its rows are used
}

// BeforeRows calls stop before the first row is used, if the statement streams.
func (s *Statement) BeforeRows(stop func()) {
	if s.stream != nil {
		s.stream.beforeRow = stop
	}
}

// Blocker describes the session that holds a lock for which the statement waits, such as "pid 4711 (psql, ada)". It asks
// on another connection, and is empty if there is none or the server does not say.
func (s *Statement) Blocker(ctx context.Context) string {
	config := s.conn.Config()
	config.Tracer = nil
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return ""
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid int
	var application, role string
	err = conn.QueryRow(ctx, `SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.usename, '')
		FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1)) ORDER BY a.pid LIMIT 1`, s.conn.PgConn().PID()).Scan(&pid, &application, &role)
	if err != nil {
		return ""
	}
	names := slices.DeleteFunc([]string{application, role}, func(name string) bool { return name == "" })
	if len(names) == 0 {
		return "pid " + strconv.Itoa(pid)
	}
	return "pid " + strconv.Itoa(pid) + " (" + strings.Join(names, ", ") + ")"
}

var (
	literal       = regexp.MustCompile(`'(?:[^']|'')*'`)
	statementVerb = regexp.MustCompile(`^\W*(\w+)`)
	statementOn   = regexp.MustCompile(`(?i)\b(?:FROM|INTO|UPDATE|COPY|TABLE)\s+(?:ONLY\s+)?([a-z]\w*\.\w+)`)
	functionCall  = regexp.MustCompile(`\b(\w+)\(`)
)

// purpose returns the command of a statement, with its first table or function.
func purpose(sql string) string {
	sql, _, _ = strings.Cut(literal.ReplaceAllString(strings.ReplaceAll(sql, `"`, ""), ""), ";")
	verb := statementVerb.FindStringSubmatch(sql)
	if verb == nil {
		return "statement"
	}
	what := strings.ToUpper(verb[1])
	if on := statementOn.FindStringSubmatch(sql); on != nil {
		return what + " " + on[1]
	}
	if call := functionCall.FindStringSubmatch(sql); call != nil {
		return what + " " + call[1] + "()"
	}
	return what
}

// watching is the tracer that tells a Watcher.
type watching struct{ Watcher }

type (
	endedKey  struct{}
	streamKey struct{}
)

func (w watching) begin(ctx context.Context, conn *pgx.Conn, purpose string) context.Context {
	s := &Statement{Purpose: purpose, conn: conn}
	s.stream, _ = ctx.Value(streamKey{}).(*IdleTimer)
	return context.WithValue(ctx, endedKey{}, w.Began(s))
}

func end(ctx context.Context, rows int64, err error) {
	if ended, ok := ctx.Value(endedKey{}).(func(int64, error)); ok {
		ended(rows, err)
	}
}

// TraceQueryStart implements pgx.QueryTracer.
func (w watching) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return w.begin(ctx, conn, purpose(data.SQL))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (w watching) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	end(ctx, data.CommandTag.RowsAffected(), data.Err)
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (w watching) TraceCopyFromStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceCopyFromStartData) context.Context {
	return w.begin(ctx, conn, "COPY "+strings.Join(data.TableName, "."))
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (w watching) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromEndData) {
	end(ctx, data.CommandTag.RowsAffected(), data.Err)
}

// TraceBatchStart implements pgx.BatchTracer. It names the different statements of the batch, at most namedInBatch.
func (w watching) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	var what []string
	for _, q := range data.Batch.QueuedQueries {
		if q.SQL == setSynchronous || strings.HasPrefix(q.SQL, "SET ") {
			continue
		}
		if p := purpose(q.SQL); !slices.Contains(what, p) && len(what) < namedInBatch {
			what = append(what, p)
		}
	}
	if len(what) == 0 {
		return ctx
	}
	rows := new(int64)
	ctx = w.begin(ctx, conn, strings.Join(what, ", "))
	return context.WithValue(ctx, batchKey{}, rows)
}

const namedInBatch = 5

type batchKey struct{}

// TraceBatchQuery implements pgx.BatchTracer.
func (watching) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	if rows, ok := ctx.Value(batchKey{}).(*int64); ok {
		*rows += data.CommandTag.RowsAffected()
	}
}

// TraceBatchEnd implements pgx.BatchTracer.
func (watching) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	if rows, ok := ctx.Value(batchKey{}).(*int64); ok {
		end(ctx, *rows, data.Err)
	}
}

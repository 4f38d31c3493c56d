package db

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Mark is the state of a table that an export saw, told by transactions and not by clocks, so that the
// next export can select exactly what was written since: transactions commit in another order than they
// begin in, and the times in their rows are of their beginning, or of some machine's clock.
//
// Every transaction that the export could not see has an id of at least Horizon, subtransactions
// included, which no list of running transactions names. Of those at or beyond Horizon that it did see,
// Seen has the ids. A transaction is seen as a whole or not at all, so the next export is to select the
// rows whose xmin is at or beyond Horizon and not in Seen: none is missed, and none comes twice.
type Mark struct {
	At      time.Time `json:"snapshot_at"` // when the export began, by the server's clock
	Server  string    `json:"server"`      // whose ids these are: cluster, timeline and database
	Horizon uint64    `json:"horizon"`
	Seen    []string  `json:"seen"`            // in their 32-bit form
	Files   string    `json:"files,omitempty"` // the files of the table, which are others after a rewrite
}

// Increment selects what was created or changed since some moment; the zero value selects everything.
type Increment struct {
	Since time.Time // by the times that the rows bear, inclusive
	After *Mark     // by the transactions that wrote the rows
}

// maxAge is how many transactions later ids can still be told apart.
const maxAge = math.MaxInt32

// readServer fails where a server has no such thing, as those that only speak PostgreSQL's protocol do.
const readServer = `
SELECT format('%s/%s/%s', s.system_identifier, c.timeline_id, d.oid)
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
 WHERE d.datname = current_database()`

// Server returns whose transaction ids a database has. It changes when a cluster is restored, fails over
// or is made anew, after which ids may be used a second time.
func Server(ctx context.Context, r Reader) (string, error) {
	var s string
	err := r.QueryRow(ctx, readServer, pgx.QueryExecModeExec).Scan(&s)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "", fault.New(fault.Database, "the server does not say whose transaction ids it has: %s", pe.Message).
			WithHint("--state needs PostgreSQL itself; --changed-since does without").Because(err)
	}
	return s, err
}

const (
	readSnapshot = `
SELECT now(), pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text FROM pg_current_snapshot() s`
	// of the rows at or beyond the horizon; see Increment.Bind
	readSeen = `SELECT DISTINCT r.xmin::text FROM %s r WHERE age(r.xmin) BETWEEN 0 AND age($1::text::xid)`
)

// MarkOf returns the mark of a table, by its qualified name, as r's snapshot sees it; without transactions
// it is the time alone.
func MarkOf(ctx context.Context, r Reader, server, table string, transactions bool) (Mark, error) {
	m := Mark{Server: server, Seen: []string{}}
	var low, high string
	if err := r.QueryRow(ctx, readSnapshot, pgx.QueryExecModeExec).Scan(&m.At, &low, &high); err != nil {
		return m, err
	}
	m.At = m.At.UTC()
	if !transactions {
		return m, nil
	}
	err := r.QueryRow(ctx, readFiles, pgx.QueryExecModeExec, table).Scan(&m.Files)
	if err != nil {
		return m, err
	}
	if m.Horizon, err = strconv.ParseUint(low, 10, 64); err != nil || low == high {
		return m, err // nothing is under way, so nothing beyond the horizon can be seen
	}
	rows, err := r.Query(ctx, fmt.Sprintf(readSeen, table), m.horizon())
	if err != nil {
		return m, err
	}
	seen, err := pgx.CollectRows(rows, pgx.RowTo[string])
	m.Seen = append(m.Seen, seen...)
	return m, err
}

// Of the table and of those that inherit from it or are its partitions; "" of what has no files, such as a view.
const readFiles = `
WITH RECURSIVE part (oid) AS (
    SELECT pg_catalog.to_regclass($1)::oid
    UNION SELECT i.inhrelid FROM part p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
)
SELECT coalesce(string_agg(pg_relation_filenode(p.oid)::text, ',' ORDER BY p.oid), '') FROM part p`

// hasOlder looks for a row that an export with the mark had: one from before the horizon, or of a transaction that it saw.
const hasOlder = `
SELECT EXISTS (SELECT FROM %s r WHERE r.xmin::text = ANY ($2::text[]) OR NOT age(r.xmin) BETWEEN 0 AND age($1::text::xid)),
       EXISTS (SELECT FROM %[1]s)`

// Rewritten says whether the table was rewritten since the mark, by an ALTER TABLE or a copy into another table, so that
// all its rows look new. VACUUM FULL and CLUSTER move the rows to other files too, but keep the ids of their transactions.
func (m Mark) Rewritten(ctx context.Context, r Reader, table string) (bool, error) {
	if m.Files == "" {
		return false, nil // an older state, or not a table
	}
	var files string
	if err := r.QueryRow(ctx, readFiles, pgx.QueryExecModeExec, table).Scan(&files); err != nil || files == m.Files {
		return false, err
	}
	var older, rows bool
	err := r.QueryRow(ctx, fmt.Sprintf(hasOlder, table), pgx.QueryExecModeExec, m.horizon(), m.Seen).Scan(&older, &rows)
	return rows && !older, err
}

// horizon is the 32-bit form that rows have of ids.
func (m Mark) horizon() string { return strconv.FormatUint(m.Horizon&math.MaxUint32, 10) }

// Reaches says whether an export of today's server can go on from the mark: its ids are of that server,
// and not so long ago that they have come round.
func (m Mark) Reaches(ctx context.Context, r Reader, server string) (bool, error) {
	if m.Server != server {
		return false, nil
	}
	var high string
	if err := r.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text", pgx.QueryExecModeExec).Scan(&high); err != nil {
		return false, err
	}
	now, err := strconv.ParseUint(high, 10, 64)
	return now >= m.Horizon && now-m.Horizon < maxAge, err
}

// Bind adds the increment's predicates over the table's rows under the alias to w; times are those of its
// columns that say when a row was made and changed.
func (i Increment) Bind(w *Where, alias string, times []string) {
	if !i.Since.IsZero() {
		either := "false"
		for _, c := range times {
			either += " OR " + alias + "." + c + " >= @changed_since"
		}
		w.Bind("("+either+")", "changed_since", i.Since)
	}
	if i.After != nil {
		// age counts back from the newest id, round the corner of 2^32. Rows that were frozen ages ago keep an
		// xmin from before the corner; those for which that gives less than 0 are none of ours.
		w.Bind("age("+alias+".xmin) BETWEEN 0 AND age(@horizon::text::xid)", "horizon", i.After.horizon())
		if len(i.After.Seen) > 0 {
			w.Bind(alias+".xmin::text <> ALL (@seen::text[])", "seen", i.After.Seen)
		}
	}
}

const readWatermark = `
SELECT least(now(), min(since))
  FROM (SELECT xact_start AS since FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        UNION ALL SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()) t`

// Watermark returns the moment at which the oldest transaction began that is under way, as far as the role
// may see it: rows that come later bear times from then on, where they are of the server's clock. Read
// before a snapshot is taken, it holds for that snapshot.
func Watermark(ctx context.Context, r Reader) (time.Time, error) {
	var at time.Time
	err := r.QueryRow(ctx, readWatermark, pgx.QueryExecModeExec).Scan(&at)
	return at.UTC(), err
}

// Estimate returns how many rows the planner expects of q; it may be far from what there are.
func (q Query) Estimate(ctx context.Context, r Reader) (int64, error) {
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		} `json:"Plan"`
	}
	err := r.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+q.SQL, q.Args).Scan(&plans)
	if err != nil || len(plans) == 0 {
		return 0, err
	}
	return int64(plans[0].Plan.Rows), nil
}

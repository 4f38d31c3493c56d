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

// Mark records which transactions an export saw, so that the next export can select exactly the rows written since.
// Timestamps cannot do this: transactions commit in a different order than they begin, and the times in their rows are
// when they began, or come from another machine's clock.
//
// Every transaction that the export could not see has an id of at least Horizon. This includes subtransactions, which
// no list of running transactions contains. Seen lists the ids at or beyond Horizon that the export did see. A
// transaction is seen entirely or not at all, so the next export selects the rows whose xmin is at or beyond Horizon
// and not in Seen: it misses none and repeats none.
type Mark struct {
	At      time.Time `json:"snapshot_at"` // start of the export by the server's clock
	Server  string    `json:"server"`      // cluster, timeline and database that the ids belong to
	Horizon uint64    `json:"horizon"`
	Seen    []string  `json:"seen"`            // as 32-bit ids
	Files   string    `json:"files,omitempty"` // file nodes of the table, which change when it is rewritten
}

// Increment selects the rows created or changed since some point. The zero value selects all rows.
type Increment struct {
	Since time.Time // by the timestamps of the rows, inclusive
	After *Mark     // by the transactions that wrote the rows
}

// maxAge is how many transactions may pass before 32-bit ids become ambiguous.
const maxAge = math.MaxInt32

// readServer fails on servers that only speak PostgreSQL's protocol.
const readServer = `
SELECT format('%s/%s/%s', s.system_identifier, c.timeline_id, d.oid)
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
 WHERE d.datname = current_database()`

// Server identifies the origin of a database's transaction ids. It changes when a cluster is restored, fails over or
// is created again, because the same ids may then be reused.
func Server(ctx context.Context, r Reader) (string, error) {
	var s string
	err := r.QueryRow(ctx, readServer).Scan(&s)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "", fault.New(fault.Database, "the server does not identify its transaction ids: %s", pe.Message).
			WithHint("--state requires PostgreSQL; use --changed-since instead").Because(err)
	}
	return s, err
}

const (
	readSnapshot = `
SELECT now(), pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text, ` + onCitus + ` FROM pg_current_snapshot() s`
	// rows at or beyond the horizon; see Increment.Bind
	readSeen = `SELECT DISTINCT r.xmin::text FROM %s r WHERE age(r.xmin) BETWEEN 0 AND age($1::text::xid)`
)

// MarkOf returns the mark of a table, given by qualified name, in r's snapshot. Without transactions it only has the
// time.
func MarkOf(ctx context.Context, r Reader, server, table string, transactions bool) (Mark, error) {
	m := Mark{Server: server, Seen: []string{}}
	var low, high string
	citus := false
	if err := r.QueryRow(ctx, readSnapshot).Scan(&m.At, &low, &high, &citus); err != nil {
		return m, err
	}
	m.At = m.At.UTC()
	if !transactions {
		return m, nil
	}
	if citus {
		known, err := layout(ctx, r)
		if err == nil && known[table].Kind == Distributed {
			err = fault.New(fault.Database, "table %s is distributed by Citus, whose nodes count transactions apart", table).
				WithHint("--state would miss changes; use --changed-since instead")
		}
		if err != nil {
			return m, err
		}
	}
	err := r.QueryRow(ctx, readFiles, table).Scan(&m.Files)
	if err != nil {
		return m, err
	}
	if m.Horizon, err = strconv.ParseUint(low, 10, 64); err != nil || low == high {
		return m, err // no transaction is running, so none beyond the horizon can have been seen
	}
	seen, err := CollectAs(ctx, r, pgx.RowTo[string], fmt.Sprintf(readSeen, table), m.horizon())
	m.Seen = append(m.Seen, seen...)
	return m, err
}

// readFiles covers the table, its partitions and inheritance children. It returns "" for a relation without files,
// such as a view.
const readFiles = `
WITH RECURSIVE part (oid) AS (
    SELECT pg_catalog.to_regclass($1)::oid
    UNION SELECT i.inhrelid FROM part p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
)
SELECT coalesce(string_agg(pg_relation_filenode(p.oid)::text, ',' ORDER BY p.oid), '') FROM part p`

// hasOlder looks for a row that was visible to the export of a mark: older than the horizon, or written by a
// transaction that it saw.
const hasOlder = `
SELECT EXISTS (SELECT FROM %s r WHERE r.xmin::text = ANY ($2::text[]) OR NOT age(r.xmin) BETWEEN 0 AND age($1::text::xid)),
       EXISTS (SELECT FROM %[1]s)`

// Rewritten reports whether the table was rewritten since the mark, by an ALTER TABLE or by copying it, so that all
// its rows look new. VACUUM FULL and CLUSTER also change the files, but keep the transaction ids of the rows.
func (m Mark) Rewritten(ctx context.Context, r Reader, table string) (bool, error) {
	if m.Files == "" {
		return false, nil // an older state file, or not a table
	}
	var files string
	if err := r.QueryRow(ctx, readFiles, table).Scan(&files); err != nil || files == m.Files {
		return false, err
	}
	var older, rows bool
	err := r.QueryRow(ctx, fmt.Sprintf(hasOlder, table), m.horizon(), m.Seen).Scan(&older, &rows)
	return rows && !older, err
}

// horizon returns the 32-bit form, which xmin has.
func (m Mark) horizon() string { return strconv.FormatUint(m.Horizon&math.MaxUint32, 10) }

// Reaches reports whether an export from this server can continue from the mark: the ids come from the same server and
// have not wrapped around.
func (m Mark) Reaches(ctx context.Context, r Reader, server string) (bool, error) {
	if m.Server != server {
		return false, nil
	}
	var high string
	if err := r.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text").Scan(&high); err != nil {
		return false, err
	}
	now, err := strconv.ParseUint(high, 10, 64)
	return now >= m.Horizon && now-m.Horizon < maxAge, err
}

// Bind adds the increment's predicates for the table's rows under the alias to w. times are the columns that hold the
// times of creation and change.
func (i Increment) Bind(w *Where, alias string, times []string) {
	if !i.Since.IsZero() {
		either := "false"
		for _, c := range times {
			either += " OR " + alias + "." + c + " >= @changed_since"
		}
		w.Bind("("+either+")", "changed_since", i.Since)
	}
	if i.After != nil {
		// age counts back from the newest id and handles the wrap at 2^32. Rows frozen long ago keep an xmin from
		// before the wrap and give a negative age; they are not new.
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

// Watermark returns the start of the oldest running transaction, as far as the role can see. Rows that become visible
// later have timestamps from then on, if the server's clock sets them. Read it before taking a snapshot.
func Watermark(ctx context.Context, r Reader) (time.Time, error) {
	var at time.Time
	err := r.QueryRow(ctx, readWatermark).Scan(&at)
	return at.UTC(), err
}

// Estimate returns the planner's row estimate for q, which may be far off.
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

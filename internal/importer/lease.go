package importer

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// lease is a run's exclusive hold on its file, and what earlier runs applied of it. It is a row rather than a session
// lock, so that it works through a pooler. Every transaction of the run first claims the row, so a run that lost the
// lease changes nothing more.
type lease struct {
	ledger  *audit.Ledger
	file    *rowreader.File
	key     []byte // see Database.key
	command string // the import command, for hints
	host    string
	process string
	home    Database
	again   bool // disregard earlier runs
	applied []span
	last    *Operation // the latest earlier run, or nil
	next    int        // the span at the current line
}

// span is a range of applied lines.
type span struct {
	From    int64 `db:"line"`
	To      int64 `db:"last_line"`
	Records int64 `db:"records"`
	created int64
	updated int64
}

// Operation is a run that applied rows of a file.
type Operation struct {
	OpID     uuid.UUID `json:"op_id" db:"op_id"`
	Rows     int64     `json:"rows" db:"records"`
	At       db.Time   `json:"applied_at" db:"applied_at"` // the time of the last row
	Operator *string   `json:"operator" db:"operator"`     // a user of the manager database; null for a tenant's import
}

const readOperations = `
SELECT r.op_id, sum(r.records)::bigint AS records, max(r.created_at) AS applied_at, (SELECT u.username::text FROM idam.users u WHERE u.id = r.created_by) AS operator
  FROM cxg_import.rows r
 WHERE r.sha256 = $1
 GROUP BY r.op_id, r.created_by
 ORDER BY max(r.created_at), r.op_id`

// operations returns the runs that applied rows of a file, by its key, oldest first.
func (h Database) operations(ctx context.Context, r db.Reader, key []byte) ([]Operation, error) {
	sql := readOperations
	if h != (Database{}) {
		sql = strings.Replace(sql, "(SELECT u.username::text FROM idam.users u WHERE u.id = r.created_by)", "NULL::text", 1)
	}
	return db.Collect[Operation](ctx, r, sql, key)
}

// leaseTime is how long a lease outlives a run on another machine, whose process cannot be checked. It is longer than
// a batch takes, including hashing. A lease that ends later than that is from before the server's clock was set back.
const leaseTime = "120 seconds"

func newLease(cat schema.Catalog, l *audit.Ledger, f *rowreader.File, home Database, resource, command string, again bool) (*lease, error) {
	if err := home.missing(cat); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return &lease{
		ledger:  l,
		file:    f,
		key:     home.key(f, resource),
		command: command,
		host:    host,
		process: processName(os.Getpid()),
		home:    home,
		again:   again,
	}, nil
}

// processName identifies a process on this machine by its number and start time.
func processName(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fmt.Sprint(pid)
	}
	// the name in parentheses may contain anything; the 20th field after it is the start time in clock ticks
	after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(after) < 20 || after[0] == "Z" {
		return fmt.Sprint(pid)
	}
	return fmt.Sprintf("%d/%s", pid, after[19])
}

// here reports whether a host is this machine.
func here(host string) bool {
	name, err := os.Hostname()
	return err == nil && name == host
}

// gone reports whether a process of this machine has ended.
func gone(process string) bool {
	var pid int
	if _, err := fmt.Sscanf(process, "%d/", &pid); err != nil || !strings.Contains(process, "/") {
		return false // unknown, so wait for the lease to expire
	}
	return processName(pid) != process
}

const (
	insertFile = `
INSERT INTO cxg_import.files (id, created_at, created_by, sha256, name, bytes, op_id, host, process, started_at)
VALUES (@id, now(), @by, @sha256, @name, @bytes, @op, @host, @process, now())
ON CONFLICT (sha256) DO NOTHING`
	lockFile = `
SELECT op_id, host, process, coalesce(leased_until > now() AND leased_until <= now() + @time::interval, false) AS held
  FROM cxg_import.files WHERE sha256 = @sha256 FOR UPDATE`
	takeFile = `
UPDATE cxg_import.files
   SET op_id = @op, host = @host, process = @process, name = @name, started_at = now(), finished_at = NULL, failed = 0,
       leased_until = now() + @time::interval, updated_at = now(), updated_by = @by
 WHERE sha256 = @sha256`
	// Lines below 1 belong to runs before the last --again: they do not count as applied, but an undo still finds
	// their operations.
	setAside = `
UPDATE cxg_import.rows r SET line = r.line + s.shift, last_line = r.last_line + s.shift
  FROM (SELECT least(min(line), 0) - max(last_line) - 1 AS shift FROM cxg_import.rows WHERE sha256 = @sha256) s
 WHERE r.sha256 = @sha256 AND r.line > 0`
	countFile = `UPDATE cxg_import.files SET created = created + $2, updated = updated + $3 WHERE sha256 = $1`
	readSpans = `SELECT line, last_line, records FROM cxg_import.rows WHERE sha256 = @sha256 AND line > 0 ORDER BY line`
	claimFile = `
UPDATE cxg_import.files SET leased_until = now() + @time::interval
 WHERE sha256 = @sha256 AND op_id = @op`
	insertSpan = `
INSERT INTO cxg_import.rows (id, created_at, created_by, sha256, line, last_line, records, op_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	// Citus refuses now() within CASE.
	releaseFile = `
UPDATE cxg_import.files
   SET leased_until = NULL, finished_at = now() + CASE WHEN @finished THEN interval '0' END, updated_at = now(),
       skipped = @skipped, failed = @failed
 WHERE sha256 = @sha256 AND op_id = @op`
)

func (l *lease) args() pgx.NamedArgs {
	return pgx.NamedArgs{
		"id": uuid.Must(uuid.NewV7()), "by": l.ledger.By().Ref(), "sha256": l.key, "name": l.file.Name, "bytes": l.file.Size,
		"op": l.ledger.Op(), "host": l.host, "process": l.process, "time": leaseTime,
	}
}

// take acquires the lease and reads what earlier runs applied. If another run has the lease, it returns BUSY, unless
// that run's process has ended.
func (l *lease) take(ctx context.Context) error {
	args := l.args()
	var op uuid.UUID
	var host, process string
	var held bool
	read := func(sql string, into ...any) db.PipelineQuery {
		return db.PipelineQuery{SQL: sql, Args: []any{args}, Read: func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, into, func() error { return nil })
			return err
		}}
	}
	spans := db.PipelineQuery{SQL: readSpans, Args: []any{args}, Read: db.Into(&l.applied, pgx.RowToStructByName[span])}
	// A transaction of a killed run may be about to end.
	limit := db.PipelineQuery{SQL: "SET LOCAL lock_timeout = '3s'", Read: read("").Read}
	err := l.ledger.WriteUnaudited(ctx, func(last *pgx.Batch) error {
		if held && (host != l.host || !gone(process)) {
			return l.busy(op).With("host", host).With("process", process)
		}
		last.Queue(takeFile, args)
		if l.again {
			last.Queue(setAside, args)
		}
		return nil
	}, func(db.Layout) []db.PipelineQuery {
		return []db.PipelineQuery{limit, read(insertFile), read(lockFile, &op, &host, &process, &held), spans}
	})
	if state, _ := db.State(err); state == db.LockNotAvailable {
		return l.busy(uuid.Nil)
	}
	if err != nil {
		return err
	}
	if l.again { // in a dry run the spans are still there
		l.applied = nil
		return nil
	}
	if l.ledger.DryRun {
		err = spans.Ask(ctx, l.ledger.Reader())
	}
	if err != nil || len(l.applied) == 0 {
		return err
	}
	ops, err := l.home.operations(ctx, l.ledger.Reader(), l.key)
	if err == nil && len(ops) > 0 {
		l.last = &ops[len(ops)-1]
	}
	return err
}

func (l *lease) busy(op uuid.UUID) *fault.Error {
	f := fault.New(fault.Busy, "another run is importing %s", l.file.Name).
		WithHint("see its progress with: %s --status %s", l.command, l.file.Name)
	if op != uuid.Nil {
		f.With("op_id", op.String())
	}
	return f
}

// done reports whether an earlier run applied the record that starts on the line. Calls have to be in line order; a
// smaller line starts a new pass.
func (l *lease) done(line int64) bool {
	if l.next > 0 && line <= l.applied[l.next-1].To {
		l.next = 0
	}
	for l.next < len(l.applied) && l.applied[l.next].To < line {
		l.next++
	}
	return l.next < len(l.applied) && l.applied[l.next].From <= line
}

// claim locks the lease's row until the end of the transaction, and fails if the run lost it.
func (l *lease) claim(db.Layout) []db.PipelineQuery {
	if l.ledger.DryRun {
		return nil
	}
	return []db.PipelineQuery{{SQL: claimFile, Args: []any{l.args()}, Read: func(rows pgx.Rows) error {
		rows.Close()
		if err := rows.Err(); err != nil || rows.CommandTag().RowsAffected() == 1 {
			return err
		}
		return l.busy(uuid.Nil)
	}}}
}

// spans returns the lines of the applied rows, with consecutive rows merged.
func spans[T any, R Item[T]](rows []R) []span {
	var list []span
	last := int64(-1) // the ordinal of the last row in the open span
	for _, in := range rows {
		row := in.Base()
		if row.Done || !row.Applied() {
			continue
		}
		if row.Ordinal != last+1 {
			list = append(list, span{From: row.Raw.Line})
		}
		last = row.Ordinal
		open := &list[len(list)-1]
		open.To, open.Records = row.Raw.Line, open.Records+1
		switch row.Outcome {
		case Created:
			open.created++
		case Updated:
			open.updated++
		default:
		}
	}
	return list
}

// record records the rows that the transaction applied.
func (l *lease) record(tx *audit.Tx, applied []span) {
	if !l.ledger.DryRun && len(applied) > 0 {
		l.insert(tx.Queue, tx.Now, tx.ByID(), applied)
	}
}

// recordUnchanged records rows that were applied without a change, outside a transaction of the ledger.
func (l *lease) recordUnchanged(ctx context.Context, applied []span) error {
	if len(applied) == 0 {
		return nil
	}
	now, err := l.ledger.Now(ctx)
	if err != nil {
		return err
	}
	return l.ledger.WriteUnaudited(ctx, func(last *pgx.Batch) error {
		l.insert(func(sql string, args ...any) { last.Queue(sql, args...) }, now, l.ledger.By().Ref(), applied)
		return nil
	}, l.claim)
}

// insert queues the statements that record spans.
func (l *lease) insert(queue func(sql string, args ...any), now time.Time, by *uuid.UUID, applied []span) {
	var created, updated int64
	for _, s := range applied {
		created, updated = created+s.created, updated+s.updated
		queue(insertSpan, uuid.Must(uuid.NewV7()), now, by, l.key, s.From, s.To, s.Records, l.ledger.Op())
	}
	queue(countFile, l.key, created, updated)
}

// releaseTime limits the release of a file whose import did not finish, since its lease expires anyway.
// finishTime limits it for a finished import, which waits for a server that restarts, since the file would otherwise
// count as unfinished.
const (
	releaseTime = 2 * time.Second
	finishTime  = 15 * time.Second
)

// release releases the lease, even after an interruption.
func (l *lease) release(ctx context.Context, finished bool, r Report) error {
	limit := releaseTime
	if finished {
		limit = finishTime
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	args := l.args()
	args["finished"], args["skipped"], args["failed"] = finished, r.Skipped, r.Failed
	for {
		err := l.ledger.WriteUnauditedOnce(ctx, releaseFile, args)
		if err == nil || !finished {
			return nil
		}
		if db.Lost(err) {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
				continue
			}
		}
		return fault.New(fault.Database, "the import of %s ended, but the file still counts as unfinished", l.file.Name).
			WithHint("run the same command again, which applies no row twice").Because(err)
	}
}

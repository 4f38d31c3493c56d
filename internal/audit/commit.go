package audit

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// answerGrace is how long a COMMIT may still take once the command's context has ended.
const answerGrace = time.Second

// resolveTimeout bounds the search for the outcome of a COMMIT without an answer.
const resolveTimeout = 15 * time.Second

// seal sends the batch, reads the audit rows as the log has stored them, and returns the last statements, which seal the
// rows. The questions about rights lock those; on Citus they follow the lock of the seals instead, which other ledgers
// hold until their changes of rights are committed.
func (l *Ledger) seal(ctx context.Context, tx *Tx, batch *stagedBatch, rows seal.Unsealed, rights ...db.PipelineQuery) (*stagedBatch, error) {
	ask := func() {
		for _, q := range rights {
			q.Queue(&batch.Batch)
		}
	}
	if tx.Layout == nil {
		ask()
	}
	if l.db.Pooled() {
		batch.Queue(readTransaction).QueryRow(func(row pgx.Row) error { return row.Scan(&tx.xid) })
	}
	n := batch.Len()
	sealing := l.sealer.Begin(&batch.Batch, rows, tx.Now)
	batch.stage(n, errNotSealed)
	if tx.Layout != nil {
		ask()
	}
	if err := tx.send(ctx, batch); err != nil {
		return nil, err
	}
	last, err := sealing.Finish(ctx, tx)
	if err != nil {
		return nil, errNotSealed(err)
	}
	staged := &stagedBatch{*last}
	staged.stage(0, func(err error) error {
		if db.Lost(err) { // perhaps after the commit
			return err
		}
		return errNotSealed(err)
	})
	return staged, nil
}

// commit sends the last statements and commits the transaction. If the connection breaks before the answer, it looks for
// the audit row to determine whether the commit took place. It does so only once the old server process is gone, because
// that process could still commit.
func (l *Ledger) commit(ctx context.Context, tx *Tx, last *stagedBatch, auditID uuid.UUID) error {
	answer, end := commitContext(ctx)
	defer end()
	process := l.processOf(tx)
	err := tx.CommitWith(answer, &last.Batch)
	lost := db.Lost(err)
	l.changed = l.changed || lost || err == nil
	if err == nil {
		return nil
	}
	if !lost {
		_ = tx.Rollback(answer) // explaining the error takes queries
		if cause := seal.Explain(answer, l.db, err); cause != nil {
			return errNotSealed(cause)
		}
		return err
	}
	tries := 0
	return l.resolveCommit(ctx, err, "once the server is back: cxgctl audit list --op "+l.op.String()+" shows the change if it was made",
		func(ctx context.Context) (made, known bool) {
			found, gone, err := l.commitOutcome(ctx, auditID, process, tries > terminateAfter)
			tries++
			return found, err == nil && (found || gone)
		})
}

// commitContext returns the context for sending COMMIT and receiving its answer. A signal must not break the connection
// in that phase, or the outcome would be unknown. Since COMMIT may hang, the context ends answerGrace after ctx does.
func commitContext(ctx context.Context) (answer context.Context, done func()) {
	answer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(answerGrace, cancel) })
	return answer, func() {
		stop()
		cancel()
	}
}

// resolveCommit polls look until the outcome of a COMMIT without an answer is known, and returns nil if it took place.
// cause is why the answer is missing. hint is for the case that the outcome cannot be determined.
func (l *Ledger) resolveCommit(ctx context.Context, cause error, hint string, look func(context.Context) (made, known bool)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	for ctx.Err() == nil {
		switch made, known := look(ctx); {
		case known && made:
			return nil
		case known:
			return fault.New(fault.Database, "the connection broke during the commit, and nothing was changed").
				WithHint("run the command again").Because(cause)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fault.New(fault.Database, "the connection broke during the commit, and its outcome is unknown").
		WithHint("%s", hint).With("op_id", l.op.String()).Because(errors.Join(errUnknown, cause))
}

var errUnknown = errors.New("the outcome of a commit is unknown")

// OutcomeUnknown reports whether the change behind err may have been committed.
func OutcomeUnknown(err error) bool { return errors.Is(err, errUnknown) }

// terminateAfter is how often the old server process is checked before it is terminated. If its client vanished
// silently, it could go on for hours.
const terminateAfter = 20

// process identifies the server process of a transaction: by its PID, or behind a pooler, which hides the PID and
// reuses the process, by the transaction id.
type process struct {
	predicate string // over pg_stat_activity a; $1 is id
	id        any
}

const readTransaction = `SELECT (txid_current() & 4294967295)::text`

func (l *Ledger) processOf(tx *Tx) process {
	if l.db.Pooled() {
		return process{`a.backend_xid = $1::text::xid`, tx.xid}
	}
	// a process that has ended its transaction counts as gone
	return process{`a.pid = $1 AND a.xact_start IS NOT NULL`, int32(tx.Conn().PgConn().PID())}
}

const (
	findProcess = `SELECT pg_is_in_recovery(), NOT EXISTS (SELECT FROM pg_stat_activity a WHERE `
	endProcess  = `
SELECT count(pg_terminate_backend(a.pid))
  FROM pg_stat_activity a
 WHERE a.usename = current_user AND a.application_name = current_setting('application_name') AND `
	findEntry = `SELECT EXISTS (SELECT FROM audt.audit_logs WHERE id = $1)`
)

// commitOutcome checks whether the old process is gone and then, in a second statement, looks for the audit row. A
// single statement could use a snapshot from before the process ended. A standby proves nothing: it may not have
// replayed the commit yet.
func (l *Ledger) commitOutcome(ctx context.Context, auditID uuid.UUID, p process, end bool) (found, gone bool, err error) {
	standby := false
	if err := l.db.QueryRow(ctx, findProcess+p.predicate+")", p.id).Scan(&standby, &gone); err != nil {
		return false, false, err
	}
	if standby {
		l.db.FindPrimary()
		return false, false, nil
	}
	if !gone && end {
		var ended int
		return false, false, l.db.QueryRow(ctx, endProcess+p.predicate, p.id).Scan(&ended)
	}
	err = l.db.QueryRow(ctx, findEntry, auditID).Scan(&found)
	return found, gone, err
}

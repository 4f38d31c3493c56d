package audit

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// answerGrace is how long the answer to a COMMIT is waited for when the command's time is over.
const answerGrace = time.Second

// settleTimeout is how long the outcome of a COMMIT without an answer is looked for.
const settleTimeout = 15 * time.Second

// commit does what is left to do and commits and, if the connection breaks before the answer, finds out whether it took place:
// the audit row's id was made by us, so its presence settles it. The old server process must be gone
// first, or it might still commit after we looked.
func (l *Ledger) commit(ctx context.Context, tx *db.Write, auditID uuid.UUID, last []db.Statement) error {
	answer, end := commitContext(ctx)
	defer end()
	process, err := l.processOf(answer, tx)
	if err != nil {
		return err
	}
	l.changed = true
	done, err := tx.CommitAfter(answer, last...)
	switch {
	case err == nil:
		return nil
	case !db.Lost(err) && done < len(last):
		return errNotSealed(l.notKept(answer, err))
	case !db.Lost(err):
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

// notKept puts the error of keptRows in words; others pass.
func (l *Ledger) notKept(ctx context.Context, err error) error {
	if state, _ := db.State(err); state != divisionByZero {
		return err
	}
	for _, table := range []string{schema.AuditLogs, schema.Seals, schema.SealHead} {
		refused := db.NotStored(ctx, l.db, table, db.Insert, "kept the change's audit row or its seal from being stored")
		f := fault.From(refused)
		if causes, _ := f.Detail["causes"].([]string); len(causes) > 0 {
			return f
		}
	}
	return fault.New(fault.Database, "the database kept the change's audit row or its seal from being stored").
		WithHint("nothing was changed; no change goes unaudited")
}

const divisionByZero = "22012"

// answering returns the context of a COMMIT and its answer, and what ends it. From there on a signal must not
// tear the connection: the commit takes place or not, and we say which. It may hang, though, and then whoever
// sent the signal, or ran out of time, has waited enough.
func commitContext(ctx context.Context) (answer context.Context, done func()) {
	answer, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(answerGrace, giveUp) })
	return answer, func() {
		stop()
		giveUp()
	}
}

// findOut looks until it is known whether a COMMIT without an answer took place, and returns nil if it did. cause
// is why there was none, hint what to do where it cannot be found out.
func (l *Ledger) resolveCommit(ctx context.Context, cause error, hint string, look func(context.Context) (made, known bool)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
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
	return fault.New(fault.Database, "the connection broke during the commit, and whether it took place is not known").
		WithHint("%s", hint).With("op_id", l.op.String()).Because(errors.Join(errUnknown, cause))
}

var errUnknown = errors.New("the outcome of a commit is not known")

// Unknown says whether err leaves open whether a change was made: then nobody may act as if it was not.
func OutcomeUnknown(err error) bool { return errors.Is(err, errUnknown) }

// terminateAfter is how many looks an old server process gets to end by itself. One whose client went
// away without a word would wait for it for hours.
const terminateAfter = 20

// process is how the server's process of a transaction is found again: by its number, or behind a pooler, which
// does not tell that and uses the process for others afterwards, by the transaction's own.
type process struct {
	predicate string // over pg_stat_activity a; $1 is id
	id        any
}

const readTransaction = `SELECT (txid_current() & 4294967295)::text`

func (l *Ledger) processOf(ctx context.Context, tx pgx.Tx) (process, error) {
	if !l.db.Pooled() {
		// one that has ended its transaction counts as gone
		return process{`a.pid = $1 AND a.xact_start IS NOT NULL`, int32(tx.Conn().PgConn().PID())}, nil
	}
	var id string
	err := tx.QueryRow(ctx, readTransaction).Scan(&id)
	return process{`a.backend_xid = $1::text::xid`, id}, err
}

const (
	lookForProcess = `SELECT pg_is_in_recovery(), NOT EXISTS (SELECT FROM pg_stat_activity a WHERE `
	endProcess     = `
SELECT count(pg_terminate_backend(a.pid))
  FROM pg_stat_activity a
 WHERE a.usename = current_user AND a.application_name = current_setting('application_name') AND `
	lookForEntry = `SELECT EXISTS (SELECT FROM audt.audit_logs WHERE id = $1)`
)

// settled looks whether the old process is gone, and only then for the audit row: in one statement the
// row would be looked for in a snapshot from before the process ended. A standby that is about to become the
// primary may not have read the commit yet: it is no witness.
func (l *Ledger) commitOutcome(ctx context.Context, auditID uuid.UUID, p process, end bool) (found, gone bool, err error) {
	standby := false
	if err := l.db.QueryRow(ctx, lookForProcess+p.predicate+")", p.id).Scan(&standby, &gone); err != nil {
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
	err = l.db.QueryRow(ctx, lookForEntry, auditID).Scan(&found)
	return found, gone, err
}

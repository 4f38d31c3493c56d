package importer

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
)

// atomic applies the whole file in one transaction, or nothing. It reads the file twice: the first pass checks and
// prepares the rows without a transaction.
func (r *run[T, R]) atomic(ctx context.Context) error {
	clean := r.report
	check := func(b *batch[R]) error {
		for _, in := range b.rows {
			in.Base().Outcome = Pending // only failures are counted in this pass
		}
		return r.count(b)
	}
	if err := r.produce(ctx, check); err != nil || r.report.Failed > 0 {
		return err
	}
	r.report = clean
	var refused []*Row
	var verdict error    // the error for failed rows
	var unchanged []span // of batches that changed nothing
	var ids []uuid.UUID
	err := r.ledger.Write(ctx, r.intent(), func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		r.report, refused, verdict, unchanged, ids = clean, nil, nil, nil, nil
		err := r.produce(ctx, func(b *batch[R]) error {
			changes, err := r.apply(ctx, tx, b)
			if err != nil {
				return err
			}
			for _, in := range b.rows {
				if row := &in.Base().Row; row.Failure != nil {
					refused = append(refused, row)
				}
			}
			if err := tx.Log(ctx, changes); err != nil {
				return err
			}
			if !b.recorded {
				unchanged = append(unchanged, spans(b.rows)...)
			}
			r.tally(b)
			ids = append(ids, r.changed(b)...)
			return nil
		})
		if err == nil && len(refused) > 0 {
			verdict = r.someFailed()
			err = verdict
		}
		if err != nil {
			return nil, err
		}
		finished, err := r.spec.Finish(ctx, tx)
		for _, c := range finished {
			r.report.Deactivated = append(r.report.Deactivated, c.Name)
		}
		return finished, err
	}, r.lease.claim)
	if err == nil {
		r.applied(ids)
		return r.lease.recordUnchanged(ctx, unchanged)
	}
	if !errors.Is(err, verdict) {
		return err
	}
	r.told = true
	r.report.Created, r.report.Updated, r.report.Unchanged, r.report.Skipped = 0, 0, 0, 0
	for _, row := range refused {
		if r.Failed != nil {
			if err := r.Failed(*row.Failure, row.Raw); err != nil {
				return err
			}
		}
	}
	return nil
}

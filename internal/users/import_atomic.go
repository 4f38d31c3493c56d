package users

import (
	"context"
	"errors"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// whole applies the file in one transaction, or nothing of it. The file is read twice: what can be known
// of its rows beforehand is found out in a first reading, hashing included, and only what that needs
// is kept.
func (im *importer) whole(ctx context.Context) error {
	im.hashed = map[int64]hashedPassword{}
	clean := im.report
	check := func(b *batch) error {
		for _, in := range b.rows {
			in.outcome = pending // and counted as nothing, unless it failed
		}
		return im.count(b)
	}
	if err := im.produce(ctx, check); err != nil || im.report.Failed > 0 {
		return err
	}
	im.report = clean
	var refused []*incoming
	err := im.ledger.Write(ctx, im.intent(), func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		im.report, refused = clean, nil
		if err := im.lease.claim(ctx, tx); err != nil {
			return nil, err
		}
		err := im.produce(ctx, func(b *batch) error {
			changes, err := im.apply(ctx, tx, b)
			if err != nil {
				return err
			}
			for _, in := range b.rows {
				if in.failure != nil {
					refused = append(refused, in)
				}
			}
			if err := tx.Log(ctx, changes); err != nil {
				return err
			}
			im.tally(b)
			return nil
		})
		if err == nil && len(refused) > 0 {
			err = errAtomic
		}
		return nil, err
	})
	if !errors.Is(err, errAtomic) {
		return err
	}
	im.report.Created, im.report.Updated, im.report.Same, im.report.Skipped = 0, 0, 0, 0
	for _, in := range refused {
		if im.Failed != nil {
			if err := im.Failed(*in.failure, in.row); err != nil {
				return err
			}
		}
	}
	return nil
}

// errAtomic ends the transaction of an import of all rows or none.
var errAtomic = fault.New(fault.PartialFailure, "rows failed, so nothing was changed")

package audit

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// A transaction of Seal is bounded by stored bytes. Compression reduces a row to a hundredth at best; a row that could
// exceed largestRow is measured first.
const (
	sealBytes  = 4 << 20
	mayBeLarge = largestRow / 128
	largestRow = 64 << 20
)

// Sealed is the result of Seal.
type Sealed struct {
	Sealed  int64          `json:"sealed"`
	Skipped []seal.Skipped `json:"-"`
}

// limitWaits limits waits: if another session has locked the head, that session seals.
func limitWaits(db.Layout) []db.PipelineQuery {
	return []db.PipelineQuery{{
		SQL:  `SELECT set_config('lock_timeout', '100ms', true), set_config('statement_timeout', '1s', true)`,
		Read: func(pgx.Rows) error { return nil },
	}}
}

const sealOthersTimeout = 2 * time.Second

// SealOthers seals a few rows of other software in its own transaction. It does nothing if this ledger has not changed
// anything or if rows were last looked for less than ten seconds ago. On an error these rows remain unsealed; the
// ledger's changes are committed in any case.
func (l *Ledger) SealOthers(ctx context.Context) (skipped []seal.Skipped, err error) {
	if l.sealer == nil || !l.changed || !l.sealer.SweepDue() || ctx.Err() != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sealOthersTimeout)
	defer cancel()
	tx, err := l.db.BeginWrite(ctx, limitWaits)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	last, skipped, err := l.sealer.Sweep(ctx, tx)
	if err == nil {
		err = tx.CommitWith(ctx, last)
	}
	if state, _ := db.State(err); state == db.LockNotAvailable { // another session seals
		return nil, nil
	}
	return skipped, err
}

// SealOlder makes the transaction seal the unsealed rows that claim to be written by cxgctl, and returns their number.
// Such rows predate seals. The migrations that create and bound the seals call this once and report the number in their
// audit row in the same transaction. Any later row of this kind is forged.
func (tx *Tx) SealOlder(ctx context.Context) (n int, err error) {
	tx.unsealed.Older, err = tx.ledger.sealer.Older(ctx, tx)
	return len(tx.unsealed.Older), err
}

// Seal seals the unsealed rows of other software in transactions of at most batch rows and a bounded number of bytes.
// It skips rows that it cannot read. A dry run only counts.
func Seal(ctx context.Context, d *db.DB, cat schema.Catalog, batch int, dryRun bool) (Sealed, error) {
	done := Sealed{Skipped: []seal.Skipped{}}
	s := seal.New(cat)
	if s == nil {
		return done, seal.NoSeals()
	}
	if dryRun {
		var err error
		done.Sealed, err = s.CountForeign(ctx, d)
		return done, err
	}
	list, err := s.ListForeign(ctx, d)
	if err != nil {
		return done, err
	}
	var ids []uuid.UUID
	total := 0
	flush := func() error {
		if len(ids) == 0 {
			return nil
		}
		n, skipped, err := sealForeign(ctx, d, s, ids)
		done.Sealed, done.Skipped = done.Sealed+n, append(done.Skipped, skipped...)
		ids, total = ids[:0], 0
		return err
	}
	for _, r := range list {
		if len(ids) == batch || total+r.Stored > sealBytes {
			if err := flush(); err != nil {
				return done, err
			}
		}
		if r.Stored > mayBeLarge {
			if reason := tooLarge(ctx, d, r.ID); reason != "" {
				done.Skipped = append(done.Skipped, seal.Skipped{ID: r.ID, Reason: reason})
				continue
			}
		}
		ids, total = append(ids, r.ID), total+r.Stored
	}
	return done, flush()
}

// tooLarge returns why a row is too large to be read, "" if it is not.
func tooLarge(ctx context.Context, d *db.DB, id uuid.UUID) string {
	var size *int64
	err := d.QueryRow(ctx, `SELECT (SELECT octet_length(l::text) FROM audt.audit_logs l WHERE l.id = $1)`, id).Scan(&size)
	switch {
	case err != nil:
		return fault.From(db.Translate(err)).Message
	case size != nil && *size > largestRow:
		return fmt.Sprintf("it is larger than %d MiB", largestRow>>20)
	}
	return ""
}

// sealForeign seals rows in a transaction of its own, and returns the number of seals and the rows that it skipped.
func sealForeign(ctx context.Context, d *db.DB, s *seal.Sealer, ids []uuid.UUID) (int64, []seal.Skipped, error) {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	last, n, skipped, err := s.Foreign(ctx, tx, ids)
	if err != nil || n == 0 {
		return 0, skipped, err
	}
	if err := tx.CommitWith(ctx, last); err != nil {
		_ = tx.Rollback(ctx)
		return 0, skipped, cmp.Or(seal.Explain(ctx, d, err), err)
	}
	return int64(n), skipped, nil
}

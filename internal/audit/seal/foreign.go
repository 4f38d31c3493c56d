package seal

import (
	"bytes"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Other software writes rows to the log without sealing them. These rows are never sealed in the transaction of a
// change, because their content must not affect its commit.
const (
	sweepRows     = 100      // rows that Sweep reads, oldest first
	sweepRowBytes = 16 << 10 // maximum stored bytes of a row that Sweep seals
	sweepBytes    = 256 << 10
)

// Skipped is a row that could not be sealed, with the reason.
type Skipped struct {
	ID     uuid.UUID `json:"id"`
	Reason string    `json:"reason"`
}

// sweepInterval is how long rows of other software are not looked for again.
const sweepInterval = 10 * time.Second

// The rows after the last sweep, if that was long ago. The first seal makes the head.
const sweep = `
SELECT l.created_at, {claims}, EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id), l.id, {stored}
  FROM audt.audit_logs l
 WHERE (l.created_at, l.id) > (coalesce((SELECT h.swept_at FROM cxg_audit.head h WHERE h.id = 1), '-infinity'),
                                coalesce((SELECT h.swept_id FROM cxg_audit.head h WHERE h.id = 1), '00000000-0000-0000-0000-000000000000'))
   AND l.created_at < $1::timestamptz - interval '1 minute'
   AND coalesce((SELECT h.looked_at FROM cxg_audit.head h WHERE h.id = 1), '-infinity') < $1::timestamptz - $2::interval
 ORDER BY l.created_at, l.id LIMIT $3`

// position is a row of the log in the order of sweeps.
type position struct {
	at time.Time
	id uuid.UUID
}

func (p position) after(o position) bool {
	return p.at.After(o.at) || p.at.Equal(o.at) && bytes.Compare(p.id[:], o.id[:]) > 0
}

// sweeping is the result of queueSweep.
type sweeping struct {
	sealer *Sealer
	end    position    // the last row that was seen
	ids    []uuid.UUID // small unsealed rows of other software, at most sweepBytes
}

// queueSweep queues a statement that reads a few rows after the sweep position. Rows younger than a minute are left for
// later, because others of the same time may still be uncommitted. Rows that claim to be written by cxgctl do not count:
// real ones were sealed on writing, and Verify reports the rest.
func (s *Sealer) queueSweep(batch *pgx.Batch, now time.Time) *sweeping {
	w := &sweeping{sealer: s}
	batch.Queue(s.expand(sweep), now, sweepInterval, sweepRows).Query(func(rows pgx.Rows) error {
		var at db.Time
		var claims, sealed bool
		var id uuid.UUID
		var size, total int
		_, err := pgx.ForEachRow(rows, []any{&at, &claims, &sealed, &id, &size}, func() error {
			if total > sweepBytes {
				return nil
			}
			w.end = position{at.Instant, id}
			if !claims && !sealed && size <= sweepRowBytes {
				w.ids = append(w.ids, id)
				total += size
			}
			return nil
		})
		return err
	})
	return w
}

// apply moves the sweep position of a locked head past rows among which none is to be sealed. Otherwise a Sweep is due.
func (w *sweeping) apply(h *head, now time.Time) {
	switch {
	case w == nil:
	case len(w.ids) > 0:
		w.sealer.sweepDue.Store(true)
	case w.end.after(h.swept): // and no other session has come further
		h.swept, h.lastSweep = w.end, now
	}
}

// SweepDue reports whether the last change saw rows that call for a Sweep.
func (s *Sealer) SweepDue() bool { return s.sweepDue.Load() }

// Sweep seals the next small unsealed rows of other software and advances the sweep position of the head. It returns the
// statements that do so, to be sent with COMMIT, and the rows that it could not read.
func (s *Sealer) Sweep(ctx context.Context, tx *db.Write) (*pgx.Batch, []Skipped, error) {
	s.sweepDue.Store(false)
	h, err := s.lock(ctx, tx, tx.Now)
	if err != nil {
		return nil, nil, err
	}
	batch := &pgx.Batch{}
	found := s.queueSweep(batch, tx.Now)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, nil, err
	}
	seals, skipped, err := s.readForeign(ctx, tx, found.ids, tx.Now)
	if err != nil {
		return nil, nil, err
	}
	if h.lastSweep = tx.Now; found.end.after(h.swept) {
		h.swept = found.end
	}
	last, err := s.append(ctx, tx, h, seals)
	return last, skipped, err
}

// readForeign builds the seals of other software's rows.
func (s *Sealer) readForeign(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) ([]Link, []Skipped, error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	rows, err := tx.Query(ctx, s.byID, ids)
	if err != nil {
		return nil, nil, err
	}
	return s.prepare(rows, originForeign, now)
}

// unsealedRows returns a query for rows without a seal. If strict, seals outside the chain do not count.
func (s *Sealer) unsealedRows(columns string, strict bool) string {
	within := ""
	if strict {
		within = " AND s.seq BETWEEN 1 AND coalesce((SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1), s.seq)"
	}
	return "SELECT " + columns + " FROM audt.audit_logs l WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id" + within + ")"
}

const stillUnsealed = `
SELECT l.id FROM unnest($1::uuid[]) WITH ORDINALITY AS l (id, n)
 WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id) AND EXISTS (SELECT FROM audt.audit_logs a WHERE a.id = l.id)
 ORDER BY l.n`

// Foreign seals other software's rows that still lack a seal. It reads them before it locks the head, so that changes
// do not wait. It returns the last statements, to be sent with COMMIT, the number of seals, and the rows that it could not
// read.
func (s *Sealer) Foreign(ctx context.Context, tx *db.Write, ids []uuid.UUID) (last *pgx.Batch, n int, skipped []Skipped, err error) {
	prepared, skipped, err := s.readForeign(ctx, tx, ids, tx.Now)
	if err != nil || len(prepared) == 0 {
		return nil, 0, skipped, err
	}
	byID := make(map[uuid.UUID]Link, len(prepared))
	for _, m := range prepared {
		byID[m.AuditID] = m
	}
	h, err := s.lock(ctx, tx, tx.Now)
	if err != nil {
		return nil, 0, skipped, err
	}
	remaining, err := db.CollectAs(ctx, tx, pgx.RowTo[uuid.UUID], stillUnsealed, ids)
	if err != nil {
		return nil, 0, skipped, err
	}
	var seals []Link
	for _, id := range remaining {
		if m, ok := byID[id]; ok {
			seals = append(seals, m)
		}
	}
	if len(seals) == 0 {
		return nil, 0, skipped, nil
	}
	last, err = s.append(ctx, tx, h, seals)
	return last, len(seals), skipped, err
}

// CountForeign returns the number of other software's rows without a seal.
func (s *Sealer) CountForeign(ctx context.Context, r db.Reader) (n int64, err error) {
	err = r.QueryRow(ctx, s.unsealedRows("count(*)", false)+" AND NOT "+s.claimsOurs()).Scan(&n)
	return n, err
}

// Row is a row of the log without a seal.
type Row struct {
	ID     uuid.UUID
	Stored int // bytes of its values as stored, compressed
}

// ListForeign returns other software's rows without a seal, oldest first.
func (s *Sealer) ListForeign(ctx context.Context, r db.Reader) ([]Row, error) {
	sql := s.unsealedRows("l.id, "+s.stored, false) + " AND NOT " + s.claimsOurs() + " ORDER BY l.created_at, l.id"
	return db.CollectAs(ctx, r, pgx.RowToStructByPos[Row], sql)
}

// Older returns the unsealed rows that claim to be written by cxgctl, oldest first. They predate seals; any later row
// of this kind is forged.
func (s *Sealer) Older(ctx context.Context, tx pgx.Tx) ([]uuid.UUID, error) {
	if s == nil || !s.hasExtraData {
		return nil, nil
	}
	return db.CollectAs(ctx, tx, pgx.RowTo[uuid.UUID], s.unsealedRows("l.id", false)+" AND "+s.claimsOurs()+" ORDER BY l.created_at, l.id")
}

package audit

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Other software writes rows into the log and does not seal them. Whoever seals his own takes a few of
// theirs along, now and then; `audit seal` finds them all.
const (
	lookEvery = 10 * time.Second // so rarely that many writers at once do not wait for it
	lookAt    = 100              // rows at a time, in the order of time
	settling  = time.Minute      // younger rows wait: others of their time may still be uncommitted
)

// backlog seals the next rows of the log that have no seal, and moves the head's mark past those that it
// looked at. Rows that say cxgctl wrote them are left alone: cxgctl's have their seal since they were
// written, so that verify is to name these.
func (s *sealer) backlog(ctx context.Context, tx pgx.Tx, h *head, now time.Time) ([]seal, error) {
	h.looked = now
	rows, err := tx.Query(ctx, s.sweep, h.sweptAt, h.sweptID, now.Add(-settling), lookAt)
	if err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	var at db.Time
	var claims, sealed bool
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&at, &claims, &sealed, &id}, func() error {
		if h.sweptAt, h.sweptID = at.Instant, id; !claims && !sealed {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return s.read(ctx, tx, ids, originForeign, now)
}

// Unsealed is what the log has of rows without a seal.
type Unsealed struct {
	Rows   int64    // others' rows, and cxgctl's from before there were seals
	Oldest *db.Time // when the first of them was written
	Forged []uuid.UUID
}

// unsealedRows selects the rows without a seal. A row that says cxgctl wrote it, at a time when cxgctl sealed
// already, and has none, was not written by cxgctl.
func (s *sealer) unsealedRows(columns string) string {
	return "SELECT " + columns + " FROM audt.audit_logs l WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id)"
}

func (s *sealer) forged() string {
	return "(" + s.claims() + " AND l.created_at > coalesce((SELECT h.created_at FROM cxg_audit.head h), 'infinity'))"
}

// Seal seals every row of the log that has no seal, in batches of at most batch rows, each a transaction
// of its own, and returns how many it sealed. In a dry run it only counts them.
func Seal(ctx context.Context, d *db.DB, cat schema.Catalog, batch int, dryRun bool) (int64, error) {
	s := newSealer(cat)
	if s == nil {
		return 0, NoSeals()
	}
	where := " AND NOT " + s.forged()
	var done int64
	if dryRun {
		err := d.QueryRow(ctx, s.unsealedRows("count(*)")+where).Scan(&done)
		return done, err
	}
	rows, err := d.Query(ctx, s.unsealedRows("l.id")+where+" ORDER BY l.created_at, l.id")
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(ids, batch) {
		n, err := s.sealForeign(ctx, d, chunk)
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// NoSeals is the error of a database that has no seals.
func NoSeals() *fault.Error {
	return fault.New(fault.Database, "the manager database has no seals: the schema cxg_audit is missing").
		WithHint("cxgctl migrate up --database manager creates it").With("table", schema.Seals)
}

const stillUnsealed = `
SELECT l.id FROM unnest($1::uuid[]) WITH ORDINALITY AS l (id, n)
 WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id) AND EXISTS (SELECT FROM audt.audit_logs a WHERE a.id = l.id)
 ORDER BY l.n`

// sealForeign seals those of the rows that nobody has sealed meanwhile.
func (s *sealer) sealForeign(ctx context.Context, d *db.DB, ids []uuid.UUID) (int64, error) {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	now := time.Now().UTC().Truncate(time.Microsecond)
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, stillUnsealed, ids)
	if err != nil {
		return 0, err
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(left) == 0 {
		return 0, err
	}
	seals, err := s.read(ctx, tx, left, originForeign, now)
	if err != nil {
		return 0, err
	}
	last, err := s.append(ctx, tx, h, seals)
	if err != nil {
		return 0, err
	}
	if _, err := tx.CommitAfter(ctx, last...); err != nil {
		return 0, err
	}
	return int64(len(left)), nil
}

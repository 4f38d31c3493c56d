package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Other software writes rows to the log without sealing them. They are never sealed in the transaction of a change,
// because their content must not affect its commit. `audit seal` seals all of them; after a change, SealOthers seals a
// few.
const (
	lookAt    = 100      // rows that SealOthers looks at, oldest first
	smallRow  = 16 << 10 // maximum stored bytes of a row that SealOthers seals
	smallLook = 256 << 10

	// A transaction of Seal is bounded by stored bytes. Compression reduces a row to a hundredth at best; a row that could
	// exceed largestRow is measured first.
	sealBytes  = 4 << 20
	mayBeLarge = largestRow / 128
	largestRow = 64 << 20
)

// Skipped is a row that could not be sealed, with the reason.
type Skipped struct {
	ID     uuid.UUID `json:"id"`
	Reason string    `json:"reason"`
}

// Sealed is the result of Seal.
type Sealed struct {
	Sealed  int64     `json:"sealed"`
	Skipped []Skipped `json:"-"`
}

// Waits are bounded; if another session holds the head, it seals.
const (
	limitLook = `SELECT set_config('lock_timeout', '100ms', true), set_config('statement_timeout', '1s', true)`
	isDue     = `SELECT EXISTS (SELECT FROM cxg_audit.head h WHERE h.looked_at < clock_timestamp() - interval '10 s')`
	readNow   = `SELECT clock_timestamp()`
)

// sealOthersTimeout is the timeout of SealOthers.
const sealOthersTimeout = 2 * time.Second

// SealOthers seals a few rows of other software in its own transaction. It does nothing if this ledger has not changed
// anything or if the last look was less than ten seconds ago. On an error these rows remain unsealed; the ledger's
// changes are committed in any case.
func (l *Ledger) SealOthers(ctx context.Context) (skipped []Skipped, err error) {
	if l.sealer == nil || !l.changed || ctx.Err() != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sealOthersTimeout)
	defer cancel()
	var due bool
	if err := l.db.QueryRow(ctx, isDue).Scan(&due); err != nil || !due {
		return nil, err
	}
	tx, err := l.db.BeginWrite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var a, b string
	if err := tx.QueryRow(ctx, limitLook).Scan(&a, &b); err != nil {
		return nil, err
	}
	skipped, err = l.sealer.sealSome(ctx, tx)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "55P03" { // lock_not_available: another session seals
		return nil, nil
	}
	return skipped, err
}

const sweep = `
SELECT l.created_at, {claims}, EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id), l.id, {stored}
  FROM audt.audit_logs l
 WHERE (l.created_at, l.id) > ($1, $2) AND l.created_at < $3::timestamptz - interval '1 minute'
 ORDER BY l.created_at, l.id LIMIT $4`

// expand fills the placeholders of a statement for this database's log.
func (s *sealer) expand(sql string) string {
	return strings.NewReplacer("{claims}", s.claimsOurs(), "{stored}", s.stored, "{fields}", selectList(s.fields)).Replace(sql)
}

// sealSome seals the next small unsealed rows of the log, advances the head's sweep position past the rows it looked
// at, and commits. Rows younger than a minute are left for later, because others of the same time may still be
// uncommitted. Rows that claim to be written by cxgctl are skipped: real ones were sealed on writing, and audit verify
// reports the rest.
func (s *sealer) sealSome(ctx context.Context, tx *db.Write) ([]Skipped, error) {
	var now time.Time
	if err := tx.QueryRow(ctx, readNow).Scan(&now); err != nil {
		return nil, err
	}
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	h.looked = now
	rows, err := tx.Query(ctx, s.expand(sweep), h.sweptAt, h.sweptID, now, lookAt)
	if err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	var at db.Time
	var claims, sealed bool
	var id uuid.UUID
	var size, total int
	_, err = pgx.ForEachRow(rows, []any{&at, &claims, &sealed, &id, &size}, func() error {
		if total > smallLook {
			return nil
		}
		h.sweptAt, h.sweptID = at.Instant, id
		if !claims && !sealed && size <= smallRow {
			ids = append(ids, id)
			total += size
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	seals, skipped, err := s.readForeign(ctx, tx, ids, now)
	if err != nil {
		return nil, err
	}
	last, err := s.append(ctx, tx, h, seals)
	if err == nil {
		_, err = tx.CommitAfter(ctx, last...)
	}
	return skipped, err
}

// readForeign builds the seals of other software's rows, without a place in the chain.
func (s *sealer) readForeign(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) ([]seal, []Skipped, error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	rows, err := tx.Query(ctx, s.byID, ids)
	if err != nil {
		return nil, nil, err
	}
	seals, _, skipped, err := s.prepare(rows, originForeign, now)
	return seals, skipped, err
}

// unsealedRows returns a query for rows without a seal. If strict, seals outside the chain do not count.
func (s *sealer) unsealedRows(columns string, strict bool) string {
	within := ""
	if strict {
		within = " AND s.seq BETWEEN 1 AND coalesce((SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1), s.seq)"
	}
	return "SELECT " + columns + " FROM audt.audit_logs l WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id" + within + ")"
}

// SealOlder makes the transaction seal the unsealed rows that claim to be written by cxgctl, and returns their number.
// Such rows predate seals. The migrations that create and bound the seals call this once and report the number in their
// audit row in the same transaction. Any later row of this kind is forged.
func (tx *Tx) SealOlder(ctx context.Context) (int, error) {
	s := tx.ledger.sealer
	if s == nil || !s.hasExtraData {
		return 0, nil
	}
	rows, err := tx.Query(ctx, s.unsealedRows("l.id", false)+" AND "+s.claimsOurs()+" ORDER BY l.created_at, l.id")
	if err != nil {
		return 0, err
	}
	tx.unsealed.older, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return len(tx.unsealed.older), err
}

// Seal seals the unsealed rows of other software in transactions of at most batch rows and a bounded number of bytes.
// It skips rows that it cannot read. A dry run only counts.
func Seal(ctx context.Context, d *db.DB, cat schema.Catalog, batch int, dryRun bool) (Sealed, error) {
	done := Sealed{Skipped: []Skipped{}}
	s := newSealer(cat)
	if s == nil {
		return done, NoSeals()
	}
	where := " AND NOT " + s.claimsOurs()
	if dryRun {
		err := d.QueryRow(ctx, s.unsealedRows("count(*)", false)+where).Scan(&done.Sealed)
		return done, err
	}
	rows, err := d.Query(ctx, s.unsealedRows("l.id, "+s.stored, false)+where+" ORDER BY l.created_at, l.id")
	if err != nil {
		return done, err
	}
	type row struct {
		ID     uuid.UUID
		Stored int
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return done, err
	}
	var ids []uuid.UUID
	total := 0
	flush := func() error {
		if len(ids) == 0 {
			return nil
		}
		n, skipped, err := s.sealForeign(ctx, d, ids)
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
				done.Skipped = append(done.Skipped, Skipped{r.ID, reason})
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

// NoSeals returns the error for a database without seals.
func NoSeals() *fault.Error {
	return fault.New(fault.Database, "the manager database has no seals: the schema cxg_audit is missing").
		WithHint("cxgctl migrate up --database manager creates it").With("table", schema.Seals)
}

const stillUnsealed = `
SELECT l.id FROM unnest($1::uuid[]) WITH ORDINALITY AS l (id, n)
 WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id) AND EXISTS (SELECT FROM audt.audit_logs a WHERE a.id = l.id)
 ORDER BY l.n`

// sealForeign seals the rows that still lack a seal. It reads them before locking the head, so that changes do not
// wait.
func (s *sealer) sealForeign(ctx context.Context, d *db.DB, ids []uuid.UUID) (int64, []Skipped, error) {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	now := tx.Now
	made, skipped, err := s.readForeign(ctx, tx, ids, now)
	if err != nil || len(made) == 0 {
		return 0, skipped, err
	}
	of := make(map[uuid.UUID]seal, len(made))
	for _, m := range made {
		of[m.auditID] = m
	}
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return 0, skipped, err
	}
	rows, err := tx.Query(ctx, stillUnsealed, ids)
	if err != nil {
		return 0, skipped, err
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return 0, skipped, err
	}
	var seals []seal
	for _, id := range left {
		if m, ok := of[id]; ok {
			seals = append(seals, m)
		}
	}
	if len(seals) == 0 {
		return 0, skipped, nil
	}
	last, err := s.append(ctx, tx, h, seals)
	if err != nil {
		return 0, skipped, err
	}
	_, err = tx.CommitAfter(ctx, last...)
	if err != nil {
		return 0, skipped, err
	}
	return int64(len(seals)), skipped, nil
}

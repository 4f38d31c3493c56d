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

// Other software writes rows into the log and does not seal them. They are never sealed in the transaction of a
// change: what is in them must not decide whether it commits. `audit seal` finds them all; after a change, SealOthers
// seals a few.
const (
	lookAt    = 100      // rows that SealOthers looks at, in the order of time
	smallRow  = 16 << 10 // bytes as stored of a row that SealOthers seals
	smallLook = 256 << 10

	// Stored bytes bound a transaction of Seal. A row is compressed to no less than a hundredth; one that may be
	// larger than largestRow is measured first.
	sealBytes  = 4 << 20
	mayBeLarge = largestRow / 128
	largestRow = 64 << 20
)

// Skipped is a row that cannot be sealed.
type Skipped struct {
	ID     uuid.UUID `json:"id"`
	Reason string    `json:"reason"`
}

// Sealed is what Seal did.
type Sealed struct {
	Sealed  int64     `json:"sealed"`
	Skipped []Skipped `json:"-"`
}

// The waits are bounded, and a head that others hold is left to them.
const (
	limitLook = `SELECT set_config('lock_timeout', '100ms', true), set_config('statement_timeout', '1s', true)`
	isDue     = `SELECT EXISTS (SELECT FROM cxg_audit.head h WHERE h.looked_at < clock_timestamp() - interval '10 s')`
	readNow   = `SELECT clock_timestamp()`
)

// sealOthersTimeout bounds SealOthers as a whole.
const sealOthersTimeout = 2 * time.Second

// SealOthers seals a few rows of other software, in a transaction of its own. It does nothing unless this ledger has
// changed something, and nothing within ten seconds of the last look. An error means that they are not sealed yet; the
// changes of the ledger are committed whatever it is.
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
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "55P03" { // lock_not_available: others seal
		return nil, nil
	}
	return skipped, err
}

const sweep = `
SELECT l.created_at, {claims}, EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id), l.id, {stored}
  FROM audt.audit_logs l
 WHERE (l.created_at, l.id) > ($1, $2) AND l.created_at < $3::timestamptz - interval '1 minute'
 ORDER BY l.created_at, l.id LIMIT $4`

// expand writes a statement for this database's log.
func (s *sealer) expand(sql string) string {
	return strings.NewReplacer("{claims}", s.claims(), "{stored}", s.stored, "{fields}", selectList(s.fields)).Replace(sql)
}

// sealSome seals the next small rows of the log that have no seal, moves the head's mark past those that it looked at,
// and commits. Younger rows than a minute wait: others of their time may still be uncommitted. Rows that say cxgctl wrote
// them are left alone: cxgctl's have their seal since they were written, and audit verify names others.
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

// readForeign makes the seals of other software's rows, all but the place in the chain.
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

// unsealedRows selects the rows without a seal; strict where seals outside the chain do not count for one.
func (s *sealer) unsealedRows(columns string, strict bool) string {
	within := ""
	if strict {
		within = " AND s.seq BETWEEN 1 AND coalesce((SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1), s.seq)"
	}
	return "SELECT " + columns + " FROM audt.audit_logs l WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id" + within + ")"
}

// SealOlder has the transaction seal the rows that say cxgctl wrote them and have no seal, and returns how many there
// are. They are from before there were seals: the migrations that make and bound the seals do this once, and the audit
// row of the migration, in the same transaction, says so. From then on such a row is wrong.
func (tx *Tx) SealOlder(ctx context.Context) (int, error) {
	s := tx.ledger.sealer
	if s == nil || !s.has {
		return 0, nil
	}
	rows, err := tx.Query(ctx, s.unsealedRows("l.id", false)+" AND "+s.claims()+" ORDER BY l.created_at, l.id")
	if err != nil {
		return 0, err
	}
	tx.unsealed.older, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return len(tx.unsealed.older), err
}

// Seal seals the rows of other software that have no seal, in transactions of at most batch rows and a bounded number of
// bytes. Rows that it cannot read are skipped. In a dry run it only counts.
func Seal(ctx context.Context, d *db.DB, cat schema.Catalog, batch int, dryRun bool) (Sealed, error) {
	done := Sealed{Skipped: []Skipped{}}
	s := newSealer(cat)
	if s == nil {
		return done, NoSeals()
	}
	where := " AND NOT " + s.claims()
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

// tooLarge says why a row is too large to be read, "" if it is not.
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

// NoSeals is the error of a database that has no seals.
func NoSeals() *fault.Error {
	return fault.New(fault.Database, "the manager database has no seals: the schema cxg_audit is missing").
		WithHint("cxgctl migrate up --database manager creates it").With("table", schema.Seals)
}

const stillUnsealed = `
SELECT l.id FROM unnest($1::uuid[]) WITH ORDINALITY AS l (id, n)
 WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id) AND EXISTS (SELECT FROM audt.audit_logs a WHERE a.id = l.id)
 ORDER BY l.n`

// sealForeign seals those of the rows that have no seal yet. The rows are read before the head is locked, so that no
// change waits for it.
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

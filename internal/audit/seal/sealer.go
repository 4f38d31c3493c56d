// Package seal seals the rows of the audit log in a hash chain, the schema cxg_audit, so that changed, deleted and
// inserted rows are detected. It works in the transactions of its callers and does not begin any that write.
package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Sealer seals rows of one database's audit log (reliability.md, "Tamper evidence"). A nil Sealer, of a database
// without seals, seals nothing.
type Sealer struct {
	fields       []sealedField
	byID         string // query for rows by id: the id, then the fields
	stored       string // expression for the stored size of a row in bytes
	hasExtraData bool   // the table has extra_data, which marks rows of cxgctl

	sweepDue atomic.Bool
}

// sweepInterval is how long rows of other software are not looked for again.
const sweepInterval = 10 * time.Second

// SweepDue reports whether the head, when it was last locked by Seal, called for a Sweep.
func (s *Sealer) SweepDue() bool { return s.sweepDue.Load() }

// New returns the Sealer of a database, nil if the database has no seals.
func New(cat schema.Catalog) *Sealer {
	t := cat[schema.AuditLogs]
	if t == nil || cat[schema.SealHead] == nil || cat[schema.Seals] == nil || !t.Has("id") || !t.Has("created_at") {
		return nil
	}
	s := &Sealer{fields: sealedFields(t), hasExtraData: t.Has("extra_data")}
	s.byID = "SELECT l.id, " + selectList(s.fields) + " FROM audt.audit_logs l WHERE l.id = ANY ($1)"
	sizes := make([]string, len(s.fields))
	for i, f := range s.fields {
		sizes[i] = "coalesce(pg_column_size(l." + pgx.Identifier{f.name}.Sanitize() + "), 0)"
	}
	s.stored = "(" + strings.Join(sizes, " + ") + ")"
	return s
}

// claimsOurs returns the predicate for rows that claim to be written by cxgctl.
func (s *Sealer) claimsOurs() string {
	if !s.hasExtraData {
		return "false"
	}
	return "coalesce(l.extra_data->>'tool' = 'cxgctl', false)"
}

// expand fills the placeholders of a statement for this database's log.
func (s *Sealer) expand(sql string) string {
	return strings.NewReplacer("{claims}", s.claimsOurs(), "{stored}", s.stored, "{fields}", selectList(s.fields)).Replace(sql)
}

// Link is a seal. Sealer.Seal appends it to the chain.
type Link struct {
	seq      int64
	AuditID  uuid.UUID // of the sealed row
	origin   string
	sealedAt time.Time
	canon    []byte // compressed
	leaf     [sha256.Size]byte
	chain    [sha256.Size]byte
}

// leafOf returns the hash of a canonical form.
func leafOf(canon []byte) [sha256.Size]byte {
	var sum [sha256.Size]byte
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(canon)
	h.Sum(sum[:0])
	return sum
}

// chainOf returns the chain hash for a leaf after prev.
func chainOf(prev, leaf []byte) [sha256.Size]byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = 2
	copy(b[1:], prev)
	copy(b[1+sha256.Size:], leaf)
	return sha256.Sum256(b[:])
}

// head is the end of the chain.
type head struct {
	seq       int64
	chain     []byte
	sweptAt   time.Time
	sweptID   uuid.UUID
	lastSweep time.Time
}

const (
	lockHead = `SELECT h.seq, h.chain, h.swept_at, h.swept_id, h.looked_at FROM cxg_audit.head h WHERE h.id = 1 FOR UPDATE`

	// Only the first seal ever creates the head, so that deleting the head is detected.
	beginHead = `
INSERT INTO cxg_audit.head (id, seq, chain, created_at, swept_at, swept_id, looked_at)
SELECT 1, 0, $1, $2, '-infinity', '00000000-0000-0000-0000-000000000000', '-infinity'
 WHERE NOT EXISTS (SELECT FROM cxg_audit.seal)
ON CONFLICT DO NOTHING`

	moveHead = `UPDATE cxg_audit.head SET seq = $1, chain = $2, swept_at = $3, swept_id = $4, looked_at = $5 WHERE id = 1`
)

// sealBatch is the maximum number of seals in memory.
const sealBatch = 5000

// Unsealed holds the ids of audit rows that a transaction has to seal.
type Unsealed struct {
	IDs   []uuid.UUID // rows that it has written
	Older []uuid.UUID // older rows, see Sealer.Older
}

// Seal seals rows as the log has stored them. It must come last in a transaction, because from then until the
// transaction ends, no other session can seal. A row that the log did not store is a DATABASE_ERROR.
func (s *Sealer) Seal(ctx context.Context, tx pgx.Tx, rows Unsealed, now time.Time) error {
	if s == nil {
		return nil
	}
	for batch := range slices.Chunk(rows.Older, sealBatch) {
		seals, _, err := s.readForeign(ctx, tx, batch, now)
		if err == nil {
			err = s.chain(ctx, tx, seals, now)
		}
		if err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(rows.IDs, sealBatch) {
		seals, h, err := s.readAndLock(ctx, tx, batch, now)
		if err == nil {
			s.sweepDue.Store(now.Sub(h.lastSweep) > sweepInterval)
			err = s.append(ctx, tx, h, seals)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chain locks the head and appends seals to the chain.
func (s *Sealer) chain(ctx context.Context, tx pgx.Tx, seals []Link, now time.Time) error {
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return err
	}
	return s.append(ctx, tx, h, seals)
}

// readAndLock reads rows of cxgctl back, builds their seals, and locks the head, all in one batch.
func (s *Sealer) readAndLock(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) ([]Link, head, error) {
	var prepared []Link
	var skipped []Skipped
	var h head
	locked := true
	batch := &pgx.Batch{}
	batch.Queue(db.SettleConstraints) // deferred triggers may change the rows
	batch.Queue(s.byID, ids).Query(func(rows pgx.Rows) (err error) {
		prepared, skipped, err = s.prepare(rows, originCLI, now)
		return err
	})
	batch.Queue(lockHead).QueryRow(func(row pgx.Row) (err error) {
		if h, err = scanHead(row); errors.Is(err, pgx.ErrNoRows) {
			locked, err = false, nil
		}
		return err
	})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, h, err
	}
	if len(skipped) > 0 {
		return nil, h, fmt.Errorf("audit row %s cannot be sealed: %s", skipped[0].ID, skipped[0].Reason)
	}
	if len(prepared) != len(ids) {
		return nil, h, RowsDropped(len(prepared), len(ids))
	}
	if !locked {
		var err error
		if h, err = s.lock(ctx, tx, now); err != nil {
			return nil, h, err
		}
	}
	index := make(map[uuid.UUID]int, len(ids))
	for i, id := range ids {
		index[id] = i
	}
	seals := make([]Link, len(ids))
	for _, m := range prepared {
		i, ok := index[m.AuditID]
		if !ok {
			return nil, h, fault.New(fault.Database, "the audit log returned a row that was not requested")
		}
		seals[i] = m
	}
	return seals, h, nil
}

// prepare builds the seals of rows read with s.byID. It skips rows without a canonical form.
func (s *Sealer) prepare(rows pgx.Rows, origin string, now time.Time) (seals []Link, skipped []Skipped, err error) {
	defer rows.Close()
	c := canonicalizer{fields: s.fields}
	p := compressors.Get().(*compressor)
	defer compressors.Put(p)
	var canon []byte
	for rows.Next() {
		values, formats := rows.RawValues(), rows.FieldDescriptions()
		id, err := uuid.ParseBytes(values[0])
		if err != nil {
			return nil, nil, err
		}
		form, failed := c.row(canon[:0], origin, now.UnixMicro(), values[1:], formats[1:])
		if failed != nil {
			skipped = append(skipped, Skipped{id, failed.Error()})
			continue
		}
		canon = form
		seals = append(seals, Link{
			AuditID:  id,
			origin:   origin,
			sealedAt: now,
			canon:    p.compress(nil, canon),
			leaf:     leafOf(canon),
		})
	}
	return seals, skipped, rows.Err()
}

// lock locks the head for the rest of the transaction, and creates it for the first seal.
func (s *Sealer) lock(ctx context.Context, tx pgx.Tx, now time.Time) (head, error) {
	h, err := scanHead(tx.QueryRow(ctx, lockHead))
	if !errors.Is(err, pgx.ErrNoRows) {
		return h, err
	}
	if _, err := tx.Exec(ctx, beginHead, make([]byte, sha256.Size), now); err != nil {
		return h, err
	}
	if h, err = scanHead(tx.QueryRow(ctx, lockHead)); errors.Is(err, pgx.ErrNoRows) {
		err = fault.New(fault.Database, "cxg_audit.head has no row, so nothing can be sealed").
			WithHint("no change goes unaudited; the row was deleted: run cxgctl audit verify, and restore it from a backup")
	}
	return h, err
}

func scanHead(row pgx.Row) (h head, err error) {
	var swept, looked db.Time
	err = row.Scan(&h.seq, &h.chain, &swept, &h.sweptID, &looked)
	h.sweptAt, h.lastSweep = swept.Instant, looked.Instant
	return h, err
}

const (
	insertSeal = `
INSERT INTO cxg_audit.seal (seq, audit_id, ver, origin, sealed_at, canon, leaf, chain)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	// The rows of the log that have a seal after $1 up to $2, and the end of the chain.
	countStored = `
SELECT (SELECT count(*)
          FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id
         WHERE s.seq > $1 AND s.seq <= $2),
       (SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1)`
)

// columns are the columns of a seal.
var columns = []string{"seq", "audit_id", "ver", "origin", "sealed_at", "canon", "leaf", "chain"}

// values returns a seal's columns.
func (s *Link) values() []any {
	id := pgtype.UUID{Bytes: s.AuditID, Valid: true}
	return []any{s.seq, id, int16(canonVersion), s.origin, s.sealedAt, s.canon, s.leaf[:], s.chain[:]}
}

// copySealsFrom is the number of seals from which COPY pays off.
const copySealsFrom = 200

// append appends the seals to the chain, moves the head, and checks that the database has stored both. h is the locked
// head.
func (s *Sealer) append(ctx context.Context, tx pgx.Tx, h head, seals []Link) error {
	from, prev := h.seq, h.chain
	for i := range seals {
		h.seq++
		seals[i].seq, seals[i].chain = h.seq, chainOf(prev, seals[i].leaf[:])
		prev = seals[i].chain[:]
	}
	batch := &pgx.Batch{}
	if len(seals) > copySealsFrom {
		source := pgx.CopyFromSlice(len(seals), func(i int) ([]any, error) { return seals[i].values(), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"cxg_audit", "seal"}, columns, source); err != nil {
			return err
		}
	} else {
		for i := range seals {
			batch.Queue(insertSeal, seals[i].values()...)
		}
	}
	var stored int64
	var end *int64
	batch.Queue(moveHead, h.seq, prev, h.sweptAt, h.sweptID, h.lastSweep)
	batch.Queue(db.SettleConstraints)
	batch.Queue(countStored, from, h.seq).QueryRow(func(row pgx.Row) error { return row.Scan(&stored, &end) })
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if stored != h.seq-from || end == nil || *end != h.seq {
		return notStored(ctx, tx)
	}
	return nil
}

// notStored returns the error of a transaction whose audit rows, seals or head the database did not store as sent.
func notStored(ctx context.Context, tx pgx.Tx) error {
	for _, table := range []string{schema.AuditLogs, schema.Seals, schema.SealHead} {
		f := fault.From(db.NotStored(ctx, tx, table, db.Insert, "kept the change's audit row or its seal from being stored"))
		if causes, _ := f.Detail["causes"].([]string); len(causes) > 0 {
			return f
		}
	}
	return fault.New(fault.Database, "the database did not store the change's audit row or its seal").
		WithHint("nothing was changed; no change goes unaudited")
}

// RowsDropped returns the error of a log that stores fewer rows than it was sent.
func RowsDropped(stored, of int) *fault.Error {
	return fault.New(fault.Database, "the audit log stored %d of %s", stored, fault.Plural(of, "row")).
		WithHint("no change goes unaudited; look for a trigger or rule on audt.audit_logs that discards rows")
}

// NoSeals returns the error for a database without seals.
func NoSeals() *fault.Error {
	return fault.New(fault.Database, "the manager database has no seals: the schema cxg_audit is missing").
		WithHint("cxgctl migrate up --database manager creates it").With("table", schema.Seals)
}

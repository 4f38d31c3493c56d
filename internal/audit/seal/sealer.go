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
	"github.com/jackc/pgx/v5/pgconn"
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

	sweepDue atomic.Bool // see SweepDue
}

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
	swept     position // of the last row that a sweep has seen
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

// Sealing seals the audit rows of one transaction.
type Sealing struct {
	sealer *Sealer // nil for a database without seals
	rows   Unsealed
	now    time.Time
	first  *reading // of the first rows; nil if it is not queued
	peek   *sweeping
}

// Begin queues statements that read rows of cxgctl as the log has stored them, and lock the head of the chain. They must
// come last in a transaction, because until it ends, no other session can seal.
func (s *Sealer) Begin(batch *pgx.Batch, rows Unsealed, now time.Time) *Sealing {
	b := &Sealing{sealer: s, rows: rows, now: now}
	if s != nil && len(rows.Older) == 0 && len(rows.IDs) > 0 {
		b.peek = s.queueSweep(batch, now)
		b.first = s.queueRead(batch, rows.IDs[:min(sealBatch, len(rows.IDs))], now)
	}
	return b
}

// Finish returns the last statements that append the seals to the chain, after which the transaction can be committed.
// It runs those before. A row that the log did not store is a DATABASE_ERROR.
func (b *Sealing) Finish(ctx context.Context, tx pgx.Tx) (last *pgx.Batch, err error) {
	s, last := b.sealer, &pgx.Batch{}
	if s == nil {
		return last, nil
	}
	for ids := range slices.Chunk(b.rows.Older, sealBatch) {
		seals, _, err := s.readForeign(ctx, tx, ids, b.now)
		if err == nil {
			err = s.chain(ctx, tx, seals, b.now)
		}
		if err != nil {
			return nil, err
		}
	}
	for ids := range slices.Chunk(b.rows.IDs, sealBatch) {
		r := b.first
		if b.first = nil; r == nil {
			r = s.queueRead(last, ids, b.now)
			if err := tx.SendBatch(ctx, last).Close(); err != nil {
				return nil, err
			}
		}
		seals, h, err := r.result(ctx, tx, ids, b.now)
		if err != nil {
			return nil, err
		}
		b.peek.apply(&h, b.now)
		b.peek = nil
		if last, err = s.append(ctx, tx, h, seals); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// chain locks the head and appends seals to the chain.
func (s *Sealer) chain(ctx context.Context, tx pgx.Tx, seals []Link, now time.Time) error {
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return err
	}
	last, err := s.append(ctx, tx, h, seals)
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, last).Close()
}

// reading is the result of queueRead.
type reading struct {
	sealer  *Sealer
	links   []Link
	skipped []Skipped
	head    head
	headed  bool // the head exists
}

// queueRead queues statements that read rows of cxgctl back, build their seals, and lock the head.
func (s *Sealer) queueRead(batch *pgx.Batch, ids []uuid.UUID, now time.Time) *reading {
	r := &reading{sealer: s, headed: true}
	batch.Queue(db.SettleConstraints) // deferred triggers may change the rows
	batch.Queue(s.byID, ids).Query(func(rows pgx.Rows) (err error) {
		r.links, r.skipped, err = s.prepare(rows, originCLI, now)
		return err
	})
	batch.Queue(lockHead).QueryRow(func(row pgx.Row) (err error) {
		if r.head, err = scanHead(row); errors.Is(err, pgx.ErrNoRows) {
			r.headed, err = false, nil
		}
		return err
	})
	return r
}

// result returns the seals in the order of the ids, and the locked head.
func (r *reading) result(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) ([]Link, head, error) {
	if len(r.skipped) > 0 {
		return nil, head{}, fmt.Errorf("audit row %s cannot be sealed: %s", r.skipped[0].ID, r.skipped[0].Reason)
	}
	if len(r.links) != len(ids) {
		return nil, head{}, RowsDropped(len(r.links), len(ids))
	}
	if !r.headed {
		var err error
		if r.head, err = r.sealer.lock(ctx, tx, now); err != nil {
			return nil, head{}, err
		}
	}
	index := make(map[uuid.UUID]int, len(ids))
	for i, id := range ids {
		index[id] = i
	}
	seals := make([]Link, len(ids))
	for _, m := range r.links {
		i, ok := index[m.AuditID]
		if !ok {
			return nil, head{}, fault.New(fault.Database, "the audit log returned a row that was not requested")
		}
		seals[i] = m
	}
	return seals, r.head, nil
}

// prepare builds the seals of rows read with s.byID. It skips rows without a canonical form.
func (s *Sealer) prepare(rows pgx.Rows, origin string, now time.Time) (seals []Link, skipped []Skipped, err error) {
	defer rows.Close()
	var canon []byte
	for rows.Next() {
		values, formats := rows.RawValues(), rows.FieldDescriptions()
		id, err := uuid.ParseBytes(values[0])
		if err != nil {
			return nil, nil, err
		}
		form, failed := s.appendRow(canon[:0], origin, now.UnixMicro(), values[1:], formats[1:])
		if failed != nil {
			skipped = append(skipped, Skipped{id, failed.Error()})
			continue
		}
		canon = form
		seals = append(seals, Link{
			AuditID:  id,
			origin:   origin,
			sealedAt: now,
			canon:    encoder().EncodeAll(canon, nil),
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
	err = row.Scan(&h.seq, &h.chain, &swept, &h.swept.id, &looked)
	h.swept.at, h.lastSweep = swept.Instant, looked.Instant
	return h, err
}

const (
	insertSeals = `
INSERT INTO cxg_audit.seal (seq, audit_id, ver, origin, sealed_at, canon, leaf, chain)
SELECT r.seq, r.audit_id, @ver, r.origin, r.sealed_at, r.canon, r.leaf, r.chain
  FROM json_to_recordset(@seals::json)
       AS r (seq bigint, audit_id uuid, origin text, sealed_at timestamptz, canon bytea, leaf bytea, chain bytea)`

	// An error unless the log has as many rows with a seal after $1 up to $2, and the head is at $2. A condition that the
	// server checks can be sent together with COMMIT.
	checkStored = `
SELECT CASE WHEN x.stored = $2::bigint - $1::bigint AND x.head = $2 THEN 0 ELSE ('` + tooFewStored + `' || x.stored)::integer END
  FROM (SELECT (SELECT count(*)
                  FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id
                 WHERE s.seq > $1 AND s.seq <= $2) AS stored,
               (SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1) AS head) x`
	tooFewStored = "cxgctl: too few seals are stored: "
)

var columns = []string{"seq", "audit_id", "ver", "origin", "sealed_at", "canon", "leaf", "chain"}

// values returns a seal's columns.
func (s *Link) values() []any {
	id := pgtype.UUID{Bytes: s.AuditID, Valid: true}
	return []any{s.seq, id, int16(canonVersion), s.origin, s.sealedAt, s.canon, s.leaf[:], s.chain[:]}
}

// append returns the statements that append the seals to the chain, move the head, and check that the database has
// stored both. h is the locked head.
func (s *Sealer) append(ctx context.Context, tx pgx.Tx, h head, seals []Link) (*pgx.Batch, error) {
	from, prev := h.seq, h.chain
	for i := range seals {
		h.seq++
		seals[i].seq, seals[i].chain = h.seq, chainOf(prev, seals[i].leaf[:])
		prev = seals[i].chain[:]
	}
	batch := &pgx.Batch{}
	switch n := len(seals); {
	case n > schema.InsertMost:
		source := pgx.CopyFromSlice(n, func(i int) ([]any, error) { return seals[i].values(), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"cxg_audit", "seal"}, columns, source); err != nil {
			return nil, err
		}
	case n > 0:
		batch.Queue(insertSeals, argsOf(seals))
	}
	batch.Queue(moveHead, h.seq, prev, h.swept.at, h.swept.id, h.lastSweep)
	batch.Queue(db.SettleConstraints)
	batch.Queue(checkStored, from, h.seq)
	return batch, nil
}

// argsOf returns the arguments of insertSeals.
func argsOf(seals []Link) pgx.NamedArgs {
	doc := []byte{'['}
	for i := range seals {
		s := &seals[i]
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = fmt.Appendf(doc, `{"seq":%d,"audit_id":"%s","origin":"%s","sealed_at":"%s","canon":"\\x%x","leaf":"\\x%x","chain":"\\x%x"}`,
			s.seq, s.AuditID, s.origin, s.sealedAt.Format(time.RFC3339Nano), s.canon, s.leaf, s.chain)
	}
	return pgx.NamedArgs{"ver": int16(canonVersion), "seals": string(append(doc, ']'))}
}

// Explain returns what kept the database from storing audit rows, seals or the head as sent, if that is what err says,
// otherwise nil. The transaction has been rolled back.
func Explain(ctx context.Context, r db.Reader, err error) error {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.Contains(pe.Message, tooFewStored) {
		return nil
	}
	for _, table := range []string{schema.AuditLogs, schema.Seals, schema.SealHead} {
		f := fault.From(db.NotStored(ctx, r, table, db.Insert, "kept the change's audit row or its seal from being stored"))
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

package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// sealer seals rows of the audit log: it adds to a chain of hashes, kept in the schema cxg_audit, so that
// nobody changes, deletes or inserts one unnoticed (reliability.md, "Tamper evidence").
type sealer struct {
	fields []sealedField
	read   string // reads rows by id
	sweep  string // reads rows after a place in the order of time
	has    bool   // the table has extra_data, which says what cxgctl wrote
}

// newSealer returns nil where the database has no seals.
func newSealer(cat schema.Catalog) *sealer {
	t := cat[schema.AuditLogs]
	if t == nil || cat[schema.SealHead] == nil || cat[schema.Seals] == nil || !t.Has("id") || !t.Has("created_at") {
		return nil
	}
	s := &sealer{fields: sealedFields(t), has: t.Has("extra_data")}
	s.read = "SELECT l.id, " + selectList(s.fields) + " FROM audt.audit_logs l WHERE l.id = ANY ($1)"
	s.sweep = "SELECT l.created_at, " + s.claims() + ", EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id), l.id" +
		" FROM audt.audit_logs l WHERE (l.created_at, l.id) > ($1, $2) AND l.created_at < $3 ORDER BY l.created_at, l.id LIMIT $4"
	return s
}

// claims is the predicate of rows that say cxgctl wrote them.
func (s *sealer) claims() string {
	if !s.has {
		return "false"
	}
	return "coalesce(l.extra_data->>'tool' = 'cxgctl', false)"
}

// seal is one link of the chain.
type seal struct {
	seq      int64
	auditID  uuid.UUID
	origin   string
	sealedAt time.Time
	canon    []byte // as it is stored
	leaf     [sha256.Size]byte
	chain    [sha256.Size]byte
}

// leafOf hashes a canonical form.
func leafOf(canon []byte) [sha256.Size]byte {
	var sum [sha256.Size]byte
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(canon)
	h.Sum(sum[:0])
	return sum
}

// link hashes a leaf onto the chain.
func link(prev, leaf []byte) [sha256.Size]byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = 2
	copy(b[1:], prev)
	copy(b[1+sha256.Size:], leaf)
	return sha256.Sum256(b[:])
}

// head is where the chain ends.
type head struct {
	seq     int64
	chain   []byte
	sweptAt time.Time
	sweptID uuid.UUID
	looked  time.Time
}

const (
	lockHead = `SELECT h.seq, h.chain, h.swept_at, h.swept_id, h.looked_at FROM cxg_audit.head h WHERE h.id = 1 FOR UPDATE`

	// the first seal of all makes the head; it is made anew nowhere else, so that one who deletes it is found out
	beginHead = `
INSERT INTO cxg_audit.head (id, seq, chain, created_at, swept_at, swept_id, looked_at)
SELECT 1, 0, $1, $2, '-infinity', '00000000-0000-0000-0000-000000000000', '-infinity'
 WHERE NOT EXISTS (SELECT FROM cxg_audit.seal)
ON CONFLICT DO NOTHING`

	moveHead = `UPDATE cxg_audit.head SET seq = $1, chain = $2, swept_at = $3, swept_id = $4, looked_at = $5 WHERE id = 1`

	insertSeals = `
INSERT INTO cxg_audit.seal (seq, audit_id, ver, origin, sealed_at, canon, leaf, chain)
SELECT seq, audit_id, 1, origin, sealed_at, canon, leaf, chain
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::timestamptz[], $5::bytea[], $6::bytea[], $7::bytea[])
       AS s (seq, audit_id, origin, sealed_at, canon, leaf, chain)`
)

// atOnce is how many seals are held in memory.
const atOnce = 5000

// seal seals the rows of these ids, which this transaction has written, and a few of other software's. It is
// the last thing that a transaction does before it commits: from here on nobody else can seal.
func (s *sealer) seal(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) error {
	if s == nil {
		return nil
	}
	for some := range slices.Chunk(ids, atOnce) {
		if err := s.sealSome(ctx, tx, some, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *sealer) sealSome(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) error {
	seals, err := s.prepare(ctx, tx, ids, originCLI, now)
	if err != nil {
		return err
	}
	return s.chain(ctx, tx, seals, now)
}

// chain gives seals, and a few of other software's, their places in the chain.
func (s *sealer) chain(ctx context.Context, tx pgx.Tx, seals []seal, now time.Time) error {
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return err
	}
	if now.Sub(h.looked) > lookEvery {
		found, err := s.backlog(ctx, tx, &h, now)
		if err != nil {
			return err
		}
		seals = append(seals, found...)
	}
	return s.append(ctx, tx, h, seals)
}

// prepare reads rows back as the table holds them and makes their seals, all but the place in the chain.
func (s *sealer) prepare(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, origin string, now time.Time) ([]seal, error) {
	seals := make([]seal, len(ids))
	places := make(map[uuid.UUID]int, len(ids))
	for i, id := range ids {
		places[id] = i
	}
	rows, err := tx.Query(ctx, s.read, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	c := canonizer{fields: s.fields}
	p := packers.Get().(*packer)
	defer packers.Put(p)
	var canon []byte
	n := 0
	for rows.Next() {
		values := rows.RawValues()
		id := uuid.UUID(values[0])
		canon, err = c.row(canon[:0], origin, now.UnixMicro(), values[1:], rows.FieldDescriptions()[1:])
		if err != nil {
			return nil, err
		}
		i, ok := places[id]
		if !ok {
			return nil, fault.New(fault.Database, "the audit log returned a row that was not asked for")
		}
		seals[i] = seal{auditID: id, origin: origin, sealedAt: now, canon: p.pack(nil, canon), leaf: leafOf(canon)}
		n++
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if n != len(ids) {
		return nil, discarded(n, len(ids))
	}
	return seals, nil
}

// lock takes the head for the rest of the transaction.
func (s *sealer) lock(ctx context.Context, tx pgx.Tx, now time.Time) (head, error) {
	h, err := scanHead(tx.QueryRow(ctx, lockHead))
	if !errors.Is(err, pgx.ErrNoRows) {
		return h, err
	}
	if _, err := tx.Exec(ctx, beginHead, make([]byte, sha256.Size), now); err != nil {
		return h, err
	}
	h, err = scanHead(tx.QueryRow(ctx, lockHead))
	if errors.Is(err, pgx.ErrNoRows) {
		return h, fault.New(fault.Database, "cxg_audit.head has no row, so nothing can be sealed").
			WithHint("no change goes unaudited; somebody deleted it: see cxgctl audit verify, and restore it from a backup")
	}
	return h, err
}

func scanHead(row pgx.Row) (head, error) {
	var h head
	var swept, looked db.Time
	err := row.Scan(&h.seq, &h.chain, &swept, &h.sweptID, &looked)
	h.sweptAt, h.looked = swept.Instant, looked.Instant
	return h, err
}

// append gives the seals their places at the chain's end.
func (s *sealer) append(ctx context.Context, tx pgx.Tx, h head, seals []seal) error {
	prev := h.chain
	for i := range seals {
		h.seq++
		seals[i].seq, seals[i].chain = h.seq, link(prev, seals[i].leaf[:])
		prev = seals[i].chain[:]
	}
	if len(seals) > copySealsFrom {
		if err := copySeals(ctx, tx, seals); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, moveHead, h.seq, prev, h.sweptAt, h.sweptID, h.looked)
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(insertSeals, columnsOf(seals)...)
	batch.Queue(moveHead, h.seq, prev, h.sweptAt, h.sweptID, h.looked)
	return tx.SendBatch(ctx, batch).Close()
}

// copySealsFrom is the number of seals from which on COPY pays.
const copySealsFrom = 200

// sealSize is what COPY takes for a seal at most, beside the canonical form.
const sealSize = 192

func copySeals(ctx context.Context, tx pgx.Tx, seals []seal) error {
	size := 0
	for i := range seals {
		size += sealSize + len(seals[i].canon)
	}
	rows := append(make([]byte, 0, size), copyHeader()...)
	for i := range seals {
		s := &seals[i]
		var seq, at [8]byte
		binary.BigEndian.PutUint64(seq[:], uint64(s.seq))
		rows = appendCopyRow(rows, seq[:], s.auditID[:], []byte{0, canonVersion}, []byte(s.origin), appendTime(at[:0], s.sealedAt),
			s.canon, s.leaf[:], s.chain[:])
	}
	_, err := copyBinary(ctx, tx, schema.Seals, []string{"seq", "audit_id", "ver", "origin", "sealed_at", "canon", "leaf", "chain"},
		bytes.NewReader(append(rows, copyTrailer()...)))
	return err
}

// columnsOf turns seals into an array per column.
func columnsOf(seals []seal) []any {
	n := len(seals)
	seqs, ids, origins, times := make([]int64, n), make([]uuid.UUID, n), make([]string, n), make([]time.Time, n)
	canons, leaves, chains := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i := range seals {
		s := &seals[i]
		seqs[i], ids[i], origins[i], times[i] = s.seq, s.auditID, s.origin, s.sealedAt
		canons[i], leaves[i], chains[i] = s.canon, s.leaf[:], s.chain[:]
	}
	return []any{seqs, ids, origins, times, canons, leaves, chains}
}

package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// sealer seals rows of the audit log: it adds to a chain of hashes, kept in the schema cxg_audit, so that
// nobody changes, deletes or inserts one unnoticed (reliability.md, "Tamper evidence").
type sealer struct {
	fields []sealedField
	byID   string // reads rows, their ids and then their fields
	stored string // the expression of how many bytes a row takes as it is stored
	has    bool   // the table has extra_data, which says what cxgctl wrote

	// returning is what an INSERT into the log, under the alias l, returns for its seal: the row, and whether a trigger
	// may change it yet. Nobody can add a trigger until the transaction has ended.
	returning string
}

// newSealer returns nil where the database has no seals.
func newSealer(cat schema.Catalog) *sealer {
	t := cat[schema.AuditLogs]
	if t == nil || cat[schema.SealHead] == nil || cat[schema.Seals] == nil || !t.Has("id") || !t.Has("created_at") {
		return nil
	}
	s := &sealer{fields: sealedFields(t), has: t.Has("extra_data")}
	list := "l.id, " + selectList(s.fields)
	s.byID = "SELECT " + list + " FROM audt.audit_logs l WHERE l.id = ANY ($1)"
	s.returning = " RETURNING " + list + ", EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'audt.audit_logs'::regclass AND NOT t.tgisinternal)"
	sizes := make([]string, len(s.fields))
	for i, f := range s.fields {
		sizes[i] = "coalesce(pg_column_size(l." + pgx.Identifier{f.name}.Sanitize() + "), 0)"
	}
	s.stored = "(" + strings.Join(sizes, " + ") + ")"
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
)

// atOnce is how many seals are held in memory.
const atOnce = 5000

// unsealed are audit rows that a transaction has written and not sealed yet.
type unsealed struct {
	ids   []uuid.UUID // to be read back
	older []uuid.UUID // of rows that were there before, see SealOlder
	seals []seal      // of rows as their INSERT returned them, all but the place in the chain
}

// add counts more rows among those to be sealed.
func (u *unsealed) add(more unsealed) {
	u.ids, u.seals = append(u.ids, more.ids...), append(u.seals, more.seals...)
}

// readBack has rows read back before they are sealed.
func (u *unsealed) readBack(entries []Entry) {
	for _, e := range entries {
		u.ids = append(u.ids, e.ID)
	}
}

// unsealable is the error of a change whose audit row could not be sealed.
func errNotSealed(err error) error {
	f := fault.From(db.Translate(err))
	if strings.HasPrefix(db.UniqueViolation(err), "seal_") { // only the holder of the head adds seals, each with the next number
		f = fault.New(fault.Database, "cxg_audit.seal holds a seal that is not part of the chain").
			WithHint("nothing was changed; cxgctl audit verify names it, and the owner of the table can delete it").Because(err)
	}
	return f.With("audit", "the change was rolled back, since its audit row could not be sealed")
}

// seal seals rows that this transaction has written. It is the last thing that a transaction does: from here on no other session can seal, and so the statements that are left to do are returned, to be
// sent together with COMMIT.
func (s *sealer) seal(ctx context.Context, tx *db.Write, rows unsealed, now time.Time) (last []db.Statement, err error) {
	if s == nil {
		return nil, nil
	}
	for some := range slices.Chunk(rows.older, atOnce) {
		if err := tx.Do(ctx, last...); err != nil {
			return nil, err
		}
		seals, _, err := s.readForeign(ctx, tx, some, now)
		if err != nil {
			return nil, err
		}
		if last, err = s.chain(ctx, tx, seals, now); err != nil {
			return nil, err
		}
	}
	for some := range slices.Chunk(rows.ids, atOnce) {
		if err := tx.Do(ctx, last...); err != nil {
			return nil, err
		}
		seals, err := s.read(ctx, tx, some, originCLI, now)
		if err != nil {
			return nil, err
		}
		if last, err = s.chain(ctx, tx, seals, now); err != nil {
			return nil, err
		}
	}
	if len(rows.seals) == 0 {
		return last, nil
	}
	if err := tx.Do(ctx, last...); err != nil {
		return nil, err
	}
	return s.chain(ctx, tx, rows.seals, now)
}

// chain gives seals their places in the chain, and returns the statements that are left to do.
func (s *sealer) chain(ctx context.Context, tx *db.Write, seals []seal, now time.Time) ([]db.Statement, error) {
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	return s.append(ctx, tx, h, seals)
}

// read reads rows back as the table holds them and makes their seals, all but the place in the chain.
func (s *sealer) read(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, origin string, now time.Time) ([]seal, error) {
	rows, err := tx.Query(ctx, s.byID, ids)
	if err != nil {
		return nil, err
	}
	made, _, skipped, err := s.prepare(rows, origin, now)
	if err != nil {
		return nil, err
	}
	if len(skipped) > 0 {
		return nil, fmt.Errorf("audit row %s cannot be sealed: %s", skipped[0].ID, skipped[0].Reason)
	}
	if len(made) != len(ids) {
		return nil, errRowsDropped(len(made), len(ids))
	}
	places := make(map[uuid.UUID]int, len(ids))
	for i, id := range ids {
		places[id] = i
	}
	seals := make([]seal, len(ids))
	for _, m := range made {
		i, ok := places[m.auditID]
		if !ok {
			return nil, fault.New(fault.Database, "the audit log returned a row that was not asked for")
		}
		seals[i] = m
	}
	return seals, nil
}

// prepare makes the seals of rows as s.byID reads them, all but the place in the chain. Rows that have no canonical form
// are skipped. open says of those that an INSERT returned that a trigger may change them yet.
func (s *sealer) prepare(rows pgx.Rows, origin string, now time.Time) (seals []seal, open bool, skipped []Skipped, err error) {
	defer rows.Close()
	c := canonizer{fields: s.fields}
	p := packers.Get().(*packer)
	defer packers.Put(p)
	n := 1 + len(s.fields)
	var canon []byte
	for rows.Next() {
		values, formats := rows.RawValues(), rows.FieldDescriptions()
		form, failed := c.row(canon[:0], origin, now.UnixMicro(), values[1:n], formats[1:n])
		if failed != nil {
			skipped = append(skipped, Skipped{uuid.UUID(values[0]), failed.Error()})
			continue
		}
		canon = form
		seals = append(seals, seal{auditID: uuid.UUID(values[0]), origin: origin, sealedAt: now, canon: p.pack(nil, canon), leaf: leafOf(canon)})
		open = open || len(values) > n && (values[n][0] == 1 || values[n][0] == 't') // in binary or as text
	}
	return seals, open, skipped, rows.Err()
}

// lock takes the head for the rest of the transaction.
func (s *sealer) lock(ctx context.Context, tx *db.Write, now time.Time) (h head, err error) {
	found := false
	look := db.Statement{Name: "cxg_lock_head", SQL: lockHead, Read: func(rows pgx.Rows) error {
		var swept, looked db.Time
		_, err := pgx.ForEachRow(rows, []any{&h.seq, &h.chain, &swept, &h.sweptID, &looked}, func() error {
			h.sweptAt, h.looked, found = swept.Instant, looked.Instant, true
			return nil
		})
		return err
	}}
	if err := tx.Do(ctx, look); err != nil || found {
		return h, err
	}
	if _, err := tx.Exec(ctx, beginHead, make([]byte, sha256.Size), now); err != nil {
		return h, err
	}
	if err := tx.Do(ctx, look); err != nil || found {
		return h, err
	}
	return h, fault.New(fault.Database, "cxg_audit.head has no row, so nothing can be sealed").
		WithHint("no change goes unaudited; somebody deleted it: see cxgctl audit verify, and restore it from a backup")
}

// append gives the seals their places at the chain's end, and returns the statements that put them there.
func (s *sealer) append(ctx context.Context, tx pgx.Tx, h head, seals []seal) ([]db.Statement, error) {
	prev := h.chain
	for i := range seals {
		h.seq++
		seals[i].seq, seals[i].chain = h.seq, link(prev, seals[i].leaf[:])
		prev = seals[i].chain[:]
	}
	move := db.Statement{
		Name:  "cxg_move_head",
		SQL:   moveHead,
		Args:  [][]byte{binary.BigEndian.AppendUint64(nil, uint64(h.seq)), prev, appendTime(nil, h.sweptAt), h.sweptID[:], appendTime(nil, h.looked)},
		Types: []uint32{pgtype.Int8OID, pgtype.ByteaOID, pgtype.TimestamptzOID, pgtype.UUIDOID, pgtype.TimestamptzOID},
	}
	if len(seals) == 0 {
		return []db.Statement{move}, nil
	}
	kept := db.Statement{
		Name:  "cxg_kept",
		SQL:   keptRows,
		Args:  [][]byte{binary.BigEndian.AppendUint64(nil, uint64(h.seq)-uint64(len(seals))), binary.BigEndian.AppendUint64(nil, uint64(h.seq))},
		Types: []uint32{pgtype.Int8OID, pgtype.Int8OID},
	}
	last := []db.Statement{move, {SQL: settleConstraints}, kept}
	if len(seals) > copySealsFrom {
		return last, copySeals(ctx, tx, seals)
	}
	return slices.Insert(last, 0, insertSeals(seals)), nil
}

// keptRows fails, by a division by zero, unless the log has a row for each of the seals after $1 and up to $2, and the
// head is at $2. It is sent with COMMIT, which then does not take place.
const keptRows = `
SELECT 1 / (CASE WHEN (SELECT count(*)
                         FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id
                        WHERE s.seq > $1 AND s.seq <= $2) = $2 - $1
                  AND (SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1) = $2 THEN 1 ELSE 0 END)`

// The columns of a seal, and their types.
var (
	sealColumns = []string{"seq", "audit_id", "ver", "origin", "sealed_at", "canon", "leaf", "chain"}
	sealTypes   = []uint32{
		pgtype.Int8OID, pgtype.UUIDOID, pgtype.Int2OID, pgtype.VarcharOID, pgtype.TimestamptzOID, pgtype.ByteaOID, pgtype.ByteaOID, pgtype.ByteaOID,
	}
)

// values are a seal's columns as the server takes them in binary.
func (s *seal) values() [][]byte {
	return [][]byte{
		binary.BigEndian.AppendUint64(nil, uint64(s.seq)), s.auditID[:],
		{0, canonVersion},
		[]byte(s.origin), appendTime(nil, s.sealedAt),
		s.canon, s.leaf[:], s.chain[:],
	}
}

// insertSeals is the statement for a few seals.
func insertSeals(seals []seal) db.Statement {
	var st db.Statement
	if len(seals) == 1 { // as of most changes
		st.Name = "cxg_seal"
	}
	rows := make([]string, len(seals))
	for i := range seals {
		places := make([]string, len(sealColumns))
		for j := range places {
			places[j] = fmt.Sprintf("$%d", len(st.Args)+j+1)
		}
		rows[i] = "(" + strings.Join(places, ", ") + ")"
		st.Args, st.Types = append(st.Args, seals[i].values()...), append(st.Types, sealTypes...)
	}
	st.SQL = "INSERT INTO cxg_audit.seal (" + strings.Join(sealColumns, ", ") + ") VALUES " + strings.Join(rows, ", ")
	return st
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
		rows = appendCopyRow(rows, seals[i].values()...)
	}
	_, err := copyBinary(ctx, tx, schema.Seals, sealColumns, bytes.NewReader(append(rows, copyTrailer()...)))
	return err
}

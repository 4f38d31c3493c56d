// Package seal seals the rows of the audit log in a hash chain, the schema cxg_audit, so that changed, deleted and
// inserted rows are detected. It works in the transactions of its callers and does not begin any that write.
package seal

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

// Sealer seals rows of one database's audit log (reliability.md, "Tamper evidence"). A nil Sealer, of a database
// without seals, seals nothing.
type Sealer struct {
	fields       []sealedField
	byID         string // query for rows by id: the id, then the fields
	stored       string // expression for the stored size of a row in bytes
	hasExtraData bool   // the table has extra_data, which marks rows of cxgctl

	// Returning is the RETURNING clause for an INSERT into the log AS l: the row, and whether the table has triggers that
	// may still change it. The INSERT locks the table, so that no trigger can be added until the transaction ends.
	Returning string
}

// New returns the Sealer of a database, nil if the database has no seals.
func New(cat schema.Catalog) *Sealer {
	t := cat[schema.AuditLogs]
	if t == nil || cat[schema.SealHead] == nil || cat[schema.Seals] == nil || !t.Has("id") || !t.Has("created_at") {
		return nil
	}
	s := &Sealer{fields: sealedFields(t), hasExtraData: t.Has("extra_data")}
	list := "l.id, " + selectList(s.fields)
	s.byID = "SELECT " + list + " FROM audt.audit_logs l WHERE l.id = ANY ($1)"
	s.Returning = " RETURNING " + list +
		", EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'audt.audit_logs'::regclass AND NOT t.tgisinternal)"
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

// Unsealed holds audit rows that a transaction has written but not sealed.
type Unsealed struct {
	IDs   []uuid.UUID // rows to read back
	Older []uuid.UUID // older rows, see Sealer.Older
	Seals []Link      // built from the rows that INSERT returned
}

// Add appends more rows to seal, apart from older ones.
func (u *Unsealed) Add(more Unsealed) {
	u.IDs, u.Seals = append(u.IDs, more.IDs...), append(u.Seals, more.Seals...)
}

// Seal seals rows that this transaction has written. It must come last in a transaction, because it blocks all other
// sessions from sealing. For the same reason, it returns the last statements instead of running them; send them
// together with COMMIT. A row that the log did not store is a DATABASE_ERROR.
func (s *Sealer) Seal(ctx context.Context, tx *db.Write, rows Unsealed, now time.Time) (last []db.Statement, err error) {
	if s == nil {
		return nil, nil
	}
	for batch := range slices.Chunk(rows.Older, sealBatch) {
		if err := tx.Do(ctx, last...); err != nil {
			return nil, err
		}
		seals, _, err := s.readForeign(ctx, tx, batch, now)
		if err != nil {
			return nil, err
		}
		if last, err = s.chain(ctx, tx, seals, now); err != nil {
			return nil, err
		}
	}
	for batch := range slices.Chunk(rows.IDs, sealBatch) {
		if err := tx.Do(ctx, last...); err != nil {
			return nil, err
		}
		seals, err := s.read(ctx, tx, batch, originCLI, now)
		if err != nil {
			return nil, err
		}
		if last, err = s.chain(ctx, tx, seals, now); err != nil {
			return nil, err
		}
	}
	if len(rows.Seals) == 0 {
		return last, nil
	}
	if err := tx.Do(ctx, last...); err != nil {
		return nil, err
	}
	return s.chain(ctx, tx, rows.Seals, now)
}

// chain appends seals to the chain, and returns the statements that remain.
func (s *Sealer) chain(ctx context.Context, tx *db.Write, seals []Link, now time.Time) ([]db.Statement, error) {
	h, err := s.lock(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	return s.append(ctx, tx, h, seals)
}

// read reads rows back and builds their seals.
func (s *Sealer) read(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, origin string, now time.Time) ([]Link, error) {
	rows, err := tx.Query(ctx, s.byID, ids)
	if err != nil {
		return nil, err
	}
	prepared, _, skipped, err := s.prepare(rows, origin, now)
	if err != nil {
		return nil, err
	}
	if len(skipped) > 0 {
		return nil, fmt.Errorf("audit row %s cannot be sealed: %s", skipped[0].ID, skipped[0].Reason)
	}
	if len(prepared) != len(ids) {
		return nil, RowsDropped(len(prepared), len(ids))
	}
	index := make(map[uuid.UUID]int, len(ids))
	for i, id := range ids {
		index[id] = i
	}
	seals := make([]Link, len(ids))
	for _, m := range prepared {
		i, ok := index[m.AuditID]
		if !ok {
			return nil, fault.New(fault.Database, "the audit log returned a row that was not requested")
		}
		seals[i] = m
	}
	return seals, nil
}

// Prepare builds the seals of rows that an INSERT with s.Returning returned. open reports whether triggers may still
// change the rows, which then have to be read back.
func (s *Sealer) Prepare(rows pgx.Rows, now time.Time) (seals []Link, open bool, err error) {
	seals, open, skipped, err := s.prepare(rows, originCLI, now)
	if err == nil && len(skipped) > 0 {
		err = fmt.Errorf("the audit row cannot be sealed: %s", skipped[0].Reason)
	}
	return seals, open, err
}

// prepare builds the seals of rows read with s.byID. It skips rows without a canonical form. For rows returned by an
// INSERT, open reports whether triggers may still change them.
func (s *Sealer) prepare(rows pgx.Rows, origin string, now time.Time) (seals []Link, open bool, skipped []Skipped, err error) {
	defer rows.Close()
	c := canonicalizer{fields: s.fields}
	p := compressors.Get().(*compressor)
	defer compressors.Put(p)
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
		seals = append(seals, Link{
			AuditID:  uuid.UUID(values[0]),
			origin:   origin,
			sealedAt: now,
			canon:    p.compress(nil, canon),
			leaf:     leafOf(canon),
		})
		open = open || len(values) > n && (values[n][0] == 1 || values[n][0] == 't') // in binary or text format
	}
	return seals, open, skipped, rows.Err()
}

// lock locks the head for the rest of the transaction.
func (s *Sealer) lock(ctx context.Context, tx *db.Write, now time.Time) (h head, err error) {
	found := false
	query := db.Statement{Name: "cxg_lock_head", SQL: lockHead, Read: func(rows pgx.Rows) error {
		var swept, looked db.Time
		_, err := pgx.ForEachRow(rows, []any{&h.seq, &h.chain, &swept, &h.sweptID, &looked}, func() error {
			h.sweptAt, h.lastSweep, found = swept.Instant, looked.Instant, true
			return nil
		})
		return err
	}}
	if err := tx.Do(ctx, query); err != nil || found {
		return h, err
	}
	if _, err := tx.Exec(ctx, beginHead, make([]byte, sha256.Size), now); err != nil {
		return h, err
	}
	if err := tx.Do(ctx, query); err != nil || found {
		return h, err
	}
	return h, fault.New(fault.Database, "cxg_audit.head has no row, so nothing can be sealed").
		WithHint("no change goes unaudited; the row was deleted: run cxgctl audit verify, and restore it from a backup")
}

// append appends the seals to the chain, and returns the statements that insert them.
func (s *Sealer) append(ctx context.Context, tx pgx.Tx, h head, seals []Link) ([]db.Statement, error) {
	prev := h.chain
	for i := range seals {
		h.seq++
		seals[i].seq, seals[i].chain = h.seq, chainOf(prev, seals[i].leaf[:])
		prev = seals[i].chain[:]
	}
	move := db.Statement{
		Name: "cxg_move_head",
		SQL:  moveHead,
		Args: [][]byte{
			binary.BigEndian.AppendUint64(nil, uint64(h.seq)), prev,
			db.AppendTime(nil, h.sweptAt), h.sweptID[:], db.AppendTime(nil, h.lastSweep),
		},
		Types: []uint32{pgtype.Int8OID, pgtype.ByteaOID, pgtype.TimestamptzOID, pgtype.UUIDOID, pgtype.TimestamptzOID},
	}
	if len(seals) == 0 {
		return []db.Statement{move}, nil
	}
	check := db.Statement{
		Name:  "cxg_kept",
		SQL:   checkRows,
		Args:  [][]byte{binary.BigEndian.AppendUint64(nil, uint64(h.seq)-uint64(len(seals))), binary.BigEndian.AppendUint64(nil, uint64(h.seq))},
		Types: []uint32{pgtype.Int8OID, pgtype.Int8OID},
	}
	last := []db.Statement{move, {SQL: db.SettleConstraints}, check}
	if len(seals) > copySealsFrom {
		return last, copySeals(ctx, tx, seals)
	}
	return slices.Insert(last, 0, insertSeals(seals)), nil
}

// checkRows fails with a division by zero unless the log has a row for each seal after $1 up to $2 and the head is at
// $2. It is sent with COMMIT, which then fails too.
const checkRows = `
SELECT 1 / (CASE WHEN (SELECT count(*)
                         FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id
                        WHERE s.seq > $1 AND s.seq <= $2) = $2 - $1
                  AND (SELECT h.seq FROM cxg_audit.head h WHERE h.id = 1) = $2 THEN 1 ELSE 0 END)`

// The columns of a seal and their types.
var (
	sealColumns = []string{"seq", "audit_id", "ver", "origin", "sealed_at", "canon", "leaf", "chain"}
	sealTypes   = []uint32{
		pgtype.Int8OID, pgtype.UUIDOID, pgtype.Int2OID, pgtype.VarcharOID, pgtype.TimestamptzOID, pgtype.ByteaOID, pgtype.ByteaOID, pgtype.ByteaOID,
	}
)

// values returns a seal's columns in binary format.
func (s *Link) values() [][]byte {
	return [][]byte{
		binary.BigEndian.AppendUint64(nil, uint64(s.seq)), s.AuditID[:],
		{0, canonVersion},
		[]byte(s.origin), db.AppendTime(nil, s.sealedAt),
		s.canon, s.leaf[:], s.chain[:],
	}
}

// insertSeals returns the INSERT for a few seals.
func insertSeals(seals []Link) db.Statement {
	var st db.Statement
	if len(seals) == 1 { // the most common case
		st.Name = "cxg_seal"
	}
	rows := make([]string, len(seals))
	for i := range seals {
		params := make([]string, len(sealColumns))
		for j := range params {
			params[j] = fmt.Sprintf("$%d", len(st.Args)+j+1)
		}
		rows[i] = "(" + strings.Join(params, ", ") + ")"
		st.Args, st.Types = append(st.Args, seals[i].values()...), append(st.Types, sealTypes...)
	}
	st.SQL = "INSERT INTO cxg_audit.seal (" + strings.Join(sealColumns, ", ") + ") VALUES " + strings.Join(rows, ", ")
	return st
}

// copySealsFrom is the number of seals from which COPY pays off.
const copySealsFrom = 200

// sealSize is the maximum size of a seal in COPY, without the canonical form.
const sealSize = 192

func copySeals(ctx context.Context, tx pgx.Tx, seals []Link) error {
	size := 0
	for i := range seals {
		size += sealSize + len(seals[i].canon)
	}
	rows := append(make([]byte, 0, size), db.CopyHeader()...)
	for i := range seals {
		rows = db.AppendCopyRow(rows, seals[i].values()...)
	}
	_, err := db.CopyBinary(ctx, tx, schema.Seals, sealColumns, bytes.NewReader(append(rows, db.CopyTrailer()...)))
	return err
}

// RowsDropped returns the error of a log that stores fewer rows than it was sent.
func RowsDropped(stored, of int) *fault.Error {
	return fault.New(fault.Database, "the audit log stored %d of %d rows", stored, of).
		WithHint("no change goes unaudited; look for a trigger or rule on audt.audit_logs that discards rows")
}

// NoSeals returns the error for a database without seals.
func NoSeals() *fault.Error {
	return fault.New(fault.Database, "the manager database has no seals: the schema cxg_audit is missing").
		WithHint("cxgctl migrate up --database manager creates it").With("table", schema.Seals)
}

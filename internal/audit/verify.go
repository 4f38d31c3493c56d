package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Verdict is what verifying the log came to.
type Verdict struct {
	OK             bool       `json:"ok"`
	Seals          int64      `json:"seals"`           // how many were looked at
	HeadSeq        int64      `json:"head_seq"`        // the chain's end
	Chain          string     `json:"chain"`           // its hash, in hexadecimal
	Checkpoints    int        `json:"checkpoints"`     // how many were compared
	Unsealed       int64      `json:"unsealed"`        // rows that have no seal yet: other software's, mostly
	OldestUnsealed *db.Time   `json:"oldest_unsealed"` // when the first of them was written
	Bad            int64      `json:"bad"`             // how much is wrong
	FirstBad       *uuid.UUID `json:"first_bad"`       // the audit row; null where there is none any more
	FirstBadSeq    *int64     `json:"first_bad_seq"`   // its place in the chain; null where it has none
	Problem        *string    `json:"problem"`         // what is wrong with it
}

// Verification says what to verify.
type Verification struct {
	Since       int64        // begin at this seal, and trust the one before it; 0 means the first
	Checkpoints []Checkpoint // in the order of time
	Progress    func(done, of int64)
}

// The checks, each by itself necessary: a test leaves out one after the other.
const (
	checkGap        = "gap"        // the seals' numbers have no gap
	checkRow        = "row"        // a seal's row exists
	checkCanon      = "canon"      // the row is as its seal stored it
	checkLeaf       = "leaf"       // what the seal stored is what was hashed
	checkChain      = "chain"      // the hash is linked to the one before
	checkHead       = "head"       // the chain ends where the head says
	checkCheckpoint = "checkpoint" // the chain is the one that checkpoints saw
	checkSize       = "size"       // the chain is no shorter than checkpoints saw it
	checkForged     = "forged"     // what says cxgctl wrote it has a seal
)

// verifier walks the chain.
type verifier struct {
	*sealer
	db   *db.DB
	v    Verification
	skip string // the check that a test leaves out

	done  atomic.Int64
	mu    sync.Mutex
	bad   int64
	first problem
}

// problem is one thing that is wrong.
type problem struct {
	seq  int64 // 0 for none
	id   uuid.UUID
	what string
}

// Verify walks the seals in order and compares every one with the row that it is of, with the seal before
// it, and with the checkpoints. What is wrong is in the verdict; the error is why it could not look.
func Verify(ctx context.Context, d *db.DB, cat schema.Catalog, v Verification) (Verdict, error) {
	return verify(ctx, d, cat, v, "")
}

func verify(ctx context.Context, d *db.DB, cat schema.Catalog, v Verification, skip string) (Verdict, error) {
	s := newSealer(cat)
	if s == nil {
		return Verdict{}, NoSeals()
	}
	x := &verifier{sealer: s, db: d, v: v, skip: skip}
	x.v.Since = max(x.v.Since, 1)
	var out Verdict
	err := x.walk(ctx, &out)
	out.Seals, out.Bad, out.OK = x.done.Load(), x.bad, x.bad == 0
	if x.bad > 0 {
		out.Problem = &x.first.what
		if x.first.id != uuid.Nil {
			out.FirstBad = &x.first.id
		}
		if x.first.seq > 0 {
			out.FirstBadSeq = &x.first.seq
		}
	}
	return out, err
}

// found notes a problem. The first one is the one of the lowest seal; those without a seal come last.
func (x *verifier) found(check string, p problem) {
	if check == x.skip {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bad++
	if x.bad == 1 || p.seq > 0 && (x.first.seq == 0 || p.seq < x.first.seq) {
		x.first = p
	}
}

const readHead = `
SELECT coalesce(h.seq, 0), coalesce(h.chain, ''), h.id IS NOT NULL, coalesce((SELECT max(s.seq) FROM cxg_audit.seal s), 0)
  FROM (SELECT) AS one LEFT JOIN cxg_audit.head h ON h.id = 1`

func (x *verifier) walk(ctx context.Context, out *Verdict) error {
	var chain []byte
	var there bool
	var last int64
	if err := x.db.QueryRow(ctx, readHead).Scan(&out.HeadSeq, &chain, &there, &last); err != nil {
		return err
	}
	out.Chain = hex.EncodeToString(chain)
	if !there && last > 0 {
		x.found(checkHead, problem{seq: last + 1, what: "cxg_audit.head has no row, and there are seals"})
	}
	if err := x.seals(ctx, last); err != nil {
		return err
	}
	if there {
		if err := x.compareHead(ctx, out.HeadSeq, last, chain); err != nil {
			return err
		}
	}
	if err := x.checkpoints(ctx, out, last); err != nil {
		return err
	}
	return x.unsealed(ctx, out)
}

const readChain = `SELECT s.chain, s.audit_id FROM cxg_audit.seal s WHERE s.seq = $1`

// at reads the chain's hash at a seal; nil where there is none.
func (x *verifier) at(ctx context.Context, seq int64) (chain []byte, id uuid.UUID, err error) {
	err = x.db.QueryRow(ctx, readChain, seq).Scan(&chain, &id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return chain, id, err
}

// compareHead compares the head, as it was at the beginning, with the last seal.
func (x *verifier) compareHead(ctx context.Context, seq, last int64, chain []byte) error {
	if last > seq {
		x.found(checkHead, problem{seq: seq + 1, what: fmt.Sprintf("the head says that the chain ends at seal %d, and it ends at %d", seq, last)})
		return nil
	}
	have, id, err := x.at(ctx, seq)
	switch {
	case err != nil || seq == 0:
		return err
	case have == nil:
		x.found(checkHead, problem{seq: last + 1, what: fmt.Sprintf("the head says that the chain ends at seal %d, and it ends at %d", seq, last)})
	case !bytes.Equal(have, chain):
		x.found(checkHead, problem{seq, id, "the head has another hash than the last seal"})
	}
	return nil
}

// checkpoints compares the chain with what it was outside.
func (x *verifier) checkpoints(ctx context.Context, out *Verdict, last int64) error {
	var before Checkpoint
	for _, c := range x.v.Checkpoints {
		out.Checkpoints++
		when := c.Time.String()
		if c.Size < before.Size {
			x.found(checkSize, problem{seq: c.Size + 1, what: fmt.Sprintf("the chain shrank: it had %d seals at %s, and %d at %s", before.Size, before.Time, c.Size, when)})
		}
		if c.Size > last {
			x.found(checkSize, problem{seq: last + 1, what: fmt.Sprintf("the chain shrank: it had %d seals at %s, and has %d now", c.Size, when, last)})
			before = c
			continue
		}
		have, id, err := x.at(ctx, c.Size)
		if err != nil {
			return err
		}
		if c.Size > 0 && !bytes.Equal(have, c.Chain) {
			x.found(checkCheckpoint, problem{c.Size, id, fmt.Sprintf(
				"the chain was rewritten: seal %d has another hash than the checkpoint of %s saw; the one before it stands at seal %d", c.Size, when, before.Size)})
		}
		before = c
	}
	return nil
}

// unsealed looks at the rows that have no seal. The whole table is read for it, so it is given time.
func (x *verifier) unsealed(ctx context.Context, out *Verdict) error {
	return x.db.Snapshot(ctx, func(r db.Reader) error {
		var ignored string
		if err := r.QueryRow(ctx, "SELECT set_config('statement_timeout', '0', true)").Scan(&ignored); err != nil {
			return err
		}
		// The ids alone are read from both indexes, and then the few rows that are left: behind the fence that OFFSET 0 is,
		// or the server would read the whole table for it, which took four times as long.
		sql := "SELECT count(*) FILTER (WHERE NOT f.forged), min(l.created_at) FILTER (WHERE NOT f.forged), count(*) FILTER (WHERE f.forged)," +
			" (array_agg(l.id ORDER BY l.created_at, l.id) FILTER (WHERE f.forged))[1]" +
			" FROM (" + x.unsealedRows("l.id") + " OFFSET 0) u JOIN audt.audit_logs l ON l.id = u.id" +
			" CROSS JOIN LATERAL (SELECT " + x.forged() + " AS forged) f"
		var forged int64
		var first *uuid.UUID
		if err := r.QueryRow(ctx, sql).Scan(&out.Unsealed, &out.OldestUnsealed, &forged, &first); err != nil {
			return err
		}
		if forged > 0 {
			x.found(checkForged, problem{id: *first, what: "the row says that cxgctl wrote it, and has no seal"})
			if x.skip != checkForged {
				x.bad += forged - 1
			}
		}
		return nil
	})
}

// chunk is how many seals one query reads: enough to be quick, few enough to need no memory.
const chunk = 10_000

// seals walks the seals up to the last one, as many at once as there are processors: every link can be
// checked by itself.
func (x *verifier) seals(ctx context.Context, last int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(x.v.Since)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 3) { // a pool has four sessions
		wg.Go(func() {
			u, err := newUnpacker()
			if err == nil {
				defer u.close()
			}
			w := &walker{verifier: x, canonizer: canonizer{fields: x.fields}, unpacker: u}
			for err == nil && ctx.Err() == nil {
				from := next.Add(chunk) - chunk
				if from > last {
					return
				}
				if err = w.walk(ctx, from, min(from+chunk-1, last)); err == nil && x.v.Progress != nil {
					x.v.Progress(x.done.Load(), last-x.v.Since+1)
				}
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// walker checks one chunk of seals after the other.
type walker struct {
	*verifier
	canonizer
	*unpacker
	stored, now []byte
	prev        []byte // the chain's hash before the seal
}

const readSeals = `
SELECT s.seq, s.audit_id, s.ver, s.origin, s.sealed_at, s.canon, s.leaf, s.chain, l.id IS NOT NULL, {fields}
  FROM cxg_audit.seal s LEFT JOIN audt.audit_logs l ON l.id = s.audit_id
 WHERE s.seq BETWEEN $1 AND $2
 ORDER BY s.seq`

// own is how many columns of readSeals stand before the row's fields.
const own = 9

// byIndex makes the server look rows up one by one: whatever the statistics say, a chunk is small.
const byIndex = `
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_sort', 'off', true)`

func (w *walker) walk(ctx context.Context, from, to int64) error {
	formats := pgx.QueryResultFormats{1, 1, 1, 0, 1, 1, 1, 1, 1}
	for _, f := range w.verifier.fields {
		binary := int16(pgx.TextFormatCode)
		if f.kind == kindUUID || f.kind == kindTime || f.kind == kindBool {
			binary = pgx.BinaryFormatCode
		}
		formats = append(formats, binary)
	}
	w.prev = make([]byte, 32)
	if from > 1 {
		chain, _, err := w.at(ctx, from-1)
		if err != nil {
			return err
		}
		w.prev = chain // nil where that seal is missing: it is the other chunk's, which says so
	}
	return w.db.Snapshot(ctx, func(r db.Reader) error {
		var a, b, c string
		if err := r.QueryRow(ctx, byIndex).Scan(&a, &b, &c); err != nil {
			return err
		}
		rows, err := r.Query(ctx, strings.Replace(readSeals, "{fields}", selectList(w.verifier.fields), 1), formats, from, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		next := from
		for rows.Next() {
			v := rows.RawValues()
			seq := int64(binary.BigEndian.Uint64(v[0]))
			if seq != next {
				w.found(checkGap, problem{seq: next, what: missing(next, seq-1)})
			}
			next = seq + 1
			if err := w.check(seq, v, rows); err != nil {
				return err
			}
		}
		if next <= to {
			w.found(checkGap, problem{seq: next, what: missing(next, to)})
		}
		w.done.Add(to - from + 1)
		return rows.Err()
	})
}

func missing(from, to int64) string {
	if from == to {
		return fmt.Sprintf("seal %d is missing", from)
	}
	return fmt.Sprintf("seals %d to %d are missing", from, to)
}

// check looks at one seal and its row.
func (w *walker) check(seq int64, v [][]byte, rows pgx.Rows) error {
	id, origin, leaf, chain := uuid.UUID(v[1]), string(v[3]), v[6], v[7]
	found := func(check, format string, args ...any) {
		w.found(check, problem{seq, id, fmt.Sprintf(format, args...)})
	}
	if slices.ContainsFunc(v[:own], func(x []byte) bool { return x == nil }) {
		found(checkLeaf, "the seal has lost a value")
		w.prev = nil
		return nil
	}
	if w.prev != nil {
		if want := link(w.prev, leaf); !bytes.Equal(want[:], chain) {
			found(checkChain, "the seal is not linked to the one before it")
		}
	}
	w.prev = append(w.prev[:0], chain...)
	var err error
	if ver := binary.BigEndian.Uint16(v[2]); ver != canonVersion {
		found(checkLeaf, "the seal is of version %d, which this cxgctl does not know", ver)
		return nil
	}
	w.stored, err = w.unpack(w.stored[:0], v[5])
	if err != nil {
		found(checkLeaf, "what the seal stored cannot be read")
		return nil //nolint:nilerr // that is what was looked for
	}
	if want := leafOf(w.stored); !bytes.Equal(want[:], leaf) {
		found(checkLeaf, "what the seal stored was changed")
	}
	if v[own-1][0] == 0 {
		found(checkRow, "the row was deleted")
		return nil
	}
	sealedAt := unixMicros(int64(binary.BigEndian.Uint64(v[4])))
	if w.now, err = w.row(w.now[:0], origin, sealedAt, v[own:], rows.FieldDescriptions()[own:]); err != nil {
		return err
	}
	if bytes.Equal(w.now, w.stored) {
		return nil
	}
	names, err := changed(w.stored, w.now)
	switch {
	case err != nil:
		found(checkLeaf, "what the seal stored cannot be read")
	case len(names) > 0:
		found(checkCanon, "the row was changed since it was sealed: %s", strings.Join(names, ", "))
	}
	return nil
}

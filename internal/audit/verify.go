package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
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
	Pruned         int64      `json:"pruned"`          // seals whose rows audit prune has moved to archives
	Archives       int        `json:"archives"`        // how many of audit prune were compared
	Notes          []string   `json:"-"`               // what a person should know although nothing is wrong
}

// Verification says what to verify.
type Verification struct {
	Since       int64        // begin at this seal, and trust the one before it; 0 means the first
	Checkpoints []Checkpoint // in the order of size
	Archives    []string     // files that audit prune wrote
	AllArchives bool         // every prune has to have its archive among them
	Keys        []note.Verifier
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
	checkOutside    = "outside"    // every seal has a number between 1 and the head's
	checkPrune      = "prune"      // a seal without its row is one that a signed record in the chain took
)

// verifier walks the chain.
type verifier struct {
	*sealer
	db   *db.DB
	v    Verification
	skip string // the check that a test leaves out

	done    atomic.Int64
	mu      sync.Mutex
	bad     int64
	first   problem
	dropped map[string]bool         // columns that sealed rows had values in and the table no longer has
	pruned  map[uuid.UUID]*prunedBy // by the operation that pruned
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
	x := &verifier{sealer: s, db: d, v: v, skip: skip, dropped: map[string]bool{}, pruned: map[uuid.UUID]*prunedBy{}}
	x.v.Since = max(x.v.Since, 1)
	var out Verdict
	err := x.walk(ctx, &out)
	if len(x.dropped) > 0 {
		out.Notes = append(out.Notes, "sealed rows had values in columns that the table no longer has, which cannot be compared: "+
			strings.Join(slices.Sorted(maps.Keys(x.dropped)), ", "))
	}
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

// The chain is the seals from 1 to the head's number. Without a head, all that count from 1 are taken for it.
const readHead = `
SELECT coalesce(h.seq, 0), coalesce(h.chain, ''), h.id IS NOT NULL, s.last, s.within, s.outside, o.seq, o.audit_id
  FROM (SELECT) AS one
  LEFT JOIN cxg_audit.head h ON h.id = 1
 CROSS JOIN LATERAL (SELECT coalesce(max(s.seq) FILTER (WHERE s.seq <= coalesce(h.seq, s.seq)), 0) AS last,
                            count(*) FILTER (WHERE s.seq BETWEEN 1 AND coalesce(h.seq, s.seq)) AS within,
                            count(*) FILTER (WHERE s.seq NOT BETWEEN 1 AND coalesce(h.seq, s.seq)) AS outside
                       FROM cxg_audit.seal s) s
  LEFT JOIN LATERAL (SELECT s.seq, s.audit_id FROM cxg_audit.seal s WHERE s.seq NOT BETWEEN 1 AND coalesce(h.seq, s.seq)
                      ORDER BY s.seq < 1, s.seq LIMIT 1) o ON true`

func (x *verifier) walk(ctx context.Context, out *Verdict) error {
	var chain []byte
	var there bool
	var last, within, outside int64
	var strange *int64
	var strangeID *uuid.UUID
	if err := x.db.QueryRow(ctx, readHead).Scan(&out.HeadSeq, &chain, &there, &last, &within, &outside, &strange, &strangeID); err != nil {
		return err
	}
	if x.v.Since > max(out.HeadSeq, last, 1) {
		return fault.New(fault.Validation, "--since %d: the chain has %d seals", x.v.Since, out.HeadSeq).With("seals", out.HeadSeq)
	}
	out.Chain = hex.EncodeToString(chain)
	if !there && last > 0 {
		x.found(checkHead, problem{seq: last + 1, what: "cxg_audit.head has no row, and there are seals"})
	}
	if outside > 0 {
		x.found(checkOutside, problem{*strange, *strangeID, fmt.Sprintf("seal %d is not part of the chain, which has the seals 1 to %d", *strange, out.HeadSeq)})
		x.more(checkOutside, outside-1)
	}
	// A number far beyond the others would be looked for through all the missing ones.
	last = max(min(last, within+chunk), 0)
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
	if err := x.prunes(ctx, out); err != nil {
		return err
	}
	return x.unsealed(ctx, out, there, outside > 0)
}

// more counts n more of the things that a check found.
func (x *verifier) more(check string, n int64) {
	if check != x.skip {
		x.bad += n
	}
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
		if c.Time.Instant.Before(before.Time.Instant) {
			out.Notes = append(out.Notes, fmt.Sprintf("the checkpoint of %d seals is of %s, earlier than the one of %d seals: a clock was wrong", c.Size, when, before.Size))
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
func (x *verifier) unsealed(ctx context.Context, out *Verdict, there, outside bool) error {
	var begun *time.Time // nil: whatever a row's time is
	if !there {
		var err error
		if begun, err = x.sealsBegan(ctx); err != nil {
			return err
		}
	}
	return x.db.Snapshot(ctx, func(r db.Reader) error {
		var ignored string
		if err := r.QueryRow(ctx, "SELECT set_config('statement_timeout', '0', true)").Scan(&ignored); err != nil {
			return err
		}
		// The ids alone are read from both indexes, and then the few rows that are left: behind the fence that OFFSET 0 is,
		// or the server would read the whole table for it, which took four times as long.
		sql := "SELECT count(*) FILTER (WHERE NOT f.forged), min(l.created_at) FILTER (WHERE NOT f.forged), count(*) FILTER (WHERE f.forged)," +
			" (array_agg(l.id ORDER BY l.created_at, l.id) FILTER (WHERE f.forged))[1]" +
			" FROM (" + x.unsealedRows("l.id", outside) + " OFFSET 0) u JOIN audt.audit_logs l ON l.id = u.id" +
			" CROSS JOIN LATERAL (SELECT " + x.claims() + " AND ($1::timestamptz IS NULL OR l.created_at > $1) AS forged) f"
		var forged int64
		var first *uuid.UUID
		if err := r.QueryRow(ctx, sql, begun).Scan(&out.Unsealed, &out.OldestUnsealed, &forged, &first); err != nil {
			return err
		}
		if forged > 0 {
			x.found(checkForged, problem{id: *first, what: "the row says that cxgctl wrote it, and has no seal"})
			x.more(checkForged, forged-1)
		}
		return nil
	})
}

const readSealsBegan = `SELECT min(m.tstamp) FROM public.cxgctl_migrations m WHERE m.version_id = 13 AND m.is_applied`

// sealsBegan returns when the migration that made the seals was applied, nil where that cannot be read. Rows of a
// database without any seal that are older were written before there were seals.
func (x *verifier) sealsBegan(ctx context.Context) (*time.Time, error) {
	var readable bool
	err := x.db.QueryRow(ctx, `SELECT coalesce(has_table_privilege(to_regclass('public.cxgctl_migrations'), 'SELECT'), false)`).Scan(&readable)
	if err != nil || !readable {
		return nil, err
	}
	var at *time.Time
	return at, x.db.QueryRow(ctx, readSealsBegan).Scan(&at)
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
			w := &walker{verifier: x, canonizer: canonizer{fields: x.fields}, unpacker: u, pruned: map[uuid.UUID][]int64{}}
			for err == nil && ctx.Err() == nil {
				from := next.Add(chunk) - chunk
				if from > last {
					break
				}
				if err = w.walk(ctx, from, min(from+chunk-1, last)); err == nil && x.v.Progress != nil {
					x.v.Progress(x.done.Load(), last-x.v.Since+1)
				}
			}
			if err != nil {
				cancel(err)
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			for op, seqs := range w.pruned {
				x.prunedBy(op).seqs = append(x.prunedBy(op).seqs, seqs...)
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
	prev        []byte                // the chain's hash before the seal
	pruned      map[uuid.UUID][]int64 // seals without their rows, by the operation that pruned
}

const readSeals = `
SELECT s.seq, s.audit_id, s.ver, s.origin, s.sealed_at, s.canon, s.leaf, s.chain, l.id IS NOT NULL, {fields}
  FROM cxg_audit.seal s LEFT JOIN audt.audit_logs l ON l.id = s.audit_id
 WHERE s.seq BETWEEN $1 AND $2
 ORDER BY s.seq`

// own is how many columns of readSeals stand before the row's fields.
const own = 9

// sealFormats are the formats of readSeals' columns, and of more that follow.
func sealFormats(fields []sealedField, more ...int16) pgx.QueryResultFormats {
	formats := pgx.QueryResultFormats{1, 1, 1, 0, 1, 1, 1, 1, 1}
	for _, f := range fields {
		binary := int16(pgx.TextFormatCode)
		if f.kind == kindUUID || f.kind == kindTime || f.kind == kindBool {
			binary = pgx.BinaryFormatCode
		}
		formats = append(formats, binary)
	}
	return append(formats, more...)
}

// byIndex makes the server look rows up one by one: whatever the statistics say, a chunk is small.
const byIndex = `
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_sort', 'off', true)`

func (w *walker) walk(ctx context.Context, from, to int64) error {
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
		rows, err := r.Query(ctx, w.expand(readSeals), sealFormats(w.verifier.fields), from, to)
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
	rowThere := v[own-1][0] == 1
	switch ver := binary.BigEndian.Uint16(v[2]); {
	case ver == prunedVersion:
		op, err := uuid.FromBytes(v[5])
		switch {
		case err != nil:
			found(checkLeaf, "what the seal stored cannot be read")
		case rowThere:
			found(checkRow, "the row was pruned, and is in the log again")
		default:
			w.pruned[op] = append(w.pruned[op], seq)
		}
		return nil
	case ver > canonVersion:
		found(checkLeaf, "the seal is of version %d, which this cxgctl does not know", ver)
		return nil
	}
	var unreadable error
	w.now = w.now[:0]
	if rowThere {
		sealedAt := unixMicros(int64(binary.BigEndian.Uint64(v[4])))
		w.now, unreadable = w.row(w.now, origin, sealedAt, v[own:], rows.FieldDescriptions()[own:])
	}
	var err error
	if w.stored, err = w.unpack(v[5], 2*len(w.now)+sealSlack); err != nil {
		if !rowThere {
			found(checkRow, "the row was deleted")
		} else {
			found(checkLeaf, "what the seal stored cannot be read")
		}
		return nil // that is what was looked for
	}
	if want := leafOf(w.stored); !bytes.Equal(want[:], leaf) {
		found(checkLeaf, "what the seal stored was changed")
	}
	switch {
	case !rowThere:
		found(checkRow, "the row was deleted")
		return nil
	case unreadable != nil:
		found(checkCanon, "the row cannot be read any more: %s", unreadable)
		return nil
	case bytes.Equal(w.now, w.stored):
		return nil
	}
	names, dropped, err := changed(w.stored, w.now)
	switch {
	case err != nil:
		found(checkLeaf, "what the seal stored cannot be read")
	case len(names) > 0:
		found(checkCanon, "the row was changed since it was sealed: %s", strings.Join(names, ", "))
	}
	for _, name := range dropped {
		w.mu.Lock()
		w.dropped[name] = true
		w.mu.Unlock()
	}
	return nil
}

// sealSlack is how much longer than its row, as the table has it now, a sealed form may be beyond twice as long: a
// column with values may have been dropped. A compressed form that unpacks to more is a bad seal.
const sealSlack = 1 << 20

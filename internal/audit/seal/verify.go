package seal

import (
	"bytes"
	"cmp"
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
	"golang.org/x/sync/errgroup"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Verdict is the result of verifying the log.
type Verdict struct {
	OK             bool       `json:"ok"`
	Seals          int64      `json:"seals"`           // number of seals checked
	HeadSeq        int64      `json:"head_seq"`        // number of the last seal
	Chain          string     `json:"chain"`           // hash of the chain in hex
	Checkpoints    int        `json:"checkpoints"`     // number of checkpoints compared
	Unsealed       int64      `json:"unsealed"`        // rows without a seal, usually written by other software
	OldestUnsealed *db.Time   `json:"oldest_unsealed"` // time of the oldest of them
	Bad            int64      `json:"bad"`             // number of problems
	FirstBad       *uuid.UUID `json:"first_bad"`       // audit row of the first problem; null if it is gone
	FirstBadSeq    *int64     `json:"first_bad_seq"`   // its number in the chain; null if it is not sealed
	Problem        *string    `json:"problem"`         // the first problem
	Pruned         int64      `json:"pruned"`          // seals whose rows were moved to archives by audit prune
	Archives       int        `json:"archives"`        // number of archives compared
	Notes          []string   `json:"-"`               // remarks that are not problems
}

// Verification says what to verify.
type Verification struct {
	Since       int64        // first seal to check, trusting the one before; 0 means all
	Checkpoints []Checkpoint // sorted by size
	Archives    []string     // files written by audit prune
	AllArchives bool         // the archive of every prune must be present
	Keys        []note.Verifier
}

// The checks. A test disables each in turn to show that it is necessary.
const (
	checkGap        = "gap"        // the numbers of the seals have no gap
	checkRow        = "row"        // a seal's row exists
	checkCanon      = "canon"      // the row matches the canonical form in its seal
	checkLeaf       = "leaf"       // the canonical form matches its hash
	checkChain      = "chain"      // the hash is linked to the previous one
	checkHead       = "head"       // the chain ends at the head
	checkCheckpoint = "checkpoint" // the chain matches the checkpoints
	checkSize       = "size"       // the chain is at least as long as in the checkpoints
	checkForged     = "forged"     // rows that claim to be written by cxgctl have a seal
	checkOutside    = "outside"    // the numbers of all seals are between 1 and the head's
	checkPrune      = "prune"      // seals without rows are covered by a signed prune record
)

// verifier walks the chain.
type verifier struct {
	*Sealer
	db   *db.DB
	v    Verification
	skip string // check disabled by a test

	done    atomic.Int64
	mu      sync.Mutex
	bad     int64
	first   problem
	dropped map[string]bool         // dropped columns that had values in sealed rows
	pruned  map[uuid.UUID]*prunedBy // by operation
}

// problem is a problem found by a check.
type problem struct {
	seq  int64 // 0 for none
	id   uuid.UUID
	what string
}

// Verify compares each seal with its row, with the previous seal and with the checkpoints. Problems are part of the
// verdict; an error means that the verification could not finish. Without seals in the database it is NoSeals.
func Verify(ctx context.Context, d *db.DB, cat schema.Catalog, v Verification) (Verdict, error) {
	return verify(ctx, d, cat, v, "")
}

func verify(ctx context.Context, d *db.DB, cat schema.Catalog, v Verification, skip string) (Verdict, error) {
	s := New(cat)
	if s == nil {
		return Verdict{}, NoSeals()
	}
	x := &verifier{Sealer: s, db: d, v: v, skip: skip, dropped: map[string]bool{}, pruned: map[uuid.UUID]*prunedBy{}}
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

// report records a problem. The first problem is the one with the lowest seal; those without a seal come last.
func (x *verifier) report(check string, p problem) {
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

// The chain consists of the seals from 1 to the head's number, or of all seals from 1 if the head is missing.
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
	var hasHead bool
	var last, within, outside int64
	var outsideSeq *int64
	var outsideID *uuid.UUID
	if err := x.db.QueryRow(ctx, readHead).Scan(&out.HeadSeq, &chain, &hasHead, &last, &within, &outside, &outsideSeq, &outsideID); err != nil {
		return err
	}
	if x.v.Since > max(out.HeadSeq, last, 1) {
		return fault.New(fault.Validation, "--since %d: the chain has %s", x.v.Since, fault.Plural(out.HeadSeq, "seal")).With("seals", out.HeadSeq)
	}
	out.Chain = hex.EncodeToString(chain)
	if !hasHead && last > 0 {
		x.report(checkHead, problem{seq: last + 1, what: "cxg_audit.head has no row although there are seals"})
	}
	if outside > 0 {
		x.report(checkOutside, problem{*outsideSeq, *outsideID, fmt.Sprintf("seal %d is not part of the chain, which has the seals 1 to %d", *outsideSeq, out.HeadSeq)})
		x.reportMore(checkOutside, outside-1)
	}
	// With a number far beyond the others, the loop would visit all the missing ones.
	last = max(min(last, within+chunk), 0)
	if err := x.seals(ctx, last); err != nil {
		return err
	}
	if hasHead {
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
	return x.unsealed(ctx, out, hasHead, outside > 0)
}

// reportMore adds n further problems of a check.
func (x *verifier) reportMore(check string, n int64) {
	if check != x.skip {
		x.bad += n
	}
}

const readChain = `SELECT s.chain, s.audit_id FROM cxg_audit.seal s WHERE s.seq = $1`

// at returns the chain hash of a seal; nil if the seal is missing.
func (x *verifier) at(ctx context.Context, seq int64) (chain []byte, id uuid.UUID, err error) {
	err = x.db.QueryRow(ctx, readChain, seq).Scan(&chain, &id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return chain, id, err
}

// compareHead compares the head, as read at the start, with the last seal.
func (x *verifier) compareHead(ctx context.Context, seq, last int64, chain []byte) error {
	have, id, err := x.at(ctx, seq)
	switch {
	case err != nil || seq == 0:
		return err
	case have == nil:
		x.report(checkHead, problem{seq: last + 1, what: fmt.Sprintf("the head is at seal %d, but the chain ends at seal %d", seq, last)})
	case !bytes.Equal(have, chain):
		x.report(checkHead, problem{seq, id, "the head and the last seal have different hashes"})
	}
	return nil
}

// checkpoints compares the chain with the checkpoints.
func (x *verifier) checkpoints(ctx context.Context, out *Verdict, last int64) error {
	var before Checkpoint
	for _, c := range x.v.Checkpoints {
		out.Checkpoints++
		when := c.Time.String()
		if c.Time.Instant.Before(before.Time.Instant) {
			out.Notes = append(out.Notes, fmt.Sprintf("the checkpoint of %s is dated %s, before the one of %s: a clock was wrong", fault.Plural(c.Size, "seal"), when, fault.Plural(before.Size, "seal")))
		}
		if c.Size > last {
			x.report(checkSize, problem{seq: last + 1, what: fmt.Sprintf("the chain shrank: it had %s at %s, and has %d now", fault.Plural(c.Size, "seal"), when, last)})
			before = c
			continue
		}
		have, id, err := x.at(ctx, c.Size)
		if err != nil {
			return err
		}
		if c.Size > 0 && !bytes.Equal(have, c.Chain) {
			x.report(checkCheckpoint, problem{c.Size, id, fmt.Sprintf(
				"the chain was rewritten: the hash of seal %d differs from the checkpoint of %s; the previous checkpoint is at seal %d", c.Size, when, before.Size)})
		}
		before = c
	}
	return nil
}

// unsealed checks the rows without a seal. It scans the whole table, so the statement timeout is lifted.
func (x *verifier) unsealed(ctx context.Context, out *Verdict, hasHead, outside bool) error {
	var sealsBegan *time.Time // nil matches rows of any time
	if !hasHead {
		var err error
		if sealsBegan, err = x.sealsBegan(ctx); err != nil {
			return err
		}
	}
	return x.db.Snapshot(ctx, func(r db.Reader) error {
		var ignored string
		if err := r.QueryRow(ctx, "SELECT set_config('statement_timeout', '0', true)").Scan(&ignored); err != nil {
			return err
		}
		// OFFSET 0 is an optimization fence: the ids are compared using both indexes, and only the few remaining rows are
		// fetched. Without it, the server scans the whole table, which took four times as long.
		sql := "SELECT count(*) FILTER (WHERE NOT f.forged), min(l.created_at) FILTER (WHERE NOT f.forged), count(*) FILTER (WHERE f.forged)," +
			" (array_agg(l.id ORDER BY l.created_at, l.id) FILTER (WHERE f.forged))[1]" +
			" FROM (" + x.unsealedRows("l.id", outside) + " OFFSET 0) u JOIN audt.audit_logs l ON l.id = u.id" +
			" CROSS JOIN LATERAL (SELECT " + x.claimsOurs() + " AND ($1::timestamptz IS NULL OR l.created_at > $1) AS forged) f"
		var forged int64
		var first *uuid.UUID
		if err := r.QueryRow(ctx, sql, sealsBegan).Scan(&out.Unsealed, &out.OldestUnsealed, &forged, &first); err != nil {
			return err
		}
		if forged > 0 {
			x.report(checkForged, problem{id: *first, what: "the row claims to be written by cxgctl but has no seal"})
			x.reportMore(checkForged, forged-1)
		}
		return nil
	})
}

const readSealsBegan = `SELECT min(m.tstamp) FROM public.cxgctl_migrations m WHERE m.version_id = 13 AND m.is_applied`

// sealsBegan returns when the migration that created the seals was applied, nil if unknown. In a database without any
// seals, older rows predate them.
func (x *verifier) sealsBegan(ctx context.Context) (*time.Time, error) {
	var readable bool
	err := x.db.QueryRow(ctx, `SELECT coalesce(has_table_privilege(to_regclass('public.cxgctl_migrations'), 'SELECT'), false)`).Scan(&readable)
	if err != nil || !readable {
		return nil, err
	}
	var at *time.Time
	err = x.db.QueryRow(ctx, readSealsBegan).Scan(&at)
	return at, err
}

// chunk is the number of seals per query, bounded to limit memory.
const chunk = 10_000

// seals checks the seals up to last in parallel chunks. Each link can be checked on its own.
func (x *verifier) seals(ctx context.Context, last int64) error {
	var next atomic.Int64
	next.Store(x.v.Since)
	workers, shared := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), 3) { // a pool has four sessions
		workers.Go(func() error {
			u, err := newDecompressor()
			if err != nil {
				return err
			}
			defer u.close()
			w := &walker{verifier: x, decompressor: u, pruned: map[uuid.UUID][]int64{}}
			for from := next.Add(chunk) - chunk; from <= last; from = next.Add(chunk) - chunk {
				if err := w.walk(shared, from, min(from+chunk-1, last)); err != nil {
					return err
				}
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			for op, seqs := range w.pruned {
				x.prunedBy(op).seqs = append(x.prunedBy(op).seqs, seqs...)
			}
			return nil
		})
	}
	err := workers.Wait()
	return cmp.Or(context.Cause(ctx), err)
}

// walker checks chunks of seals.
type walker struct {
	*verifier
	*decompressor
	stored, now []byte
	prev        []byte                // chain hash of the previous seal
	pruned      map[uuid.UUID][]int64 // seals whose rows were pruned, by operation
}

const readSeals = `
SELECT s.seq, s.audit_id, s.ver, s.origin, s.sealed_at, s.canon, s.leaf, s.chain, l.id IS NOT NULL, {fields}
  FROM cxg_audit.seal s LEFT JOIN audt.audit_logs l ON l.id = s.audit_id
 WHERE s.seq BETWEEN $1 AND $2
 ORDER BY s.seq`

// sealColumnCount is the number of columns of readSeals before the row's fields.
const sealColumnCount = 9

// sealFormats returns the result formats of readSeals' columns, followed by more.
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

// byIndex makes the server look rows up by index even if its statistics are wrong, since a chunk is small.
const byIndex = `
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_sort', 'off', true)`

func (w *walker) walk(ctx context.Context, from, to int64) error {
	w.prev = make([]byte, 32)
	if from > 1 {
		chain, _, err := w.at(ctx, from-1)
		if err != nil {
			return err
		}
		w.prev = chain // nil if that seal is missing, which its own chunk reports
	}
	return w.db.Snapshot(ctx, func(r db.Reader) error {
		var a, b, c string
		if err := r.QueryRow(ctx, byIndex).Scan(&a, &b, &c); err != nil {
			return err
		}
		rows, err := r.Query(ctx, w.expand(readSeals), db.Described, sealFormats(w.fields), from, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		next := from
		for rows.Next() {
			v := rows.RawValues()
			seq := int64(binary.BigEndian.Uint64(v[0]))
			if seq != next {
				w.report(checkGap, problem{seq: next, what: missing(next, seq-1)})
			}
			next = seq + 1
			if err := w.check(seq, v, rows); err != nil {
				return err
			}
		}
		if next <= to {
			w.report(checkGap, problem{seq: next, what: missing(next, to)})
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

func (w *walker) check(seq int64, v [][]byte, rows pgx.Rows) error {
	id, origin, leaf, chain := uuid.UUID(v[1]), string(v[3]), v[6], v[7]
	found := func(check, format string, args ...any) {
		w.report(check, problem{seq, id, fmt.Sprintf(format, args...)})
	}
	if slices.ContainsFunc(v[:sealColumnCount], func(x []byte) bool { return x == nil }) {
		found(checkLeaf, "a value of the seal is missing")
		w.prev = nil
		return nil
	}
	if w.prev != nil {
		if want := chainOf(w.prev, leaf); !bytes.Equal(want[:], chain) {
			found(checkChain, "the seal is not linked to the one before it")
		}
	}
	w.prev = append(w.prev[:0], chain...)
	hasRow := v[sealColumnCount-1][0] == 1
	switch ver := binary.BigEndian.Uint16(v[2]); {
	case ver == prunedVersion:
		op, err := uuid.FromBytes(v[5])
		switch {
		case err != nil:
			found(checkLeaf, "the canonical form in the seal cannot be read")
		case hasRow:
			found(checkRow, "the row was pruned but is in the log")
		default:
			w.pruned[op] = append(w.pruned[op], seq)
		}
		return nil
	case ver > canonVersion:
		found(checkLeaf, "the seal has version %d, which this cxgctl does not support", ver)
		return nil
	}
	var unreadable error
	w.now = w.now[:0]
	if hasRow {
		sealedAt := unixMicros(int64(binary.BigEndian.Uint64(v[4])))
		w.now, unreadable = w.appendRow(w.now, origin, sealedAt, v[sealColumnCount:], rows.FieldDescriptions()[sealColumnCount:])
	}
	var err error
	if w.stored, err = w.decompress(v[5], 2*len(w.now)+sealSlack); err != nil {
		if !hasRow {
			found(checkRow, "the row was deleted")
		} else {
			found(checkLeaf, "the canonical form in the seal cannot be read")
		}
		return nil // reported as a problem
	}
	if want := leafOf(w.stored); !bytes.Equal(want[:], leaf) {
		found(checkLeaf, "the canonical form in the seal was changed")
	}
	switch {
	case !hasRow:
		found(checkRow, "the row was deleted")
		return nil
	case unreadable != nil:
		found(checkCanon, "the row can no longer be read: %s", unreadable)
		return nil
	case bytes.Equal(w.now, w.stored):
		return nil
	}
	names, dropped, err := changed(w.stored, w.now)
	switch {
	case err != nil:
		found(checkLeaf, "the canonical form in the seal cannot be read")
	case len(names) > 0:
		found(checkCanon, "the row was changed after it was sealed: %s", strings.Join(names, ", "))
	}
	for _, name := range dropped {
		w.mu.Lock()
		w.dropped[name] = true
		w.mu.Unlock()
	}
	return nil
}

// sealSlack and twice the row's current size limit the uncompressed form in a seal. The slack allows for values in
// dropped columns. A form that decompresses to more is a bad seal.
const sealSlack = 1 << 20

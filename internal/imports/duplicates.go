package imports

import (
	"cmp"
	"hash/maphash"
	"math/bits"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// duplicates finds rows that claim what an earlier row of the file claims, in memory that does not grow
// with the file. A filter that never misses one tells rows that cannot be from those that may be; the
// latter are put off, and once the file has been read, one more reading settles them exactly.
type duplicates[R Incoming] struct {
	claims   func(R, []Claim) []Claim
	list     []Claim // of the row that is looked at
	seed     maphash.Seed
	blocks   []block
	deferred map[int64]bool   // ordinals of rows that were put off
	first    map[string]int64 // a claim of theirs → the first line that makes it
}

// block is a cache line of a blocked Bloom filter.
type block [8]uint64

// The filter has some 16 bits for each claim, of two that a row of 40 bytes makes; 32 MB tell the rows
// of ten million such.
const (
	bytesPerBlock = 40 * 512 / (2 * 16)
	maxBlocks     = 32 << 20 / 64
	minBlocks     = 1 << 10
)

func newDuplicates[R Incoming](fileSize int64, claims func(R, []Claim) []Claim) *duplicates[R] {
	n := min(max(fileSize/bytesPerBlock, minBlocks), maxBlocks)
	return &duplicates[R]{
		claims: claims, seed: maphash.MakeSeed(), blocks: make([]block, n),
		deferred: map[int64]bool{}, first: map[string]int64{},
	}
}

// key tells claims apart.
func (c Claim) key() string { return c.Field + "\x00" + cmp.Or(c.Key, c.Value) }

// add notes a claim, and says whether it may have been there before.
func (d *duplicates[R]) add(c Claim) bool {
	h := maphash.String(d.seed, c.key())
	at, _ := bits.Mul64(h, uint64(len(d.blocks)))
	b := &d.blocks[at]
	h *= 0x9e3779b97f4a7c15 // the block took the upper bits
	was := true
	for range 6 {
		word, bit := h>>61, h>>55&63
		was = was && b[word]>>bit&1 == 1
		b[word] |= 1 << bit
		h *= 0xd1342543de82ef95
		h ^= h >> 32
	}
	return was
}

// of returns what a row claims, until the next row is asked about.
func (d *duplicates[R]) of(in R) []Claim {
	d.list = d.claims(in, d.list[:0])
	return d.list
}

// putOff says whether a row can be applied in the first pass: it claims nothing that an earlier one may
// have claimed.
func (d *duplicates[R]) putOff(in R) bool {
	row := in.Base()
	if row.Failure != nil {
		return true
	}
	suspect := false
	for _, c := range d.of(in) {
		if d.add(c) {
			suspect = true
			d.first[c.key()] = 0
		}
	}
	if suspect && !row.Done {
		d.deferred[row.Ordinal] = true
		return false
	}
	return true
}

// resolve finds the first line of each claim in doubt, in one more reading.
func (d *duplicates[R]) resolve(in R) error {
	row := in.Base()
	if row.Failure != nil {
		return nil
	}
	for _, c := range d.of(in) {
		if at, doubted := d.first[c.key()]; doubted && at == 0 {
			d.first[c.key()] = row.Raw.Line
		}
	}
	return nil
}

// judge picks the rows that were put off, and fails those that are second.
func (d *duplicates[R]) judge(in R) bool {
	if !d.deferred[in.Base().Ordinal] {
		return false
	}
	d.check(in)
	return true
}

// check fails a row whose claim an earlier line makes.
func (d *duplicates[R]) check(in R) {
	row := in.Base()
	for _, c := range d.of(in) {
		if at := d.first[c.key()]; at != 0 && at < row.Raw.Line {
			row.Fail(c.Field, c.Value, fault.New(fault.AlreadyExists, "%s %q stands on line %d already", c.Field, c.Value, at), nil)
			return
		}
	}
}

package users

import (
	"hash/maphash"
	"math/bits"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// duplicates finds rows that claim what an earlier row of the file claims, in memory that does not grow
// with the file. A filter that never misses one tells rows that cannot be from those that may be; the
// latter are put off, and once the file has been read, one more reading settles them exactly.
type duplicates struct {
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

func newDuplicates(fileSize int64) *duplicates {
	n := min(max(fileSize/bytesPerBlock, minBlocks), maxBlocks)
	return &duplicates{
		seed: maphash.MakeSeed(), blocks: make([]block, n),
		deferred: map[int64]bool{}, first: map[string]int64{},
	}
}

// claims are what only one user may have, as a row names them.
func (in *incoming) claims() []claim {
	list := make([]claim, 0, 4)
	u := &in.user
	if u.ID != [16]byte{} {
		list = append(list, claim{"id", u.ID.String()})
	}
	if u.Username != "" {
		list = append(list, claim{"username", u.Username})
	}
	if u.Email != "" {
		list = append(list, claim{"email", u.Email})
	}
	if u.SSOProvider != nil && in.sso != "" {
		list = append(list, claim{"sso_subject", *u.SSOProvider + "\x00" + in.sso})
	}
	return list
}

type claim struct{ field, value string }

func (c claim) key() string { return c.field + "\x00" + c.value }

// add notes a claim, and says whether it may have been there before.
func (d *duplicates) add(c claim) bool {
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

// putOff says whether a row can be applied in the first pass: it claims nothing that an earlier one may
// have claimed.
func (d *duplicates) putOff(in *incoming) bool {
	if in.failure != nil {
		return true
	}
	suspect := false
	for _, c := range in.claims() {
		if d.add(c) {
			suspect = true
			d.first[c.key()] = 0
		}
	}
	if suspect && !in.done {
		d.deferred[in.ordinal] = true
		return false
	}
	return true
}

// resolve finds the first line of each claim in doubt, in one more reading.
func (d *duplicates) resolve(in *incoming) error {
	if in.failure != nil {
		return nil
	}
	for _, c := range in.claims() {
		if at, doubted := d.first[c.key()]; doubted && at == 0 {
			d.first[c.key()] = in.row.Line
		}
	}
	return nil
}

// judge picks the rows that were put off, and fails those that are second.
func (d *duplicates) judge(in *incoming) bool {
	if !d.deferred[in.ordinal] {
		return false
	}
	d.check(in)
	return true
}

// check fails a row whose claim an earlier line makes.
func (d *duplicates) check(in *incoming) {
	for _, c := range in.claims() {
		if at := d.first[c.key()]; at != 0 && at < in.row.Line {
			value := c.value
			if c.field == "sso_subject" {
				value = in.sso
			}
			in.fail(c.field, value, fault.New(fault.AlreadyExists, "%s %q stands on line %d already", c.field, value, at), nil)
			return
		}
	}
}

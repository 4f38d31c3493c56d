package importer

import (
	"hash/maphash"
	"math/bits"
)

// seen is an approximate set of unique values in bounded memory: no false negatives, and about one false positive per
// hundred files of a million rows while 32 bits of each hash fit, then one in a few thousand values. A false positive
// costs another pass over the file.
type seen struct {
	seed   maphash.Seed
	prints [][]uint32 // tables of fingerprints, each twice as large as the previous one; 0 is an empty slot
	in     int        // number of entries in the last one
	room   int        // number of slots that more tables may have
	blocks []block    // the overflow; nil while there is room
}

// block is a cache line of a blocked Bloom filter.
type block [8]uint64

// A row of 80 bytes has two unique values, for which the first table has room. Compressed files and shorter rows need
// more tables.
const (
	bytesPerPlace = 32
	minPlaces     = 1 << 12
	maxPlaces     = 16 << 20 / 4
	maxBlocks     = 32 << 20 / 64 // enough for ten million such rows, with 16 bits per value
)

func newSeen(fileSize int64, room int) *seen {
	s := &seen{seed: maphash.MakeSeed(), room: room}
	s.grow(int(min(max(fileSize/bytesPerPlace, minPlaces), maxPlaces)))
	return s
}

// grow adds a table of this many slots, or of as many as fit.
func (s *seen) grow(places int) {
	if places = min(places, s.room); places == 0 {
		s.blocks = make([]block, maxBlocks)
		return
	}
	s.room -= places
	s.prints, s.in = append(s.prints, make([]uint32, places)), 0
}

// add adds a value and reports whether it may have been present.
func (s *seen) add(c UniqueKey) bool {
	var hash maphash.Hash
	hash.SetSeed(s.seed)
	_, _ = hash.WriteString(c.Field)
	_ = hash.WriteByte(0)
	_, _ = hash.WriteString(c.key())
	h := hash.Sum64()
	print := max(uint32(h*0x9e3779b97f4a7c15>>32), 1) // the slot uses the upper bits
	var at uint64
	var last []uint32
	for _, last = range s.prints {
		at, _ = bits.Mul64(h, uint64(len(last)))
		for last[at] != 0 {
			if last[at] == print {
				return true
			}
			if at++; at == uint64(len(last)) {
				at = 0
			}
		}
	}
	if s.blocks != nil {
		return s.addBlock(h)
	}
	last[at] = print
	if s.in++; s.in >= len(last)/8*7 {
		s.grow(2 * len(last))
	}
	return false
}

// addBlock is add for the Bloom filter.
func (s *seen) addBlock(h uint64) bool {
	at, _ := bits.Mul64(h, uint64(len(s.blocks)))
	b := &s.blocks[at]
	h *= 0x9e3779b97f4a7c15 // the block used the upper bits
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

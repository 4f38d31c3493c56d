package importer

import (
	"hash/maphash"
	"math/bits"
)

// seen remembers claims, in memory that is bounded, and never misses one that it was told of. It takes a new
// claim for one that it knows once in some hundred files of a million rows, as long as it has room for 32 bits of each
// claim's hash; beyond, once in a few thousand claims. Each such mistake is put right by reading the file again, which
// for a large file costs more than all that remembering does.
type seen struct {
	seed   maphash.Seed
	prints [][]uint32 // tables of fingerprints, each twice as large as the one before; 0 is an empty place
	in     int        // how many the last one holds
	room   int        // how many places further tables may have
	blocks []block    // what there is no room for; nil while there is
}

// block is a cache line of a blocked Bloom filter.
type block [8]uint64

// A row of 80 bytes makes two claims, for which the first table has room. A file that is compressed, or has shorter
// rows, needs further ones.
const (
	bytesPerPlace = 32
	minPlaces     = 1 << 12
	maxPlaces     = 16 << 20 / 4
	maxBlocks     = 32 << 20 / 64 // tells the rows of ten million such apart, with 16 bits for each claim
)

func newSeen(fileSize int64, room int) *seen {
	s := &seen{seed: maphash.MakeSeed(), room: room}
	s.grow(int(min(max(fileSize/bytesPerPlace, minPlaces), maxPlaces)))
	return s
}

// grow begins a table of so many places, or of those that there is room for.
func (s *seen) grow(places int) {
	if places = min(places, s.room); places == 0 {
		s.blocks = make([]block, maxBlocks)
		return
	}
	s.room -= places
	s.prints, s.in = append(s.prints, make([]uint32, places)), 0
}

// add notes a claim, and says whether it may have been there before.
func (s *seen) add(c UniqueKey) bool {
	var hash maphash.Hash
	hash.SetSeed(s.seed)
	_, _ = hash.WriteString(c.Field)
	_ = hash.WriteByte(0)
	_, _ = hash.WriteString(c.key())
	h := hash.Sum64()
	print := max(uint32(h*0x9e3779b97f4a7c15>>32), 1) // the place takes the upper bits
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

// addBlock is add where only bits of a block are kept.
func (s *seen) addBlock(h uint64) bool {
	at, _ := bits.Mul64(h, uint64(len(s.blocks)))
	b := &s.blocks[at]
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

package importer

import (
	"cmp"
	"hash/maphash"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// seen maps hashes of unique values to the first line with them. The seed differs between runs, so two values with the
// same hash, of which there are about one in ten million files of a million rows, do not clash again.
type seen struct {
	seed  maphash.Seed
	lines map[uint64]int64
	list  []UniqueKey // of the current row
}

func newSeen() *seen { return &seen{seed: maphash.MakeSeed(), lines: map[uint64]int64{}} }

// key returns the value that has to be unique in the field.
func (c UniqueKey) key() string { return cmp.Or(c.Key, c.Value) }

func (s *seen) hash(c UniqueKey) uint64 {
	var hash maphash.Hash
	hash.SetSeed(s.seed)
	_, _ = hash.WriteString(c.Field)
	_ = hash.WriteByte(0)
	_, _ = hash.WriteString(c.key())
	return hash.Sum64()
}

// check fails a row if an earlier line has one of its unique values, unless it was applied before.
func (s *seen) check(row *Row, keys []UniqueKey) {
	for _, c := range keys {
		hash := s.hash(c)
		first, found := s.lines[hash]
		switch {
		case !found:
			s.lines[hash] = row.Raw.Line
		case first < row.Raw.Line && !row.Done && row.Failure == nil:
			row.Fail(c.Field, c.Value, fault.New(fault.AlreadyExists, "%s %q is already on line %d", c.Field, c.Value, first), nil)
		}
	}
}

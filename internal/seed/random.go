package seed

import (
	"math/rand/v2"
	"time"
)

// today is the day on which the demo data was last true. It is fixed, or no two loads were alike.
var today = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// history is how far back users and invoices reach.
const history = 3 * 365 * 24 * time.Hour

// seed makes the demo data what it is; it spells "cxgctl".
const seed = 0x63786763746c

// kind names a sequence of rows; each row draws from a stream of its own, so that any row, or only
// its id, can be made without those before it.
type kind uint64

const (
	kindUser kind = iota + 1
	kindTenant
	kindPlan
	kindSubscription
	kindMember
	kindInvoice
	kindTenantUser
)

type uuid [16]byte

// id returns the i-th row's id, shaped like a random one (RFC 9562, version 4).
func (k kind) id(i int) uuid {
	var p rand.PCG
	p.Seed(seed^uint64(k)<<56, uint64(i))
	var id uuid
	for b, hi, lo := 0, p.Uint64(), p.Uint64(); b < 8; b++ {
		id[b], id[8+b] = byte(hi>>(8*b)), byte(lo>>(8*b))
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// dice is where a row's values are drawn from.
type dice struct {
	pcg rand.PCG
	*rand.Rand
}

func newDice() *dice {
	d := &dice{}
	d.Rand = rand.New(&d.pcg)
	return d
}

// turn makes d the stream of the i-th row of a kind.
func (d *dice) turn(k kind, i int) { d.pcg.Seed(seed^uint64(k)<<48, uint64(i)) }

// percent is true in p of a hundred throws.
func (d *dice) percent(p int) bool { return d.IntN(100) < p }

// pick returns one of list.
func pick[T any](d *dice, list []T) T { return list[d.IntN(len(list))] }

// between returns a moment from a on and before b, to the microsecond; a where b is not later.
func (d *dice) between(a, b time.Time) time.Time {
	span := b.Sub(a) / time.Microsecond
	if span <= 0 {
		return a
	}
	return a.Add(time.Duration(d.Int64N(int64(span))) * time.Microsecond)
}

// slot returns the i-th of n even parts of the history, from and to.
func slot(i, n int) (from, to time.Time) {
	start, step := today.Add(-history), history/time.Duration(n)
	return start.Add(time.Duration(i) * step), start.Add(time.Duration(i+1) * step)
}

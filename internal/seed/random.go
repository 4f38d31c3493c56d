package seed

import (
	"math/rand/v2"
	"time"
)

// today is the current day in the demo data. It is fixed, so that all loads are the same.
var today = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// history is the age of the oldest users and invoices.
const history = 3 * 365 * 24 * time.Hour

// seed determines the demo data; it spells "cxgctl".
const seed = 0x63786763746c

// kind identifies a sequence of rows. Each row has its own random stream, so that any row or id can be generated
// without the previous ones.
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

// id returns the i-th row's id in the form of a random UUID (RFC 9562, version 4).
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

// dice is the random source of a row.
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

// percent returns true with a probability of p percent.
func (d *dice) percent(p int) bool { return d.IntN(100) < p }

// pick returns a random element of list.
func pick[T any](d *dice, list []T) T { return list[d.IntN(len(list))] }

// between returns a time from a on and before b, in microseconds, or a if b is not later.
func (d *dice) between(a, b time.Time) time.Time {
	span := b.Sub(a) / time.Microsecond
	if span <= 0 {
		return a
	}
	return a.Add(time.Duration(d.Int64N(int64(span))) * time.Microsecond)
}

// slot returns the start and end of the i-th of n equal parts of the history.
func slot(i, n int) (from, to time.Time) {
	start, step := today.Add(-history), history/time.Duration(n)
	return start.Add(time.Duration(i) * step), start.Add(time.Duration(i+1) * step)
}

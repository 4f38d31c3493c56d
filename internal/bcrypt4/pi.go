package bcrypt4

import (
	"math/big"
	"sync"
)

// initial returns the state that Blowfish begins with: the digits of pi behind the point, in base 2^32,
// first the subkeys, then the S-boxes. They are computed, which takes milliseconds, once.
var initial = sync.OnceValue(func() *state {
	const size = 18 + 4*256
	digits := fraction(size)
	s := new(state)
	copy(s.p[:], digits)
	for box := range s.s {
		copy(s.s[box][:], digits[18+256*box:])
	}
	return s
})

// fraction returns so many words of pi's fraction, by Machin's formula: pi = 16 atan(1/5) - 4 atan(1/239).
func fraction(size int) []uint32 {
	const spare = 64 // bits for what rounding loses
	bits := uint(32*size + spare)
	pi := new(big.Int).Mul(big.NewInt(16), arctanInverse(5, bits))
	pi.Sub(pi, new(big.Int).Mul(big.NewInt(4), arctanInverse(239, bits)))
	pi.Sub(pi, new(big.Int).Lsh(big.NewInt(3), bits))
	pi.Rsh(pi, spare)
	out := make([]uint32, size)
	mask, word := big.NewInt(0xffffffff), new(big.Int)
	for i := size - 1; i >= 0; i-- {
		out[i] = uint32(word.And(pi, mask).Uint64())
		pi.Rsh(pi, 32)
	}
	return out
}

// arctanInverse is atan(1/n), scaled by 2^bits.
func arctanInverse(n int64, bits uint) *big.Int {
	square := big.NewInt(n * n)
	power := new(big.Int).Lsh(big.NewInt(1), bits)
	power.Quo(power, big.NewInt(n))
	total, term := new(big.Int).Set(power), new(big.Int)
	for k := int64(3); ; k += 2 {
		power.Quo(power, square)
		if power.Sign() == 0 {
			return total
		}
		term.Quo(power, big.NewInt(k))
		if k%4 == 3 {
			total.Sub(total, term)
		} else {
			total.Add(total, term)
		}
	}
}

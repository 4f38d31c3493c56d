// Package bcrypt4 computes bcrypt hashes four at a time on one core. One bcrypt waits for its own table
// look-ups most of the time, so four that have nothing to do with each other take little longer than one.
// The hashes are bit for bit those of golang.org/x/crypto/bcrypt: known answers are checked before the
// first use, and one hash in 256 is verified by that package while the program runs. It is for many
// passwords at once; a single one is hashed by x/crypto.
//
// Written from the algorithm as published: Provos and Mazières, "A Future-Adaptable Password Scheme",
// USENIX 1999, and Schneier, "Description of a New Variable-Length Key, 64-Bit Block Cipher", 1993.
package bcrypt4

import (
	"encoding/base64"
	"encoding/binary"
)

// state is Blowfish's: the subkeys and the four S-boxes. Each of the four hashes has one of its own.
type state struct {
	p [18]uint32
	s [4][256]uint32
}

// words is a key or a salt as 18 words, repeated as often as it takes to fill them.
func words(key []byte) (w [18]uint32) {
	at := 0
	for i := range w {
		for range 4 {
			w[i] = w[i]<<8 | uint32(key[at])
			if at++; at == len(key) {
				at = 0
			}
		}
	}
	return w
}

// pair is the two halves of a block, for each of the four.
type pair struct{ al, ar, bl, br, cl, cr, dl, dr uint32 }

// f is Blowfish's round function over one state.
func (s *state) f(x uint32) uint32 {
	return ((s.s[0][x>>24] + s.s[1][byte(x>>16)]) ^ s.s[2][byte(x>>8)]) + s.s[3][byte(x)]
}

// encrypt encrypts one block with each state. The four stand side by side in every round, so that the
// look-ups of one are under way while the others' are waited for.
func encrypt(a, b, c, d *state, x *pair) {
	al, bl, cl, dl := x.al^a.p[0], x.bl^b.p[0], x.cl^c.p[0], x.dl^d.p[0]
	ar, br, cr, dr := x.ar, x.br, x.cr, x.dr
	for i := 1; i < 17; i += 2 {
		ar ^= a.f(al) ^ a.p[i]
		br ^= b.f(bl) ^ b.p[i]
		cr ^= c.f(cl) ^ c.p[i]
		dr ^= d.f(dl) ^ d.p[i]
		al ^= a.f(ar) ^ a.p[i+1]
		bl ^= b.f(br) ^ b.p[i+1]
		cl ^= c.f(cr) ^ c.p[i+1]
		dl ^= d.f(dr) ^ d.p[i+1]
	}
	x.al, x.bl, x.cl, x.dl = ar^a.p[17], br^b.p[17], cr^c.p[17], dr^d.p[17]
	x.ar, x.br, x.cr, x.dr = al, bl, cl, dl
}

// four is the states of four hashes.
type four [4]state

// expand replaces all subkeys and S-boxes by the cipher's own output, after the keys went into the
// subkeys. Where salts are given, they go into what is encrypted.
func (q *four) expand(keys *[4][18]uint32, salts *[4][18]uint32) {
	a, b, c, d := &q[0], &q[1], &q[2], &q[3]
	for i := range 18 {
		a.p[i] ^= keys[0][i]
		b.p[i] ^= keys[1][i]
		c.p[i] ^= keys[2][i]
		d.p[i] ^= keys[3][i]
	}
	var x pair
	turn := 0
	mix := func() {
		if salts == nil {
			return
		}
		x.al ^= salts[0][turn]
		x.ar ^= salts[0][turn+1]
		x.bl ^= salts[1][turn]
		x.br ^= salts[1][turn+1]
		x.cl ^= salts[2][turn]
		x.cr ^= salts[2][turn+1]
		x.dl ^= salts[3][turn]
		x.dr ^= salts[3][turn+1]
		turn ^= 2 // a salt is four words
	}
	for i := 0; i < 18; i += 2 {
		mix()
		encrypt(a, b, c, d, &x)
		a.p[i], a.p[i+1] = x.al, x.ar
		b.p[i], b.p[i+1] = x.bl, x.br
		c.p[i], c.p[i+1] = x.cl, x.cr
		d.p[i], d.p[i+1] = x.dl, x.dr
	}
	for box := range 4 {
		sa, sb, sc, sd := &a.s[box], &b.s[box], &c.s[box], &d.s[box]
		for i := 0; i < 256; i += 2 {
			mix()
			encrypt(a, b, c, d, &x)
			sa[i], sa[i+1] = x.al, x.ar
			sb[i], sb[i+1] = x.bl, x.br
			sc[i], sc[i+1] = x.cl, x.cr
			sd[i], sd[i+1] = x.dl, x.dr
		}
	}
}

// saltSize is bcrypt's, in bytes.
const saltSize = 16

// text is what bcrypt encrypts at the end.
const text = "OrpheanBeholderScryDoubt"

// alphabet is bcrypt's own of base64.
var alphabet = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// sum returns the 23 bytes of each hash. Passwords have at most 72 bytes and no NUL.
func sum(passwords *[4]string, salts *[4][saltSize]byte, cost int) (sums [4][23]byte) {
	q := new(four)
	var keys, saltWords [4][18]uint32
	for i := range q {
		q[i] = *initial()
		key := append([]byte(passwords[i]), 0)
		keys[i] = words(key)
		clear(key)
		saltWords[i] = words(salts[i][:])
	}
	q.expand(&keys, &saltWords)
	for range uint64(1) << cost {
		q.expand(&keys, nil)
		q.expand(&saltWords, nil)
	}
	for at := 0; at < len(text); at += 8 {
		l, r := binary.BigEndian.Uint32([]byte(text[at:])), binary.BigEndian.Uint32([]byte(text[at+4:]))
		x := pair{l, r, l, r, l, r, l, r}
		for range 64 {
			encrypt(&q[0], &q[1], &q[2], &q[3], &x)
		}
		for i, lr := range [4][2]uint32{{x.al, x.ar}, {x.bl, x.br}, {x.cl, x.cr}, {x.dl, x.dr}} {
			var out [8]byte
			binary.BigEndian.PutUint32(out[:], lr[0])
			binary.BigEndian.PutUint32(out[4:], lr[1])
			copy(sums[i][at:], out[:]) // the last byte of 24 is dropped
		}
	}
	return sums
}

// encode is a hash in the form that the backend writes: for passwords of at most 72 bytes $2a$ and $2b$
// are the same function.
func encode(cost int, salt [saltSize]byte, sum [23]byte) string {
	b := append([]byte("$2b$"), byte('0'+cost/10), byte('0'+cost%10), '$')
	b = alphabet.AppendEncode(b, salt[:])
	return string(alphabet.AppendEncode(b, sum[:]))
}

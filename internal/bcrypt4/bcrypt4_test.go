package bcrypt4

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// The digits that every implementation of Blowfish carries in a table.
func TestPiDigits(t *testing.T) {
	s := initial()
	for _, v := range []struct {
		what      string
		got, want uint32
	}{
		{"the first subkey", s.p[0], 0x243f6a88},
		{"the last subkey", s.p[17], 0x8979fb1b},
		{"the first word of the first box", s.s[0][0], 0xd1310ba6},
		{"the last word of the last box", s.s[3][255], 0x3ac372e6},
	} {
		if v.got != v.want {
			t.Errorf("%s is %#x, want %#x", v.what, v.got, v.want)
		}
	}
}

func TestKnownAnswers(t *testing.T) {
	for _, v := range vectors {
		if err := bcrypt.CompareHashAndPassword([]byte(v.hash), []byte(v.password)); err != nil {
			t.Errorf("x/crypto does not know the answer for %q: %v", v.password, err)
		}
	}
	if err := knownAnswers(); err != nil {
		t.Error(err)
	}
}

// Every hash of a pool verifies, in order, whatever the number of passwords: a quick run leaves each remainder of four once.
func TestPoolHashesAreVerifiedByTheReference(t *testing.T) {
	for _, reference := range []bool{false, true} {
		p, err := NewPool(bcrypt.MinCost, reference)
		if err != nil {
			t.Fatal(err)
		}
		var passwords []string
		for n := range 23 {
			passwords = append(passwords, strings.Repeat("Ä7x", n)) // up to 88 bytes
		}
		if _, err := p.Hash(t.Context(), passwords); err == nil {
			t.Error("a password of more than 72 bytes is hashed")
		}
		passwords = passwords[:19]
		for n := 0; n < len(passwords); n += dbtest.Repeat(1, 5) {
			hashes, err := p.Hash(t.Context(), passwords[:n])
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range hashes {
				if err := bcrypt.CompareHashAndPassword([]byte(h), []byte(passwords[i])); err != nil {
					t.Errorf("hash %d of %d: %v", i, n, err)
				}
				if !strings.HasPrefix(h, "$2b$04$") || len(h) != 60 {
					t.Errorf("hash of the form %q", h[:7])
				}
			}
		}
	}
}

func TestPoolRefusesNUL(t *testing.T) {
	p, err := NewPool(bcrypt.MinCost, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Hash(t.Context(), []string{"a\x00b"}); err == nil {
		t.Error("a password with a NUL is hashed")
	}
}

// FuzzSameAsReference compares all four lanes with x/crypto for the same salt.
func FuzzSameAsReference(f *testing.F) {
	f.Add("U*U", "", "päss", strings.Repeat("x", 72), []byte("0123456789abcdef"))
	f.Add("\xff\xa3345", "\xa3", "a", strings.Repeat("\xaa", 72), []byte{})
	f.Fuzz(func(t *testing.T, a, b, c, d string, seed []byte) {
		passwords := [4]string{a, b, c, d}
		var salts [4][saltSize]byte
		for i := range passwords {
			passwords[i] = strings.ReplaceAll(passwords[i], "\x00", "0")
			if len(passwords[i]) > maxBytes {
				passwords[i] = passwords[i][:maxBytes]
			}
			for j := range salts[i] {
				if len(seed) > 0 {
					salts[i][j] = seed[(i*7+j)%len(seed)] + byte(i)
				}
			}
		}
		for i, s := range sum(&passwords, &salts, bcrypt.MinCost) {
			if err := bcrypt.CompareHashAndPassword([]byte(encode(bcrypt.MinCost, salts[i], s)), []byte(passwords[i])); err != nil {
				t.Errorf("lane %d: %v", i, err)
			}
		}
	})
}

func BenchmarkFourHashes(b *testing.B) {
	passwords := [4]string{"one", "two", "three", "four"}
	var salts [4][saltSize]byte
	initial()
	b.ReportAllocs()
	for b.Loop() {
		sum(&passwords, &salts, 10)
	}
}

func BenchmarkReference(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bcrypt.GenerateFromPassword([]byte("one"), 10); err != nil {
			b.Fatal(err)
		}
	}
}

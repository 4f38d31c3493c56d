package bcrypt4

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// Pool hashes many passwords on all cores.
type Pool struct {
	cost      int
	reference bool // x/crypto alone
	made      atomic.Uint64
}

// verifyEvery is how many hashes there are to one that x/crypto verifies.
const verifyEvery = 256

// NewPool returns a pool for hashes of a cost. With reference it uses x/crypto alone. Otherwise it first
// checks known answers, and fails if one is wrong.
func NewPool(cost int, reference bool) (*Pool, error) {
	if cost < bcrypt.MinCost || cost > bcrypt.MaxCost {
		return nil, fmt.Errorf("bcrypt takes no cost of %d", cost)
	}
	p := &Pool{cost: cost, reference: reference}
	if reference {
		return p, nil
	}
	return p, knownAnswers()
}

// vectors are known answers, from the test vectors of crypt_blowfish (openwall.com).
var vectors = [4]struct{ password, hash string }{
	{"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
	{"U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
	{"U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"},
	{"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"},
}

var errWrong = errors.New("the fast bcrypt computes a wrong hash on this machine; use --bcrypt reference and report it")

// knownAnswers checks the vectors, once.
var knownAnswers = sync.OnceValue(func() error {
	var passwords [4]string
	var salts [4][saltSize]byte
	for i, v := range vectors {
		passwords[i] = v.password
		if _, err := alphabet.Decode(salts[i][:], []byte(v.hash[7:29])); err != nil {
			return err
		}
	}
	for i, s := range sum(&passwords, &salts, 5) {
		if got := encode(5, salts[i], s); got[4:] != vectors[i].hash[4:] {
			return errWrong
		}
	}
	return nil
})

// maxBytes is what bcrypt reads of a password.
const maxBytes = 72

// Hash returns the hashes of the passwords, in their order, under the prefix $2b$.
func (p *Pool) Hash(ctx context.Context, passwords []string) ([]string, error) {
	for _, pw := range passwords {
		if len(pw) > maxBytes || strings.IndexByte(pw, 0) >= 0 {
			return nil, errors.New("bcrypt takes no password of more than 72 bytes or with a NUL")
		}
	}
	hashes := make([]string, len(passwords))
	group := 4
	if p.reference {
		group = 1
	}
	var next atomic.Int64
	workers := min(runtime.GOMAXPROCS(0), (len(passwords)+group-1)/group)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for errs[w] == nil {
				from := int(next.Add(int64(group))) - group
				if from >= len(passwords) {
					return
				}
				to := min(from+group, len(passwords))
				if errs[w] = context.Cause(ctx); errs[w] == nil {
					errs[w] = p.some(passwords[from:to], hashes[from:to])
				}
			}
		})
	}
	wait.Wait()
	return hashes, errors.Join(errs...)
}

// some hashes one to four passwords.
func (p *Pool) some(passwords, hashes []string) error {
	if len(passwords) == 1 || p.reference {
		for i, pw := range passwords {
			h, err := bcrypt.GenerateFromPassword([]byte(pw), p.cost)
			if err != nil {
				return err
			}
			hashes[i] = "$2b$" + strings.TrimPrefix(string(h), "$2a$")
		}
		return nil
	}
	var four [4]string
	var salts [4][saltSize]byte
	copy(four[:], passwords) // what is left of four is the empty password
	for i := range salts {
		if _, err := rand.Read(salts[i][:]); err != nil {
			return err
		}
	}
	sums := sum(&four, &salts, p.cost)
	for i := range passwords {
		hashes[i] = encode(p.cost, salts[i], sums[i])
		if p.made.Add(1)%verifyEvery != 1 {
			continue
		}
		if bcrypt.CompareHashAndPassword([]byte(hashes[i]), []byte(passwords[i])) != nil {
			return errWrong
		}
	}
	return nil
}

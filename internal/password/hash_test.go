package password

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestHashAll(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7} {
		passwords := make([]string, n)
		for i := range passwords {
			passwords[i] = fmt.Sprintf("Correct-Horse-%d", i)
		}
		hashes, err := HashAll(t.Context(), passwords, bcrypt.MinCost)
		if err != nil || len(hashes) != n {
			t.Fatalf("%d passwords: %d hashes, %v", n, len(hashes), err)
		}
		for i, hash := range hashes {
			if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(passwords[i])); err != nil {
				t.Errorf("hash %d of %d: %v", i, n, err)
			}
		}
	}
}

func TestHashAll_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if hashes, err := HashAll(ctx, []string{"Correct-Horse-1"}, bcrypt.MinCost); err == nil || hashes != nil {
		t.Errorf("%d hashes, %v", len(hashes), err)
	}
}

package password

import (
	"strings"
	"testing"

	"github.com/trustelem/zxcvbn/frequency"

	"github.com/cxgctl/cxgctl/internal/fault"
)

func TestCommonPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	for _, pw := range frequency.FrequencyLists["passwords"][:10000] {
		if listed, err := common(strings.ToUpper(pw)); err != nil || !listed {
			t.Fatalf("%q is not on the list: %v", pw, err)
		}
	}
	for _, pw := range []string{"Password1", "PASSWORD1", "Qwerty123", "Abcd1234", "passw0rd"} {
		err := Check(pw)
		if !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "most common passwords") {
			t.Errorf("%s: %v", pw, err)
		}
		if err != nil && strings.Contains(err.Error(), pw) {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
	for _, pw := range []string{"Canary-Horse-1", "Wq7-tiger-Lamp"} {
		if err := Check(pw); err != nil {
			t.Errorf("%s: %v", pw, err)
		}
	}
	for range 100 {
		pw, err := Generate()
		if err != nil || Check(pw) != nil {
			t.Errorf("a random password is refused: %v, %v", Check(pw), err)
		}
	}
}

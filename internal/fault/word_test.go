package fault_test

import (
	"os/exec"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// The shell parses the result of Word as a single word with the original value.
func TestWord(t *testing.T) {
	for _, name := range []string{
		"ada", "a.b-c+d@example.com", "", "a b", "$(id)", "`id`", "a;id", "a'b", `a"b`, `a\`, "a\nid", "a#b", "#a", "~", "*", "a&b", "a|b", "a>b", "$HOME", "!!", "{a,b}",
	} {
		out, err := exec.Command("sh", "-c", `printf %s `+fault.Word(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q: the shell prints %q (%v)", name, out, err)
		}
	}
}

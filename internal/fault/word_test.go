package fault_test

import (
	"os/exec"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// C2: a shell reads back the one word that was meant, and nothing more.
func TestWord(t *testing.T) {
	for _, name := range []string{
		"ada", "a.b-c+d@example.com", "", "a b", "$(id)", "`id`", "a;id", "a'b", `a"b`, `a\`, "a\nid", "a#b", "#a", "~", "*", "a&b", "a|b", "a>b", "$HOME", "!!", "{a,b}",
	} {
		out, err := exec.Command("sh", "-c", `printf %s `+fault.Word(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q: the shell reads %q (%v)", name, out, err)
		}
	}
}

package password

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// others are bcrypt implementations in other languages. Each reads a password and a hash, one per line, and prints
// true if they match. The backend uses Python's.
var others = map[string][]string{
	"python3-bcrypt": {"python3", "-c", `import sys, bcrypt
p, h = sys.stdin.buffer.read().split(b"\n")[:2]
print(str(bcrypt.checkpw(p, h)).lower())`},
	"libxcrypt": {"perl", "-e", `my ($p, $h) = map { chomp; $_ } <STDIN>; print crypt($p, $h) eq $h ? "true" : "false"`},
}

func TestHashesAreAcceptedElsewhere(t *testing.T) {
	t.Parallel()
	asked := 0
	for name, argv := range others {
		for pw, right := range map[string]bool{"Canary-Horse-1": true, "Käse-Brot-9": true, strings.Repeat("aB3", 24): true, "Canary-Horse-2": false} {
			hashed := pw
			if !right {
				hashed = "Canary-Horse-1"
			}
			hash, err := Hash(hashed, 4)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
			cmd.Stdin = strings.NewReader(pw + "\n" + hash + "\n")
			out, err := cmd.Output()
			if err != nil {
				t.Logf("%s is not installed: %v", name, err)
				break
			}
			asked++
			if got := strings.TrimSpace(string(out)); got != fmt.Sprint(right) {
				t.Errorf("%s prints %s, want %t", name, got, right)
			}
		}
	}
	t.Logf("%d answers from other implementations", asked)
}

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// exitLine matches a line of a script that expects an exit code of cxgctl.
var exitLine = regexp.MustCompile(`(?m)^exits (\d+) cxgctl (.+)$`)

// Issue 18: the page of a command names every exit code that the scripts see the command end with.
func TestHelp_NamesExitCodes(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range exitLine.FindAllStringSubmatch(string(text), -1) {
			if !namesExitCode(strings.Fields(line[2]), line[1]) {
				t.Errorf("%s: the help of the command lacks the exit code of: %s", filepath.Base(file), line[0])
			}
		}
	}
}

// namesExitCode reports whether the help of the command in the arguments names an exit code. Signals and arguments that
// name no command are left out.
func namesExitCode(args []string, code string) bool {
	helpTree.Lock()
	defer helpTree.Unlock()
	if helpTree.root == nil {
		helpTree.env = &cmdutil.Env{Getenv: os.Getenv}
		helpTree.root = newRoot(helpTree.env)
	}
	cmd, _, err := helpTree.root.Find(args)
	return err != nil || cmd.HasSubCommands() || len(code) == 3 || slices.Contains(exitCodesOf(helpTree.env, cmd), code)
}

// helpTree is a command tree that runs no command.
var helpTree struct {
	sync.Mutex
	env  *cmdutil.Env
	root *cobra.Command
}

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// leaves calls fn for every command that does something.
func leaves(cmd *cobra.Command, fn func(*cobra.Command)) {
	for _, c := range cmd.Commands() {
		leaves(c, fn)
	}
	if cmd.Runnable() && !cmd.HasSubCommands() {
		fn(cmd)
	}
}

func TestEveryCommandHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var scripts []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, string(text))
	}
	leaves((&app{getenv: os.Getenv}).root(), func(cmd *cobra.Command) {
		var all []string
		for _, s := range scripts {
			if strings.Contains(s, cmd.CommandPath()+" ") || strings.Contains(s, cmd.CommandPath()+"\n") {
				all = append(all, s)
			}
		}
		together := strings.Join(all, "")
		if together == "" {
			t.Errorf("no script runs %q", cmd.CommandPath())
			return
		}
		var want []string
		if cmd.Flags().Lookup("dry-run") != nil {
			want = append(want, "audt.audit_logs", cmd.CommandPath()+" --dry-run", "exits ")
		}
		if cmd.Flags().Lookup("output") != nil {
			want = append(want, "-o json", "-o csv")
		}
		for _, w := range want {
			if !strings.Contains(together, w) {
				t.Errorf("no script of %q has %q", cmd.CommandPath(), w)
			}
		}
	})
}

func TestEveryCommandExplainsItself(t *testing.T) {
	leaves((&app{getenv: os.Getenv}).root(), func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%q has no short help", cmd.CommandPath())
		}
		if cmd.Args == nil && cmd.Name() != "help" && !strings.Contains(cmd.Use, "REF…") {
			t.Errorf("%q accepts any arguments", cmd.CommandPath())
		}
	})
}

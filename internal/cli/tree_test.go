package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

func TestCommands_HaveScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	smoke, err := os.ReadFile("testdata/smoke.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(smoke))
	var scripts, onEachVersion []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, string(text))
		if slices.Contains(names, strings.TrimSuffix(filepath.Base(f), ".txtar")) {
			onEachVersion = append(onEachVersion, string(text))
		}
	}
	if len(onEachVersion) != len(names) {
		t.Errorf("testdata/smoke.txt names %d scripts, %d exist", len(names), len(onEachVersion))
	}
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		path := regexp.QuoteMeta(cmd.CommandPath())
		runs := regexp.MustCompile(`(?m)^(ex(ec|its \d+) )?(sh -c ')?` + path + `(\s|$)`)
		var all []string
		for _, s := range scripts {
			if runs.MatchString(s) {
				all = append(all, s)
			}
		}
		together := strings.Join(all, "")
		if together == "" {
			t.Errorf("no script runs %q", cmd.CommandPath())
			return
		}
		if !slices.ContainsFunc(onEachVersion, runs.MatchString) {
			t.Errorf("no script in testdata/smoke.txt runs %q", cmd.CommandPath())
		}
		// texts that the command's scripts must contain
		want := map[string]string{}
		if cmd.Flags().Lookup("dry-run") != nil {
			want["a dry run"] = path + ` --dry-run`
			want["a look at the audit rows"] = `^sql .*audt\.audit_logs`
			want["a failure with its exit code"] = `^exits \d+ cxgctl.* ?` + strings.TrimPrefix(path, "cxgctl ")
		}
		if cmd.Flags().Lookup("output") != nil {
			want["json"] = path + `(\s.*)? -o json`
			want["csv"] = path + `(\s.*)? -o csv`
		}
		for what, pattern := range want {
			if !regexp.MustCompile(`(?m)` + pattern).MatchString(together) {
				t.Errorf("no script of %q has %s", cmd.CommandPath(), what)
			}
		}
	})
}

func TestCommands_HaveHelp(t *testing.T) {
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%q has no short help", cmd.CommandPath())
		}
		if cmd.Args == nil && cmd.Name() != "help" && !strings.Contains(cmd.Use, "REF…") {
			t.Errorf("%q accepts any arguments", cmd.CommandPath())
		}
	})
}

package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// pages returns every help page at a width, by its command line.
func pages(width int) map[string]string {
	env := &cmdutil.Env{Getenv: os.Getenv, Stdout: io.Discard}
	h := helper{env, newRoot(env), width}
	list := map[string]string{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		list[cmd.CommandPath()+" --help"] = h.page(cmd)
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(h.root)
	for _, name := range topics() {
		text, _ := topic(name)
		list["cxgctl help "+name] = h.topicPage(name, text)
	}
	return list
}

// A-18 N36a: no line of a help page is wider than the screen.
func TestHelp_FitsTheScreen(t *testing.T) {
	for _, width := range []int{60, 80, 100} {
		for name, page := range pages(width) {
			for line := range strings.Lines(page) {
				if w := utf8.RuneCountInString(strings.TrimRight(line, "\n")); w > width {
					t.Errorf("%s at %d columns: %d columns in %q", name, width, w, line)
				}
			}
		}
	}
}

// the global flags are in one topic, and each shared flag is explained by a topic that exists.
func TestHelp_ExplainsSharedFlagsOnce(t *testing.T) {
	for name, page := range pages(80) {
		if name != "cxgctl help flags" && strings.Contains(page, "never prompt, even on a terminal") {
			t.Errorf("%s repeats the global flags", name)
		}
		for _, words := range strings.Split(page, "cxgctl help ")[1:] {
			word, _, _ := strings.Cut(strings.TrimRight(strings.Fields(words)[0], ".,:;)"), "\n")
			if _, ok := topic(word); !ok && word != "TOPIC" && word != "[COMMAND" && word != "users" {
				t.Errorf("%s refers to the topic %q", name, word)
			}
		}
	}
}

// N33: a group without a command is an error, so that a script's typo does not pass.
func TestGroups_NeedACommand(t *testing.T) {
	root := newRoot(&cmdutil.Env{Getenv: os.Getenv})
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.HasSubCommands() && cmd.HasParent() {
			var out, errOut bytes.Buffer
			env := &cmdutil.Env{Context: t.Context(), Args: strings.Fields(cmd.CommandPath())[1:], Getenv: os.Getenv, Stdout: &out, Stderr: &errOut}
			if status := run(env, newRoot(env)); status != 2 || out.Len() > 0 || !strings.Contains(errOut.String(), "the command is missing") {
				t.Errorf("%s: exit code %d, %q, %q", cmd.CommandPath(), status, out.String(), errOut.String())
			}
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

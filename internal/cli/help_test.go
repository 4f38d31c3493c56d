package cli

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// every command has an example.
func TestHelp_HasExamples(t *testing.T) {
	cmdutil.Leaves(newRoot(&cmdutil.Env{Getenv: os.Getenv}), func(cmd *cobra.Command) {
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
	})
}

// cronTime matches the times before the command of a crontab's line.
var cronTime = regexp.MustCompile(`^ *([0-9*/,-]+ ){5}`)

var (
	codeBlock     = regexp.MustCompile("(?ms)^```.*?^```|(?:^    [^\n]*\n)+")
	prompt        = regexp.MustCompile(`(?m)^ *\$ `)
	sampleCommand = regexp.MustCompile(`^([^#]*[ (])?cxgctl `)
)

// samples returns the command lines in the blocks of code of a page. In a block with prompts, the other lines are output.
func samples(page string) (list []string) {
	for _, block := range codeBlock.FindAllString(strings.ReplaceAll(page, "\\\n", ""), -1) {
		hasPrompts := prompt.MatchString(block)
		for line := range strings.Lines(block) {
			command, isPrompted := strings.CutPrefix(strings.TrimLeft(line, " "), "$ ")
			if isPrompted == hasPrompts && sampleCommand.MatchString(command) {
				list = append(list, command)
			}
		}
	}
	return list
}

// commandLines returns the arguments of every cxgctl that a shell runs for the line.
func commandLines(t *testing.T, line string) (list [][]string) {
	t.Helper()
	dir := t.TempDir()
	sh := exec.CommandContext(t.Context(), "sh", "-c", `cxgctl() { printf '%s\0' "$@" > "$(mktemp "$OUT.XXXXXX")"; }
file=new.csv; : > sent.txt; pass() { :; }; curl() { :; }; psql() { cat > psql.out; }
`+cronTime.ReplaceAllString(line, ""))
	sh.Dir, sh.Env = dir, append(os.Environ(), "OUT="+filepath.Join(dir, "out"))
	_ = sh.Run() // files of the example are missing
	files, _ := filepath.Glob(filepath.Join(dir, "out.*"))
	if len(files) == 0 {
		t.Errorf("%s runs no cxgctl", line)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"))
	}
	return list
}

// B-13 and its kind: every example, in help, topics and README, is a command line that cxgctl accepts.
func TestHelp_ExamplesParse(t *testing.T) {
	t.Parallel()
	var examples []string
	cmdutil.Leaves(newRoot(&cmdutil.Env{Getenv: os.Getenv}), func(cmd *cobra.Command) {
		examples = append(examples, strings.Split(strings.ReplaceAll(cmd.Example, "\\\n", ""), "\n")...)
	})
	for _, name := range topics() {
		text, _ := topic(name)
		examples = append(examples, samples(text)...)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples = append(examples, samples(string(readme))...)
	for _, line := range examples {
		for _, args := range commandLines(t, line) {
			root := newRoot(&cmdutil.Env{Getenv: os.Getenv, Args: args})
			cmd, rest, err := root.Find(args)
			for _, check := range []func() error{
				func() error { return err },
				func() error { return cmd.ParseFlags(rest) },
				func() error { return cmd.ValidateArgs(cmd.Flags().Args()) },
				cmd.ValidateRequiredFlags,
				cmd.ValidateFlagGroups,
			} {
				if err := check(); err != nil {
					t.Errorf("%q: %v", line, err)
					break
				}
			}
			if cmd.HasSubCommands() {
				t.Errorf("%q is not a command", line)
			}
			forget(root)
		}
	}
}

// README is short, and names every topic.
func TestReadme_NamesTopics(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(readme); n > 8<<10 {
		t.Errorf("README has %d bytes", n)
	}
	words := regexp.MustCompile(`[a-z-]+`).FindAllString(string(readme), -1)
	for _, name := range topics() {
		if !slices.Contains(words, name) {
			t.Errorf("README does not name the topic %s", name)
		}
	}
}

// Each message in the topic troubleshooting is one of ours.
func TestHelp_TroubleshootingNamesMessages(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := topic("troubleshooting")
	for _, row := range strings.Split(text, "\n| ")[2:] {
		message, _, _ := strings.Cut(row, " | ")
		for part := range strings.SplitSeq(message, "…") {
			if !strings.Contains(source.String(), part) {
				t.Errorf("the message %q is not in the code", message)
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
			if status := runAndForget(env); status != 2 || out.Len() > 0 || !strings.Contains(errOut.String(), "the command is missing") {
				t.Errorf("%s: exit code %d, %q, %q", cmd.CommandPath(), status, out.String(), errOut.String())
			}
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

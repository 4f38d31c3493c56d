package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// answer is the input at a prompt.
type answer struct {
	prompt, keys string
	hidden       bool
}

// TestReadme_FirstSteps runs the commands of "Your own database" in README and in the topic getting-started on a terminal,
// with two empty databases (N1, N7, N8, N15, T8, T11b).
func TestReadme_FirstSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a dev database, as the script dev does")
	}
	t.Parallel()
	const pw = "Correct-Horse-9\n"
	question := answer{prompt: "[y/N] ", keys: "y\n"}
	bootstrap := []answer{
		{prompt: "password: ", keys: pw, hidden: true},
		{prompt: "repeat the password: ", keys: pw, hidden: true},
	}
	login := []answer{{prompt: "assword", keys: pw, hidden: true}}

	t.Run("topic", func(t *testing.T) {
		t.Parallel()
		pair := dbtest.New(t, dbtest.Template{Name: "empty"})
		text, _ := topic("getting-started")
		runFirstSteps(t, pair, text, map[string][]answer{ // by prefix of the command
			"cxgctl auth bootstrap": append(slices.Clone(bootstrap), question),
			"cxgctl auth login":     login,
			"cxgctl migrate up":     {question},
			"cxgctl tenants create": {question},
			"cxgctl auth token":     {question},
		})
		got := ask(t, pair.Manager, `SELECT concat_ws(' ', u.username, t.code, m.status, r.code, g.status, c.username)
			FROM idam.users u JOIN tnnt.tenant_users m ON m.user_id = u.id JOIN tnnt.tenants t ON t.id = m.tenant_id
			JOIN idam.user_roles g ON g.user_id = u.id JOIN idam.roles r ON r.id = g.role_id JOIN idam.users c ON c.id = u.created_by
			WHERE u.username = 'bob'`)
		if want := "bob acme ACTIVE TENANT_USER ACTIVE svc-onboarding"; got != want {
			t.Errorf("the import created %q, want %q", got, want)
		}
	})
	t.Run("README", func(t *testing.T) {
		t.Parallel()
		pair := dbtest.New(t, dbtest.Template{Name: "empty"})
		text, err := os.ReadFile("../../README.md")
		if err != nil {
			t.Fatal(err)
		}
		runFirstSteps(t, pair, string(text), map[string][]answer{
			"cxgctl config init": {
				{prompt: "manager database", keys: pair.Manager + "\n"},
				{prompt: "operator, ", keys: "ada\n"},
				{prompt: "time zone [UTC]: ", keys: "\n"},
			},
			"cxgctl auth bootstrap": bootstrap,
			"cxgctl auth login":     login,
		})
		got := ask(t, pair.Manager, `SELECT concat_ws(' ', u.username, u.department, c.username)
			FROM idam.users u JOIN idam.users c ON c.id = u.updated_by WHERE u.username = 'bob'`)
		if want := "bob Sales ada"; got != want {
			t.Errorf("the first change left %q, want %q", got, want)
		}
	})
}

// runFirstSteps runs the commands of "Your own database" in a page, one after the other, each in the folder that the one
// before left. Answers are by prefix of the command. Every command but doctor exits with 0.
func runFirstSteps(t *testing.T, pair dbtest.Pair, page string, answers map[string][]answer) {
	t.Helper()
	here := strings.NewReplacer(
		"postgres://cxgctl@db1/mgmt", pair.Manager, "postgres://cxgctl@db1/tnnt", pair.Tenants,
		"make build && sudo install bin/cxgctl /usr/local/bin/", "true",
		"vi password", "echo secret > password",
	)

	home := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(bin, "cxgctl")); err != nil {
		t.Fatal(err)
	}

	folder := home
	for _, command := range firstSteps(t, page) {
		p := cxgctl(t, pair)
		p.Path, p.Args = "/bin/bash", []string{"bash", "-c", here.Replace(command) + "\nstatus=$?; pwd > ~/folder; exit $status"}
		p.Dir, p.Env = folder, []string{"HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), "TERM=xterm"}
		sitting := p.onTerminal(t)
		want := 0
		if strings.HasPrefix(command, "cxgctl doctor") {
			want = 9
		}
		for prefix, list := range answers {
			if !strings.HasPrefix(command, prefix) {
				continue
			}
			for _, a := range list {
				sitting.awaits(t, a.prompt).types(t, a.keys, a.hidden)
			}
		}
		sitting.leaves(t, want)
		if t.Failed() {
			t.Fatalf("after: %s", command)
		}
		b, err := os.ReadFile(filepath.Join(home, "folder"))
		if err != nil {
			t.Fatal(err)
		}
		folder = strings.TrimSpace(string(b))
	}
}

// firstSteps returns the commands in the blocks of code of the section "Your own database" of a page, with continuation
// lines and here-documents.
func firstSteps(t *testing.T, page string) []string {
	t.Helper()
	_, section, found := strings.Cut(page, "\n## Your own database\n")
	section, _, _ = strings.Cut(section, "\n## ")
	block := strings.ReplaceAll("\n"+strings.Join(codeBlock.FindAllString(section, -1), ""), "\n    ", "\n")
	if !found || block == "\n" {
		t.Fatal("the page has no commands for the first steps")
	}
	block = strings.NewReplacer("```sh\n", "", "```", "").Replace(block)
	var commands []string
	lines := strings.Split(block, "\n")
	for i := 0; i < len(lines); i++ {
		command := lines[i]
		if strings.TrimSpace(command) == "" {
			continue
		}
		ends := func(line string) bool { return !strings.HasSuffix(line, `\`) }
		if strings.Contains(command, "<<'EOF'") {
			ends = func(line string) bool { return line == "EOF" }
		}
		for !ends(lines[i]) && i+1 < len(lines) {
			i++
			command += "\n" + lines[i]
		}
		commands = append(commands, command)
	}
	return commands
}

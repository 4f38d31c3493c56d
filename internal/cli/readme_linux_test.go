package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// answer is the input at a prompt.
type answer struct {
	prompt, keys string
	hidden       bool
}

// TestReadme_FirstSteps runs the commands of "Use it on a real database" in the README on a terminal, with two empty
// databases (N1, N7, N8, N15, T8, T11b).
func TestReadme_FirstSteps(t *testing.T) {
	t.Parallel()
	const pw = "Correct-Horse-9\n"
	question := answer{prompt: "[y/N] ", keys: "y\n"}
	answers := map[string][]answer{ // by prefix of the command
		"cxgctl auth bootstrap": {
			{prompt: "password: ", keys: pw, hidden: true},
			{prompt: "repeat the password: ", keys: pw, hidden: true},
			question,
		},
		"cxgctl auth login":     {{prompt: "assword", keys: pw, hidden: true}},
		"cxgctl migrate up":     {question},
		"cxgctl tenants create": {question},
		"cxgctl auth token":     {question},
	}
	codes := map[string]int{"cxgctl doctor": 9} // the others exit with 0
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	here := strings.NewReplacer(
		"postgres://cxgctl@db1/mgmt", pair.Manager, "postgres://cxgctl@db1/tnnt", pair.Tenants,
		"make build && sudo install bin/cxgctl /usr/local/bin/", "true",
		"vi password ", "echo secret > password ",
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
	for _, command := range readmeCommands(t, "## Use it on a real database") {
		p := cxgctl(t, pair)
		p.Path, p.Args = "/bin/bash", []string{"bash", "-c", here.Replace(command) + "\nstatus=$?; pwd > ~/folder; exit $status"}
		p.Dir, p.Env = folder, []string{"HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), "TERM=xterm"}
		sitting := p.onTerminal(t)
		want := 0
		for prefix, code := range codes {
			if strings.HasPrefix(command, prefix) {
				want = code
			}
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

	got := ask(t, pair.Manager, `SELECT concat_ws(' ', u.username, t.code, m.status, r.code, g.status, c.username)
		FROM idam.users u JOIN tnnt.tenant_users m ON m.user_id = u.id JOIN tnnt.tenants t ON t.id = m.tenant_id
		JOIN idam.user_roles g ON g.user_id = u.id JOIN idam.roles r ON r.id = g.role_id JOIN idam.users c ON c.id = u.created_by
		WHERE u.username = 'bob'`)
	if want := "bob acme ACTIVE TENANT_USER ACTIVE svc-onboarding"; got != want {
		t.Errorf("the import created %q, want %q", got, want)
	}
}

// readmeCommands returns the commands of the first sh block below a heading of the README, with continuation lines and
// here-documents.
func readmeCommands(t *testing.T, heading string) []string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(b), "\n"+heading+"\n")
	_, block, opened := strings.Cut(below, "```sh\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !opened || !closed {
		t.Fatalf("README.md has no sh block below %q", heading)
	}
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

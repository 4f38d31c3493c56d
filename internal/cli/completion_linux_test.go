package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// freeFlags are the flags whose values cannot be listed: free text, numbers, amounts, and new names.
const freeFlags = `
	address address1 address2 biz-item biz-kind biz-name biz-no biz-type ceo-name department email employee-count employee-id
	full-name phone phone-no position postcode role search
	api-calls base-amount discount-amount max-total min-total tax-amount total-amount usage-amount used-storage user-count
	code invoice-no name username lock
	batch canary cursor expect invoices max-affected max-errors page page-size parallel retries users
	jq reason reason-like ticket`

// C1, C2: every flag and every argument whose values can be listed has a completion.
func TestCompletion_Everywhere(t *testing.T) {
	free := strings.Fields(freeFlags)
	argument := regexp.MustCompile(`[A-Z]{2,}`)
	ofFlags := regexp.MustCompile(`--\S+( [A-Z]+\b)?`)
	used := map[string]bool{}
	env := &cmdutil.Env{Getenv: os.Getenv, Args: []string{cobra.ShellCompRequestCmd}}
	cmdutil.Leaves(newRoot(env), func(cmd *cobra.Command) {
		check := func(f *pflag.Flag) {
			_, completes := cmd.GetFlagCompletionFunc(f.Name)
			isFree := slices.Contains(free, f.Name) || cmd.Name() == "verify" && f.Name == "since"
			used[f.Name] = used[f.Name] || !completes
			if !completes && !isFree && f.NoOptDefVal == "" {
				t.Errorf("%s: --%s has no completion", cmd.CommandPath(), f.Name)
			}
		}
		cmd.NonInheritedFlags().VisitAll(check)
		cmd.InheritedFlags().VisitAll(check)
		if cmd.ValidArgsFunction == nil && argument.MatchString(ofFlags.ReplaceAllString(cmd.Use, "")) {
			t.Errorf("%s: its arguments have no completion", cmd.Use)
		}
	})
	for _, name := range free {
		if !used[name] {
			t.Errorf("freeFlags names --%s, which completes or does not exist", name)
		}
	}
}

// F48: a server that accepts connections and never answers ends a completion after CompletionTime, without a message.
func TestCompletion_SilentServer(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	silent, taken := blackhole(t)
	pair.Manager = silent
	for _, words := range [][]string{{"users", "get", ""}, {"users", "list", "--tenant", ""}, {"users", "list", "--operator", ""}} {
		p := cxgctl(t, pair, append([]string{cobra.ShellCompRequestCmd, "--timeout", "10m"}, words...)...)
		code := p.start(t).exit(t) // a process with the usual limit of time
		if out := p.out.String() + p.err.String(); code != 0 || out != ":4\n" {
			t.Errorf("%q exits with %d and prints %q", words, code, out)
		}
	}
	<-taken
}

// C3, C4, A-7: a TAB in real shells completes names, statuses and tenants, also within lists, and in bash without the
// package bash-completion.
func TestCompletion_InShells(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	ask(t, pair.Manager, `INSERT INTO idam.users (username, email, full_name) VALUES ('adalbert', 'al@example.com', 'Adalbert of Prague') RETURNING 1`)
	ask(t, pair.Manager, `INSERT INTO tnnt.tenants (code, name) VALUES ('acme', 'Acme Corporation'), ('beta', 'Beta') RETURNING 1`)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, shell := range map[string]struct {
		args  []string
		setup string
	}{
		"bash":            {[]string{"bash", "--norc", "--noprofile", "-i"}, "source <(cxgctl completion bash)"},
		"bash-completion": {[]string{"bash", "--norc", "--noprofile", "-i"}, "source /usr/share/bash-completion/bash_completion; source <(cxgctl completion bash)"},
		"fish":            {[]string{"fish", "--no-config", "-i"}, "cxgctl completion fish | source"},
		"zsh":             {[]string{"zsh", "-f", "-i"}, "bindkey -e; autoload -U compinit; compinit -u -D; source <(cxgctl completion zsh)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := cxgctl(t, pair)
			if p.Path, err = exec.LookPath(shell.args[0]); err != nil {
				t.Fatalf("%v; .ci/test-packages installs it", err)
			}
			p.Args = shell.args
			bin := filepath.Join(p.Dir, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(exe, filepath.Join(bin, "cxgctl")); err != nil {
				t.Fatal(err)
			}
			p.columns = 200
			p.env("PATH="+bin+":"+os.Getenv("PATH"), "TEST_COMPLETION_TIME="+patience.String())
			s := p.onTerminal(t)
			s.types(t, shell.setup+"; echo re''ady\n", false).awaits(t, "ready")
			for _, c := range []struct{ typed, want string }{
				{"users get adalb", "<users><get><adalbert>"},
				{"users list --status AC", "<users><list><--status><ACTIVE>"},
				{"users list --status ACTIVE,LO", "<users><list><--status><ACTIVE,LOCKED>"},
				{"users list --tenant=ac", "<users><list><--tenant=acme>"},
				{"users list --tenant acme,b", "<users><list><--tenant><acme,beta>"},
				{"invo", "<invoices>"},
			} {
				// The line becomes the arguments of printf, after Ctrl-A.
				s.types(t, "cxgctl "+c.typed+"\t\x01printf '<%s>' \n", false).awaits(t, "<cxgctl>"+c.want)
			}
			s.types(t, "cxgctl users get ad\t\t", false).awaits(t, "Adalbert of Prague")
			if strings.Contains(s.sees(), "not found") {
				t.Errorf("the screen shows an error:\n%s", s.sees())
			}
			_ = p.Process.Kill()
		})
	}
}

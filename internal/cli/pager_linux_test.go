package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// withCrowd returns databases with thousands of users.
func withCrowd(t *testing.T) dbtest.Pair {
	t.Helper()
	pair := withAda(t)
	ask(t, pair.Manager, `INSERT INTO idam.users (username, email, full_name)
		SELECT 'user' || n, 'user' || n || '@example.com', 'Number ' || n FROM generate_series(1, 5000) n RETURNING 1`)
	return pair
}

// onScreen starts the process on a terminal of 24 lines.
func (p *process) onScreen(t *testing.T) *person {
	t.Helper()
	p.columns = 100
	return p.onTerminal(t)
}

// N40: long lists and help go through less, which keeps Ctrl-C to itself. The process waits for it.
func TestPager_Less(t *testing.T) {
	t.Parallel()
	pair := withCrowd(t)
	for name, c := range map[string]struct {
		args []string
		keys []string // less answers an interrupt with a bell, another key with its prompt
		end  func(p *person)
		code int
	}{
		"read to the end":     {[]string{"users", "list", "--all"}, []string{"G"}, nil, 0},
		"left early":          {[]string{"users", "list", "--all"}, nil, nil, 0},
		"interrupted":         {[]string{"users", "list", "--all"}, []string{"\x03", "\x03", "j"}, nil, 0},
		"interrupted at end":  {[]string{"users", "list", "--all"}, []string{"G", "\x03", "k"}, nil, 0},
		"a page":              {[]string{"users", "list", "--page-size", "100"}, []string{" ", "\x03"}, nil, 0},
		"json":                {[]string{"users", "list", "--all", "-o", "json"}, []string{"j"}, nil, 0},
		"help":                {[]string{"users", "list", "--help"}, []string{"j"}, nil, 0},
		"the process is told": {[]string{"users", "list", "--all"}, nil, func(p *person) { _ = p.Process.Signal(syscall.SIGTERM) }, 143},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := cxgctl(t, pair, c.args...)
			p.Env = slices.DeleteFunc(p.Env, func(v string) bool { return v == "PAGER=" })
			s := p.onScreen(t)
			before, err := unix.IoctlGetTermios(int(s.keyboard.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			s.awaits(t, "\n:")
			for _, key := range c.keys {
				answer := "\x1b[K"
				if key == "\x03" {
					answer = "\a"
				}
				s.types(t, key, false).awaits(t, answer)
			}
			if c.end == nil {
				s.types(t, "q", false)
			} else {
				c.end(s)
			}
			again := time.AfterFunc(2*time.Second, func() { _, _ = s.keyboard.WriteString("q") }) // less can lose a key after an interrupt
			<-s.dark
			again.Stop()
			after, err := unix.IoctlGetTermios(int(s.keyboard.Fd()), unix.TCGETS)
			if err != nil || before.Lflag|unix.ECHO|unix.ICANON != after.Lflag {
				t.Errorf("the terminal's mode is %x, not %x (%v)", after.Lflag, before.Lflag, err)
			}
			s.leaves(t, c.code)
		})
	}
}

// The program that PAGER names gets what does not fit the screen, and ends before the process.
func TestPager_Environment(t *testing.T) {
	t.Parallel()
	pair := withCrowd(t)
	for _, c := range []struct {
		pager string
		args  []string
		paged bool
	}{
		{"tee paged", []string{"users", "list", "--page-size", "30"}, true},
		{"tee paged", []string{"users", "list", "--help"}, true},
		{"tee paged", []string{"users", "list", "--page-size", "10"}, false},
		{"tee paged", []string{"users", "list", "--page-size", "30", "--no-pager"}, false},
		{"tee paged", []string{"users", "list", "--page-size", "30", "--no-input"}, false},
		{"tee paged", []string{"users", "list", "--page-size", "30", "--output-file", "users.csv"}, false},
		{"tee paged", []string{"users", "status", "--set", "LOCKED", "--search", "user10", "--yes", "-o", "csv"}, false},
		{"cat", []string{"users", "list", "--page-size", "30"}, false},
		{"no-such-program -x", []string{"users", "list", "--page-size", "30"}, false},
	} {
		p := cxgctl(t, pair, c.args...).env("PAGER=" + c.pager)
		s := p.onScreen(t)
		s.leaves(t, 0)
		b, err := os.ReadFile(filepath.Join(p.Dir, "paged"))
		if (err == nil) != c.paged || c.paged && !strings.Contains(s.sees(), strings.ReplaceAll(string(b), "\n", "\r\n")) {
			t.Errorf("PAGER=%q %q pages %q (%v):\n%s", c.pager, c.args, b, err, s.sees())
		}
		if lines := strings.Count(s.sees(), "\n"); lines < 10 && !slices.Contains(c.args, "--output-file") {
			t.Errorf("PAGER=%q %q shows\n%s", c.pager, c.args, s.sees())
		}
	}
	p := cxgctl(t, pair, "users", "list", "--page-size", "30").env("PAGER=tee paged").exits(t, 0)
	if _, err := os.Stat(filepath.Join(p.Dir, "paged")); err == nil {
		t.Error("a pager runs without a terminal")
	}
}

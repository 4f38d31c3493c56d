package cli

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// TestNewcomer_OnTerminal runs the script of a newcomer's session on a terminal of 80 columns, where tables, changes and
// messages look otherwise.
func TestNewcomer_OnTerminal(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("testdata/script/newcomer.txtar")
	if err != nil {
		t.Fatal(err)
	}
	pair := dbtest.New(t, migrated)
	screen := ""
	for line := range strings.Lines(string(script)) {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		text := strings.ReplaceAll(strings.Trim(rest, "'"), "''", "'")
		code := 0
		switch verb {
		case "", "#":
			continue
		case "sql":
			if _, err := query(t.Context(), pair.Manager, text); err != nil {
				t.Fatal(err)
			}
			continue
		case "stdout", "stderr": // both are the screen
			if !regexp.MustCompile("(?m)" + text).MatchString(screen) {
				t.Errorf("the screen lacks %q:\n%s", text, screen)
			}
			continue
		case "exits":
			number, command, _ := strings.Cut(rest, " ")
			if code, err = strconv.Atoi(number); err != nil {
				t.Fatal(err)
			}
			line = command
		}
		p := cxgctl(t, pair)
		p.Path, p.Args, p.columns = "/bin/bash", []string{"bash", "-c", line}, 80
		for name, value := range running.environment() {
			p.env(name + "=" + value)
		}
		person := p.env("CXGCTL_TEST_HOST=").onTerminal(t)
		person.leaves(t, code)
		screen = strings.ReplaceAll(colors.ReplaceAllString(person.sees(), ""), "\r", "")
	}
}

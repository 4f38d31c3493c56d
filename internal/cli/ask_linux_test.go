package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// talk answers prompts in turn.
func (p *person) talks(t *testing.T, answers ...answer) *person {
	t.Helper()
	for _, a := range answers {
		p.awaits(t, a.prompt).types(t, a.keys, a.hidden)
	}
	return p
}

// N38: users create asks on a terminal for the fields that are missing, and again where an answer is not valid.
func TestCreate_AsksForFields(t *testing.T) {
	t.Parallel()
	const pw = "Canary-Horse-9\n"
	passwords := []answer{
		{"new password: ", "canary\n", true},
		{"it must contain an upper-case letter", "", false},
		{"new password: ", pw, true},
		{"repeat the password: ", pw, true},
	}
	for name, c := range map[string]struct {
		args    []string
		answers []answer
		says    string
		code    int
		stored  string
	}{
		"all": {nil, append([]answer{
			{"username: ", "\n", false},
			{"it is required\r\nusername: ", "a\n", false},
			{"\"a\" is 1 character long; 3 to 100 are required\r\nusername: ", "bob\n", false},
			{"email: ", "bob\n", false},
			{"not a valid e-mail address\r\nemail: ", "bob@example.com\n", false},
			{"full name: ", "밥 홍길\x7f길동\n", false},
			{"phone (optional): ", "0123456789012345678901\n", false},
			{"phone (optional): ", "\n", false},
			{"department (optional): ", "개발부\n", false},
			{"user type [TENANT]: ", "boss\n", false},
			{"is not one of MASTER, TENANT, SYSTEM\r\nuser type [TENANT]: ", "\n", false},
		}, passwords...), "created user bob", 0, "bob bob@example.com 밥 홍길동 개발부 TENANT"},
		"some": {
			[]string{"--username", "bob", "--full-name", "Bob", "--no-password"},
			[]answer{{"email: ", "bob@example.com\n", false}, {"phone (optional): ", "\n", false}, {"department (optional): ", "\n", false}, {"user type [TENANT]: ", "system\n", false}},
			"created user bob", 0, "bob bob@example.com Bob SYSTEM",
		},
		"none":       {[]string{"--username", "bob", "--email", "bob@example.com", "--full-name", "Bob", "--no-password"}, nil, "created user bob", 0, "bob bob@example.com Bob TENANT"},
		"Ctrl-C":     {nil, []answer{{"username: ", "bob\n", false}, {"email: ", "\x03", false}}, "interrupted", 130, ""},
		"Ctrl-D":     {nil, []answer{{"username: ", "bob\n", false}, {"email: ", "\x04", false}}, "cancelled", 10, ""},
		"--no-input": {[]string{"--no-input"}, nil, "--username, --email and --full-name are missing", 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			p := startOnTerminal(t, pair, append([]string{"users", "create"}, c.args...)...)
			p.talks(t, c.answers...).awaits(t, c.says).leaves(t, c.code)
			stored := ask(t, pair.Manager, "SELECT coalesce(max(concat_ws(' ', username, email, full_name, phone, department, user_type)), '') FROM idam.users WHERE username = 'bob'")
			if stored != c.stored {
				t.Errorf("stored: %q, want %q", stored, c.stored)
			}
		})
	}
}

// N39: config init asks, tests the connection, and writes a file that commands read.
func TestConfigInit_Asks(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	for name, c := range map[string]struct {
		answers []answer
		code    int
		file    string
	}{
		"a database": {[]answer{
			{"manager database", "mysql://db1/x\n", false},
			{"it must be a postgres:// address", "postgres://cxgctl@127.0.0.1:1/mgmt\n", false},
			{"Keep this address? [y/N] ", "\n", false},
			{"manager database", pair.Manager + "\n", false},
			{"connected to ", "", false},
			{"operator, the username under which changes are recorded [", "ada lovelace\n", false},
			{"is not a valid username; use ASCII characters without spaces", "", false},
			{"operator, ", "admin\n", false},
			{"time zone [UTC]: ", "Asia/Seoull\n", false},
			{"it must be the name of a time zone", "Asia/Seoul\n", false},
			{"config.yaml\r\ncxgctl reads it from now on", "", false},
		}, 0, `(?s)^.*profile: default\n.*    manager_database_url: "postgres.*    operator: admin .*    timezone: Asia/Seoul\n`},
		"an address to keep": {[]answer{
			{"manager database", "postgres://cxgctl@127.0.0.1:1/mgmt\n", false},
			{"Keep this address? [y/N] ", "y\n", false},
			{"operator, ", "ada@example.com\n", false},
			{"time zone [UTC]: ", "\n", false},
			{"wrote ", "", false},
		}, 0, `(?s)manager_database_url: "postgres://cxgctl@127.0.0.1:1/mgmt"\n    operator: "ada@example.com" .*    timezone: UTC\n`},
		"the dev database": {[]answer{
			{"(ENTER for a dev database): ", "\n", false},
			{"recorded [admin]: ", "\n", false},
			{"time zone [UTC]: ", "\n", false},
			{"wrote ", "", false},
		}, 0, `(?s)profile: dev\n.*    embedded: true .*    operator: admin .*    timezone: UTC\n`},
		"Ctrl-C": {[]answer{
			{"manager database", "\n", false},
			{"recorded [admin]: ", "\x03", false},
			{"interrupted", "", false},
		}, 130, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := cxgctl(t, pair, "config", "init").env("CXGCTL_MANAGER_DATABASE_URL=", "CXGCTL_TENANTS_DATABASE_URL=", "CXGCTL_OPERATOR=").onTerminal(t)
			p.talks(t, c.answers...).leaves(t, c.code)
			file := filepath.Join(p.Dir, ".config/cxgctl/config.yaml")
			info, err := os.Stat(file)
			if c.file == "" {
				if err == nil {
					t.Error("a file is left")
				}
				return
			}
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", info, err)
			}
			text, err := os.ReadFile(file)
			if err != nil || !regexp.MustCompile(c.file).Match(text) {
				t.Errorf("the file says (%v)\n%s", err, text)
			}
			if strings.Contains(string(text), pair.Manager) {
				reads := cxgctl(t, pair, "users", "get", "ada", "-o", "id").env("CXGCTL_MANAGER_DATABASE_URL=", "CXGCTL_TENANTS_DATABASE_URL=", "CXGCTL_OPERATOR=", "CXGCTL_CONFIG="+file)
				reads.exits(t, 0)
			}
		})
	}
}

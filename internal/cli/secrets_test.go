package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// channel is one way to pass a secret: a command line with its environment and standard input. CANARY is replaced by
// the secret, and DIR by the run's temporary folder.
type channel struct {
	args  string
	env   string // NAME=value, separated by spaces
	stdin string
	files map[string]string // contents by name; mode 0600, or 0644 for names ending in .open
}

const newUser = "users create --username newcomer --email newcomer@example.com --full-name New -v "

// channels are all ways to pass a secret: passwords, connection strings, files, tokens.
var channels = map[string]channel{
	"create, standard input":       {newUser + "--password-stdin", "", "CANARY\n", nil},
	"create, dry run":              {newUser + "--password-stdin --dry-run -o json", "", "CANARY\n", nil},
	"create, name taken":           {"users create --username ada --email x@example.com --full-name X --password-stdin -v -o json", "", "CANARY\n", nil},
	"create, file":                 {newUser + "--password-file DIR/pw", "", "", map[string]string{"pw": "CANARY\n"}},
	"create, file open to others":  {newUser + "--password-file DIR/pw.open", "", "", map[string]string{"pw.open": "CANARY\n"}},
	"create, file of two lines":    {newUser + "--password-file DIR/pw", "", "", map[string]string{"pw": "x\nCANARY\n"}},
	"create, too long":             {newUser + "--password-stdin", "", "CANARY" + strings.Repeat("가", 25) + "\n", nil},
	"create, NUL":                  {newUser + "--password-stdin -o yaml", "", "CANARY\x00x\n", nil},
	"create, not UTF-8":            {newUser + "--password-stdin", "", "CANARY\xff\n", nil},
	"password, standard input":     {"users password ada --password-stdin -v -o json", "", "CANARY\n", nil},
	"password, file":               {"users password ada --password-file DIR/pw --reason x -o csv", "", "", map[string]string{"pw": "CANARY"}},
	"password, unknown user":       {"users password ghost --password-stdin -v", "", "CANARY\n", nil},
	"password, locked row":         {"users password held --password-stdin --timeout 300ms -v", "", "CANARY\n", nil},
	"bootstrap":                    {"auth bootstrap --username first --email first@example.com --full-name First --password-stdin -v --dry-run", "", "CANARY\n", nil},
	"login, wrong":                 {"auth login --username admin --password-stdin -v", "", "CANARY\n", nil},
	"login, unknown user":          {"auth login --username ghost --password-stdin -o json", "", "CANARY\n", nil},
	"login, over 72 bytes":         {"auth login --username admin --password-stdin", "", "CANARY" + strings.Repeat("x", 80) + "\n", nil},
	"login, NUL":                   {"auth login --username admin --password-stdin", "", "CANARY\x00\n", nil},
	"stdin REFs":                   {"users password ada --password-stdin --no-input -v", "", "CANARY\nsecond line\n", nil},
	"URL, refused":                 {"users list -v", "CXGCTL_MANAGER_DATABASE_URL=postgres://u:CANARY@127.0.0.1:1/db", "", nil},
	"URL, asyncpg":                 {"users list -v -o json", "CXGCTL_MANAGER_DATABASE_URL=postgresql+asyncpg://u:CANARY@127.0.0.1:1/db?ssl=require", "", nil},
	"URL, parameter":               {"users list -v", "CXGCTL_MANAGER_DATABASE_URL=postgres://127.0.0.1:1/db?user=u&password=CANARY", "", nil},
	"keywords":                     {"doctor -v -o json", "CXGCTL_MANAGER_DATABASE_URL=host=127.0.0.1\tport=1\tpassword=CANARY", "", nil},
	"the backend's variable":       {"config view -o jsonl", "CXGCTL_MANAGER_DATABASE_URL= MANAGER_DATABASE_URL=postgres://u:CANARY@h/db", "", nil},
	"tenants' URL":                 {"migrate status -v", "CXGCTL_TENANTS_DATABASE_URL=postgres://u:CANARY@127.0.0.1:1/db", "", nil},
	"URL with a wrong password":    {"users list -v", "CXGCTL_MANAGER_DATABASE_URL=SERVER&password=CANARY", "", nil},
	"URL, no such database":        {"users list -v -o json", "CXGCTL_MANAGER_DATABASE_URL=SERVER&dbname=none&password=CANARY", "", nil},
	"PGPASSWORD":                   {"doctor -v", "PGPASSWORD=CANARY CXGCTL_MANAGER_DATABASE_URL=postgres://u@127.0.0.1:1/db", "", nil},
	".pgpass":                      {"users list -v", "PGPASSFILE=DIR/pgpass CXGCTL_MANAGER_DATABASE_URL=postgres://u@127.0.0.1:1/db", "", map[string]string{"pgpass": "*:*:*:*:CANARY\n"}},
	"profile, URL":                 {"users list -v --config DIR/c.yaml", "CXGCTL_MANAGER_DATABASE_URL=", "", map[string]string{"c.yaml": "profile: p\nprofiles:\n  p: {manager_database_url: 'postgres://u:CANARY@127.0.0.1:1/db'}\n"}},
	"profile, shown":               {"config view --config DIR/c.yaml -o yaml", "CXGCTL_MANAGER_DATABASE_URL=", "", map[string]string{"c.yaml": "profile: p\nprofiles:\n  p: {manager_database_url: 'postgres://u:CANARY@127.0.0.1:1/db'}\n"}},
	"profile, open to others":      {"users list --config DIR/c.open", "", "", map[string]string{"c.open": "profile: p\nprofiles:\n  p: {manager_database_url: 'postgres://u:CANARY@h/db'}\n"}},
	"profile, broken":              {"users list --config DIR/c.yaml", "", "", map[string]string{"c.yaml": "profile: p\nprofiles:\n  p: {manager_database_url: 'postgres://u:CANARY@h/db\n"}},
	"profile, password key":        {"users list --config DIR/c.yaml -o json", "", "", map[string]string{"c.yaml": "profile: p\nprofiles:\n  p:\n    password: CANARY\n"}},
	"profile is an address":        {"users list --config DIR/c.yaml", "CXGCTL_PROFILE=postgres://u:CANARY@h/db", "", map[string]string{"c.yaml": "profiles: {}\n"}},
	"password_file":                {"doctor -v --config DIR/c.yaml", "", "", map[string]string{"pw": "CANARY", "c.yaml": "profile: p\nprofiles:\n  p: {password_file: pw}\n"}},
	"password_file, open":          {"users list --config DIR/c.yaml", "", "", map[string]string{"pw.open": "CANARY", "c.yaml": "profile: p\nprofiles:\n  p: {password_file: pw.open}\n"}},
	"secret of the backend":        {"auth token --refresh --config DIR/c.yaml --token-out DIR/out -o json", "", "", map[string]string{"jwt": "CANARY-CANARY-CANARY", "c.yaml": "profile: p\nprofiles:\n  p: {auth: {jwt_secret_file: jwt}}\n"}},
	"secret of the backend, wrong": {"users list -v --config DIR/c.yaml", "CXGCTL_TOKEN_FILE=DIR/t", "", map[string]string{"jwt": "CANARY", "t": "JWT", "c.yaml": "profile: p\nprofiles:\n  p: {auth: {jwt_secret_file: jwt}}\n"}},
	"token file, junk":             {"users list -v -o json", "CXGCTL_TOKEN_FILE=DIR/t", "", map[string]string{"t": "CANARY"}},
	"token file, a key":            {"users list -v", "CXGCTL_TOKEN_FILE=DIR/t", "", map[string]string{"t": "cxgk_0123456789abcdef_CANARY"}},
	"token file, a login":          {"auth logout --all -v", "CXGCTL_TOKEN_FILE=DIR/t", "", map[string]string{"t": "cxgl_CANARY"}},
	"token file, open to others":   {"users list", "CXGCTL_TOKEN_FILE=DIR/t.open", "", map[string]string{"t.open": "CANARY"}},
	"token file, JWT":              {"users list", "CXGCTL_TOKEN_FILE=DIR/t", "", map[string]string{"t": "eyJCANARY.eyJCANARY.CANARY"}},
	"session as a REF":             {"sessions revoke CANARY -v", "", "", nil},
	"completion":                   {"__complete users get a", "CXGCTL_MANAGER_DATABASE_URL=postgres://u:CANARY@127.0.0.1:1/db", "", nil},
}

// malformed are connection strings that cannot be used.
var malformed = []string{
	"postgres://u:CANARY@", "postgres://u:CANARY@h:port/db", "postgres://u:CANARY@[::1/db", "postgres://u:a/CANARY@h/db",
	"postgres://u:a?CANARY@h/db", "postgres://u:a#CANARY@h/db", "postgres://u:%zzCANARY@h/db", "postgres://u:CANARY@h1:1,h2:x/db",
	"postgres://u@x:CANARY@h/db", "postgres://h/db?user=u&password=CANARY&sslmode=nonsense", "postgres://h/db?sslpassword=CANARY&sslcert=none",
	"mysql://u:CANARY@h/db", "http://u:CANARY@h/db", "://u:CANARY@h/db", "host=h password='CANARY", "host=h port=x password=CANARY",
	"host=h connect_timeout=CANARY", "password=CANARY=x", "CANARY", "u:CANARY@h/db", "postgres://u:CANARY@h/db?connect_timeout=x",
	"postgres://u:CANARY@h/db?target_session_attrs=x", "postgres://u:CANARY\n@h/db", "postgres://u:CANARY@h /db", "postgres://u:CANARY@h/db?sslmode=verify-full&sslrootcert=/none",
	"postgres://u:CANARY@h/%zz", "host='h password=CANARY", "postgres://u:CANARY@h:99999999/db", "postgres://CANARY:@h:x/db", "postgres://u:CANARY@h/db?min_protocol_version=x",
}

// TestSecrets_NotLeaked passes a different secret through each channel, and searches for all of them in the output, the
// command lines of all processes, the files, the databases and the server's log.
func TestSecrets_NotLeaked(t *testing.T) {
	t.Parallel()
	if len(channels) < 40 {
		t.Fatalf("there are %d channels", len(channels))
	}
	torture.Report(t, 9, "secrets through every channel").Attempts.Add(int64(len(channels) + 3*len(malformed)))
	pair := withAda(t)
	const held = `INSERT INTO idam.users (id, username, email, full_name) VALUES ('00000000-0000-4000-8000-0000000000ae', 'held', 'held@example.com', 'Held')`
	if _, err := query(t.Context(), pair.Manager, held); err != nil {
		t.Fatal(err)
	}
	defer hold(t, pair.Manager, `SELECT FROM idam.users WHERE username = 'held' FOR UPDATE`)()
	seen := watchCommandLines(t)
	var secrets []string
	look := func(where, text string) {
		t.Helper()
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s holds %s", where, s)
			}
		}
	}
	for name, c := range channels {
		secret := fmt.Sprintf("Kn4ry-%02d-Xq", len(secrets))
		secrets = append(secrets, secret)
		p := c.prepare(t, pair, secret)
		p.start(t).exit(t)
		look(name+": the output", p.out.String()+p.err.String())
		for file, text := range left(t, p.Dir) {
			if _, given := c.files[file]; !given || filepath.Dir(file) != "." {
				look(name+": the file "+file, text)
			}
		}
	}
	for i, dsn := range malformed {
		secret := fmt.Sprintf("Kn4ry-m%02d-Xq", i)
		secrets = append(secrets, secret)
		env := map[string]string{"CXGCTL_OPERATOR": "admin", "CXGCTL_MANAGER_DATABASE_URL": strings.ReplaceAll(dsn, "CANARY", secret)}
		for _, args := range [][]string{{"users", "list", "-v", "--timeout", "200ms"}, {"doctor", "-o", "json", "--timeout", "200ms"}, {"config", "view", "-o", "csv"}} {
			_, out := runInProcess(t, pair, env, args...)
			look(fmt.Sprintf("%s with %s: the output", args[0], dsn), out)
		}
	}
	look("a command line", seen())
	for _, table := range []string{"audt.audit_logs", "idam.login_logs", "idam.sessions", "idam.api_keys", "idam.users"} {
		look(table, ask(t, pair.Manager, "SELECT string_agg(x::text, ' ') FROM "+table+" x"))
	}
	if log := serverLog(t, pair); log != "" {
		look("the server's log", log)
	}
	if n := ask(t, pair.Manager, "SELECT count(*) FROM audt.audit_logs"); n == "0" {
		t.Error("the audit log is empty")
	}
}

// prepare returns the process for a channel.
func (c channel) prepare(t *testing.T, pair dbtest.Pair, secret string) *process {
	t.Helper()
	server := pair.Manager
	if !strings.Contains(server, "?") {
		server += "?"
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": secret, "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	p := cxgctl(t, pair)
	fill := strings.NewReplacer("CANARY", secret, "DIR", p.Dir, "SERVER", server, "JWT", token)
	for _, arg := range strings.Fields(c.args) {
		p.Args = append(p.Args, strings.NewReplacer("DIR", p.Dir, "CANARY", secret).Replace(arg))
	}
	for _, set := range strings.Split(c.env, " ") {
		if set != "" {
			p.env(strings.ReplaceAll(fill.Replace(set), "\t", " "))
		}
	}
	for name, text := range c.files {
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, ".open") {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(fill.Replace(text)), mode); err != nil {
			t.Fatal(err)
		}
	}
	return p.in(fill.Replace(c.stdin))
}

// serverLog returns the log of the tests' server.
func serverLog(t *testing.T, pair dbtest.Pair) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(ask(t, pair.Manager, "SHOW data_directory")), "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// left returns the contents of the files in a folder, by relative path.
func left(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// watchCommandLines collects the command lines of all processes until seen is called. It omits the command that gets a
// secret as REF.
func watchCommandLines(t *testing.T) (seen func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan map[string]bool, 1)
	go func() {
		lines, looks := map[string]bool{}, map[string]int{}
		for ctx.Err() == nil {
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, p := range paths {
				if looks[p]++; looks[p] > 10 { // it does not change any more
					continue
				}
				if text, err := os.ReadFile(p); err == nil && !strings.Contains(string(text), "sessions\x00revoke") {
					lines[string(text)] = true
				}
			}
			time.Sleep(10 * time.Millisecond) // a command takes longer
		}
		done <- lines
	}()
	return func() string {
		cancel()
		doc, err := json.Marshal(<-done)
		if err != nil {
			t.Fatal(err)
		}
		return string(doc)
	}
}

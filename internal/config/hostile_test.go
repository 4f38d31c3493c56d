package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// canary is a password that nothing may print. It has letters that no plain name has, since a key is
// repeated where it is unknown.
const canary = "c4n!ary"

// told is all that a person or a script could be shown of an error.
func told(err error) string {
	e := fault.From(err)
	text := fmt.Sprintf("%s\n%s\n%v\n", e.Message, e.Hint, e.Detail)
	for cause := e.Cause; cause != nil; {
		text += cause.Error()
		unwrap, ok := cause.(interface{ Unwrap() error })
		if !ok {
			break
		}
		cause = unwrap.Unwrap()
	}
	return text
}

func TestLoad_BadFiles(t *testing.T) {
	t.Parallel()
	const dev = "profiles:\n  dev:\n"
	for _, c := range []struct{ name, text, want, hint string }{
		{"unknown at the top", "profil: dev\n", `F:1: unknown key "profil"`, `did you mean "profile"? valid here: profile, profiles`},
		{"a profile's key at the top", "# x\noperator: ada\n", `F:2: unknown key "operator"`, "operator belongs in a profile, under profiles"},
		{"unknown in a profile", dev + "    operater: x\n", `F:3: unknown key "operater" in profile dev`, `did you mean "operator"? valid here: embedded, manager_`},
		{"unknown in auth", dev + "    auth:\n      requires: x\n", `F:4: unknown key "requires" in profile dev, auth`, `did you mean "require"? valid here: require, jwt_secret_file, enforce_permissions, lock_after, lock_for`},
		{"unknown in flow auth", dev + "    auth: {force: x}\n", `F:3: unknown key "force" in profile dev, auth`, "valid here: require, "},
		{"a password of its own", dev + "    password: " + canary + "\n", `F:3: unknown key "password" in profile dev`, "put the password in a file of mode 0600 and name that in password_file"},
		{"upper case", dev + "    Operator: x\n", `F:3: unknown key "Operator" in profile dev`, `did you mean "operator"?`},
		{"dotted", dev + "    auth.require: login\n", `F:3: unknown key "auth.require" in profile dev`, ""},
		{"key twice", dev + "    operator: a\n    operator: b\n", `F:4: key "operator" is duplicate, first on line 3`, ""},
		{"profile twice", dev + "  dev:\n", `F:3: key "dev" is duplicate, first on line 2`, ""},
		{"odd profile name", "profiles:\n  my dev:\n", "F:2: the name of a profile contains other characters than letters, digits and . _ -", ""},
		{"merge key", dev + "    <<: {operator: x}\n", "F:3: tags, anchors, aliases and merge keys are not supported", ""},
		{"profiles a list", "profiles:\n  - dev\n", "F:2: keys with values are expected", ""},
		{"profile a word", "profiles:\n  dev: yes\n", "F:2: keys with values are expected in profile dev", ""},
		{"auth a word", dev + "    auth: login\n", "F:3: keys with values are expected in profile dev", ""},
		{"a word", "hello\n", "F:1: keys with values are expected", ""},
		{"an alias", dev + "    operator: *x\n", "F:3: ", ""},
		{"an anchor", dev + "    operator: &x ada\n", "F:3: tags, anchors, aliases", ""},
		{"a tag", dev + "    operator: !!str ada\n", "F:3: tags, anchors, aliases", ""},
		{"unknown default profile", "profile: prd\nprofiles:\n  prod:\n", `F:1: profile "prd" is not among the profiles`, `did you mean "prod"? profiles: prod`},
		{"default profile without any", "profile: dev\n", `F:1: profile "dev" is not among the profiles`, "the file has no profiles"},
		{"default profile a map", "profile: {a: b}\n", "F:1: profile must be the name of a profile", ""},
		{"embedded a word", dev + "    embedded: yes\n", "F:3: embedded in profile dev must be true or false", ""},
		{"embedded a text", dev + "    embedded: \"true\"\n", "F:3: embedded in profile dev must be true or false", ""},
		{"protected a number", dev + "    protected: 1\n", "F:3: protected in profile dev must be true or false", ""},
		{"embedded nothing", dev + "    embedded:\n", "F:3: embedded in profile dev has no value", ""},
		{"operator empty", dev + "    operator: \"  \"\n", "F:3: operator in profile dev must not be empty", ""},
		{"operator a number", dev + "    operator: 7\n", "F:3: operator in profile dev must be text; put it in quotes", ""},
		{"operator a list", dev + "    operator: [a]\n", "F:3: operator in profile dev must be one line of text", ""},
		{"operator with a line end", dev + "    operator: \"a\\nb\"\n", "F:3: operator in profile dev must not contain control characters", ""},
		{"output", dev + "    output: xml\n", "F:3: output in profile dev must be one of table, wide, json", ""},
		{"output a map", dev + "    output: {a: b}\n", "F:3: output in profile dev must be one line of text", ""},
		{"require", dev + "    auth:\n      require: password\n", "F:4: auth.require in profile dev must be one of claim, login, db_role", ""},
		{"timeout negative", dev + "    timeout: -5s\n", "F:3: timeout in profile dev must not be negative", ""},
		{"timeout without unit", dev + "    timeout: 30\n", "F:3: timeout in profile dev must be a duration such as 30s or 2m", ""},
		{"another database", dev + "    manager_database_url: mysql://root@h/x\n", "F:3: manager_database_url in profile dev must be a postgres:// address", ""},
		{"no address", dev + "    tenants_database_url: db3\n", "F:3: tenants_database_url in profile dev must be a postgres:// address", ""},
		{"address in two lines", dev + "    replica_database_url: |\n      host=h\n      user=u\n", "F:3: replica_database_url in profile dev must not contain control characters", ""},
		{"address as password file", dev + "    password_file: postgres://u@h/x\n", "F:3: password_file in profile dev must be the path of a file", ""},
		{"both databases", dev + "    embedded: true\n    operator: a\n    manager_database_url: postgres://h/x\n", "F:5: embedded and manager_database_url cannot be combined in profile dev", ""},
		{"open quote", dev + "    operator: \"ada\n", "F:3: not valid YAML", "look for"},
		{"tab", dev + "\toperator: ada\n", "F:3: not valid YAML", "look for"},
		{"no colon", dev + "    operator ada\n    output: csv\n", "F:3: not valid YAML", "look for"},
		{"open bracket", dev + "    auth: {require: login\n", "F:3: not valid YAML", "look for"},
		{"second document", "profiles:\n---\nprofile: x\n", "F:3: only one YAML document is allowed", ""},
		{"not UTF-8", "profiles:\n  dev:\n    operator: \xff\n", "F:3: not text in UTF-8", ""},
		{"NUL", "profiles:\n\x00", "F:2: not text in UTF-8", ""},
		{"deep brackets", strings.Repeat("[", 1<<15), "F:1: nested too deeply", ""},
		{"deep dashes", strings.Repeat("- ", 1<<14), "F:1: nested too deeply", ""},
		{"huge", strings.Repeat("#", 1<<16+1), "configuration F is larger than 64 KiB", ""},
		{"newlines in a literal block (L5)", dev + "    operator: |\n" + strings.Repeat("\n", 60000), "configuration F has more than 5000 lines", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, ".cxgctl.yaml", c.text)
			_, err := Load(Flags{}, env(), dir)
			if !fault.Is(err, fault.Validation) {
				t.Fatalf("got %v, want a validation error", err)
			}
			e := fault.From(err)
			got := strings.ReplaceAll(e.Message, filepath.Join(dir, ".cxgctl.yaml"), "F")
			if !strings.HasPrefix(got, c.want) || strings.ContainsRune(got, '\n') {
				t.Errorf("message\n got %s\nwant %s", got, c.want)
			}
			if !strings.HasPrefix(e.Hint, c.hint) || strings.ContainsRune(e.Hint, '\n') {
				t.Errorf("hint\n got %s\nwant %s", e.Hint, c.hint)
			}
			if strings.Contains(told(err), canary) {
				t.Errorf("the password is told: %s", told(err))
			}
		})
	}
}

func TestLoad_BadEnvironment(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", full)
	for name, c := range map[string]struct {
		f    Flags
		env  []string
		want string
		hint string
	}{
		"profile of the flag":    {Flags{Profile: "prd"}, nil, `profile "prd" (--profile) is not in F`, `did you mean "prod"? profiles: dev, prod`},
		"profile of the env":     {Flags{}, []string{envProfile, "x"}, `profile "x" (CXGCTL_PROFILE) is not in F`, "profiles: dev, prod"},
		"profile is an address":  {Flags{Profile: "u:" + canary + "@h"}, nil, "the profile of --profile is not in F", "profiles: dev, prod"},
		"missing by flag":        {Flags{ConfigFile: "/no/such"}, nil, "configuration /no/such does not exist", "--config names it"},
		"missing by env":         {Flags{}, []string{envConfig, "/no/such"}, "configuration /no/such does not exist", "CXGCTL_CONFIG names it"},
		"a folder":               {Flags{ConfigFile: "/"}, nil, "configuration / is a folder, not a file", ""},
		"output of the flag":     {Flags{Output: "xml"}, nil, "--output must be one of table,", ""},
		"output of the env":      {Flags{}, []string{"CXGCTL_OUTPUT", "xml"}, "CXGCTL_OUTPUT must be one of table,", ""},
		"operator of the env":    {Flags{}, []string{"CXGCTL_OPERATOR", " "}, "CXGCTL_OPERATOR must not be empty", ""},
		"address of the env":     {Flags{}, []string{"CXGCTL_MANAGER_DATABASE_URL", "x:" + canary}, "CXGCTL_MANAGER_DATABASE_URL must be a postgres:// address", ""},
		"address of the backend": {Flags{Profile: "bare"}, []string{"MANAGER_DATABASE_URL", "http://u:" + canary + "@h"}, "MANAGER_DATABASE_URL must be a postgres:// address", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dir
			if c.f.Profile == "bare" {
				dir = folder(t, ".cxgctl.yaml", "profiles: {bare: {}}\n")
			}
			_, err := Load(c.f, env(c.env...), dir)
			e := fault.From(err)
			if !fault.Is(err, fault.Validation) || !strings.HasPrefix(strings.ReplaceAll(e.Message, dir+"/.cxgctl.yaml", "F"), c.want) || !strings.HasPrefix(e.Hint, c.hint) {
				t.Errorf("got %v (hint %s), want %s (hint %s)", err, e.Hint, c.want, c.hint)
			}
			if strings.Contains(told(err), canary) {
				t.Errorf("the password is told: %s", told(err))
			}
		})
	}
	if _, err := Load(Flags{Profile: "dev"}, env(), t.TempDir()); err == nil || err.Error() != "--profile names a profile, but no configuration file was found" {
		t.Errorf("a profile of no file: %v", err)
	}
}

func TestLoad_UnreadableFiles(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(path string) error{
		"a folder":              func(path string) error { return os.Mkdir(path, 0o700) },
		"a link to nowhere":     func(path string) error { return os.Symlink("nowhere", path) },
		"a link round a circle": func(path string) error { return os.Symlink(path, path) },
		"a locked file": func(path string) error {
			if os.Geteuid() == 0 { // whom no mode stops
				return os.Mkdir(path, 0o700)
			}
			return os.WriteFile(path, nil, 0o000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := make(filepath.Join(dir, ".cxgctl.yaml")); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(Flags{}, env(), dir); !fault.Is(err, fault.Validation) {
				t.Errorf("passed over: %v", err)
			}
		})
	}
	file := folder(t, "file", "")
	load(t, Flags{}, env("HOME", filepath.Join(file, "file")), t.TempDir()) // HOME is not a folder
}

// secrets are connection strings with a password in them, most of them broken.
var secrets = []string{
	"postgres://u:" + canary + "@h/db",
	"postgresql+asyncpg://u:" + canary + "@h/db?ssl=require",
	"postgres://:" + canary + "@h/db",
	"postgres://u:" + canary + "@",
	"postgres://u:" + canary + "@h:port/db",
	"postgres://u:" + canary + "@[::1/db",
	"postgres://u:a/" + canary + "@h/db",
	"postgres://u:a?" + canary + "@h/db",
	"postgres://u:a#" + canary + "@h/db",
	"postgres://u:%zz" + canary + "@h/db",
	"postgres://u:" + canary + "@h1:1,h2:x/db",
	"postgres://u@x:" + canary + "@h/db",
	"postgres://h/db?password=" + canary,
	"postgres://h/db?user=u&password=" + canary + "&sslmode=nonsense",
	"postgres://h/db?pass%77ord=" + canary,
	"postgres://h/db?sslpassword=" + canary,
	"POSTGRES://u:" + canary + "@h/db",
	"mysql://u:" + canary + "@h/db",
	"http://u:" + canary + "@h/db",
	"://u:" + canary + "@h/db",
	"host=h password=" + canary,
	"host=h password = '" + canary + "",
	"HOST=h PASSWORD=" + canary,
	"password=" + canary + " port=x",
	"host=h sslmode=nonsense password=" + canary,
	"service=x password=" + canary,
}

// TestLoad_SecretsNotPrinted puts every one of them where a person might by mistake.
func TestLoad_SecretsNotPrinted(t *testing.T) {
	t.Parallel()
	shapes := []string{
		"profiles:\n  p:\n    K: 'S'\n", "profiles:\n  p:\n    K: S\n", "profiles:\n  p:\n    K: |\n      S\n",
		"profiles:\n  p: {K: S}\n", "profiles:\n  p:\n    K: \"S\n", "profiles:\n  p:\n    S\n", "profiles:\n  p:\n    S: x\n",
		"profiles:\n  p:\n    K S\n", "profiles:\n  p:\n    - S\n", "profiles:\n  p:\n    auth:\n      S: K\n", "S", "profile: 'S'\n",
		"profiles:\n  'S':\n    K: x\n", "profiles:\n  p:\n    K: &S x\n", "profiles:\n  p:\n    K: *S\n", "profiles:\n  p:\n    K: !S x\n",
		"K: S\n", "profiles:\n  p:\n    K: [S\n", "profiles:\n  p:\n   K: x\n    S: x\n", "%S\n---\n", "profiles:\n  p:\n    K: >S\n",
	}
	keys := []string{keyManager, keyReplica, keyPassword, keyOperator, keyOutput, keyTimeout, keyEmbedded, "auth", "nonsense"}
	for _, secret := range secrets {
		if !holdsPassword(secret) {
			t.Errorf("not seen as a secret: %s", secret)
		}
		for _, shape := range shapes {
			for _, key := range keys {
				text := strings.NewReplacer("K", key, "S", secret).Replace(shape)
				c, err := Load(Flags{ConfigFile: "-", Stdin: strings.NewReader(text), Profile: "p"}, env(), "/")
				if err != nil && strings.Contains(told(err), canary) {
					t.Errorf("%q is told: %s", text, told(err))
				}
				if out := fmt.Sprintf("%+v %+v", c, View(c)); strings.Contains(out, canary) && key != keyOperator {
					t.Errorf("%q is viewed: %s", text, out)
				}
			}
		}
		for _, name := range []string{"CXGCTL_MANAGER_DATABASE_URL", "CXGCTL_TENANTS_DATABASE_URL", "MANAGER_DATABASE_URL", "CXGCTL_OUTPUT", envProfile} {
			c, err := Load(Flags{}, env(name, secret), "/nowhere")
			if err != nil && strings.Contains(told(err), canary) {
				t.Errorf("%s=%q is told: %s", name, secret, told(err))
			}
			if out := fmt.Sprintf("%+v %+v", c, View(c)); strings.Contains(out, canary) {
				t.Errorf("%s=%q is viewed: %s", name, secret, out)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(full, "postgres://u@h/db")
	f.Add("profiles: {p: {auth: {require: login}}}", "")
	for _, s := range secrets {
		f.Add("profiles:\n  p:\n    manager_database_url: "+s+"\n", s)
	}
	f.Fuzz(func(t *testing.T, text, url string) {
		c, err := Load(Flags{ConfigFile: "-", Stdin: strings.NewReader(text)}, env("MANAGER_DATABASE_URL", url), "/")
		if err == nil {
			View(c)
			return
		}
		e := fault.From(err)
		if e.Code != fault.Validation || strings.Contains(told(err), canary) || strings.ContainsAny(e.Message, "\n\r\x00\x1b") {
			t.Errorf("%q, %q: %q", text, url, told(err))
		}
	})
}

package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// env makes a getenv of alternating names and values.
func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

// folder makes a folder with one file in it, of mode 0600, and gives the folder's path.
func folder(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, name), text, 0o600)
	return dir
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func load(t *testing.T, f Flags, getenv func(string) string, dir string) Config {
	t.Helper()
	c, err := Load(f, getenv, dir)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

const full = `profile: dev
profiles:
  dev:
    embedded: true
    operator: admin
  prod:
    manager_database_url: postgres://cxgctl@db1,db2/mgmt?target_session_attrs=read-write
    tenants_database_url: postgres://cxgctl@db3/{code}
    replica_database_url: host=db2 dbname=mgmt user=cxgctl
    password_file: secrets/cxgctl
    auth: {require: login}
    protected: true
    output: csv
    timeout: 2m
`

func TestLoad_BuiltIn(t *testing.T) {
	t.Parallel()
	c := load(t, Flags{}, env(), t.TempDir())
	if c.File != "" || c.Profile != "" || c.Embedded || c.ManagerURL != "" || c.Operator != "" || c.Protected {
		t.Errorf("something out of nothing: %+v", View(c))
	}
	if c.Auth.Require != "claim" || c.Output != "table" || c.Timeout != 30*time.Second {
		t.Errorf("built-in values: %+v", View(c))
	}
	if p, err := c.Password(t.Context()); p != "" || err != nil {
		t.Errorf("password without a file: %q, %v", p, err)
	}
}

func TestLoad_Profiles(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", full)
	dev := load(t, Flags{}, env(), dir)
	if dev.Profile != "dev" || !dev.Embedded || dev.Operator != "admin" || dev.Sources[keyProfile] != "file" {
		t.Errorf("dev: %+v", View(dev))
	}
	prod := load(t, Flags{Profile: "prod"}, env(envProfile, "dev"), dir)
	want := Config{
		Settings: Settings{
			ManagerURL: "postgresql://cxgctl@db1,db2/mgmt?target_session_attrs=read-write",
			TenantsURL: "postgresql://cxgctl@db3/{code}", ReplicaURL: "host=db2 dbname=mgmt user=cxgctl",
			PasswordFile: filepath.Join(dir, "secrets/cxgctl"), Protected: true, Output: "csv", Timeout: 2 * time.Minute,
		},
		File: filepath.Join(dir, ".cxgctl.yaml"), Profile: "prod", Zone: time.UTC,
		Sources: map[string]string{
			keyFile: "working folder", keyProfile: "--profile", keyEmbedded: "built-in",
			keyManager: "profile prod", keyTenants: "profile prod", keyReplica: "profile prod",
			keyPassword: "profile prod", "auth.require": "profile prod", "protected": "profile prod",
			keyOutput: "profile prod", keyTimeout: "profile prod",
			keyEnforce: "built-in", "auth.lock_after": "built-in", keyLock: "built-in",
		},
	}
	want.Auth.Require, want.Auth.Enforce, want.Auth.LockAfter, want.Auth.LockFor = "login", true, 5, 15*time.Minute
	if !maps.Equal(prod.Sources, want.Sources) {
		t.Errorf("sources\n got %v\nwant %v", prod.Sources, want.Sources)
	}
	// Config prints nothing of itself, so the structs are compared by a twin that does.
	type twin Config
	if from := prod.From(keyTimeout); from != "profile prod, timeout in "+prod.File+":14" {
		t.Errorf("the time-out is from %q", from)
	}
	prod.Sources, want.Sources, prod.lines = nil, nil, nil
	if got, want := fmt.Sprintf("%+v", twin(prod)), fmt.Sprintf("%+v", twin(want)); got != want {
		t.Errorf("prod\n got %s\nwant %s", got, want)
	}
}

// TestLoad_Precedence gives every setting every subset of its sources, and expects the strongest to count.
func TestLoad_Precedence(t *testing.T) {
	t.Parallel()
	const flag, ours, profile, backend = 1, 2, 4, 8
	url := func(host string) string { return "postgresql://" + host + "/x" }
	for _, c := range []struct {
		key     string
		mask    int
		values  map[int]string
		builtin string
		get     func(Config) string
	}{
		{keyOperator, flag | ours | profile, map[int]string{flag: "f", ours: "e", profile: "p"}, "", func(c Config) string { return c.Operator }},
		{keyOutput, flag | ours | profile, map[int]string{flag: "json", ours: "csv", profile: "wide"}, "table", func(c Config) string { return c.Output }},
		{keyTimeout, flag | profile, map[int]string{flag: "1s", profile: "2s"}, "30s", func(c Config) string { return c.Timeout.String() }},
		{keyManager, ours | profile | backend, map[int]string{ours: url("e"), profile: url("p"), backend: url("b")}, "", func(c Config) string { return c.ManagerURL }},
		{keyTenants, ours | profile | backend, map[int]string{ours: url("e"), profile: url("p"), backend: url("b")}, "", func(c Config) string { return c.TenantsURL }},
		{keyPassword, ours | profile, map[int]string{ours: "/e", profile: "/p"}, "", func(c Config) string { return c.PasswordFile }},
		{"auth.require", profile, map[int]string{profile: "db_role"}, "claim", func(c Config) string { return c.Auth.Require }},
		{"protected", profile, map[int]string{profile: "true"}, "false", func(c Config) string { return fmt.Sprint(c.Protected) }},
	} {
		for set := range 16 {
			if set&^c.mask != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%04b", c.key, set), func(t *testing.T) {
				t.Parallel()
				var f Flags
				vars := map[string]string{}
				file := "profile: p\nprofiles:\n  p:\n"
				want, source := c.builtin, "built-in"
				if want == "" {
					source = ""
				}
				if set&backend != 0 {
					vars[find(c.key).backend] = c.values[backend]
					want, source = c.values[backend], "env "+find(c.key).backend
				}
				if set&profile != 0 {
					line := "    " + c.key + ": " + c.values[profile] + "\n"
					if section, key, deeper := strings.Cut(c.key, "."); deeper {
						line = "    " + section + ":\n      " + key + ": " + c.values[profile] + "\n"
					}
					file += line
					want, source = c.values[profile], "profile p"
				}
				if set&ours != 0 {
					vars[find(c.key).env] = c.values[ours]
					want, source = c.values[ours], "env "+find(c.key).env
				}
				if set&flag != 0 {
					switch c.key {
					case keyOperator:
						f.Operator = c.values[flag]
					case keyOutput:
						f.Output = c.values[flag]
					case keyTimeout:
						f.Timeout = time.Second
					}
					want, source = c.values[flag], "--"+c.key
				}
				got := load(t, f, func(n string) string { return vars[n] }, folder(t, ".cxgctl.yaml", file))
				if c.get(got) != want || got.Sources[c.key] != source {
					t.Errorf("got %q from %q, want %q from %q", c.get(got), got.Sources[c.key], want, source)
				}
			})
		}
	}
}

func TestLoad_OverriddenValuesUnchecked(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", full)
	load(t, Flags{Profile: "prod", Output: "json"}, env("CXGCTL_OUTPUT", "nonsense", "MANAGER_DATABASE_URL", "mysql://x"), dir)
}

func TestLoad_EmbeddedAndAddresses(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", full)
	const m, tn = "CXGCTL_MANAGER_DATABASE_URL", "CXGCTL_TENANTS_DATABASE_URL"
	for name, c := range map[string]struct {
		env                        []string
		profile                    string
		embedded                   bool
		manager, tenants, replicas string
	}{
		"our variable wins":           {[]string{m, "postgres://h/e"}, "dev", false, "postgresql://h/e", "", ""},
		"the backend's loses":         {[]string{m[7:], "postgres://h/b", tn[7:], "postgres://h/t"}, "dev", true, "", "", ""},
		"both, then the tenants' too": {[]string{m, "postgres://h/e", tn[7:], "postgres://h/t"}, "dev", false, "postgresql://h/e", "postgresql://h/t", ""},
		"tenants alone":               {[]string{tn, "postgres://h/t"}, "dev", true, "", "postgresql://h/t", ""},
		"another manager, no replica": {[]string{m, "postgres://h/e"}, "prod", false, "postgresql://h/e", "postgresql://cxgctl@db3/{code}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := load(t, Flags{Profile: c.profile}, env(c.env...), dir)
			if got.Embedded != c.embedded || got.ManagerURL != c.manager || got.TenantsURL != c.tenants || got.ReplicaURL != c.replicas {
				t.Errorf("embedded %v, manager %q, tenants %q, replica %q", got.Embedded, got.ManagerURL, got.TenantsURL, got.ReplicaURL)
			}
		})
	}
}

func TestLoad_SearchOrder(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	work, xdg := filepath.Join(home, "work"), filepath.Join(home, "xdg")
	file := func(operator string) string {
		return "profile: p\nprofiles: {p: {operator: " + operator + "}}\n"
	}
	paths := map[string]string{
		"flag": filepath.Join(work, "flag.yaml"), "env": filepath.Join(home, "env.yaml"),
		"work": filepath.Join(work, ".cxgctl.yaml"), "xdg": filepath.Join(xdg, "cxgctl/config.yaml"),
		"home": filepath.Join(home, ".cxgctl.yaml"),
	}
	for name, path := range paths {
		write(t, path, file(name), 0o600)
	}
	getenv := env("HOME", home, "XDG_CONFIG_HOME", xdg, envConfig, paths["env"])
	got := []string{
		load(t, Flags{ConfigFile: "flag.yaml"}, getenv, work).Operator,
		load(t, Flags{}, getenv, work).Operator,
	}
	getenv = env("HOME", home, "XDG_CONFIG_HOME", xdg)
	for _, next := range []string{"work", "xdg", "home", ""} {
		used, _ := Path(Flags{}, getenv, work)
		c := load(t, Flags{}, getenv, work)
		if used != c.File || used != paths[next] {
			t.Errorf("Path says %q, Load read %q, want %q", used, c.File, paths[next])
		}
		got = append(got, c.Operator)
		if next != "" {
			if err := os.Remove(paths[next]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := []string{"flag", "env", "work", "xdg", "home", ""}; !slices.Equal(got, want) {
		t.Errorf("read in the order %q, want %q", got, want)
	}
	_, searched := Path(Flags{}, env("HOME", home, "XDG_CONFIG_HOME", "relative"), work)
	if len(searched) != 3 || searched[1].Path != filepath.Join(home, ".config/cxgctl/config.yaml") {
		t.Errorf("a relative XDG_CONFIG_HOME must be ignored: %+v", searched)
	}
	if _, searched := Path(Flags{}, env(), work); len(searched) != 1 {
		t.Errorf("without a home: %+v", searched)
	}
}

func TestLoad_StandardInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := load(t, Flags{ConfigFile: "-", Stdin: strings.NewReader(full), Profile: "prod"}, env(), dir)
	if c.File != "standard input" || c.PasswordFile != filepath.Join(dir, "secrets/cxgctl") {
		t.Errorf("%+v", View(c))
	}
}

func TestLoad_EmptyFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "# nothing yet\n", "---\n", "\ufeffprofiles:\n", "profiles: {}\n", "profiles:\n  dev:\n", "profiles:\r\n  dev:\r\n    operator: ada\r\n"} {
		load(t, Flags{}, env(), folder(t, ".cxgctl.yaml", text))
	}
}

func TestLoad_RelativePaths(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", "profiles:\n  a: {password_file: ~/pw}\n  b: {password_file: /pw}\n  c: {password_file: pw}\n")
	getenv := env("HOME", "/h", envToken, "tok")
	for profile, want := range map[string]string{"a": "/h/pw", "b": "/pw", "c": filepath.Join(dir, "pw")} {
		c := load(t, Flags{Profile: profile, ConfigFile: filepath.Join(dir, ".cxgctl.yaml")}, getenv, "/elsewhere")
		if c.PasswordFile != want || c.TokenFile != "/elsewhere/tok" {
			t.Errorf("%s: %q, %q", profile, c.PasswordFile, c.TokenFile)
		}
	}
}

func TestLoad_EmptyFlags(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", full)
	given := func(flag string) Flags { return Flags{Changed: func(f string) bool { return f == flag }} }
	for _, flag := range []string{"operator", "output", "profile", "config"} {
		_, err := Load(given(flag), env("CXGCTL_OPERATOR", "x"), dir)
		if !fault.Is(err, fault.Validation) || !strings.HasPrefix(err.Error(), "--"+flag+" must") {
			t.Errorf("--%s '': %v", flag, err)
		}
	}
	if c := load(t, given("timeout"), env(), dir); c.Timeout != 0 {
		t.Errorf("--timeout 0 gives %s", c.Timeout)
	}
	if _, err := Load(Flags{Timeout: -1}, env(), dir); err == nil || err.Error() != "--timeout must not be negative" {
		t.Errorf("negative: %v", err)
	}
}

func TestView(t *testing.T) {
	t.Parallel()
	dir := folder(t, ".cxgctl.yaml", full)
	c := load(t, Flags{Profile: "prod"}, env("CXGCTL_OPERATOR", "ada"), dir)
	var lines []string
	for _, s := range View(c) {
		lines = append(lines, fmt.Sprintf("%s=%v (%s)", s.Key, s.Value, s.Source))
	}
	got := strings.ReplaceAll(strings.Join(lines, "\n"), dir, "DIR")
	const want = `file=DIR/.cxgctl.yaml (working folder)
profile=prod (--profile)
embedded=false (built-in)
manager_database_url=set (profile prod, line 7)
tenants_database_url=set (profile prod, line 8)
replica_database_url=set (profile prod, line 9)
pooled=<nil> ()
row_security=<nil> ()
direct_database_url=<nil> ()
direct_tenants_database_url=<nil> ()
password_file=DIR/secrets/cxgctl (profile prod, line 10)
password_command=<nil> ()
operator=ada (env CXGCTL_OPERATOR)
auth.require=login (profile prod, line 11)
auth.jwt_secret_file=<nil> ()
auth.enforce_permissions=true (built-in)
auth.lock_after=5 (built-in)
auth.lock_for=15m0s (built-in)
protected=true (profile prod, line 12)
color=<nil> ()
output=csv (profile prod, line 13)
timezone=<nil> ()
timeout=2m0s (profile prod, line 14)
token_file=<nil> ()`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	printed, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%v %+v %#v %s %q %d", c, c, c, c, c, c) + string(printed); strings.Contains(all, "db1") {
		t.Errorf("a connection string is printed: %s", all)
	}
}

func TestInit(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	getenv := env("HOME", home)
	path := InitPath(Flags{}, getenv, "/w")
	if path != filepath.Join(home, ".config/cxgctl/config.yaml") || InitPath(Flags{ConfigFile: "x"}, getenv, "/w") != "/w/x" {
		t.Fatalf("InitPath: %s", path)
	}
	if err := Init(path, Answers{}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if c := load(t, Flags{}, getenv, home); c.File != path || !c.Embedded || c.Operator != "admin" {
		t.Errorf("the starter says %+v", View(c))
	}
	// The commented part is right as well.
	text := strings.ReplaceAll(Answers{}.text(), "\n#  ", "\n  ")
	c := load(t, Flags{ConfigFile: "-", Stdin: strings.NewReader(text), Profile: "prod"}, getenv, home)
	for _, s := range View(c) {
		if s.Value == nil && s.Key != keyOperator && s.Key != keyToken && s.Key != keyCommand {
			t.Errorf("the starter does not show %s", s.Key)
		}
	}
	write(t, path, "mine", 0o600)
	if err := Init(path, Answers{}); !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("a second Init: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("overwritten: %q, %v", text, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := Init(filepath.Join(path, "below"), Answers{}); !fault.Is(err, fault.IO) {
		t.Errorf("below a file: %v", err)
	}
}

// TestProjectFile holds the file that a clone of the project starts with.
func TestProjectFile(t *testing.T) {
	t.Parallel()
	c := load(t, Flags{}, env(), filepath.Join("..", ".."))
	if c.Profile != "dev" || !c.Embedded || c.Operator != "admin" {
		t.Errorf("%+v", View(c))
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".cxgctl.yaml"), []byte(full), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(Flags{Profile: "prod"}, env(), dir); err != nil {
			b.Fatal(err)
		}
	}
}

func find(key string) setting {
	return settings[slices.IndexFunc(settings, func(s setting) bool { return s.key == key })]
}

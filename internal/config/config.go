// Package config settles what a run works with: flags, environment, the chosen profile of the
// configuration file and what is built in, in falling precedence, in one typed struct.
//
// No error, view or print of this package holds a connection string or a password: messages are made
// of fixed text, keys, plain names and lines.
package config

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Flags is what the command line gave.
type Flags struct {
	ConfigFile string // "-" is Stdin
	Profile    string
	Operator   string
	Output     string
	Timeout    time.Duration
	TimeZone   string // --tz

	// Changed says whether the flag of this name was given at all (pflag's FlagSet.Changed fits), so that
	// an empty --operator is refused instead of overlooked. Without it, what is empty was not given.
	Changed func(flag string) bool
	// Stdin is read for the file name "-".
	Stdin io.Reader
}

func (f Flags) given(flag string) bool { return f.Changed != nil && f.Changed(flag) }

// Config is the effective configuration. It does not print itself: see View.
type Config struct {
	File    string // what was read; "" if nothing was
	Profile string // the chosen profile; "" if none was

	Embedded bool // cxgctl's own PostgreSQL; false when an address from outside overrules it

	// How to reach the databases, as pgx reads it; "" if nothing says. Secrets, whole.
	ManagerURL string `json:"-" yaml:"-"`
	TenantsURL string `json:"-" yaml:"-"`
	ReplicaURL string `json:"-" yaml:"-"`
	// Of tenants that the profile names one by one, by their codes; see TenantURL.
	TenantDatabases map[string]string `json:"-" yaml:"-"`
	// The servers themselves, for migrations, where the others lead through a pooler.
	DirectURL, DirectTenantsURL string `json:"-" yaml:"-"`

	RowSecurity bool // row policies may filter what lists and exports show

	Pooled bool // a pooler in transaction mode stands before the servers; one that is not named is recognised

	PasswordFile string // absolute; see Password
	TokenFile    string // absolute
	Operator     string
	AuthRequire  string         // the least proof of identity: claim, login or db_role
	JWTSecret    string         // absolute: the file with the secret that the backend signs its tokens with
	Enforce      bool           // false has no effect, and is refused once permissions are enforced
	EnforceLine  int            // of File, where it says Enforce; 0 for nowhere
	LockAfter    int            // wrong passwords until an account is locked
	LockFor      time.Duration  // how long it then is
	Protected    bool           // ask, and name the profile, before every write
	Output       string         // one of Formats
	Timeout      time.Duration  // of a one-off command; 0 is none
	Zone         *time.Location // of days, months, ages, and of times on a terminal; never nil

	credentials string         // $CREDENTIALS_DIRECTORY
	lines       map[string]int // of the keys that the chosen profile has in File

	// Sources tells for each key where its value came from: "--operator", "env CXGCTL_OPERATOR",
	// "profile dev" or "built-in". A key without a value has no entry.
	Sources map[string]string
}

// Format prints a name in place of the struct, whatever the verb, so that no log line and no %+v in a
// test's failure shows a connection string.
func (c Config) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "configuration(file %q, profile %q)", c.File, c.Profile)
}

// values are those that count, by their keys, each of the type that its setting's kind says.
type values map[string]any

// of is a value, or the zero value where nobody gave one.
func of[T any](v values, key string) T {
	value, _ := v[key].(T)
	return value
}

// Load settles the configuration. dir is the working folder. Every error is a VALIDATION_ERROR that
// names the flag, the variable, or the file with the line.
func Load(f Flags, getenv func(string) string, dir string) (Config, error) {
	s, err := open(f, getenv, dir)
	if err != nil {
		return Config{}, err
	}
	doc, err := parse(s)
	if err != nil {
		return Config{}, err
	}
	profile, from, err := choose(f, getenv, doc)
	if err != nil {
		return Config{}, err
	}
	v, sources, err := layers(f, getenv, profile, doc.profiles[profile])
	if err != nil {
		return Config{}, err
	}
	c := Config{
		File: s.path, Profile: profile, Sources: sources, lines: map[string]int{},
		Embedded:   of[bool](v, keyEmbedded),
		ManagerURL: of[string](v, keyManager), TenantsURL: of[string](v, keyTenants), ReplicaURL: of[string](v, keyReplica),
		DirectURL: of[string](v, keyDirect), DirectTenantsURL: of[string](v, keyDirectTen), Pooled: of[bool](v, keyPooled), RowSecurity: of[bool](v, keyRows),
		PasswordFile: of[string](v, keyPassword), Operator: of[string](v, keyOperator), AuthRequire: of[string](v, keyRequire),
		JWTSecret: of[string](v, keyJWT), Enforce: of[bool](v, keyEnforce), LockAfter: of[int](v, keyFailures), LockFor: of[time.Duration](v, keyLock),
		Protected: of[bool](v, keyProtected), Output: of[string](v, keyOutput), Zone: cmp.Or(of[*time.Location](v, keyZone), time.UTC), Timeout: of[time.Duration](v, keyTimeout),
	}
	c.EnforceLine = doc.profiles[profile][keyEnforce].line
	if c.TenantDatabases = databasesOf(doc.profiles[profile]); c.TenantDatabases != nil {
		sources[keyDatabases] = "profile " + profile
	}
	if s.path != "" {
		sources[keyFile] = s.origin
	}
	if profile != "" {
		sources[keyProfile] = from
	}
	c.credentials = getenv(envCredentials)
	for key, e := range doc.profiles[profile] {
		c.lines[key] = e.line
	}
	c.settleDatabase()
	c.byLibpq(getenv)
	base := dir
	if s.info != nil {
		base = filepath.Dir(s.path)
	}
	c.PasswordFile, c.JWTSecret = resolve(c.PasswordFile, base, getenv), resolve(c.JWTSecret, base, getenv)
	if c.TokenFile = resolve(getenv(envToken), dir, getenv); c.TokenFile != "" {
		sources[keyToken] = "env " + envToken
	}
	return c, nil
}

// From says for messages where the value of a key comes from, such as "profile prod, manager_database_url in c.yaml:4".
func (c Config) From(key string) string {
	source := c.Sources[key]
	if strings.HasPrefix(source, "profile ") && c.lines[key] > 0 {
		return fmt.Sprintf("%s, %s in %s:%d", source, key, c.File, c.lines[key])
	}
	return source
}

// choose gives the name of the profile, the flag's, the environment's, the file's or none, and whose it is.
func choose(f Flags, getenv func(string) string, doc document) (name, from string, err error) {
	name, from = f.Profile, "--profile"
	if name == "" && f.given("profile") {
		return "", "", fault.New(fault.Validation, "--profile must not be empty")
	}
	if name == "" {
		name, from = getenv(envProfile), "env "+envProfile
	}
	if name == "" {
		return doc.chosen, "file", nil
	}
	if _, known := doc.profiles[name]; known {
		return name, from, nil
	}
	who := strings.TrimPrefix(from, "env ")
	if doc.path == "" {
		return "", "", fault.New(fault.Validation, "%s names a profile, but there is no configuration file", who).
			WithHint("`cxgctl config path` shows where one is looked for, `cxgctl config init` writes one")
	}
	what := "the profile of " + who
	if plain(name) {
		what = fmt.Sprintf("profile %q (%s)", name, who)
	}
	return "", "", fault.New(fault.Validation, "%s is not in %s", what, doc.path).
		WithHint("%s", doc.suggestProfile(name)).With("profiles", doc.names)
}

// layers stacks what the program, the backend's variables, the profile, our own variables and the flags
// say, and checks for each setting the value that counts. One that is overruled is nobody's concern.
//
// That is all that viper did for us here, and linking it cost every start 50 page faults of 640: it brings net/http
// and html/template along.
func layers(f Flags, getenv func(string) string, profile string, entries map[string]entry) (values, map[string]string, error) {
	v, sources := values{}, map[string]string{}
	for _, s := range settings {
		where, text := "", "" // how an error names what counts, and what that says; "" where it was checked already
		if s.builtin != nil {
			v[s.key], sources[s.key] = s.builtin, "built-in"
		}
		if t := variable(s.backend, getenv); t != "" {
			where, text, sources[s.key] = s.backend, t, "env "+s.backend
		}
		if e, given := entries[s.key]; given {
			where, v[s.key], sources[s.key] = "", e.value, "profile "+profile
		}
		if t := variable(s.env, getenv); t != "" {
			where, text, sources[s.key] = s.env, t, "env "+s.env
		}
		if t, given := f.value(s.key); given {
			flag := "--" + s.key
			if s.key == keyZone {
				flag = "--tz"
			}
			where, text, sources[s.key] = flag, t, flag
		}
		if where == "" {
			continue
		}
		value, problem := s.parse(text)
		if problem != "" {
			return nil, nil, fault.New(fault.Validation, "%s %s", where, problem)
		}
		v[s.key] = value
	}
	return v, sources, nil
}

// value gives what the command line says about a setting. The flags are named as the keys.
func (f Flags) value(key string) (text string, given bool) {
	switch key {
	case keyOperator:
		text = f.Operator
	case keyOutput:
		text = f.Output
	case keyZone:
		return f.TimeZone, f.TimeZone != ""
	case keyTimeout:
		if f.Timeout != 0 || f.given(key) {
			return f.Timeout.String(), true
		}
		return "", false
	}
	return text, text != "" || f.given(key)
}

func variable(name string, getenv func(string) string) string {
	if name == "" {
		return ""
	}
	return getenv(name)
}

// settleDatabase decides between our own PostgreSQL and another. An address that was given for this run
// (CXGCTL_MANAGER_DATABASE_URL) overrules a profile that says embedded; the backend's own variables,
// which merely lie about in the shell, do not. The address of a replica, or of the server behind a pooler, counts
// beside one that has the same kind of source: it is of that database and of no other.
// An address of the tenants' for this run is that of all of them.
func (c *Config) settleDatabase() {
	manager := find(keyManager)
	if c.Embedded {
		if c.Sources[keyManager] == "env "+manager.env {
			c.Embedded = false
			c.Sources[keyEmbedded] = c.Sources[keyManager]
		} else {
			c.forget(keyManager, &c.ManagerURL)
			if c.Sources[keyTenants] == "env "+find(keyTenants).backend {
				c.forget(keyTenants, &c.TenantsURL)
			}
		}
	}
	if c.Pooled && !strings.HasPrefix(c.Sources[keyManager], "profile ") {
		c.Pooled = false
		delete(c.Sources, keyPooled)
	}
	from := func(key string) string { kind, _, _ := strings.Cut(c.Sources[key], " "); return kind }
	if from(keyReplica) != from(keyManager) {
		c.forget(keyReplica, &c.ReplicaURL)
	}
	if from(keyDirect) != from(keyManager) {
		c.forget(keyDirect, &c.DirectURL)
	}
	if from(keyDirectTen) != from(keyTenants) {
		c.forget(keyDirectTen, &c.DirectTenantsURL)
	}
	if c.Sources[keyTenants] == "env "+find(keyTenants).env {
		c.TenantDatabases = nil
		delete(c.Sources, keyDatabases)
	}
}

// byLibpq takes the variables of libpq for the address of the manager database where nothing else gives one. pgx reads
// them, and completes other connection strings by them too.
func (c *Config) byLibpq(getenv func(string) string) {
	if c.ManagerURL != "" || c.Embedded {
		return
	}
	for _, name := range []string{"PGSERVICE", "PGHOST", "PGDATABASE"} {
		if getenv(name) != "" {
			c.ManagerURL, c.Sources[keyManager] = "postgresql://", "env "+name
			return
		}
	}
}

func (c *Config) forget(key string, value *string) {
	*value = ""
	delete(c.Sources, key)
}

// resolve makes a path absolute; "~/" is the home folder, and a relative one stands in base.
func resolve(path, base string, getenv func(string) string) string {
	if path == "" {
		return ""
	}
	if rest, home := strings.CutPrefix(path, "~/"); home && getenv("HOME") != "" {
		return filepath.Join(getenv("HOME"), rest)
	}
	return absolute(path, base)
}

// StateDir is the folder for what a run leaves to the next, by the XDG rules; "" where there is no home.
func StateDir(getenv func(string) string) string {
	if xdg := getenv("XDG_STATE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "cxgctl")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "cxgctl")
	}
	return ""
}

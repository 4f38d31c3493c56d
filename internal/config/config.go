// Package config determines the effective configuration: flags, environment variables, the chosen
// profile of the configuration file and built-in values, in falling precedence.
//
// No error or view of this package contains a connection string or a password: messages consist of
// fixed text, keys, plain names and line numbers.
package config

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Flags are the global flags of the command line.
type Flags struct {
	ConfigFile string // "-" reads Stdin
	Profile    string
	Operator   string
	Output     string
	Timeout    time.Duration
	TimeZone   string // --tz

	// Changed reports whether a flag was given (pflag's FlagSet.Changed), so that an empty --operator is
	// refused instead of ignored. If it is nil, empty flags count as not given.
	Changed func(flag string) bool
	// Stdin is read for the file name "-".
	Stdin io.Reader
}

func (f Flags) given(flag string) bool { return f.Changed != nil && f.Changed(flag) }

// Config is the effective configuration. It does not print itself: see View.
type Config struct {
	File    string // the file that was read, or ""
	Profile string // the chosen profile, or ""

	Embedded bool // use cxgctl's own PostgreSQL; false when the environment overrides it with an address

	// Connection strings for pgx, which may contain passwords; "" if not configured.
	ManagerURL string `json:"-" yaml:"-"`
	TenantsURL string `json:"-" yaml:"-"`
	ReplicaURL string `json:"-" yaml:"-"`
	// TenantDatabases maps tenant codes to connection strings; see TenantURL.
	TenantDatabases map[string]string `json:"-" yaml:"-"`
	// Connections that bypass a pooler, for migrations.
	DirectURL, DirectTenantsURL string `json:"-" yaml:"-"`

	RowSecurity bool // row policies may filter what lists and exports show

	Pooled bool // a transaction-mode pooler is in front of the servers; if false, it is detected

	PasswordFile string // absolute; see Password
	TokenFile    string // absolute
	Operator     string
	AuthRequire  string         // the weakest accepted authentication: claim, login or db_role
	JWTSecret    string         // absolute path of the file with the secret that signs the backend's tokens
	Enforce      bool           // false is refused once permissions are enforced
	EnforceLine  int            // line of File that sets Enforce; 0 if none does
	LockAfter    int            // wrong passwords that lock an account
	LockFor      time.Duration  // how long a lock lasts
	Protected    bool           // ask before every write; the question names the profile
	Output       string         // one of Formats
	Timeout      time.Duration  // of a one-off command; 0 means none
	Zone         *time.Location // of days, months, ages, and of times on a terminal; never nil

	credentials string         // $CREDENTIALS_DIRECTORY
	lines       map[string]int // line numbers in File of the chosen profile's keys

	// Sources maps each key to the origin of its value: "--operator", "env CXGCTL_OPERATOR",
	// "profile dev" or "built-in". A key without a value has no entry.
	Sources map[string]string
}

// Format prints a name in place of the struct, whatever the verb, so that no log line and no %+v in a
// test's failure shows a connection string.
func (c Config) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "configuration(file %q, profile %q)", c.File, c.Profile)
}

// Load returns the effective configuration. dir is the working folder. Every error is a
// VALIDATION_ERROR that names the flag, the variable, or the file and the line.
func Load(f Flags, getenv func(string) string, dir string) (Config, error) {
	s, err := open(f, getenv, dir)
	if err != nil {
		return Config{}, err
	}
	doc, err := parse(s)
	if err != nil {
		return Config{}, err
	}
	profile, from, err := chooseProfile(f, getenv, doc)
	if err != nil {
		return Config{}, err
	}
	entries := doc.profiles[profile]
	v, sources, err := merge(f, getenv, profile, entries)
	if err != nil {
		return Config{}, err
	}
	c := Config{
		File:             s.path,
		Profile:          profile,
		Embedded:         v.GetBool(keyEmbedded),
		ManagerURL:       v.GetString(keyManager),
		TenantsURL:       v.GetString(keyTenants),
		ReplicaURL:       v.GetString(keyReplica),
		TenantDatabases:  tenantDatabases(entries),
		DirectURL:        v.GetString(keyDirect),
		DirectTenantsURL: v.GetString(keyDirectTen),
		RowSecurity:      v.GetBool(keyRows),
		Pooled:           v.GetBool(keyPooled),
		PasswordFile:     v.GetString(keyPassword),
		Operator:         v.GetString(keyOperator),
		AuthRequire:      v.GetString(keyRequire),
		JWTSecret:        v.GetString(keyJWT),
		Enforce:          v.GetBool(keyEnforce),
		EnforceLine:      entries[keyEnforce].line,
		LockAfter:        v.GetInt(keyFailures),
		LockFor:          v.GetDuration(keyLock),
		Protected:        v.GetBool(keyProtected),
		Output:           v.GetString(keyOutput),
		Timeout:          v.GetDuration(keyTimeout),
		Zone:             time.UTC,
		credentials:      getenv(envCredentials),
		lines:            map[string]int{},
		Sources:          sources,
	}
	if zone, ok := v.Get(keyZone).(*time.Location); ok {
		c.Zone = zone
	}
	if c.TenantDatabases != nil {
		sources[keyDatabases] = "profile " + profile
	}
	if s.path != "" {
		sources[keyFile] = s.origin
	}
	if profile != "" {
		sources[keyProfile] = from
	}
	for key, e := range entries {
		c.lines[key] = e.line
	}
	c.resolveDatabases()
	c.useLibpqEnvironment(getenv)
	base := dir
	if s.info != nil {
		base = filepath.Dir(s.path)
	}
	c.PasswordFile = resolve(c.PasswordFile, base, getenv)
	c.JWTSecret = resolve(c.JWTSecret, base, getenv)
	if c.TokenFile = resolve(getenv(envToken), dir, getenv); c.TokenFile != "" {
		sources[keyToken] = "env " + envToken
	}
	return c, nil
}

// From describes the origin of a key's value for messages: "profile prod, manager_database_url in c.yaml:4".
func (c Config) From(key string) string {
	source := c.Sources[key]
	if strings.HasPrefix(source, "profile ") && c.lines[key] > 0 {
		return fmt.Sprintf("%s, %s in %s:%d", source, key, c.File, c.lines[key])
	}
	return source
}

// chooseProfile returns the profile that the flag, the environment or the file names, and which of them does.
func chooseProfile(f Flags, getenv func(string) string, doc document) (name, from string, err error) {
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
		return "", "", fault.New(fault.Validation, "%s names a profile, but no configuration file was found", who).
			WithHint("`cxgctl config path` shows where one is looked for, `cxgctl config init` writes one")
	}
	what := "the profile of " + who
	if isPlain(name) {
		what = fmt.Sprintf("profile %q (%s)", name, who)
	}
	return "", "", fault.New(fault.Validation, "%s is not in %s", what, doc.path).
		WithHint("%s", doc.suggestProfile(name)).With("profiles", doc.names)
}

// merge combines all sources of the settings in viper: flags override the environment, which overrides
// the profile, which overrides the backend's variables and the built-in values. It checks only the
// values that take effect, and returns their sources.
//
// The environment is merged as a map on top of the profile. BindEnv would read the environment of the
// process, but getenv may be that of one of several commands that a test runs at a time.
func merge(
	f Flags, getenv func(string) string, profile string, entries map[string]entry,
) (*viper.Viper, map[string]string, error) {
	v := viper.New()
	sources := map[string]string{}
	unchecked := map[string]string{} // keys whose value is text of a flag or a variable, with its name
	file, environment := map[string]any{}, map[string]any{}
	for _, s := range settings {
		if s.builtin != nil {
			v.SetDefault(s.key, s.builtin)
			sources[s.key] = "built-in"
		}
		if text := lookup(getenv, s.backend); text != "" {
			v.SetDefault(s.key, text)
			sources[s.key], unchecked[s.key] = "env "+s.backend, s.backend
		}
		if e, ok := entries[s.key]; ok {
			file[s.key] = e.value
			sources[s.key] = "profile " + profile
			delete(unchecked, s.key)
		}
		if text := lookup(getenv, s.env); text != "" {
			environment[s.key] = text
			sources[s.key], unchecked[s.key] = "env "+s.env, s.env
		}
		if text, given := f.value(s.key); given {
			flag := "--" + s.key
			if s.key == keyZone {
				flag = "--tz"
			}
			v.Set(s.key, text)
			sources[s.key], unchecked[s.key] = flag, flag
		}
	}
	for _, layer := range []map[string]any{file, environment} {
		if err := v.MergeConfigMap(layer); err != nil {
			return nil, nil, fault.New(fault.Internal, "cannot merge the configuration").Because(err)
		}
	}
	for _, s := range settings {
		name, found := unchecked[s.key]
		if !found {
			continue
		}
		value, problem := s.parse(v.GetString(s.key))
		if problem != "" {
			return nil, nil, fault.New(fault.Validation, "%s %s", name, problem)
		}
		v.Set(s.key, value)
	}
	return v, sources, nil
}

// value returns the flag of a setting as text. All flags but --tz have the name of their key.
func (f Flags) value(key string) (text string, given bool) {
	switch key {
	case keyOperator:
		text = f.Operator
	case keyOutput:
		text = f.Output
	case keyZone:
		return f.TimeZone, f.TimeZone != ""
	case keyTimeout:
		return f.Timeout.String(), f.Timeout != 0 || f.given(key)
	}
	return text, text != "" || f.given(key)
}

// lookup returns an environment variable; settings without a variable have the name "".
func lookup(getenv func(string) string, name string) string {
	if name == "" {
		return ""
	}
	return getenv(name)
}

// resolveDatabases decides between the embedded PostgreSQL and others. CXGCTL_MANAGER_DATABASE_URL
// overrides a profile with embedded, but the backend's own variables, which may just be set in the shell,
// do not. The replica and direct addresses only count if they have the same kind of source as the address
// that they belong to. CXGCTL_TENANTS_DATABASE_URL applies to all tenants.
func (c *Config) resolveDatabases() {
	manager := find(keyManager)
	if c.Embedded {
		if c.Sources[keyManager] == "env "+manager.env {
			c.Embedded = false
			c.Sources[keyEmbedded] = c.Sources[keyManager]
		} else {
			c.unset(keyManager, &c.ManagerURL)
			if c.Sources[keyTenants] == "env "+find(keyTenants).backend {
				c.unset(keyTenants, &c.TenantsURL)
			}
		}
	}
	if c.Pooled && !strings.HasPrefix(c.Sources[keyManager], "profile ") {
		c.Pooled = false
		delete(c.Sources, keyPooled)
	}
	sourceKind := func(key string) string { kind, _, _ := strings.Cut(c.Sources[key], " "); return kind }
	if sourceKind(keyReplica) != sourceKind(keyManager) {
		c.unset(keyReplica, &c.ReplicaURL)
	}
	if sourceKind(keyDirect) != sourceKind(keyManager) {
		c.unset(keyDirect, &c.DirectURL)
	}
	if sourceKind(keyDirectTen) != sourceKind(keyTenants) {
		c.unset(keyDirectTen, &c.DirectTenantsURL)
	}
	if c.Sources[keyTenants] == "env "+find(keyTenants).env {
		c.TenantDatabases = nil
		delete(c.Sources, keyDatabases)
	}
}

// useLibpqEnvironment connects by libpq's variables if the manager database is not configured otherwise.
// pgx reads them.
func (c *Config) useLibpqEnvironment(getenv func(string) string) {
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

func (c *Config) unset(key string, value *string) {
	*value = ""
	delete(c.Sources, key)
}

// resolve returns path as an absolute path, relative to base or, after "~/", to the home folder.
func resolve(path, base string, getenv func(string) string) string {
	if path == "" {
		return ""
	}
	if rest, home := strings.CutPrefix(path, "~/"); home && getenv("HOME") != "" {
		return filepath.Join(getenv("HOME"), rest)
	}
	return absolute(path, base)
}

// StateDir returns the folder for state that outlives a command, by the XDG rules; "" without a home folder.
func StateDir(getenv func(string) string) string {
	if xdg := getenv("XDG_STATE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "cxgctl")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "cxgctl")
	}
	return ""
}

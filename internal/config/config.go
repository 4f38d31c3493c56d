// Package config determines the effective configuration: flags, environment variables, the chosen
// profile of the configuration file and built-in values, in falling precedence.
//
// No error or view of this package contains a connection string or a password: messages consist of
// fixed text, keys, plain names and line numbers.
package config

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
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

// Names of variables that are not settings.
const (
	envConfig      = "CXGCTL_CONFIG"
	envProfile     = "CXGCTL_PROFILE"
	envToken       = "CXGCTL_TOKEN_FILE"
	envCredentials = "CREDENTIALS_DIRECTORY" // systemd's
)

// Config is the effective configuration. It does not print itself: see View.
type Config struct {
	Settings `json:"-" yaml:"-"`

	File      string         // the file that was read, or ""
	Profile   string         // the chosen profile, or ""
	TokenFile string         // absolute
	Zone      *time.Location // of days, months, ages, and of times on a terminal; never nil

	// EnforceLine is the line of File that sets auth.enforce_permissions, 0 if none does.
	EnforceLine int

	// Sources maps each key to the origin of its value: "--operator", "env CXGCTL_OPERATOR",
	// "profile dev" or "built-in". A key without a value has no entry.
	Sources map[string]string

	credentials string         // $CREDENTIALS_DIRECTORY
	lines       map[string]int // line numbers in File of the chosen profile's keys
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
	doc, err := decode(s)
	if err != nil {
		return Config{}, err
	}
	name, from, err := chooseProfile(f, getenv, doc)
	if err != nil {
		return Config{}, err
	}
	p := doc.profiles[name]
	c := Config{
		File:        s.path,
		Profile:     name,
		EnforceLine: p.lines[keyEnforce],
		Sources:     map[string]string{},
		credentials: getenv(envCredentials),
		lines:       p.lines,
	}
	if err := c.merge(f, getenv, p); err != nil {
		return Config{}, err
	}
	if c.Zone, err = time.LoadLocation(c.TimeZone); err != nil { // "" is UTC
		return Config{}, fault.New(fault.Internal, "cannot load the time zone").Because(err)
	}
	if s.path != "" {
		c.Sources[keyFile] = s.origin
	}
	if name != "" {
		c.Sources[keyProfile] = from
	}
	c.resolveDatabases()
	c.useLibpqEnvironment(getenv)
	base := dir
	if s.info != nil {
		base = filepath.Dir(s.path)
	}
	passwordBase := base
	if c.Sources[keyPassword] == "env CXGCTL_PASSWORD_FILE" {
		passwordBase = dir
		c.PasswordCommand = nil
		delete(c.Sources, keyCommand)
	}
	c.PasswordFile = resolve(c.PasswordFile, passwordBase, getenv)
	if command := c.PasswordCommand; len(command) > 0 && strings.Contains(command[0], "/") {
		c.PasswordCommand = append([]string{resolve(command[0], base, getenv)}, command[1:]...)
	}
	c.Auth.JWTSecret = resolve(c.Auth.JWTSecret, base, getenv)
	if c.TokenFile = resolve(getenv(envToken), dir, getenv); c.TokenFile != "" {
		c.Sources[keyToken] = "env " + envToken
	}
	return c, nil
}

// Profiles returns the names of the profiles in the configuration file, sorted.
func Profiles(f Flags, getenv func(string) string, dir string) ([]string, error) {
	s, err := open(f, getenv, dir)
	if err != nil {
		return nil, err
	}
	doc, err := decode(s)
	return slices.Sorted(maps.Keys(doc.profiles)), err
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
		WithHint("%s", doc.suggestProfile(name)).With("profiles", slices.Sorted(maps.Keys(doc.profiles)))
}

// merge combines all sources of the settings in viper: flags override the environment, which overrides
// the profile, which overrides the backend's variables and the built-in values. Outside of the profile, it checks only
// the values that take effect. Tenant codes are case-sensitive, unlike viper's keys, so tenant_databases comes from the
// profile alone.
//
// The environment is merged as a map on top of the profile. BindEnv would read the environment of the
// process, but getenv may be that of one of several commands that a test runs at a time.
func (c *Config) merge(f Flags, getenv func(string) string, p profile) error {
	v := viper.New()
	file, environment := map[string]any{}, map[string]any{}
	for _, s := range settings {
		if value, ok := builtin[s.key]; ok {
			v.SetDefault(s.key, value)
			c.Sources[s.key] = "built-in"
		}
		if text := getenv(s.backend); text != "" && s.backend != "" {
			v.SetDefault(s.key, text)
			c.Sources[s.key] = "env " + s.backend
		}
		if p.lines[s.key] > 0 {
			file[s.key] = s.in(&p.Settings).Interface()
			c.Sources[s.key] = "profile " + c.Profile
		}
		if text := getenv(s.env); text != "" && s.env != "" {
			environment[s.key] = text
			c.Sources[s.key] = "env " + s.env
		}
		if flag, value := f.of(s.key); flag != "" {
			v.Set(s.key, value)
			c.Sources[s.key] = flag
		}
	}
	delete(file, keyDatabases)
	c.TenantDatabases = p.TenantDatabases
	for _, layer := range []map[string]any{file, environment} {
		if err := v.MergeConfigMap(layer); err != nil {
			return fault.New(fault.Internal, "cannot merge the configuration").Because(err)
		}
	}
	for _, s := range settings {
		if !v.IsSet(s.key) {
			continue
		}
		value, problem := s.check(v.Get(s.key))
		if problem != "" {
			if flag, text := f.of(s.key); flag != "" && s.accept != "" {
				problem += fmt.Sprintf(", not %.60q", text)
			}
			return fault.New(fault.Validation, "%s %s", strings.TrimPrefix(c.Sources[s.key], "env "), problem)
		}
		s.in(&c.Settings).Set(reflect.ValueOf(value))
	}
	return nil
}

// of returns the flag of a setting and its value, or "" if it was not given.
func (f Flags) of(key string) (flag string, value any) {
	switch {
	case key == keyOperator && (f.Operator != "" || f.given(key)):
		return "--operator", f.Operator
	case key == keyOutput && (f.Output != "" || f.given(key)):
		return "--output", f.Output
	case key == keyZone && f.TimeZone != "":
		return "--tz", f.TimeZone
	case key == keyTimeout && (f.Timeout != 0 || f.given(key)):
		return "--timeout", f.Timeout
	}
	return "", nil
}

// resolveDatabases decides between the embedded PostgreSQL and others. CXGCTL_MANAGER_DATABASE_URL
// overrides a profile with embedded, but the backend's own variables, which may just be set in the shell,
// do not. The replica and direct addresses only count if they have the same kind of source as the address
// that they belong to. CXGCTL_TENANTS_DATABASE_URL applies to all tenants.
func (c *Config) resolveDatabases() {
	if c.Embedded {
		if c.Sources[keyManager] == "env CXGCTL_MANAGER_DATABASE_URL" {
			c.Embedded = false
			c.Sources[keyEmbedded] = c.Sources[keyManager]
		} else {
			c.unset(keyManager, &c.ManagerURL)
			if c.Sources[keyTenants] == "env TENANTS_DATABASE_URL" {
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
	if c.Sources[keyTenants] == "env CXGCTL_TENANTS_DATABASE_URL" {
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
	for _, name := range []string{"PGSERVICE", "PGHOST", "PGDATABASE", "PGUSER", "PGPORT", "PGPASSFILE", "PGSSLMODE"} {
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

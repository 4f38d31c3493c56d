package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cxgctl/cxgctl/internal/validate"
)

// DefaultTimeout is the time-out of one-off commands without another one.
const DefaultTimeout = 30 * time.Second

// maxTimeout is the longest time-out: the server counts milliseconds in 32 bits.
const maxTimeout = 24 * time.Hour

// DefaultLockAfter wrong passwords lock an account for DefaultLock. The profile may belong to an attacker who guesses
// passwords, so it cannot raise the number or lower the duration below MinLock.
const (
	DefaultLockAfter = 5
	DefaultLock      = 15 * time.Minute
	MinLock          = time.Minute
)

// Settings are the keys of a profile. Tags name a key as the file spells it, the variable that overrides the profile
// (env), the backend's own variable, which the profile overrides (backend), and the values that are accepted: a path,
// a zone, or one of several words.
type Settings struct {
	// Embedded means cxgctl's own PostgreSQL. It is false when the environment overrides it with an address.
	Embedded bool `yaml:"embedded"`

	// Connection strings for pgx, which may contain passwords; "" if not configured.
	ManagerURL string `yaml:"manager_database_url" env:"CXGCTL_MANAGER_DATABASE_URL" backend:"MANAGER_DATABASE_URL"`
	TenantsURL string `yaml:"tenants_database_url" env:"CXGCTL_TENANTS_DATABASE_URL" backend:"TENANTS_DATABASE_URL"`
	// TenantDatabases maps tenant codes to connection strings; see TenantURL.
	TenantDatabases map[string]string `yaml:"tenant_databases"`
	ReplicaURL      string            `yaml:"replica_database_url" env:"CXGCTL_REPLICA_DATABASE_URL"`

	Pooled      bool `yaml:"pooled"`       // a transaction-mode pooler is in front of the servers; if false, it is detected
	RowSecurity bool `yaml:"row_security"` // row policies may filter what lists and exports show

	// DirectURL and DirectTenantsURL are connections that bypass a pooler, for migrations.
	DirectURL string `yaml:"direct_database_url" env:"CXGCTL_DIRECT_DATABASE_URL"`

	DirectTenantsURL string `yaml:"direct_tenants_database_url" env:"CXGCTL_DIRECT_TENANTS_DATABASE_URL"`

	PasswordFile    string   `yaml:"password_file" env:"CXGCTL_PASSWORD_FILE" accept:"path"` // absolute; see Config.Password
	PasswordCommand []string `yaml:"password_command"`                                       // a program and its arguments; see Config.Password
	Operator        string   `yaml:"operator" env:"CXGCTL_OPERATOR"`
	Auth            struct {
		Require   string        `yaml:"require" accept:"claim login db_role"` // the weakest accepted authentication
		JWTSecret string        `yaml:"jwt_secret_file" accept:"path"`        // signs the backend's tokens; absolute
		Enforce   bool          `yaml:"enforce_permissions"`                  // see Config.EnforceLine
		LockAfter int           `yaml:"lock_after"`                           // wrong passwords that lock an account
		LockFor   time.Duration `yaml:"lock_for"`                             // how long a lock lasts
	} `yaml:"auth"`
	Protected bool          `yaml:"protected"`                                         // ask before every write; the question names the profile
	Color     string        `yaml:"color" accept:"red green yellow blue magenta cyan"` // of the profile's name in questions
	Output    string        `yaml:"output" env:"CXGCTL_OUTPUT" accept:"table wide json jsonl csv tsv yaml id xlsx"`
	TimeZone  string        `yaml:"timezone" env:"CXGCTL_TZ" accept:"zone"` // see Config.Zone
	Timeout   time.Duration `yaml:"timeout"`                                // of a one-off command; 0 means none
}

// Keys that more than one place names.
const (
	keyEmbedded  = "embedded"
	keyManager   = "manager_database_url"
	keyTenants   = "tenants_database_url"
	keyDatabases = "tenant_databases"
	keyReplica   = "replica_database_url"
	keyPooled    = "pooled"
	keyDirect    = "direct_database_url"
	keyDirectTen = "direct_tenants_database_url"
	keyPassword  = "password_file"
	keyCommand   = "password_command"
	keyOperator  = "operator"
	keyEnforce   = "auth.enforce_permissions"
	keyLock      = "auth.lock_for"
	keyOutput    = "output"
	keyTimeout   = "timeout"
	keyZone      = "timezone"

	keyProfile = "profile"
	keyFile    = "file"       // in Sources only
	keyToken   = "token_file" // of the environment only
)

// builtin are the values of keys that nothing else sets.
var builtin = map[string]any{
	keyEmbedded: false, "auth.require": "claim", keyEnforce: true, "auth.lock_after": DefaultLockAfter,
	keyLock: DefaultLock, "protected": false, keyOutput: "table", keyTimeout: DefaultTimeout,
}

// setting is a field of Settings. Keys in a section have a dot.
type setting struct {
	key, env, backend, accept string
	index                     []int
}

// settings are the fields of Settings in order.
var settings = settingsOf(reflect.TypeFor[Settings](), "", nil)

func settingsOf(t reflect.Type, section string, index []int) []setting {
	var list []setting
	for i := range t.NumField() {
		f := t.Field(i)
		s := setting{
			key:     section + f.Tag.Get("yaml"),
			env:     f.Tag.Get("env"),
			backend: f.Tag.Get("backend"),
			accept:  f.Tag.Get("accept"),
			index:   append(slices.Clone(index), i),
		}
		if f.Type.Kind() == reflect.Struct {
			list = append(list, settingsOf(f.Type, s.key+".", s.index)...)
		} else {
			list = append(list, s)
		}
	}
	return list
}

// isURL reports whether values are connection strings.
func (s setting) isURL() bool { return strings.HasSuffix(s.key, "_url") || s.key == keyDatabases }

// in returns the setting's field.
func (s setting) in(values *Settings) reflect.Value {
	return reflect.ValueOf(values).Elem().FieldByIndex(s.index)
}

// check returns a value as it is used. The problem continues a sentence that begins with the value's source
// ("CXGCTL_OUTPUT must be …") and never contains the value, which may be a secret in the wrong place.
func (s setting) check(value any) (checked any, problem string) {
	switch value := value.(type) {
	case string:
		return s.checkText(value)
	case []string:
		if len(value) == 0 || value[0] == "" {
			return nil, "must name a program"
		}
	case int:
		if value < 1 || value > DefaultLockAfter {
			return nil, fmt.Sprintf("must be from 1 to %d", DefaultLockAfter)
		}
	case time.Duration:
		switch {
		case value < 0:
			return nil, "must not be negative"
		case s.key == keyTimeout && value != 0 && (value < time.Millisecond || value > maxTimeout):
			return nil, "must be 1ms to 24h, or 0 for none"
		case s.key == keyLock && value < MinLock:
			return nil, fmt.Sprintf("must be at least %s", MinLock)
		}
	}
	return value, ""
}

func (s setting) checkText(text string) (checked any, problem string) {
	text = strings.TrimRight(text, "\n")
	if strings.TrimSpace(text) == "" {
		return nil, "must not be empty"
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return nil, "must not contain control characters"
	}
	if s.isURL() {
		return normalize(text)
	}
	switch s.accept {
	case "":
	case "path":
		if strings.Contains(text, "://") || holdsPassword(text) {
			return nil, "must be the path of a file"
		}
	case "zone":
		if _, err := time.LoadLocation(text); err != nil || text == "Local" {
			return nil, "must be the name of a time zone such as Asia/Seoul"
		}
	default:
		if words := strings.Fields(s.accept); !slices.Contains(words, text) {
			return nil, "must be one of " + strings.Join(words, ", ")
		}
	}
	return text, ""
}

// Setting is one line of the effective configuration.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`  // text, number or bool; nil if unset; "set" in place of a connection string
	Source string `json:"source"` // as in Config.Sources, of a profile with the line in the file; "" if unset
}

// View returns the effective configuration without secrets, in a fixed order.
func View(c Config) []Setting {
	list := []Setting{{keyFile, c.File, ""}, {keyProfile, c.Profile, ""}}
	for _, s := range settings {
		value := s.in(&c.Settings).Interface()
		if s.key == keyDatabases && len(c.TenantDatabases) == 0 {
			continue
		}
		if s.isURL() {
			value = "set"
		}
		switch v := value.(type) {
		case time.Duration:
			value = v.String()
		case []string:
			value = strings.Join(v[:min(len(v), 1)], "") // arguments may be secret
		}
		list = append(list, Setting{s.key, value, ""})
	}
	list = append(list, Setting{keyToken, c.TokenFile, ""})
	for i := range list {
		s := &list[i]
		if s.Source = c.Sources[s.Key]; s.Source == "" {
			s.Value = nil
		}
		if line := c.lines[s.Key]; line > 0 && strings.HasPrefix(s.Source, "profile ") {
			s.Source += fmt.Sprintf(", line %d", line)
		}
	}
	return list
}

// isPlain reports whether text is a name that messages may repeat: without spaces, slashes, colons or @, it
// cannot be part of a connection string.
func isPlain(text string) bool {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	return text != "" && len(text) <= 64 && strings.Trim(text, plain) == ""
}

// suggest returns a hint for a wrong name: the most similar valid one, if any, and the whole list.
func suggest(wrong, what string, valid []string) string {
	list := what + ": " + strings.Join(valid, ", ")
	best := validate.Near(wrong, valid)
	if best == "" {
		return list
	}
	return fmt.Sprintf("did you mean %q? %s", best, list)
}

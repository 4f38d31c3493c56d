package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cxgctl/cxgctl/internal/validate"
)

// kind is the type of a setting's value.
type kind int

const (
	boolean  kind = iota // true or false
	name                 // one line of text
	choice               // one of setting.choices
	duration             // a duration such as 30s
	dsn                  // a connection string; secret
	path                 // a file
	number               // a whole number above 0
	zone                 // a time zone by its name
)

// setting describes one key of a profile and its other sources. To add a key, add a row to settings.
type setting struct {
	key     string // as the file spells it; a dot leads into a section
	kind    kind
	env     string // variable that overrides the profile
	backend string // the backend's own variable, which the profile overrides
	builtin any
	choices []string
}

// Formats are the values of output.
var Formats = []string{"table", "wide", "json", "jsonl", "csv", "tsv", "yaml", "id", "xlsx"}

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

const (
	keyEmbedded  = "embedded"
	keyManager   = "manager_database_url"
	keyTenants   = "tenants_database_url"
	keyReplica   = "replica_database_url"
	keyPooled    = "pooled"
	keyRows      = "row_security"
	keyDirect    = "direct_database_url"
	keyDirectTen = "direct_tenants_database_url"
	keyPassword  = "password_file"
	keyOperator  = "operator"
	keyRequire   = "auth.require"
	keyJWT       = "auth.jwt_secret_file"
	keyEnforce   = "auth.enforce_permissions"
	keyFailures  = "auth.lock_after"
	keyLock      = "auth.lock_for"
	keyProtected = "protected"
	keyOutput    = "output"
	keyTimeout   = "timeout"
	keyZone      = "timezone"

	keyProfile  = "profile"
	keyProfiles = "profiles"
	keyFile     = "file"       // in Sources only
	keyToken    = "token_file" // of the environment only
)

const (
	envConfig  = "CXGCTL_CONFIG"
	envProfile = "CXGCTL_PROFILE"
	envToken   = "CXGCTL_TOKEN_FILE"

	envCredentials = "CREDENTIALS_DIRECTORY" // systemd's
)

// settings are the keys of a profile, in View's order.
var settings = []setting{
	{key: keyEmbedded, kind: boolean, builtin: false},
	{key: keyManager, kind: dsn, env: "CXGCTL_MANAGER_DATABASE_URL", backend: "MANAGER_DATABASE_URL"},
	{key: keyTenants, kind: dsn, env: "CXGCTL_TENANTS_DATABASE_URL", backend: "TENANTS_DATABASE_URL"},
	{key: keyReplica, kind: dsn, env: "CXGCTL_REPLICA_DATABASE_URL"},
	{key: keyPooled, kind: boolean},
	{key: keyRows, kind: boolean},
	{key: keyDirect, kind: dsn, env: "CXGCTL_DIRECT_DATABASE_URL"},
	{key: keyDirectTen, kind: dsn, env: "CXGCTL_DIRECT_TENANTS_DATABASE_URL"},
	{key: keyPassword, kind: path},
	{key: keyOperator, kind: name, env: "CXGCTL_OPERATOR"},
	{key: keyRequire, kind: choice, builtin: "claim", choices: []string{"claim", "login", "db_role"}},
	{key: keyJWT, kind: path},
	{key: keyEnforce, kind: boolean, builtin: true},
	{key: keyFailures, kind: number, builtin: DefaultLockAfter},
	{key: keyLock, kind: duration, builtin: DefaultLock},
	{key: keyProtected, kind: boolean, builtin: false},
	{key: keyOutput, kind: choice, env: "CXGCTL_OUTPUT", builtin: "table", choices: Formats},
	{key: keyZone, kind: zone, env: "CXGCTL_TZ"},
	{key: keyTimeout, kind: duration, builtin: DefaultTimeout},
}

// parse converts text to a value. The problem continues a sentence that begins with the value's source
// ("CXGCTL_OUTPUT must be …") and never contains the value, which may be a secret in the wrong place.
func (s setting) parse(text string) (value any, problem string) {
	switch s.kind {
	case choice:
		if !slices.Contains(s.choices, text) {
			return nil, "must be one of " + strings.Join(s.choices, ", ")
		}
		return text, ""
	case duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, "must be a duration such as 30s or 2m"
		}
		if d < 0 {
			return nil, "must not be negative"
		}
		if s.key == keyTimeout && d != 0 && (d < time.Millisecond || d > maxTimeout) {
			return nil, "must be 1ms to 24h, or 0 for none"
		}
		if s.key == keyLock && d < MinLock {
			return nil, fmt.Sprintf("must be at least %s", MinLock)
		}
		return d, ""
	case zone:
		location, err := time.LoadLocation(text)
		if err != nil || text == "Local" {
			return nil, "must be the name of a time zone such as Asia/Seoul"
		}
		return location, ""
	case number:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, "must be a whole number above 0"
		}
		if s.key == keyFailures && n > DefaultLockAfter {
			return nil, fmt.Sprintf("must be from 1 to %d", DefaultLockAfter)
		}
		return n, ""
	case dsn:
		return normalize(text)
	case path:
		if p := checkText(text); p != "" {
			return nil, p
		}
		if strings.Contains(text, "://") || holdsPassword(text) {
			return nil, "must be the path of a file"
		}
		return text, ""
	default:
		return text, checkText(text)
	}
}

// checkText refuses blank text and control characters.
func checkText(text string) (problem string) {
	if strings.TrimSpace(text) == "" {
		return "must not be empty"
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "must not contain control characters"
	}
	return ""
}

// keysIn returns the keys of a section of a profile ("" is the profile itself), and which of them are
// sections.
func keysIn(section string) (keys []string, sections map[string]bool) {
	sections = map[string]bool{}
	for _, s := range settings {
		rest := s.key
		if section != "" {
			var inside bool
			if rest, inside = strings.CutPrefix(s.key, section+"."); !inside {
				continue
			}
		}
		head, _, deeper := strings.Cut(rest, ".")
		if !slices.Contains(keys, head) {
			keys = append(keys, head)
		}
		if deeper {
			sections[head] = true
		}
	}
	return keys, sections
}

// find returns the setting of a key.
func find(key string) setting {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	return settings[i]
}

// isPlain reports whether text is a name that messages may repeat: without spaces, slashes, colons or @, it
// cannot be part of a connection string.
func isPlain(text string) bool {
	if text == "" || len(text) > 64 {
		return false
	}
	for _, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("-_.", r) {
			return false
		}
	}
	return true
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

package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// starter is the file that Init writes. It shows all other keys in comments.
const starter = `# The configuration of cxgctl. Flags override environment variables, which override this file.
# "cxgctl config view" shows the effective values and their sources.

# The default profile; --profile or CXGCTL_PROFILE names another.
profile: {profile}

profiles:
  {profile}:
    {database}
    {operator}

#  prod:
#    manager_database_url: postgres://cxgctl@db1,db2/mgmt?target_session_attrs=read-write
#    tenants_database_url: postgres://cxgctl@db3/tnnt    # of all tenants, or with {code}: a database per tenant
#    tenant_databases:                                   # exceptions, by tenant code
#      acme: postgres://cxgctl@db4/acme
#    replica_database_url: postgres://cxgctl@db2/mgmt    # lists and exports read here
#    pooled: true                                        # PgBouncer; detected on each run otherwise
#    row_security: true                                  # let row policies filter lists instead of refusing them
#    direct_database_url: postgres://cxgctl@db1/mgmt     # past the pooler, for migrations
#    direct_tenants_database_url: postgres://cxgctl@db3/tnnt
#    password_file: /run/secrets/cxgctl                  # one line, mode 0600; or password_command: [pass, show, db]
#    auth:
#      require: login                                    # claim, login or db_role
#      enforce_permissions: true                         # once an operator holds a role
#      lock_after: 5                                     # wrong passwords lock an account
#      lock_for: 15m
#      jwt_secret_file: /run/secrets/jwt                 # the secret of the backend's tokens, mode 0600
#    protected: true                                     # ask before every write
#    color: red                                          # of the profile's name in questions
#    output: table                                       # table, wide, json, jsonl, csv, tsv, yaml, id or xlsx
#    timezone: Asia/Seoul                                # for days, months and ages, and times on a terminal
#    timeout: 30s                                        # of a one-off command; 0s for none
`

// Answers are settings for a file that Init writes. Without an address the profile uses the dev database.
type Answers struct{ Profile, ManagerURL, Operator, TimeZone string }

// text returns the file.
func (a Answers) text() string {
	profile, database := "dev", "embedded: true          # cxgctl runs its own PostgreSQL: cxgctl dev up"
	if a.ManagerURL != "" {
		profile, database = "default", fmt.Sprintf("%s: %q", keyManager, a.ManagerURL)
	}
	profile = cmp.Or(a.Profile, profile)
	operator := "admin"
	if a.Operator != "" && a.Operator != operator {
		operator = strconv.Quote(a.Operator)
	}
	operator = fmt.Sprintf("operator: %-13s # recorded as the author of changes", operator)
	if a.TimeZone != "" {
		operator += "\n    timezone: " + a.TimeZone
	}
	return strings.NewReplacer("{profile}", profile, "{database}", database, "{operator}", operator).Replace(starter)
}

// Check returns the text of a setting as it is used. The error, a VALIDATION_ERROR, does not quote it.
func Check(key, text string) (string, error) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	value, problem := settings[i].checkText(text)
	if problem != "" {
		return "", fault.New(fault.Validation, "it %s", problem)
	}
	return value.(string), nil
}

// InitPath returns the default path for Init: the one that --config or CXGCTL_CONFIG names, else the
// user's own file, or "" without a home folder.
func InitPath(f Flags, getenv func(string) string, dir string) string {
	if list := places(f, getenv, dir); list[0].named {
		return list[0].path
	}
	return userFile(getenv).path
}

// CanInit returns the error of Init where the file exists or has no name.
func CanInit(path string) error {
	if path == "" || path == "-" {
		return fault.New(fault.Validation, "no file to write a configuration to").
			WithHint("name the file with --config")
	}
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.AlreadyExists, "configuration %s already exists", path).
			WithHint("edit it, or name another file with --config")
	}
	return nil
}

// Init writes a commented starter file with mode 0600, and the folders it needs with 0700. It does not
// overwrite a file, but returns RESOURCE_ALREADY_EXISTS.
func Init(path string, a Answers) error {
	if err := CanInit(path); err != nil {
		return err
	}
	text := a.text()
	if _, err := decode(source{path: path, text: []byte(text)}); err != nil {
		return err
	}
	failed := func(err error) error {
		return fault.New(fault.FileCode(err), "configuration %s cannot be written: %s", path, fault.Reason(err)).Because(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return failed(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failed(err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(path) // a later init would refuse a part of it
		return failed(err)
	}
	return nil
}

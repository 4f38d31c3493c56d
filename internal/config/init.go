package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// starter is what Init writes: it works as it stands, and shows every other key.
const starter = `# The configuration of cxgctl. A flag overrules an environment variable, that overrules this file.
# "cxgctl config view" shows what counts, and why.

# The profile that counts unless --profile or CXGCTL_PROFILE names another.
profile: dev

profiles:
  dev:
    embedded: true          # cxgctl runs its own PostgreSQL: cxgctl dev up
    operator: admin         # in whose name changes are recorded

#  prod:
#    manager_database_url: postgres://cxgctl@db1,db2/mgmt?target_session_attrs=read-write
#    tenants_database_url: postgres://cxgctl@db3/tnnt    # of all tenants, or with {code}: a database per tenant
#    tenant_databases:                                   # those that stand elsewhere, by the tenant's code
#      acme: postgres://cxgctl@db4/acme
#    replica_database_url: postgres://cxgctl@db2/mgmt    # lists and exports read here
#    pooled: true                                        # PgBouncer; one that is not named is found out each time
#    row_security: true                                  # let row policies filter lists; else they are refused
#    direct_database_url: postgres://cxgctl@db1/mgmt     # the servers behind it, for migrations
#    direct_tenants_database_url: postgres://cxgctl@db3/tnnt
#    password_file: /run/secrets/cxgctl                  # one line, mode 0600
#    auth:
#      require: login                                    # claim, login or db_role
#      enforce_permissions: true                         # once an operator holds a role
#      lock_after: 5                                     # wrong passwords lock an account
#      lock_for: 15m
#      jwt_secret_file: /run/secrets/jwt                 # what the backend signs its tokens with, mode 0600
#    protected: true                                     # ask before every write
#    output: table                                       # table, wide, json, jsonl, csv, tsv, yaml, id or xlsx
#    timezone: Asia/Seoul                                # of days, months and ages, and of times on a terminal
#    timeout: 30s                                        # of a one-off command; 0s is none
`

// InitPath is where Init writes when nobody says otherwise: what --config or CXGCTL_CONFIG names, else
// the user's own file. It is "" without any home folder.
func InitPath(f Flags, getenv func(string) string, dir string) string {
	if list := places(f, getenv, dir); list[0].named {
		return list[0].path
	}
	return userFile(getenv).path
}

// Init writes a commented starter file with mode 0600, and the folders it needs with 0700. What is there
// already stays as it is: RESOURCE_ALREADY_EXISTS.
func Init(path string) error {
	if path == "" || path == "-" {
		return fault.New(fault.Validation, "no file to write a configuration to").
			WithHint("name the file with --config")
	}
	failed := func(err error) error {
		return fault.New(fault.Validation, "configuration %s cannot be written", path).Because(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return failed(err)
	}
	temporary, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return failed(err)
	}
	defer temporary.Cleanup() //nolint:errcheck // it is there or gone already
	if _, err := temporary.WriteString(starter); err != nil {
		return failed(err)
	}
	if err := temporary.Sync(); err != nil {
		return failed(err)
	}
	// A link, where a rename would replace what another run wrote meanwhile.
	switch err := os.Link(temporary.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return fault.New(fault.AlreadyExists, "configuration %s exists already", path).
			WithHint("edit it, or name another file with --config")
	case err != nil:
		return failed(err)
	}
	return nil
}

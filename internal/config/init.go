package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// starter is the file that Init writes. It works unchanged and shows all other keys in comments.
const starter = `# The configuration of cxgctl. Flags override environment variables, which override this file.
# "cxgctl config view" shows the effective values and their sources.

# The default profile; --profile or CXGCTL_PROFILE names another.
profile: dev

profiles:
  dev:
    embedded: true          # cxgctl runs its own PostgreSQL: cxgctl dev up
    operator: admin         # recorded as the author of changes

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

// InitPath returns the default path for Init: the one that --config or CXGCTL_CONFIG names, else the
// user's own file, or "" without a home folder.
func InitPath(f Flags, getenv func(string) string, dir string) string {
	if list := places(f, getenv, dir); list[0].named {
		return list[0].path
	}
	return userFile(getenv).path
}

// Init writes a commented starter file with mode 0600, and the folders it needs with 0700. It does not
// overwrite a file, but returns RESOURCE_ALREADY_EXISTS.
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
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.AlreadyExists, "configuration %s already exists", path).
			WithHint("edit it, or name another file with --config")
	}
	if err != nil {
		return failed(err)
	}
	_, err = file.WriteString(starter)
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(path) // a later init would refuse a part of it
		return failed(err)
	}
	return nil
}

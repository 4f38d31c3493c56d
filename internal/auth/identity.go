package auth

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// The ways in which an operator is known, as audit rows name them, in rising strength.
const (
	MethodClaim  = "claim"   // a name, believed
	MethodLogin  = "login"   // a token that a checked password was exchanged for
	MethodKey    = "key"     // a service's key
	MethodJWT    = "jwt"     // an access token of the backend
	MethodDBRole = "db_role" // the database's own authentication
)

// Identity is an operator, how they are known, and what they may do.
type Identity struct {
	audit.Operator
	Rights
	Type    string   // MASTER or SYSTEM
	Scopes  []string // of a service's key: all that it may do; nil for everybody else
	Session *Session // the login or key that proved it; nil for a claim and a database role
}

// Session is the login or the key behind an identity.
type Session struct {
	ID      uuid.UUID
	Expires *db.Time // nil for a key without end
	stale   bool     // its last use is to be written down

	verified bool // the second factor was checked
}

// SuperAdmin is the code of the role that may do everything.
const SuperAdmin = "SUPER_ADMIN"

// May says whether the operator holds a permission: everywhere, or in the tenant that a command is about.
// SuperAdmin is taken for a permission that the role of that code gives, and that a MASTER has while permissions are
// not enforced. A key has its own permissions and no other, enforced or not.
func (i Identity) Can(code string, tenant *uuid.UUID) bool {
	switch {
	case i.Scopes != nil:
		return slices.Contains(i.Scopes, code) && code != SuperAdmin
	case i.Super:
		return true
	case code == SuperAdmin:
		return !i.Enforced && i.Type == "MASTER"
	case !i.Enforced, slices.Contains(i.Codes, code):
		return true
	}
	return tenant != nil && slices.Contains(i.Scoped, code+" "+tenant.String())
}

// Lacks returns those of the permissions that May denies.
func (i Identity) Lacks(tenant *uuid.UUID, codes ...string) []string {
	return slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return i.Can(code, tenant) })
}

// Permit returns nil where May is true of all codes, else a PERMISSION_DENIED that names all that are missing.
func (i Identity) Require(tenant *uuid.UUID, codes ...string) error {
	missing := i.Lacks(tenant, codes...)
	if len(missing) == 0 {
		return nil
	}
	what := "permission"
	switch {
	case len(missing) > 1:
		what = "permissions"
	case missing[0] == SuperAdmin:
		what = "role"
	}
	f := fault.New(fault.PermissionDenied, "operator %q lacks the %s %s", i.Name, what, strings.Join(missing, ", ")).
		With("operator", i.Name).With("permission", missing[0])
	if len(missing) > 1 {
		f.With("permissions", missing)
	}
	if i.Scopes != nil {
		return f.WithHint("the key was made without it; a key's permissions do not change: cxgctl auth token --create makes another")
	}
	return f.WithHint("someone with PERMISSION_MANAGE can grant a role that has it: cxgctl roles grant ROLE %s", fault.Word(i.Name))
}

// Level is the strongest rank of the operator's roles; lower is stronger, and 0 is above all roles: a
// MASTER's while nothing is enforced. An operator without a role has the weakest there is, as has a key whose
// service holds none.
func (i Identity) Level() int {
	switch {
	case i.Super && i.Scopes == nil:
		return 0
	case i.level != nil:
		return max(*i.level, 1)
	case !i.Enforced && i.Type == "MASTER" && i.Scopes == nil:
		return 0
	}
	return math.MaxInt32
}

// IdleLimit is how long a login lasts without use, as people read it.
const IdleLimit = "30m"

// idle is how long a login lasts without use, Life how long at all; stale is how old its last use may look.
const (
	idle  = 30 * time.Minute
	Life  = 8 * time.Hour
	stale = time.Minute
)

// Holds lists the permissions that the operator has everywhere, sorted; never nil.
func (i Identity) Permissions() []string {
	if i.Scopes != nil {
		return i.Scopes
	}
	return append([]string{}, i.Codes...)
}

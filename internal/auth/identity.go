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

// Authentication methods, as audit rows name them, from the weakest to the strongest.
const (
	MethodClaim  = "claim"   // a name without proof
	MethodLogin  = "login"   // a token from a login with a password
	MethodKey    = "key"     // a service's API key
	MethodJWT    = "jwt"     // an access token of the backend
	MethodDBRole = "db_role" // the database's own authentication
)

// Identity is an operator, how they were authenticated, and what they may do.
type Identity struct {
	audit.Operator
	Rights
	Type    string   // MASTER or SYSTEM
	Scopes  []string // all permissions of an API key; nil for other credentials
	Session *Session // nil for a claim and a database role
}

// Session is the login or the key behind an identity.
type Session struct {
	ID      uuid.UUID
	Expires *db.Time // nil for a key without an expiry
	stale   bool     // Touch has to record its use

	verified bool // the second factor was checked
}

// SuperAdmin is the code of the role with every permission.
const SuperAdmin = "SUPER_ADMIN"

// Can reports whether the operator holds a permission, everywhere or in the given tenant. SuperAdmin counts as a
// permission: the role of that code gives it, and a MASTER has it while permissions are not enforced. An API key has
// only the permissions that it lists, enforced or not.
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

// Lacks returns the codes for which Can is false.
func (i Identity) Lacks(tenant *uuid.UUID, codes ...string) []string {
	return slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return i.Can(code, tenant) })
}

// Require returns nil if the operator holds all permissions, else a PERMISSION_DENIED that names the missing ones.
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
		return f.WithHint("permissions of a key cannot be changed; create another: cxgctl auth token --create")
	}
	return f.WithHint("an operator with PERMISSION_MANAGE can grant a role that has it: cxgctl roles grant ROLE %s", fault.Word(i.Name))
}

// Level is the strongest rank among the operator's roles; lower is stronger. 0 is above all roles: SUPER_ADMIN, and a
// MASTER while permissions are not enforced. An operator or a key's service account without a role has the weakest
// level.
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

// IdleLimit is the idle timeout of a login, for messages.
const IdleLimit = "30m"

// idle is the idle timeout of a login, Life its maximum lifetime. Touch records a use once the last one is older than
// stale.
const (
	idle  = 30 * time.Minute
	Life  = 8 * time.Hour
	stale = time.Minute
)

// Permissions lists the permissions that the operator holds everywhere, sorted; never nil.
func (i Identity) Permissions() []string {
	if i.Scopes != nil {
		return i.Scopes
	}
	return append([]string{}, i.Codes...)
}

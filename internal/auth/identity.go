package auth

import (
	"math"
	"slices"
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
	Type     string // MASTER or SYSTEM
	Enforced bool   // some operator holds a role, so that permissions count
	Super    bool   // holds SUPER_ADMIN, and so every permission
	Roles    []string
	Codes    []string // permissions everywhere; of a Super after List alone, and so with Scoped
	Scoped   []string // permissions in one tenant each: CODE, a space, the tenant's id
	Scopes   []string // of a service's key: all that it may do; nil for everybody else
	Session  *Session // the login or key that proved it; nil for a claim and a database role

	level *int
	held  []holding
}

// Session is the login or the key behind an identity.
type Session struct {
	ID      uuid.UUID
	Expires *db.Time // nil for a key without end
	stale   bool     // its last use is to be written down
}

// SuperAdmin is the code of the role that may do everything.
const SuperAdmin = "SUPER_ADMIN"

// May says whether the operator holds a permission: everywhere, or in the tenant that a command is about.
// Until some operator holds a role nothing is enforced; what a key lacks it may never do.
func (i Identity) May(code string, tenant *uuid.UUID) bool {
	switch {
	case i.Scopes != nil:
		return slices.Contains(i.Scopes, code)
	case !i.Enforced, i.Super, slices.Contains(i.Codes, code):
		return true
	}
	return tenant != nil && slices.Contains(i.Scoped, code+" "+tenant.String())
}

// Permit returns nil where May is true, else a PERMISSION_DENIED that names the missing code.
func (i Identity) Permit(code string, tenant *uuid.UUID) error {
	if i.May(code, tenant) {
		return nil
	}
	f := fault.New(fault.PermissionDenied, "operator %q lacks the permission %s", i.Name, code).
		With("operator", i.Name).With("permission", code)
	if i.Scopes != nil {
		return f.WithHint("the key was made without it; a key's permissions do not change: cxgctl auth token --create makes another")
	}
	return f.WithHint("someone with PERMISSION_MANAGE can grant a role that has it: cxgctl roles grant ROLE %s", i.Name)
}

// Level is the strongest level of the operator's roles; lower is stronger, and 0 is above all roles: a
// MASTER's while nothing is enforced. Who holds no role has the weakest there is.
func (i Identity) Level() int {
	switch {
	case i.Scopes != nil:
		return math.MaxInt
	case i.Super:
		return 0
	case i.level != nil:
		return *i.level
	case !i.Enforced && i.Type == "MASTER":
		return 0
	}
	return math.MaxInt
}

// idle is how long a login lasts without use, Life how long at all; stale is how old its last use may look.
const (
	idle  = 30 * time.Minute
	Life  = 8 * time.Hour
	stale = time.Minute
)

// Holds lists the permissions that the operator has everywhere, sorted; never nil.
func (i Identity) Holds() []string {
	if i.Scopes != nil {
		return i.Scopes
	}
	return append([]string{}, i.Codes...)
}

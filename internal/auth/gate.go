package auth

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Gate decides inside a ledger's transactions what an operator may do there: whether they still hold the
// permission, and whether what was done would give somebody more than they may give.
type Gate struct {
	tables  grants
	cat     schema.Catalog
	who     Identity
	code    string // the command's permission; "" for one that needs none
	enforce bool   // what the profile says
}

// Gate returns the gate of a command that needs the permission of this code.
func (i Identity) Gate(cat schema.Catalog, code string, enforce bool) (*Gate, error) {
	g, err := grantsIn(cat)
	return &Gate{tables: g, cat: cat, who: i, code: code, enforce: enforce}, err
}

// The grants that count are locked against being taken away until the transaction ends. The operator's own
// row is only looked at: its lock would hold up their other commands.
const (
	stillMay = `
WITH u AS (SELECT u.id, u.user_type FROM idam.users u WHERE u.id = $1 AND {operator u}),
held AS MATERIALIZED (
    SELECT ur.role_id, {role} AS code, {everywhere} AS everywhere
      FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id
     WHERE ur.user_id = $1 AND {in force} FOR SHARE OF ur, r),
given AS MATERIALIZED (
    SELECT rp.id
      FROM u CROSS JOIN held JOIN idam.role_permissions rp ON rp.role_id = held.role_id JOIN idam.permissions p ON p.id = rp.permission_id
     WHERE held.everywhere AND {permission} = $2 AND {valid} FOR SHARE OF rp)
SELECT EXISTS (SELECT FROM u),
       EXISTS (SELECT FROM given) OR EXISTS (SELECT FROM held WHERE everywhere AND code = 'SUPER_ADMIN'),
       EXISTS (SELECT FROM held) OR ` + someoneHolds
	stillInUse = `
SELECT EXISTS (SELECT FROM {table} s WHERE s.id = $1 AND s.status = 'ACTIVE' AND (s.expires_at IS NULL OR s.expires_at > now()) AND {live})`
)

// Enter implements audit.Gate: the grants that the command rests on must still be there.
func (g *Gate) Enter(ctx context.Context, tx *audit.Tx) error {
	var accepted, may, enforced bool
	var err error
	if g.tables.holes == nil {
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM idam.users u WHERE u.id = $1 AND "+operator("u", g.tables.users)+")", g.who.ID).Scan(&accepted)
	} else {
		err = tx.QueryRow(ctx, g.tables.sql(stillMay), g.who.ID, g.code).Scan(&accepted, &may, &enforced)
	}
	switch {
	case err != nil:
		return err
	case !accepted:
		return fault.New(fault.Unauthenticated, "operator %q is no operator any more", g.who.Name).
			WithHint("nothing was changed; somebody changed the account at this moment").With("operator", g.who.Name)
	}
	if s := g.who.Session; s != nil {
		table := schema.Sessions
		if g.who.AuthMethod == MethodKey {
			table = schema.APIKeys
		}
		shape, err := g.cat.Table(table)
		if err != nil {
			return err
		}
		sql := strings.NewReplacer("{table}", table, "{live}", shape.Live("s")).Replace(stillInUse)
		if err := tx.QueryRow(ctx, sql, s.ID).Scan(&accepted); err != nil {
			return err
		}
		if !accepted {
			return fault.New(fault.Unauthenticated, "the login of %q was revoked at this moment", g.who.Name).WithHint("nothing was changed")
		}
	}
	if g.code == "" || g.who.Scopes != nil || !g.enforce || !enforced || may {
		return nil
	}
	now := g.who // as it was when the command began, but enforced
	now.Enforced, now.Super, now.Codes, now.Scoped = true, false, nil, nil
	return now.Permit(g.code, nil)
}

// deny is a refusal of an escalation.
func (g *Gate) deny(id uuid.UUID, format string, args ...any) *fault.Error {
	f := fault.New(fault.PermissionDenied, format, args...).With("operator", g.who.Name)
	if id != uuid.Nil {
		f.With("id", id.String())
	}
	return f
}

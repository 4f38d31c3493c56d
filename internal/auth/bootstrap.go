package auth

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// Bootstrap creates the first operator of a database.
type Bootstrap struct {
	tables grants
	users  *users.Table
	roles  *roles.Table
}

// NewBootstrap returns a Bootstrap; a database that lacks a table gives a DATABASE_ERROR.
func NewBootstrap(cat schema.Catalog) (*Bootstrap, error) {
	f := &Bootstrap{}
	var err error
	if f.users, err = users.NewTable(cat); err != nil {
		return nil, err
	}
	if f.roles, err = roles.NewTable(cat); err != nil {
		return nil, err
	}
	f.tables, err = newGrants(cat)
	if err == nil && f.tables.missing != "" {
		err = fault.New(fault.Database, "%s is missing", f.tables.missing).WithHint("cxgctl doctor shows what is missing")
	}
	return f, err
}

// readBootstrapState reads whether permissions are enforced, whether an operator holds SUPER_ADMIN, and whether the
// connection's role owns the grants.
const readBootstrapState = `
SELECT {begun},
       EXISTS (SELECT FROM idam.users o JOIN idam.user_roles ur ON ur.user_id = o.id JOIN idam.roles r ON r.id = ur.role_id
                WHERE {operator o} AND {in force} AND {everywhere} AND {role} = 'SUPER_ADMIN'),
       (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = 'idam.user_roles'::regclass)`

// Look returns the MASTER with that username who would become the first operator, or nil if the username is free. Any
// other user with that name is RESOURCE_ALREADY_EXISTS, and so is an operator who already holds SUPER_ADMIN. Once
// permissions are enforced, bootstrapping is the recovery after the last SUPER_ADMIN is gone, and only the owner of the
// grants may do it. again reports this case.
func (f *Bootstrap) Look(ctx context.Context, r db.Reader, username string) (there *users.User, again bool, err error) {
	var super, owner bool
	if err := r.QueryRow(ctx, f.tables.sql(readBootstrapState)).Scan(&again, &super, &owner); err != nil {
		return nil, false, err
	}
	switch {
	case super:
		return nil, again, fault.New(fault.AlreadyExists, "an operator already holds SUPER_ADMIN").
			WithHint("an operator with PERMISSION_MANAGE can grant roles: cxgctl roles grant")
	case again && !owner:
		return nil, again, fault.New(fault.PermissionDenied, "permissions are enforced, and this connection's role does not own idam.user_roles").
			WithHint("no operator holds SUPER_ADMIN; the owner of the manager database can run: cxgctl auth bootstrap")
	}
	found, err := f.users.Find(ctx, r, []string{username}, "username", true)
	if err != nil {
		return nil, again, err
	}
	u, err := resource.Single(found)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, again, nil
	case err != nil:
		return nil, again, err
	case !canAct(&u):
		return nil, again, fault.New(fault.AlreadyExists, "user %q exists and is not a live, ACTIVE MASTER", username).
			WithHint("choose another username, or make this user an ACTIVE MASTER first").With("username", username).With("holder", u.ID.String())
	}
	return &u, again, nil
}

// Powerless lists the operators without a role, who lose all permissions once these are enforced. Service accounts are
// left out: their keys list their permissions.
func (f *Bootstrap) Powerless(ctx context.Context, r db.Reader) ([]string, error) {
	return db.CollectAs(ctx, r, pgx.RowTo[string], f.tables.sql(`
SELECT o.username FROM idam.users o
 WHERE {operator o} AND o.username NOT LIKE 'svc-%'
   AND NOT EXISTS (SELECT FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id WHERE ur.user_id = o.id AND {in force})
 ORDER BY o.username`))
}

// Create creates the first operator, a MASTER with SUPER_ADMIN. An existing MASTER with that username is granted the
// role and otherwise stays as is.
func (f *Bootstrap) Create(ctx context.Context, l *audit.Ledger, n users.New) (users.User, error) {
	var first users.User
	intent := audit.Intent{Subject: audit.Subject{Resource: "user", Name: n.Username}, Action: audit.Create}
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if _, err := tx.Exec(ctx, lastMasterLock); err != nil {
			return nil, err
		}
		var changes []audit.Change
		u, again, err := f.Look(ctx, tx, n.Username)
		if err != nil {
			return nil, err
		}
		if u == nil {
			made, change, err := f.users.CreateTx(ctx, tx, n)
			if err != nil {
				return nil, err
			}
			u, changes = &made, append(changes, change)
		}
		first = *u
		role, change, err := f.roles.SuperAdmin(ctx, tx)
		if err != nil {
			return nil, err
		}
		if change != nil {
			changes = append(changes, *change)
		}
		_, change, err = f.roles.Give(ctx, tx, roles.Given{Role: role, To: roles.Holder{ID: u.ID, Name: u.Username}})
		if err != nil {
			return nil, err
		}
		if change != nil {
			changes = append(changes, *change)
		}
		for i := range changes {
			if again {
				changes[i].Risk = "HIGH"
			}
		}
		return changes, f.tables.mark(ctx, tx)
	})
	return first, err
}

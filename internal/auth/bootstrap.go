package auth

import (
	"context"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/ref"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// First makes the first operator of a database.
type First struct {
	tables grants
	users  *users.Table
	roles  *roles.Table
}

// FirstIn returns what makes the first operator; a database without one of the tables gives a
// DATABASE_ERROR.
func FirstIn(cat schema.Catalog) (*First, error) {
	f := &First{}
	var err error
	if f.users, err = users.In(cat); err != nil {
		return nil, err
	}
	if f.roles, err = roles.In(cat); err != nil {
		return nil, err
	}
	f.tables, err = grantsIn(cat)
	return f, err
}

// Look returns the MASTER of that name who is to be the first operator, or nil if there is nobody of that
// name yet. Anybody else of that name is RESOURCE_ALREADY_EXISTS, and so is an operator with a role.
func (f *First) Look(ctx context.Context, r db.Reader, username string) (*users.User, error) {
	var held bool
	if err := r.QueryRow(ctx, "SELECT "+f.tables.sql(someoneHolds)).Scan(&held); err != nil {
		return nil, err
	}
	if held {
		return nil, fault.New(fault.AlreadyExists, "an operator holds a role already, so there is no first one to make").
			WithHint("an operator with PERMISSION_MANAGE gives roles: cxgctl roles grant")
	}
	found, err := f.users.Find(ctx, r, []string{username}, "username", true)
	if err != nil {
		return nil, err
	}
	u, err := ref.One(found)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !canAct(&u):
		return nil, fault.New(fault.AlreadyExists, "user %q exists and is no live, ACTIVE MASTER", username).
			WithHint("name another, or make it one first").With("username", username).With("holder", u.ID.String())
	}
	return &u, nil
}

// Bootstrap makes the first operator: a MASTER with SUPER_ADMIN. A MASTER of that name who exists already is
// given the role, and stays as they are otherwise.
func (f *First) Bootstrap(ctx context.Context, l *audit.Ledger, n users.New) (users.User, error) {
	n.UserType = "MASTER"
	var first users.User
	intent := audit.Intent{Subject: audit.Subject{Resource: "user", Name: n.Username}, Action: audit.Create}
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if _, err := tx.Exec(ctx, chairLock); err != nil {
			return nil, err
		}
		var changes []audit.Change
		u, err := f.Look(ctx, tx, n.Username)
		if err != nil {
			return nil, err
		}
		if u == nil {
			made, change, err := f.users.Make(ctx, tx, l.Reader(), n)
			if err != nil {
				return nil, err
			}
			u, changes = &made, append(changes, change)
		}
		first = *u
		role, change, err := f.roles.First(ctx, tx)
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
		return changes, nil
	})
	return first, err
}

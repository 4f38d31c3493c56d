package roles

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Holder is the user that a role is given to or taken from.
type Holder struct {
	ID   uuid.UUID
	Name string
}

// Given is a role to be given: everywhere, or in a tenant; for ever, or until a time.
type Given struct {
	Role    Role
	To      Holder
	Tenant  *uuid.UUID
	Expires *time.Time
	Keep    bool // one that is held keeps its end, whatever Expires says
}

// check refuses what the tables would take and no one could make sense of.
func (g Given) check(now time.Time) error {
	var p fault.Problems
	if g.Role.Status == nil || *g.Role.Status != "ACTIVE" {
		p.Add("role", "%s is not ACTIVE", g.Role.Code)
	}
	if g.Role.Scope != nil && *g.Role.Scope == "TENANT" && g.Tenant == nil {
		p.Add("tenant", "%s is a role in one tenant: name it by --tenant", g.Role.Code)
	}
	if g.Expires != nil && !g.Expires.After(now) {
		p.Add("expires", "%s is over", g.Expires.UTC().Format(time.RFC3339))
	}
	return p.Err()
}

func (g Given) subject() audit.Subject {
	return audit.Subject{Resource: "role", Name: g.Role.Code + " of " + g.To.Name, TenantID: g.Tenant}
}

const (
	// One grant to a user at a time: with a NULL tenant the unique constraint lets the same grant in twice.
	lockHolder = `SELECT {user live} FROM idam.users u WHERE u.id = @user FOR NO KEY UPDATE`
	lockGrants = `
SELECT {grant} FROM idam.user_roles g JOIN idam.roles r ON r.id = g.role_id JOIN idam.users u ON u.id = g.user_id
 WHERE g.user_id = @user AND g.role_id = @role AND g.tenant_context IS NOT DISTINCT FROM @tenant
 ORDER BY {grant status} = 'ACTIVE' DESC, g.id FOR UPDATE OF g`
	readGrant = `
SELECT {grant} FROM idam.user_roles g JOIN idam.roles r ON r.id = g.role_id JOIN idam.users u ON u.id = g.user_id WHERE g.id = $1`
)

// grantValues are the columns of a new grant.
var grantValues = [][2]string{
	{"id", "@id"},
	{"created_at", "@now"},
	{"created_by", "@by"},
	{"user_id", "@user"},
	{"role_id", "@role"},
	{"scope", "CASE WHEN @tenant::uuid IS NULL THEN 'GLOBAL' ELSE 'TENANT' END"},
	{"tenant_context", "@tenant"},
	{"granted_at", "@now"},
	{"granted_by", "@by"},
	{"expires_at", "@expires"},
	{"status", "'ACTIVE'"},
}

// renewed are the columns of a grant that is given anew.
var renewed = append([][2]string{
	{"status", "'ACTIVE'"},
	{"expires_at", "@expires"},
	{"granted_at", "@now"},
	{"granted_by", "@by"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}, schema.LiveValues()...)

// revoked are the columns of a grant that is taken away.
var revoked = [][2]string{
	{"status", "'INACTIVE'"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}

// read returns the grant of an id as the table has it.
func (t *Table) read(ctx context.Context, r db.Reader, id uuid.UUID) (Grant, error) {
	rows, err := db.Collect[Grant](ctx, r, t.sql(readGrant), id)
	if err != nil {
		return Grant{}, err
	}
	if len(rows) != 1 {
		return Grant{}, fault.New(fault.Database, "grant %s cannot be read after it was written", id)
	}
	return rows[0], nil
}

// Grant gives a role. One that is held is left alone if it has the same end, or if g keeps its end. A grant that has
// expired, was revoked or has another end is renewed.
func (t *Table) Grant(ctx context.Context, l *audit.Ledger, g Given) (Grant, error) {
	var made Grant
	now, err := l.Now(ctx)
	if err != nil {
		return made, err
	}
	if err := g.check(now); err != nil {
		return made, err
	}
	err = l.Write(ctx, audit.Intent{Subject: g.subject(), Action: audit.Create}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		grant, change, err := t.Give(ctx, tx, g)
		made = grant
		if err != nil || change == nil {
			return nil, err
		}
		return []audit.Change{*change}, nil
	})
	return made, err
}

// Give is Grant inside a transaction; the change is nil where there is none.
func (t *Table) Give(ctx context.Context, tx *audit.Tx, g Given) (Grant, *audit.Change, error) {
	var by *uuid.UUID
	if tx.By.ID != uuid.Nil {
		by = &tx.By.ID
	}
	args := pgx.NamedArgs{
		"user": g.To.ID, "role": g.Role.ID, "tenant": g.Tenant, "expires": g.Expires, "now": tx.Now, "by": by,
	}
	held, err := t.lock(ctx, tx, g.To, args)
	if err != nil {
		return Grant{}, nil, err
	}
	change := audit.Change{Subject: g.subject(), Action: audit.Create, Event: audit.PermissionChange}
	var id uuid.UUID
	if len(held) > 0 {
		inForce := *held[0].Status == "ACTIVE" && (held[0].ExpiresAt == nil || held[0].ExpiresAt.After(tx.Now))
		if h := held[0]; *h.Status == "ACTIVE" && same(h.ExpiresAt, g.Expires) || inForce && g.Keep {
			return h, nil, nil
		}
		id, change.Action, change.Before = held[0].ID, audit.Update, held[0]
		err = tx.Update(ctx, t.grants, "role "+change.Name, renewed, args, id)
	} else {
		id = tx.NewID()
		args["id"] = id
		err = tx.Insert(ctx, t.grants, "role "+change.Name, grantValues, args)
	}
	if err != nil {
		return Grant{}, nil, err
	}
	made, err := t.read(ctx, tx, id)
	if err != nil {
		return Grant{}, nil, err
	}
	change.ID, change.After = id, made
	return made, &change, nil
}

func (t *Table) lock(ctx context.Context, tx *audit.Tx, to Holder, args pgx.NamedArgs) ([]Grant, error) {
	var live bool
	if err := tx.QueryRow(ctx, t.sql(lockHolder), args).Scan(&live); err != nil {
		return nil, err
	}
	if !live {
		return nil, fault.New(fault.Conflict, "user %q was deleted by somebody else at this moment", to.Name)
	}
	return db.Collect[Grant](ctx, tx, t.sql(lockGrants), args)
}

func same(a *db.Time, b *time.Time) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Equal(db.At(*b))
}

// Holds says whether a user holds a role where g says.
func (t *Table) Holds(ctx context.Context, r db.Reader, g Given) (holds bool, err error) {
	const sql = `
SELECT EXISTS (SELECT FROM idam.user_roles g
                WHERE g.user_id = $1 AND g.role_id = $2 AND g.tenant_context IS NOT DISTINCT FROM $3::uuid AND {grant status} = 'ACTIVE')`
	err = r.QueryRow(ctx, t.sql(sql), g.To.ID, g.Role.ID, g.Tenant).Scan(&holds)
	return holds, err
}

// Revoke takes a role away: every grant of it that is in force where g says, since the same may be there
// twice. It returns those that it took away.
func (t *Table) Revoke(ctx context.Context, l *audit.Ledger, g Given) ([]Grant, error) {
	var gone []Grant
	err := l.Write(ctx, audit.Intent{Subject: g.subject(), Action: audit.Delete}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		gone = nil
		args := pgx.NamedArgs{"user": g.To.ID, "role": g.Role.ID, "tenant": g.Tenant, "now": tx.Now, "by": tx.By.ID}
		held, err := t.lock(ctx, tx, g.To, args)
		if err != nil {
			return nil, err
		}
		var changes []audit.Change
		for _, h := range held {
			if *h.Status != "ACTIVE" {
				continue
			}
			if err := tx.Update(ctx, t.grants, "role "+g.subject().Name, revoked, args, h.ID); err != nil {
				return nil, err
			}
			after, err := t.read(ctx, tx, h.ID)
			if err != nil {
				return nil, err
			}
			gone = append(gone, after)
			change := audit.Change{Subject: g.subject(), Action: audit.Delete, Event: audit.PermissionChange, Before: h, After: after}
			change.ID = h.ID
			changes = append(changes, change)
		}
		return changes, nil
	})
	return gone, err
}

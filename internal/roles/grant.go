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

// Holder is the user who is granted a role or loses it.
type Holder struct {
	ID   uuid.UUID
	Name string
}

// Given is a role to grant: globally or in a tenant, permanently or until a time.
type Given struct {
	Role    Role
	To      Holder
	Tenant  *uuid.UUID
	Expires *time.Time
	Keep    bool // a grant in force keeps its expiry, whatever Expires is
}

// check refuses grants that the tables accept but that make no sense.
func (g Given) check(now time.Time) error {
	var p fault.Problems
	if g.Role.Status == nil || *g.Role.Status != "ACTIVE" {
		p.Add("role", "%s is not ACTIVE", g.Role.Code)
	}
	if g.Role.Scope != nil && *g.Role.Scope == "TENANT" && g.Tenant == nil {
		p.Add("tenant", "%s applies within a tenant; add --tenant", g.Role.Code)
	}
	if g.Expires != nil && !g.Expires.After(now) {
		p.Add("expires", "%s is in the past", g.Expires.UTC().Format(time.RFC3339))
	}
	return p.Err()
}

func (g Given) subject() audit.Subject {
	return audit.Subject{Resource: "role", Name: g.Role.Code + " of " + g.To.Name, TenantID: g.Tenant}
}

const (
	// Grants to a user are serialized, because the unique constraint does not cover grants whose tenant is NULL.
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

// renewed are the columns of a renewed grant.
var renewed = append([][2]string{
	{"status", "'ACTIVE'"},
	{"expires_at", "@expires"},
	{"granted_at", "@now"},
	{"granted_by", "@by"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}, schema.LiveValues()...)

// revoked are the columns of a revoked grant.
var revoked = [][2]string{
	{"status", "'INACTIVE'"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}

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

// Grant grants a role. A grant in force is left alone if it has the same expiry or if g.Keep is set. A grant that has
// expired, was revoked or has another expiry is renewed.
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

// Give is Grant inside a transaction; the change is nil if the role is held already.
func (t *Table) Give(ctx context.Context, tx *audit.Tx, g Given) (Grant, *audit.Change, error) {
	args := pgx.NamedArgs{
		"user": g.To.ID, "role": g.Role.ID, "tenant": g.Tenant, "expires": g.Expires, "now": tx.Now, "by": tx.ByID(),
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
		return nil, fault.New(fault.Conflict, "user %q has just been deleted", to.Name)
	}
	return db.Collect[Grant](ctx, tx, t.sql(lockGrants), args)
}

func same(a *db.Time, b *time.Time) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Equal(db.At(*b))
}

// Holds reports whether a user holds a role in the place that g names.
func (t *Table) Holds(ctx context.Context, r db.Reader, g Given) (holds bool, err error) {
	const sql = `
SELECT EXISTS (SELECT FROM idam.user_roles g
                WHERE g.user_id = $1 AND g.role_id = $2 AND g.tenant_context IS NOT DISTINCT FROM $3::uuid AND {grant status} = 'ACTIVE')`
	err = r.QueryRow(ctx, t.sql(sql), g.To.ID, g.Role.ID, g.Tenant).Scan(&holds)
	return holds, err
}

// Revoke revokes a role: every grant of it in force in the place that g names, because there may be duplicates. It
// returns the revoked grants.
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

package auth

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Gate decides inside a ledger's transactions what an operator may do there. It reads the operator's rights anew in
// each of them: what was read before a question or an earlier transaction counts for nothing.
type Authorizer struct {
	tables grants
	cat    schema.Catalog

	mu    sync.Mutex
	who   Identity // as it was last read
	needs []string // the permissions without which no transaction goes on
}

// Gate returns the gate of a command that needs these permissions.
func (i Identity) Gate(cat schema.Catalog, codes ...string) (*Authorizer, error) {
	g, err := grantsIn(cat)
	return &Authorizer{tables: g, cat: cat, who: i, needs: codes}, err
}

// Need adds permissions to those that the command needs, once its flags or its input say so. All that are missing by
// what was last read are one PERMISSION_DENIED.
func (g *Authorizer) Require(codes ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, code := range codes {
		if !slices.Contains(g.needs, code) {
			g.needs = append(g.needs, code)
		}
	}
	return g.who.Require(nil, codes...)
}

// Enter implements audit.Gate. The grants that the transaction rests on are locked until it ends.
func (g *Authorizer) Before(ctx context.Context, tx *audit.Tx) (audit.Judge, error) {
	j := &judge{gate: g}
	return j, j.admit(ctx, tx, lockGrants)
}

// judge is a Gate in one transaction.
type judge struct {
	gate *Authorizer
	who  Identity // as the transaction reads it

	ended bool // the transaction itself ends the operator's login
}

// Close implements audit.Judge: what the transaction rests on is still there, and stays until it has ended.
func (j *judge) Close(ctx context.Context, tx *audit.Tx) error { return j.admit(ctx, tx, lockAll) }

const stillInUse = `
SELECT EXISTS (SELECT FROM {table} s WHERE s.id = $1 AND s.status = 'ACTIVE' AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp()) AND {live})`

// admit reads the operator's rights and refuses one who may not do what the command does, or no longer may.
func (j *judge) admit(ctx context.Context, tx *audit.Tx, l lock) error {
	g := j.gate
	g.mu.Lock()
	who, needs := g.who, slices.Clone(g.needs)
	g.mu.Unlock()
	rights, err := g.tables.read(ctx, tx, who.ID, l)
	if err != nil {
		return err
	}
	who.Rights = rights
	if !who.accepted {
		return who.notAccepted()
	}
	if err := j.loggedIn(ctx, tx, who); err != nil {
		return err
	}
	j.who = who
	g.mu.Lock()
	g.who = who
	g.mu.Unlock()
	return who.Require(nil, needs...)
}

// loggedIn refuses an operator whose login or key was revoked since the command began.
func (j *judge) loggedIn(ctx context.Context, tx *audit.Tx, who Identity) error {
	s := who.Session
	if s == nil || j.ended {
		return nil
	}
	table := schema.Sessions
	if who.AuthMethod == MethodKey {
		table = schema.APIKeys
	}
	shape, err := j.gate.cat.Table(table)
	if err != nil {
		return err
	}
	var good bool
	sql := strings.NewReplacer("{table}", table, "{live}", shape.NotDeleted("s")).Replace(stillInUse)
	if err := tx.QueryRow(ctx, sql, s.ID).Scan(&good); err != nil || good {
		return err
	}
	return fault.New(fault.Unauthenticated, "the login of %q was revoked at this moment", who.Name).WithHint("nothing was changed")
}

// deny is a refusal of an escalation.
func (j *judge) deny(id uuid.UUID, format string, args ...any) *fault.Error {
	f := fault.New(fault.PermissionDenied, format, args...).With("operator", j.who.Name)
	if id != uuid.Nil {
		f.With("id", id.String())
	}
	return f
}

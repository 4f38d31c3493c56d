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

// Authorizer implements audit.Authorizer: it checks an operator's permissions inside each transaction of a ledger. It
// reads them anew every time, because they may have changed since an earlier transaction or during a prompt.
type Authorizer struct {
	tables grants
	cat    schema.Catalog

	mu    sync.Mutex
	who   Identity // as last read
	needs []string // permissions that every transaction requires
}

// Authorizer returns the Authorizer of a command that requires the given permissions.
func (i Identity) Authorizer(cat schema.Catalog, codes ...string) (*Authorizer, error) {
	g, err := newGrants(cat)
	return &Authorizer{tables: g, cat: cat, who: i, needs: codes}, err
}

// Require adds permissions that the command turns out to need once its flags or its input are known. It returns one
// PERMISSION_DENIED for all that were missing when last read.
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

// Before implements audit.Authorizer. It locks the grants that the decision rests on until the transaction ends.
func (g *Authorizer) Before(ctx context.Context, tx *audit.Tx) (audit.TxAuthorizer, error) {
	a := &txAuthorizer{authorizer: g}
	return a, a.authorize(ctx, tx, lockGrants)
}

// txAuthorizer is an Authorizer in one transaction.
type txAuthorizer struct {
	authorizer *Authorizer
	who        Identity // as read in the transaction

	ended bool // the transaction ends the operator's own login
}

// Close implements audit.TxAuthorizer. It checks the operator's rights again and locks them until the transaction ends.
func (a *txAuthorizer) Close(ctx context.Context, tx *audit.Tx) error {
	return a.authorize(ctx, tx, lockAll)
}

const stillInUse = `
SELECT EXISTS (SELECT FROM {table} s WHERE s.id = $1 AND s.status = 'ACTIVE' AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp()) AND {live})`

// authorize reads the operator's rights and refuses an operator without the command's permissions.
func (a *txAuthorizer) authorize(ctx context.Context, tx *audit.Tx, l lock) error {
	g := a.authorizer
	g.mu.Lock()
	who, needs := g.who, slices.Clone(g.needs)
	g.mu.Unlock()
	rights, err := g.tables.read(ctx, tx, who.ID, l)
	if err != nil {
		return err
	}
	who.Rights = rights
	if !who.accepted {
		return who.errNotAccepted()
	}
	if err := a.loggedIn(ctx, tx, who); err != nil {
		return err
	}
	a.who = who
	g.mu.Lock()
	g.who = who
	g.mu.Unlock()
	return who.Require(nil, needs...)
}

// loggedIn refuses an operator whose login or key has been revoked since the command began.
func (a *txAuthorizer) loggedIn(ctx context.Context, tx *audit.Tx, who Identity) error {
	s := who.Session
	if s == nil || a.ended {
		return nil
	}
	table := schema.Sessions
	if who.AuthMethod == MethodKey {
		table = schema.APIKeys
	}
	shape, err := a.authorizer.cat.Table(table)
	if err != nil {
		return err
	}
	var good bool
	sql := strings.NewReplacer("{table}", table, "{live}", shape.NotDeleted("s")).Replace(stillInUse)
	if err := tx.QueryRow(ctx, sql, s.ID).Scan(&good); err != nil || good {
		return err
	}
	return fault.New(fault.Unauthenticated, "the login of %q has just been revoked", who.Name).WithHint("nothing was changed")
}

// deny returns the error for an escalation.
func (a *txAuthorizer) deny(id uuid.UUID, format string, args ...any) *fault.Error {
	f := fault.New(fault.PermissionDenied, format, args...).With("operator", a.who.Name)
	if id != uuid.Nil {
		f.With("id", id.String())
	}
	return f
}

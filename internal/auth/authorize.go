package auth

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Authorizer implements audit.Authorizer: it checks an operator's permissions inside each transaction of a ledger. It
// reads them anew every time, because they may have changed since an earlier transaction or during a prompt.
type Authorizer struct {
	tables grants
	login  *schema.Table // with the operator's login or key; nil for one without

	mu    sync.Mutex
	who   Identity // as last read
	needs []string // permissions that every transaction requires
}

// Authorizer returns the Authorizer of a command that requires the given permissions.
func (i Identity) Authorizer(cat schema.Catalog, codes ...string) (*Authorizer, error) {
	g, err := newGrants(cat)
	if err != nil {
		return nil, err
	}
	a := &Authorizer{tables: g, who: i, needs: codes}
	switch {
	case i.Session == nil:
	case i.AuthMethod == MethodKey:
		a.login, err = cat.Table(schema.APIKeys)
	default:
		a.login, err = cat.Table(schema.Sessions)
	}
	return a, err
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

// Before implements audit.Authorizer. Its questions lock the grants that the decision rests on until the transaction
// ends.
func (g *Authorizer) Before() (audit.TxAuthorizer, db.Questions) {
	a := &txAuthorizer{authorizer: g}
	return a, func(layout db.Layout) []db.PipelineQuery { return a.questions(layout, lockGrants) }
}

// txAuthorizer is an Authorizer in one transaction.
type txAuthorizer struct {
	authorizer *Authorizer
	who        Identity // as read in the transaction

	ended bool // the transaction ends the operator's own login
}

// Last implements audit.TxAuthorizer. The questions read the operator's rights again and lock them until the transaction
// ends.
func (a *txAuthorizer) Last(layout db.Layout) []db.PipelineQuery { return a.questions(layout, lockAll) }

const stillInUse = `
SELECT EXISTS (SELECT FROM {table} s WHERE s.id = $1 AND s.status = 'ACTIVE' AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp()) AND {live})`

// questions read the operator's rights. Their results refuse an operator without the command's permissions, and one whose
// login or key has been revoked since the command began. Citus deadlocks on share locks of reference tables, so rights
// are not locked there; the lock of the seals keeps other commands from changing them.
func (a *txAuthorizer) questions(layout db.Layout, l lock) []db.PipelineQuery {
	g := a.authorizer
	g.mu.Lock()
	who, needs := g.who, slices.Clone(g.needs)
	g.mu.Unlock()
	if layout != nil {
		l = lockNothing
	}
	use := func() error {
		a.who = who
		g.mu.Lock()
		g.who = who
		g.mu.Unlock()
		return who.Require(nil, needs...)
	}
	unlogged := g.login == nil || a.ended
	rights := g.tables.question(who.ID, l, func(rights Rights) error {
		who.Rights = rights
		if !who.accepted {
			return who.errNotAccepted()
		}
		if unlogged {
			return use()
		}
		return nil
	})
	if unlogged {
		return []db.PipelineQuery{rights}
	}
	sql := strings.NewReplacer("{table}", g.login.Name, "{live}", g.login.NotDeleted("s")).Replace(stillInUse)
	login := db.PipelineQuery{SQL: sql, Args: []any{who.Session.ID}, Read: func(rows pgx.Rows) error {
		good, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		if err != nil {
			return err
		}
		if !good {
			return fault.New(fault.Unauthenticated, "the login of %q has just been revoked", who.Name).WithHint("nothing was changed")
		}
		return use()
	}}
	return []db.PipelineQuery{rights, login}
}

// deny returns the error for an escalation.
func (a *txAuthorizer) deny(id uuid.UUID, format string, args ...any) *fault.Error {
	f := fault.New(fault.PermissionDenied, format, args...).With("operator", a.who.Name)
	if id != uuid.Nil {
		f.With("id", id.String())
	}
	return f
}

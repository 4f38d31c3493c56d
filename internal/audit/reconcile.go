package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Unsettled is an intent without an outcome in the audit log.
type Unsettled struct {
	ID         uuid.UUID       `db:"id"`
	OpID       uuid.UUID       `db:"op_id"`
	CreatedAt  db.Time         `db:"created_at"`
	TenantID   uuid.UUID       `db:"tenant_id"`
	TenantCode string          `db:"tenant_code"`
	Action     string          `db:"action"`
	Resource   string          `db:"resource"`
	ResourceID *uuid.UUID      `db:"resource_id"`
	Name       string          `db:"name"`
	Origin     json.RawMessage `db:"origin"`
	Digest     []byte          `db:"digest"` // digest of the change's audit rows; nil if written by an older client
}

// Operator returns the operator of the command.
func (u Unsettled) Operator() string {
	var o intentOrigin
	_ = json.Unmarshal(u.Origin, &o) // without a valid origin, the operator is ""
	return o.Operator.Name
}

const readUnsettled = `
SELECT i.id, i.op_id, i.created_at, i.tenant_id, i.tenant_code, i.action, i.resource, i.resource_id, i.name, i.origin, {digest} AS digest
  FROM cxg_audit.intent i
 WHERE i.outcome IS NULL AND i.created_at <= @until
 ORDER BY i.created_at, i.id`

// ReadUnsettled returns the unsettled intents created no later than until, oldest first. It returns none if the
// database lacks the table.
func ReadUnsettled(ctx context.Context, r db.Reader, cat schema.Catalog, until time.Time) ([]Unsettled, error) {
	if cat[schema.Intents] == nil {
		return nil, nil
	}
	digest := "NULL::bytea"
	if cat[schema.Intents].Has("digest") {
		digest = "i.digest"
	}
	return db.Collect[Unsettled](ctx, r, strings.Replace(readUnsettled, "{digest}", digest, 1), pgx.NamedArgs{"until": until})
}

// The outcomes of an intent.
const (
	Applied = "applied" // the change was made
	Aborted = "void"    // it was not made and no longer can be
)

const (
	readApplied  = `SELECT outcome, changes FROM cxg_audit.applied WHERE intent_id = $1`
	preventLater = `
INSERT INTO cxg_audit.applied (intent_id, op_id, applied_at, outcome, changes) VALUES ($1, $2, $3, 'void', '[]')
ON CONFLICT DO NOTHING`
)

// decide determines in the tenant's database whether a change took place. If its row of cxg_audit.applied is missing,
// decide inserts one with outcome void, which makes a command that is still running fail. It waits for a concurrent
// commit.
func decide(ctx context.Context, d *db.DB, intent, op uuid.UUID) (doc json.RawMessage, err error) {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, preventLater, intent, op, tx.Now); err != nil {
		return nil, err
	}
	if doc, err = findApplied(ctx, tx, intent); err != nil {
		return nil, err
	}
	return doc, tx.Commit(ctx)
}

// findApplied reads the audit rows of the change from cxg_audit.applied, nil if the change was not made.
func findApplied(ctx context.Context, r db.Reader, intent uuid.UUID) (json.RawMessage, error) {
	var outcome string
	var doc json.RawMessage
	err := r.QueryRow(ctx, readApplied, intent).Scan(&outcome, &doc)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && outcome == Aborted {
		return nil, nil
	}
	return doc, err
}

// digestOf hashes the canonical form of a change's audit rows, because the server may format JSON differently.
func digestOf(doc []byte) ([]byte, error) {
	form, err := canonicalJSON(doc)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(form)
	return sum[:], nil
}

// accept parses the audit rows that a tenant's database holds for a change, and refuses rows that do not match the
// intent in the manager database. The tenant's database is not trusted. The digest in the intent covers the rows
// completely; for an intent without one, written by an older client, who, where, what and when are compared.
func (u Unsettled) accept(doc []byte, o intentOrigin, now time.Time) ([]Entry, error) {
	refused := func(what string) ([]Entry, error) {
		return nil, forged(u.TenantCode, u.ID, what)
	}
	var entries []Entry
	if err := json.Unmarshal(doc, &entries); err != nil || len(entries) == 0 {
		return refused("its form")
	}
	if u.Digest != nil {
		sum, err := digestOf(doc)
		if err != nil || !bytes.Equal(sum, u.Digest) {
			return refused("its digest")
		}
	}
	for i := range entries {
		e := &entries[i]
		for _, image := range []*json.RawMessage{&e.Before, &e.After} { // null means absent
			if string(*image) == "null" {
				*image = nil
			}
		}
		if u.Digest != nil {
			continue
		}
		for _, c := range []struct {
			what string
			same bool
		}{
			{"id", e.ID != uuid.Nil},
			{"op_id", text(e.OpID) == u.OpID.String()},
			{"operator", text(e.Operator) == o.Operator.Name},
			{"operator_id", same(e.OperatorID, o.Operator.Ref())},
			{"tenant_id", same(e.TenantID, &u.TenantID)},
			{"resource", text(e.Resource) == u.Resource},
			{"resource_id", e.ResourceID != nil && (u.ResourceID == nil || text(e.ResourceID) == u.ResourceID.String())},
			{"action", text(e.Action) == u.Action},
			{"result", text(e.Result) == "SUCCESS"},
			{"reason", text(e.Reason) == o.From.Reason},
			{"ticket", text(e.Ticket) == o.From.Ticket},
			{"event_type", e.EventType != nil},
			{"event_category", e.EventCategory != nil},
			{"risk_level", e.RiskLevel != nil},
			{"created_at", e.CreatedAt != nil && !e.CreatedAt.Instant.Before(u.CreatedAt.Instant) && !e.CreatedAt.Instant.After(now)},
			{"number of rows", u.ResourceID == nil || len(entries) == 1},
		} {
			if !c.same {
				return refused(c.what)
			}
		}
	}
	return entries, nil
}

// same compares optional ids.
func same(a, b *uuid.UUID) bool { return a == b || a != nil && b != nil && *a == *b }

// errForged is the cause if a row of cxg_audit.applied does not match its intent.
var errForged = errors.New("a tenant's database reports a change that does not match its intent")

// forged returns the error for a row of cxg_audit.applied that does not match its intent.
func forged(tenant string, intent uuid.UUID, what string) *fault.Error {
	return fault.New(fault.PartialFailure, "cxg_audit.applied of tenant %s does not match intent %s: %s differs", tenant, intent, what).
		WithHint("the change was not recorded and the intent stays open; find out who wrote to that table").
		With("intent", intent.String()).With("tenant", tenant).Because(errForged)
}

// recordForged writes an audit row of risk HIGH, attributed to the operator who found the mismatch.
func (l *Ledger) recordForged(ctx context.Context, tenant, intent uuid.UUID, err error) {
	l.RecordFailure(ctx, Intent{Subject: Subject{Resource: "intent", ID: intent, Name: intent.String(), TenantID: &tenant}, Action: Execute}, err)
}

// authorize runs the Authorizer in its own transaction.
func (l *Ledger) authorize(ctx context.Context) error {
	if l.Authorizer == nil {
		return nil
	}
	tx, err := l.begin(ctx, nil)
	if err != nil {
		return db.Translate(err)
	}
	return db.Translate(tx.Rollback(ctx))
}

// Settle determines the outcome of an intent from the tenant's database and writes the missing audit rows: those of the
// change, or of an attempt that changed nothing. They are attributed to the original operator, with a note of who
// reconciled them. A dry run only reads. Settle returns the outcome.
func (l *Ledger) Settle(ctx context.Context, u Unsettled, tenant *db.DB) (string, error) {
	if !l.DryRun {
		if err := l.authorize(ctx); err != nil {
			return "", err
		}
	}
	var doc json.RawMessage
	var err error
	if l.DryRun {
		doc, err = findApplied(ctx, tenant, u.ID)
	} else {
		doc, err = decide(ctx, tenant, u.ID, u.OpID)
	}
	if err != nil {
		return "", db.Translate(err)
	}
	var o intentOrigin
	if err := json.Unmarshal(u.Origin, &o); err != nil {
		return "", fault.New(fault.Database, "the origin of intent %s cannot be read", u.ID).Because(err)
	}
	now, err := l.Now(ctx)
	if err != nil {
		return "", db.Translate(err)
	}
	outcome := Aborted
	var entries []Entry
	if doc != nil {
		outcome = Applied
		if entries, err = u.accept(doc, o, now); err != nil {
			l.recordForged(ctx, u.TenantID, u.ID, err)
			return "", err
		}
	}
	if l.DryRun {
		return outcome, nil
	}
	w := newWriter(l.writer.table, l.writer.rules, o.Operator, o.From, u.OpID)
	if outcome == Aborted {
		intent := Intent{Subject: Subject{Resource: u.Resource, Name: u.Name, TenantID: &u.TenantID}, Action: Action(u.Action)}
		if u.ResourceID != nil {
			intent.ID = *u.ResourceID
		}
		entries = []Entry{w.failure(intent, fault.New(fault.Interrupted, "the command ended before the change was made"), now)}
	}
	for i := range entries {
		entries[i].reconciled = l.by.Name
	}
	return outcome, db.Translate(l.writeOutcome(ctx, u.ID, outcome, w, entries))
}

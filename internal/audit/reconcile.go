package audit

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Unsettled is an intent whose outcome the audit log does not have.
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
}

// Operator is whom the command was for.
func (u Unsettled) Operator() string {
	var o intentOrigin
	_ = json.Unmarshal(u.Origin, &o) // one that cannot be read has no operator
	return o.Operator.Name
}

const readUnsettled = `
SELECT i.id, i.op_id, i.created_at, i.tenant_id, i.tenant_code, i.action, i.resource, i.resource_id, i.name, i.origin
  FROM cxg_audit.intent i
 WHERE i.outcome IS NULL AND i.created_at <= @until
 ORDER BY i.created_at, i.id`

// ReadUnsettled returns the intents from until a time whose outcome is not in the audit log, the oldest first; none in
// a database that keeps no intents.
func ReadUnsettled(ctx context.Context, r db.Reader, cat schema.Catalog, until time.Time) ([]Unsettled, error) {
	if cat[schema.Intents] == nil {
		return nil, nil
	}
	return db.Collect[Unsettled](ctx, r, readUnsettled, pgx.NamedArgs{"until": until})
}

// The outcomes of an intent.
const (
	Applied = "applied" // the change was made
	Void    = "void"    // it was not, and cannot be any more
)

const (
	readApplied  = `SELECT outcome, changes FROM cxg_audit.applied WHERE intent_id = $1`
	preventLater = `
INSERT INTO cxg_audit.applied (intent_id, op_id, applied_at, outcome, changes) VALUES ($1, $2, $3, 'void', '[]')
ON CONFLICT DO NOTHING`
)

// decide settles in the tenant's database whether a change took place. Where its row of applied is missing, one that
// says void takes the place: a command that is still on its way then fails. One that is just committing is waited for.
func decide(ctx context.Context, d *db.DB, intent, op uuid.UUID, now time.Time) (entries []Entry, applied bool, err error) {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, preventLater, intent, op, now.UTC()); err != nil {
		return nil, false, err
	}
	if entries, applied, err = lookAway(ctx, tx, intent); err != nil {
		return nil, false, err
	}
	return entries, applied, tx.Commit(ctx)
}

// lookAway reads the row of applied.
func lookAway(ctx context.Context, r db.Reader, intent uuid.UUID) ([]Entry, bool, error) {
	var outcome string
	var doc json.RawMessage
	err := r.QueryRow(ctx, readApplied, intent).Scan(&outcome, &doc)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && outcome == Void {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var entries []Entry
	if err := json.Unmarshal(doc, &entries); err != nil || len(entries) == 0 {
		return nil, false, fault.New(fault.Database, "the row of cxg_audit.applied of intent %s cannot be read", intent).Because(err)
	}
	for i := range entries { // null is no image
		for _, image := range []*json.RawMessage{&entries[i].Before, &entries[i].After} {
			if string(*image) == "null" {
				*image = nil
			}
		}
	}
	return entries, true, nil
}

// Settle finds out what became of an intent by looking into the tenant's database, and writes what the command did
// not come to: the audit rows of the change, or of an attempt that changed nothing. They are the command's own, with who
// reconciled them. A dry run only looks. It returns the outcome.
func (l *Ledger) Settle(ctx context.Context, u Unsettled, tenant *db.DB) (string, error) {
	var entries []Entry
	var applied bool
	var err error
	if l.DryRun {
		entries, applied, err = lookAway(ctx, tenant, u.ID)
	} else {
		entries, applied, err = decide(ctx, tenant, u.ID, u.OpID, l.now())
	}
	if err != nil {
		return "", db.Translate(err)
	}
	outcome := Void
	if applied {
		outcome = Applied
	}
	if l.DryRun {
		return outcome, nil
	}
	var o intentOrigin
	if err := json.Unmarshal(u.Origin, &o); err != nil {
		return "", fault.New(fault.Database, "the origin of intent %s cannot be read", u.ID).Because(err)
	}
	now := l.now().UTC().Truncate(time.Microsecond)
	w := newWriter(l.writer.table, l.writer.rules, o.Operator, o.From, u.OpID)
	if !applied {
		about := Intent{Subject: Subject{Resource: u.Resource, Name: u.Name, TenantID: &u.TenantID}, Action: Action(u.Action)}
		if u.ResourceID != nil {
			about.ID = *u.ResourceID
		}
		entries = []Entry{w.failure(about, fault.New(fault.Interrupted, "the command ended before the change was made"), now)}
	}
	for i := range entries {
		entries[i].reconciled = l.by.Name
	}
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return "", db.Translate(err)
	}
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	return outcome, db.Translate(l.writeOutcome(ctx, raw, u.ID, outcome, w, entries, now))
}

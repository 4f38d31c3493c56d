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

// A change in a tenant's database shares no transaction with the audit log. It is made in three steps
// (reliability.md, "Two databases, no shared transaction"): an intent in the manager database; the change, with a
// row of cxg_audit.applied that holds its audit rows, in one transaction there; the audit rows in the log, sealed,
// with the intent settled. Whatever ends the command in between leaves an intent that Settle finishes by looking
// for the row of applied, so that no change is ever hidden and no outcome guessed.

// Tenant is where and for whom changes are made.
type Tenant struct {
	DB   *db.DB
	ID   uuid.UUID
	Code string
}

// away is a tenant as a ledger works in it.
type tenantTarget struct {
	Tenant
	db    *db.DB
	about Intent
	ready error // why nothing can be changed there; nil if it can

	digests bool // the manager database's intents have a digest
}

// In returns a ledger of the same command whose changes are made in a tenant's database. Reading works
// anyway; what the two databases lack for a change is said when one is tried. manager and there are their tables.
func (l *Ledger) ForTenant(t Tenant, manager, there schema.Catalog) *Ledger {
	w := *l.writer
	own := &Ledger{
		DryRun: l.DryRun, Guard: l.Guard, Gate: l.Gate, Confirm: l.Confirm,
		db: l.db, writer: &w, sealer: l.sealer, by: l.by, op: l.op, tenantTarget: &tenantTarget{Tenant: t, db: t.DB},
	}
	own.tenantTarget.digests = manager[schema.Intents] != nil && manager[schema.Intents].Has("digest")
	switch {
	case manager[schema.Intents] == nil:
		own.tenantTarget.ready = errMissingTable(schema.Intents, "manager", "--database manager")
	case there[schema.Applied] == nil:
		own.tenantTarget.ready = errMissingTable(schema.Applied, "tenant's", "--tenant "+t.Code)
	}
	return own
}

func errMissingTable(table, which, flag string) error {
	return fault.New(fault.Database, "table %s does not exist in the %s database, and without it a change could be lost to the audit log", table, which).
		WithHint("cxgctl migrate up %s creates it", flag).With("table", table)
}

// log keeps the audit rows of changes until they are written, with the change, as a row of applied.
func (a *tenantTarget) log(tx *Tx, changes []Change) error {
	for _, c := range changes {
		if c.TenantID == nil {
			c.TenantID = &a.ID
		}
		e, err := tx.ledger.writer.entry(c, tx.Now)
		if err != nil {
			return err
		}
		tx.kept = append(tx.kept, e)
		tx.written++
	}
	return nil
}

// intentOrigin is what an intent keeps for the audit rows that somebody else may have to write.
type intentOrigin struct {
	Operator Operator `json:"operator"`
	From     Origin   `json:"from"`
}

const (
	insertIntent = `
INSERT INTO cxg_audit.intent (id, op_id, created_at, created_by, tenant_id, tenant_code, action, resource, resource_id, name, origin)
VALUES (@id, @op, @now, @by, @tenant, @code, @action, @resource, @resource_id, @name, @origin)`
	// no change is made before its digest is known, so that none is to be found with an empty one
	emptyDigest   = `UPDATE cxg_audit.intent SET digest = '' WHERE id = $1`
	setDigest     = `UPDATE cxg_audit.intent SET digest = $2 WHERE id = $1 AND outcome IS NULL`
	insertApplied = `
INSERT INTO cxg_audit.applied (intent_id, op_id, applied_at, outcome, changes) VALUES ($1, $2, $3, 'applied', $4)`
	settleIntent = `
UPDATE cxg_audit.intent SET outcome = $2, settled_at = $3 WHERE id = $1 AND outcome IS NULL`
)

// tryAway is try in a tenant's database.
func (l *Ledger) attemptTenant(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error)) ([]Entry, error) {
	if l.tenantTarget.ready != nil {
		return nil, l.tenantTarget.ready
	}
	intent, now, err := l.announce(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := l.changeAway(ctx, intent, now, fn)
	switch {
	case OutcomeUnknown(err):
		return nil, err
	case l.DryRun:
		return l.unlessBrief(entries), err
	case err != nil || len(entries) == 0:
		l.withdraw(ctx, intent)
		return nil, err
	}
	if err := l.recordOutcome(ctx, intent, entries); err != nil {
		f := fault.From(db.Translate(err))
		return nil, fault.New(fault.Database, "the change was made in the database of tenant %s, but the audit log does not say so yet: %s", l.tenantTarget.Code, f.Message).
			WithHint("once the manager database is well: cxgctl audit reconcile writes what is missing").
			With("op_id", l.op.String()).Because(errors.Join(errUnknown, err))
	}
	return l.unlessBrief(entries), nil
}

// unlessBrief are the audit rows that a command is told of: of a million changes nobody wants them.
func (l *Ledger) unlessBrief(entries []Entry) []Entry {
	if l.DiscardEntries {
		return nil
	}
	return entries
}

// announce asks the gate and, unless it is a dry run, commits the intent; it returns its id and time, which is that
// of the change: of the two databases' clocks, the log goes by its own.
func (l *Ledger) announce(ctx context.Context) (id uuid.UUID, now time.Time, err error) {
	id = uuid.Must(uuid.NewV7())
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return id, now, err
	}
	now = raw.Now
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	if l.Gate != nil {
		if _, err := l.Gate.Before(ctx, &Tx{Write: raw, By: l.by, Now: now, ledger: l}); err != nil {
			return id, now, err
		}
	}
	if l.DryRun {
		return id, now, nil
	}
	origin, err := json.Marshal(intentOrigin{l.by, l.writer.from})
	if err != nil {
		return id, now, err
	}
	a := l.tenantTarget
	args := pgx.NamedArgs{
		"id": id, "op": l.op, "now": now, "by": nil, "tenant": a.ID, "code": a.Code, "action": string(a.about.Action),
		"resource": a.about.Resource, "resource_id": nil, "name": a.about.Name, "origin": string(origin),
	}
	if l.by.ID != uuid.Nil {
		args["by"] = l.by.ID
	}
	if a.about.ID != uuid.Nil {
		args["resource_id"] = a.about.ID
	}
	if _, err := raw.Exec(ctx, insertIntent, args); err != nil {
		return id, now, err
	}
	if a.digests {
		if _, err := raw.Exec(ctx, emptyDigest, id); err != nil {
			return id, now, err
		}
	}
	return id, now, raw.Commit(ctx)
}

// changeAway makes the change with its row of applied, in one transaction of the tenant's database.
func (l *Ledger) changeAway(ctx context.Context, intent uuid.UUID, now time.Time, fn func(context.Context, *Tx) ([]Change, error)) ([]Entry, error) {
	raw, err := l.tenantTarget.db.BeginWrite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	// The operator is no user there: created_by and updated_by refer to users of that database.
	by := l.by
	by.ID = uuid.Nil
	tx := &Tx{Write: raw, By: by, Now: now, ledger: l}
	changes, err := fn(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := l.Guard.Check(tx.written + len(changes)); err != nil {
		return nil, err
	}
	if err := l.tenantTarget.log(tx, changes); err != nil {
		return nil, err
	}
	if len(tx.kept) == 0 {
		return nil, nil
	}
	if l.DryRun {
		_, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
		return tx.kept, err
	}
	if err := l.asShown(tx.kept, now); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(tx.kept)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, insertApplied, intent, l.op, now, string(doc)); err != nil {
		if db.UniqueViolation(err) == "applied_pkey" {
			return nil, fault.New(fault.Conflict, "audit reconcile settled this change as one that was not made, and so it is not").
				WithHint("nothing was changed; run the command again")
		}
		return nil, err
	}
	if err := l.putDigest(ctx, intent, doc); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, done := commitContext(ctx)
	defer done()
	err = raw.Commit(answer)
	if err == nil || !db.Lost(err) {
		return tx.kept, err
	}
	if err := l.resolveTenantCommit(ctx, intent, doc, err); err != nil {
		return nil, err
	}
	return tx.kept, nil
}

// putDigest has the intent say what the change is about to say of itself, before the change is committed.
func (l *Ledger) putDigest(ctx context.Context, intent uuid.UUID, doc []byte) error {
	if !l.tenantTarget.digests {
		return nil
	}
	sum, err := digestOf(doc)
	if err != nil {
		return err
	}
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := raw.Exec(ctx, setDigest, intent, sum); err != nil {
		return err
	}
	return raw.Commit(ctx)
}

// askAway finds out whether a COMMIT without an answer took place: either its row of applied is there, or one that
// says void is put in its place, and then it cannot take place any more. A row of applied that says something else than
// the change did is an error, and leaves the intent open.
func (l *Ledger) resolveTenantCommit(ctx context.Context, intent uuid.UUID, doc []byte, cause error) error {
	var found json.RawMessage
	err := l.resolveCommit(ctx, cause, "once the server is back: cxgctl audit reconcile finds out, and records it",
		func(ctx context.Context) (made, known bool) {
			var err error
			found, err = decide(ctx, l.tenantTarget.db, intent, l.op)
			return found != nil, err == nil
		})
	if err != nil || SameJSON(found, doc) {
		return err
	}
	err = forged(l.tenantTarget.Code, intent, "its content").With("op_id", l.op.String()).Because(errors.Join(errUnknown, errForged))
	l.recordForged(ctx, l.tenantTarget.ID, intent, err)
	return err
}

// conclude writes the audit rows into the log and settles the intent, unless somebody else did so meanwhile.
func (l *Ledger) recordOutcome(ctx context.Context, intent uuid.UUID, entries []Entry) error {
	// The change is made: no signal and no time-out of the command keeps it out of the log.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	var err error
	for attempt := range maxAttempts {
		backoff(ctx, attempt)
		if err = l.concludeOnce(ctx, intent, entries); !db.Retryable(err) {
			break
		}
	}
	return err
}

func (l *Ledger) concludeOnce(ctx context.Context, intent uuid.UUID, entries []Entry) error {
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Rollback(ctx) }()
	return l.writeOutcome(ctx, raw, intent, Applied, l.writer, entries, raw.Now)
}

// writeOutcome settles an intent and writes the audit rows of its outcome with the writer, in a transaction that it
// commits; it does nothing where the intent is settled already.
func (l *Ledger) writeOutcome(ctx context.Context, raw *db.Write, intent uuid.UUID, outcome string, w *writer, entries []Entry, now time.Time) error {
	tag, err := raw.Exec(ctx, settleIntent, intent, outcome, now)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	written, err := w.insert(ctx, raw, l.sealer, entries, now)
	if err != nil {
		return err
	}
	last, err := l.sealer.seal(ctx, raw, written, now)
	if err != nil {
		return err
	}
	return l.commit(ctx, raw, entries[0].ID, last)
}

// withdraw settles the intent of a change that was rolled back. It may fail: reconcile settles what is left.
func (l *Ledger) withdraw(ctx context.Context, intent uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTimeout)
	defer cancel()
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return
	}
	defer func() { _ = raw.Rollback(ctx) }()
	if _, err := raw.Exec(ctx, settleIntent, intent, Aborted, raw.Now); err == nil {
		_ = raw.Commit(ctx)
	}
}

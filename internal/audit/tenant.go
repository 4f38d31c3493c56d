package audit

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// A change in a tenant's database cannot share a transaction with the audit log. It takes three steps (reliability.md,
// "Two databases, no shared transaction"): an intent in the manager database; the change together with its audit rows,
// stored in cxg_audit.applied, in one transaction of the tenant's database; the sealed audit rows in the log, with the
// intent settled. A command that ends in between leaves an unsettled intent. Settle completes it by looking for the row
// in cxg_audit.applied.

// Tenant is the tenant whose database is changed.
type Tenant struct {
	DB   *db.DB
	ID   uuid.UUID
	Code string
}

// tenantTarget is the tenant whose database a ledger changes.
type tenantTarget struct {
	Tenant
	db          *db.DB
	about       Intent
	unavailable error // why changes are impossible, or nil

	digests bool // the manager database's intents have a digest
}

// ForTenant returns a ledger of the same command that changes a tenant's database. manager and tenantCat are the
// catalogs of the two databases. If they lack a table for changes, only writes fail.
func (l *Ledger) ForTenant(t Tenant, manager, tenantCat schema.Catalog) *Ledger {
	w := *l.writer
	ledger := &Ledger{
		DryRun: l.DryRun, Guard: l.Guard, Authorizer: l.Authorizer, Confirm: l.Confirm,
		db: l.db, writer: &w, sealer: l.sealer, by: l.by, op: l.op, tenantTarget: &tenantTarget{Tenant: t, db: t.DB},
	}
	ledger.tenantTarget.digests = manager[schema.Intents] != nil && manager[schema.Intents].Has("digest")
	switch {
	case manager[schema.Intents] == nil:
		ledger.tenantTarget.unavailable = errMissingTable(schema.Intents, "manager", "--database manager")
	case tenantCat[schema.Applied] == nil:
		ledger.tenantTarget.unavailable = errMissingTable(schema.Applied, "tenant's", "--tenant "+t.Code)
	}
	return ledger
}

func errMissingTable(table, which, flag string) error {
	return fault.New(fault.Database, "table %s does not exist in the %s database; without it, the audit log could miss a change", table, which).
		WithHint("cxgctl migrate up %s creates it", flag).With("table", table)
}

// log collects the audit rows of changes. They are stored together with the change in cxg_audit.applied.
func (a *tenantTarget) log(tx *Tx, changes []Change) error {
	for _, c := range changes {
		if c.TenantID == nil {
			c.TenantID = &a.ID
		}
		e, err := tx.ledger.writer.entry(c, tx.Now)
		if err != nil {
			return err
		}
		tx.entries = append(tx.entries, e)
		tx.written++
	}
	return nil
}

// intentOrigin is stored in an intent, for the audit rows that another operator may have to write.
type intentOrigin struct {
	Operator Operator `json:"operator"`
	From     Origin   `json:"from"`
}

const (
	insertIntent = `
INSERT INTO cxg_audit.intent (id, op_id, created_at, created_by, tenant_id, tenant_code, action, resource, resource_id, name, origin)
VALUES (@id, @op, @now, @by, @tenant, @code, @action, @resource, @resource_id, @name, @origin)`
	// The digest is set before the change is committed, so a change whose intent has an empty digest is forged.
	emptyDigest   = `UPDATE cxg_audit.intent SET digest = '' WHERE id = $1`
	setDigest     = `UPDATE cxg_audit.intent SET digest = $2 WHERE id = $1 AND outcome IS NULL`
	insertApplied = `
INSERT INTO cxg_audit.applied (intent_id, op_id, applied_at, outcome, changes) VALUES ($1, $2, $3, 'applied', $4)`
	settleIntent = `
UPDATE cxg_audit.intent SET outcome = $2, settled_at = now() WHERE id = $1 AND outcome IS NULL`
)

// attemptTenant runs fn once in a transaction of a tenant's database, between the intent and its outcome.
func (l *Ledger) attemptTenant(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error), questions []db.Questions) ([]Entry, error) {
	if l.tenantTarget.unavailable != nil {
		return nil, l.tenantTarget.unavailable
	}
	intent, now, err := l.createIntent(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := l.changeInTenant(ctx, intent, now, fn, questions)
	switch {
	case OutcomeUnknown(err):
		return nil, err
	case l.DryRun:
		return l.unlessDiscarded(entries), err
	case err != nil || len(entries) == 0:
		l.abortIntent(ctx, intent)
		return nil, err
	}
	if err := l.recordOutcome(ctx, intent, entries); err != nil {
		f := fault.From(db.Translate(err))
		return nil, fault.New(fault.Database, "the change was made in the database of tenant %s, but is not in the audit log yet: %s", l.tenantTarget.Code, f.Message).
			WithHint("when the manager database works again, record the change with: cxgctl audit reconcile").
			With("op_id", l.op.String()).Because(errors.Join(errUnknown, err))
	}
	return l.unlessDiscarded(entries), nil
}

// unlessDiscarded returns the entries, or nil if they are to be discarded.
func (l *Ledger) unlessDiscarded(entries []Entry) []Entry {
	if l.DiscardEntries {
		return nil
	}
	return entries
}

// createIntent runs the Authorizer and, except in a dry run, commits the intent. It returns the intent's id and time.
// The change gets the same time, since the log uses the manager database's clock.
func (l *Ledger) createIntent(ctx context.Context) (id uuid.UUID, now time.Time, err error) {
	id = uuid.Must(uuid.NewV7())
	raw, err := l.begin(ctx, nil)
	if err != nil {
		return id, now, err
	}
	now = raw.Now
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	if l.DryRun {
		return id, now, nil
	}
	origin, err := json.Marshal(intentOrigin{l.by, l.writer.from})
	if err != nil {
		return id, now, err
	}
	a := l.tenantTarget
	args := pgx.NamedArgs{
		"id": id, "op": l.op, "now": now, "by": l.by.Ref(), "tenant": a.ID, "code": a.Code, "action": string(a.about.Action),
		"resource": a.about.Resource, "resource_id": optional(a.about.ID), "name": a.about.Name, "origin": string(origin),
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

// changeInTenant makes the change and inserts its row of cxg_audit.applied in one transaction of the tenant's database.
func (l *Ledger) changeInTenant(
	ctx context.Context, intent uuid.UUID, now time.Time, fn func(context.Context, *Tx) ([]Change, error), questions []db.Questions,
) ([]Entry, error) {
	raw, err := l.tenantTarget.db.BeginWrite(ctx, questions...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	// The operator is not a user there: created_by and updated_by refer to users of that database.
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
	if err := tx.Log(ctx, changes); err != nil {
		return nil, err
	}
	if len(tx.entries) == 0 {
		return nil, nil
	}
	if l.DryRun {
		_, err := tx.Exec(ctx, db.SettleConstraints)
		return tx.entries, err
	}
	if err := l.checkShown(tx.entries, now); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(tx.entries)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, insertApplied, intent, l.op, now, string(doc)); err != nil {
		if db.UniqueViolation(err) == "applied_pkey" {
			return nil, fault.New(fault.Conflict, "audit reconcile has settled this change as not made").
				WithHint("nothing was changed; run the command again")
		}
		return nil, err
	}
	if err := l.storeDigest(ctx, intent, doc); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, done := commitContext(ctx)
	defer done()
	err = raw.Commit(answer)
	if err == nil || !db.Lost(err) {
		return tx.entries, err
	}
	if err := l.resolveTenantCommit(ctx, intent, doc, err); err != nil {
		return nil, err
	}
	return tx.entries, nil
}

// storeDigest stores the digest of the change's audit rows in the intent, before the change is committed.
func (l *Ledger) storeDigest(ctx context.Context, intent uuid.UUID, doc []byte) error {
	if !l.tenantTarget.digests {
		return nil
	}
	sum, err := digestOf(doc)
	if err != nil {
		return err
	}
	return l.db.WriteOnce(ctx, setDigest, intent, sum)
}

// resolveTenantCommit determines whether a COMMIT without an answer took place. It either finds the row of
// cxg_audit.applied, or inserts one with outcome void, which prevents a later commit. A row with other content than the
// change is an error and leaves the intent open.
func (l *Ledger) resolveTenantCommit(ctx context.Context, intent uuid.UUID, doc []byte, cause error) error {
	var found json.RawMessage
	err := l.resolveCommit(ctx, cause, "once the server is back, record the outcome with: cxgctl audit reconcile",
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

// recordOutcome writes the audit rows and settles the intent, unless another session has settled it.
func (l *Ledger) recordOutcome(ctx context.Context, intent uuid.UUID, entries []Entry) error {
	// The change was made, so neither a signal nor a timeout may prevent its audit rows.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	var err error
	for attempt := range maxAttempts {
		backoff(ctx, attempt)
		err = l.writeOutcome(ctx, intent, Applied, l.writer, entries)
		if OutcomeUnknown(err) || !db.Retryable(err) && !db.Lost(err) {
			break
		}
	}
	return err
}

// writeOutcome settles an intent and writes its audit rows with w in one transaction. It does nothing if the intent is
// already settled.
func (l *Ledger) writeOutcome(ctx context.Context, intent uuid.UUID, outcome string, w *writer, entries []Entry) error {
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return err
	}
	tx := &Tx{Write: raw, Now: raw.Now, ledger: l}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	tag, err := tx.Exec(ctx, settleIntent, intent, outcome)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	batch := &stagedBatch{}
	if err := w.queue(ctx, tx, batch, entries); err != nil {
		return err
	}
	last, err := l.seal(ctx, tx, batch, seal.Unsealed{IDs: idsOf(entries)})
	if err != nil {
		return err
	}
	return l.commit(ctx, tx, last, entries[0].ID)
}

// abortIntent settles the intent of a change that was rolled back. Errors are ignored, since reconcile can settle it
// later.
func (l *Ledger) abortIntent(ctx context.Context, intent uuid.UUID) {
	ctx, cancel := failureContext(ctx)
	defer cancel()
	_ = l.db.WriteOnce(ctx, settleIntent, intent, Aborted)
}

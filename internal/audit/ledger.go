// Package audit is the only way to change the platform's data, and keeps the log of all changes. A change and its audit
// row commit together or not at all.
package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Operator is the person or service that a change is attributed to.
type Operator struct {
	ID         uuid.UUID // uuid.Nil if not a user of the platform (migrations)
	Name       string
	AuthMethod string    // claim, login, key, jwt, db_role, or os for commands without an operator
	Claimed    string    // the name as given
	Proof      uuid.UUID // id of the session or key, or uuid.Nil
}

// Ref returns the operator's id for columns that refer to users, nil if there is none.
func (o Operator) Ref() *uuid.UUID { return optional(o.ID) }

// Origin is where a command came from. Every audit row records it (reliability.md, "Operator identity").
type Origin struct {
	OSUser   string `json:"os_user"` // name of UID in the system's user database
	UID      int    `json:"os_uid"`
	LoginUID string `json:"login_uid,omitempty"`
	SudoUser string `json:"sudo_user,omitempty"`
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	Version  string `json:"client_version"`
	Command  string `json:"command"` // with the flags that may be recorded
	Reason   string `json:"reason,omitempty"`
	Ticket   string `json:"ticket,omitempty"`
}

// Guard limits how many rows a command may change; nil means no limit.
type Guard struct{ Expect, MaxAffected *int }

// Check refuses a number of changed rows outside the limits.
func (g Guard) Check(n int) error {
	switch {
	case g.Expect != nil && n != *g.Expect:
		return fault.New(fault.Conflict, "%s would change, --expect says %d", fault.Plural(n, "row"), *g.Expect).
			WithHint("nothing was changed; look at the rows with --dry-run").With("affected", n).With("expected", *g.Expect)
	case g.MaxAffected != nil && n > *g.MaxAffected:
		return fault.New(fault.Conflict, "%s would change, --max-affected allows %d", fault.Plural(n, "row"), *g.MaxAffected).
			WithHint("nothing was changed; narrow the filter or raise --max-affected").With("affected", n).With("max_affected", *g.MaxAffected)
	}
	return nil
}

// Authorizer decides whether the operator may make the changes of a ledger's transactions. Each transaction begins with
// the questions of Before. An error of theirs, or of the TxAuthorizer, rolls the transaction back.
type Authorizer interface {
	Before() (TxAuthorizer, db.Questions)
}

// TxAuthorizer checks the changes of one transaction.
type TxAuthorizer interface {
	Changes(ctx context.Context, tx *Tx, changes []Change) error // called after the changes, before their audit rows
	Last(layout db.Layout) []db.PipelineQuery                    // asked after the audit rows, before the seals
}

// Action is what was done to a row, in the spelling of the action_performed column's CHECK.
type Action string

// The actions of audit rows.
const (
	Create  Action = "CREATE"
	Update  Action = "UPDATE"
	Delete  Action = "DELETE"
	Execute Action = "EXECUTE"
	Read    Action = "READ" // changes nothing; recorded for sensitive data
	Login   Action = "LOGIN"
	Logout  Action = "LOGOUT"
)

// Event is the kind of event that a row records: the columns event_type and event_category.
type Event struct{ Type, Category string }

// The events that cxgctl writes.
var (
	DataModification = Event{"ADMIN_ACTION", "DATA_MODIFICATION"}
	PasswordChange   = Event{"PASSWORD_CHANGE", "DATA_MODIFICATION"}
	DataAccess       = Event{"DATA_ACCESS", "AUTHORIZATION"}
	SystemChange     = Event{"ADMIN_ACTION", "SYSTEM_CHANGE"}
	PermissionChange = Event{"PERMISSION_CHANGE", "AUTHORIZATION"}
	LoggedIn         = Event{"LOGIN", "AUTHENTICATION"}
	LoggedOut        = Event{"LOGOUT", "AUTHENTICATION"}
	violation        = Event{"ADMIN_ACTION", "SECURITY_VIOLATION"}
)

// Subject is what a change is about: the noun and, if known, the row.
type Subject struct {
	Resource string     // the noun: user, invoice, …
	ID       uuid.UUID  // uuid.Nil if the row is unknown
	Name     string     // for people: a username, an invoice number, a REF as typed
	TenantID *uuid.UUID // nil if it does not belong to a tenant
}

// Change is a changed row. Before and After are the noun's record, nil if the row did not exist. If both are set, the
// ledger records only the fields that differ.
type Change struct {
	Subject
	Action        Action
	Event         Event // the zero value means DataModification
	Before, After any
	Secrets       []string    // changed fields outside the record; logged as "changed"
	Undoes        []uuid.UUID // audit rows whose changes it reverts
	Risk          string      // LOW, MEDIUM or HIGH; "" for the event's default
}

// Intent describes what a command is about to do, for the audit row if it fails.
type Intent struct {
	Subject
	Action Action
}

// Tx is a transaction that writes.
type Tx struct {
	*db.Write
	By  Operator
	Now time.Time // the time of all rows that the transaction writes; in a tenant's database that of the manager's

	ledger     *Ledger
	authorizer TxAuthorizer // nil if the operator is not a user of the platform
	first      uuid.UUID    // its first audit row
	written    int          // number of its audit rows
	entailed   int          // number of those for changes made by Follower
	unsealed   seal.Unsealed
	xid        string // of the transaction, behind a pooler
	ids        int    // number of the ledger's ids that it has used
	entries    []Entry
	queued     stagedBatch // statements to send before the next audit rows
}

// Queue adds a statement that is sent together with the next audit rows.
func (tx *Tx) Queue(sql string, args ...any) { tx.queued.Queue(sql, args...) }

// ByID returns the operator's id for columns that refer to users; nil if there is none, as in a tenant's database.
func (tx *Tx) ByID() *uuid.UUID { return tx.By.Ref() }

// Log writes the audit rows of changes that the transaction has made. Write does this for the changes that fn returns;
// fn calls Log itself if they are too many to hold in memory.
func (tx *Tx) Log(ctx context.Context, changes []Change) error {
	batch, err := tx.queueLog(ctx, changes)
	if err != nil {
		return err
	}
	return tx.send(ctx, batch)
}

// queueLog returns a batch with what is queued and the audit rows of changes.
func (tx *Tx) queueLog(ctx context.Context, changes []Change) (*stagedBatch, error) {
	batch := tx.queued
	tx.queued = stagedBatch{}
	if len(changes) == 0 {
		return &batch, nil
	}
	l := tx.ledger
	if l.tenantTarget != nil {
		return &batch, l.tenantTarget.log(tx, changes)
	}
	if l.Follower != nil {
		entailed, err := l.Follower.Follow(ctx, tx, changes)
		if err != nil {
			return nil, err
		}
		tx.entailed += len(entailed)
		changes = slices.Concat(changes, entailed)
	}
	if tx.authorizer != nil {
		if err := tx.authorizer.Changes(ctx, tx, changes); err != nil {
			return nil, err
		}
	}
	entries := make([]Entry, len(changes))
	for i, c := range changes {
		var err error
		if entries[i], err = l.writer.entry(c, tx.Now); err != nil {
			return nil, err
		}
	}
	ids := idsOf(entries)
	if err := l.writer.queue(ctx, tx, &batch, entries); err != nil {
		return nil, errNotWritten(err)
	}
	if l.sealer == nil { // otherwise the seals need the rows
		batch.queueCount(ids)
	}
	if tx.written == 0 {
		tx.first = ids[0]
	}
	tx.written += len(ids)
	tx.unsealed.IDs = append(tx.unsealed.IDs, ids...)
	if !l.DiscardEntries {
		tx.entries = append(tx.entries, entries...)
	}
	return &batch, nil
}

// stagedBatch is a batch of statements whose errors are translated according to what they are part of.
type stagedBatch struct{ pgx.Batch }

// stage translates the errors of the statements that were queued after the first n.
func (b *stagedBatch) stage(n int, translate func(error) error) {
	for _, q := range b.QueuedQueries[n:] {
		fn := q.Fn
		q.Fn = func(results pgx.BatchResults) error {
			var err error
			if fn == nil {
				_, err = results.Exec()
			} else {
				err = fn(results)
			}
			if err != nil {
				return translate(err)
			}
			return nil
		}
	}
}

// queueCount counts the audit rows that the log has stored. The result is errDropped if some are missing.
func (b *stagedBatch) queueCount(ids []uuid.UUID) {
	n := b.Len()
	b.Queue(db.SettleConstraints)
	b.Queue(`SELECT count(*) FROM audt.audit_logs l WHERE l.id = ANY ($1::uuid[])`, ids).QueryRow(func(row pgx.Row) error {
		var stored int
		if err := row.Scan(&stored); err != nil || stored == len(ids) {
			return err
		}
		return errDropped
	})
	b.stage(n, errNotWritten)
}

var errDropped = errors.New("the log did not store an audit row")

// send sends the batch and says what kept the log from storing an audit row.
func (tx *Tx) send(ctx context.Context, batch *stagedBatch) error {
	if batch.Len() == 0 {
		return nil
	}
	err := tx.SendBatch(ctx, &batch.Batch).Close()
	if errors.Is(err, errDropped) {
		return errNotWritten(db.NotStored(ctx, tx, schema.AuditLogs, db.Insert, "kept the change's audit row from being stored"))
	}
	return err
}

// errNotWritten is the error of a change whose audit row could not be written.
func errNotWritten(err error) error {
	return fault.From(db.Translate(err)).With("audit", "the change was rolled back with its audit row")
}

// errNotSealed is the error of a change whose audit row could not be sealed.
func errNotSealed(err error) error {
	f := fault.From(db.Translate(err))
	// Only the holder of the head's lock inserts seals, with the next numbers.
	if strings.HasPrefix(db.UniqueViolation(err), "seal_") {
		f = fault.New(fault.Database, "cxg_audit.seal contains a seal that is not part of the chain").
			WithHint("nothing was changed; find it with cxgctl audit verify; the owner of the table can delete it").Because(err)
	}
	return f.With("audit", "the change was rolled back because its audit row could not be sealed")
}

// Follower makes consequential changes, such as ending the sessions of a closed account.
type Follower interface {
	// Ask returns what Follow has to know of rows of a noun in which columns are about to change. It is optional.
	Ask(noun string, columns []string, ids []uuid.UUID) []db.PipelineQuery
	// Follow makes the changes in the same transaction. They get their own audit rows, and Guard does not count them.
	Follow(ctx context.Context, tx *Tx, changes []Change) ([]Change, error)
}

// Ledger opens the transactions that may write, and writes their audit rows.
type Ledger struct {
	DryRun         bool // run every statement, then roll back
	DiscardEntries bool // do not keep Entries, which could be millions
	Guard          Guard
	Authorizer     Authorizer // nil if the operator is not a user of the platform
	Follower       Follower   // may be nil
	// Confirm, if set, is called before a change, with the audit rows of a rolled-back run of the same statements, so that
	// nothing is locked during the prompt. If the actual change then differs, Write returns a CONFLICT.
	Confirm func(context.Context, []Entry) error

	db           *db.DB
	writer       *writer
	sealer       *seal.Sealer // nil if the database has no seals
	by           Operator
	op           uuid.UUID
	ids          []uuid.UUID // of new rows, see Tx.NewID
	changes      []Entry
	entailed     int           // number of committed changes made by Follower
	changed      bool          // a transaction has been, or may have been, committed
	shown        []shownEntry  // what was confirmed; nil if anything is allowed
	tenantTarget *tenantTarget // nil if changes are made in the database of the audit log
}

// Open returns a ledger over the manager database for one command of one operator. It fails without the audit log's
// table.
func Open(ctx context.Context, d *db.DB, cat schema.Catalog, by Operator, from Origin) (*Ledger, error) {
	t, err := cat.Table(schema.AuditLogs)
	if err != nil {
		return nil, fault.From(err).WithHint("no change goes unaudited; cxgctl migrate up --database manager creates the table")
	}
	if t.Rules == nil {
		rules, err := schema.ReadRules(ctx, d, schema.AuditLogs)
		if err != nil {
			return nil, err
		}
		t.Rules = &rules
	}
	op, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &Ledger{db: d, writer: newWriter(t, *t.Rules, by, from, op), sealer: seal.New(cat), by: by, op: op}, nil
}

// Op returns the operation id, which all audit rows of this command share.
func (l *Ledger) Op() uuid.UUID { return l.op }

// By returns the operator that changes are attributed to.
func (l *Ledger) By() Operator { return l.by }

// InTenant reports whether changes are made in a tenant's database.
func (l *Ledger) InTenant() bool { return l.tenantTarget != nil }

// Changed reports whether the command has changed, or may have changed, something.
func (l *Ledger) Changed() bool { return l.changed }

// Entries returns the audit rows of this command's changes: committed or, in a dry run, rolled back.
func (l *Ledger) Entries() []Entry { return l.changes }

// Entailed returns the number of committed changes made by Follower.
func (l *Ledger) Entailed() int { return l.entailed }

// Merge adds the audit rows of another ledger of the same command, see ForTenant.
func (l *Ledger) Merge(entries []Entry) { l.changes = append(l.changes, entries...) }

// Reader returns the database for reads before a transaction.
func (l *Ledger) Reader() *db.DB {
	if l.tenantTarget != nil {
		return l.tenantTarget.db
	}
	return l.db
}

// Now returns the time of the server's clock.
func (l *Ledger) Now(ctx context.Context) (now time.Time, err error) {
	err = l.db.QueryRow(ctx, `SELECT now()`).Scan(&now)
	return now.UTC(), err
}

// maxAttempts limits how often a transaction is tried. Two imports of the same names in opposite order deadlock once
// per batch, and the server may abort the same one each time.
const maxAttempts = 6

// backoff waits before another attempt, for a random time that grows with each attempt, so that two transactions that
// collided do not collide again. It does not wait before attempt 0.
func backoff(ctx context.Context, attempt int) {
	if attempt == 0 {
		return
	}
	select {
	case <-time.After(rand.N(10 * time.Millisecond << attempt)):
	case <-ctx.Done():
	}
}

// Write runs fn in a transaction, adds an audit row for each change that fn returns, and commits. A dry run checks
// deferred constraints and rolls back. If fn fails, nothing is changed and the attempt gets an audit row. Without
// changes, nothing is committed. The questions are asked at the start of each attempt.
func (l *Ledger) Write(ctx context.Context, intent Intent, fn func(context.Context, *Tx) ([]Change, error), questions ...db.Questions) error {
	var entries []Entry
	if l.tenantTarget != nil {
		l.tenantTarget.about = intent
	}
	l.ids = nil
	if intent.Action != Read {
		if err := l.writer.table.RequireColumns([]string{"id", "created_at", "extra_data"}); err != nil {
			return fault.From(err).WithHint("no change goes unaudited, and audit rows need this column; restore it")
		}
	}
	err := l.confirm(ctx, fn, questions)
	if err == nil {
		entries, err = l.withRetry(ctx, fn, questions)
	}
	if fault.Is(err, fault.ConfirmationRequired) {
		return err
	}
	if later, ok := errors.AsType[*unexplained](err); ok {
		err = later.explain(ctx, l.Reader())
	}
	if err != nil {
		err = db.Translate(err)
		if !OutcomeUnknown(err) {
			l.RecordFailure(ctx, intent, err)
		}
		return err
	}
	l.changes = append(l.changes, entries...)
	return nil
}

// unexplained is an error whose explanation takes a query, which a failed transaction cannot run.
type unexplained struct {
	error
	explain func(context.Context, db.Reader) error
}

// Unwrap returns the error itself.
func (u *unexplained) Unwrap() error { return u.error }

// ExplainLater returns err for fn of Write to return. Write replaces it with the result of explain, called after the
// rollback.
func ExplainLater(err error, explain func(context.Context, db.Reader) error) error {
	return &unexplained{err, explain}
}

// withRetry runs fn in a transaction until it succeeds or fails with an error that is not retryable.
func (l *Ledger) withRetry(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error), questions []db.Questions) (entries []Entry, err error) {
	try := l.attempt
	if l.tenantTarget != nil {
		try = l.attemptTenant
	}
	searched := false // FindPrimary has been called
	for attempt := range maxAttempts {
		backoff(ctx, attempt)
		entries, err = try(ctx, fn, questions)
		switch {
		case db.ReadOnly(err) && !searched:
			searched = true
			l.db.FindPrimary()
		case !db.Retryable(err) || OutcomeUnknown(err):
			return entries, err // do not repeat a change that may have been made
		}
	}
	return entries, err
}

func (l *Ledger) attempt(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error), questions []db.Questions) ([]Entry, error) {
	tx, err := l.begin(ctx, questions)
	if err != nil {
		return nil, err
	}
	// A rollback after a commit does nothing. If the context has ended, it closes the connection, and the server rolls
	// back.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	changes, err := fn(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := l.Guard.Check(tx.written - tx.entailed + len(changes)); err != nil {
		return nil, err
	}
	batch, err := tx.queueLog(ctx, changes)
	if err != nil || tx.written == 0 {
		return nil, err
	}
	if l.DryRun {
		batch.Queue(db.SettleConstraints)
		return tx.entries, tx.send(ctx, batch)
	}
	if err := l.checkShown(tx.entries, tx.Now); err != nil {
		return nil, err
	}
	if err := tx.commit(ctx, batch); err != nil {
		return tx.entries, err
	}
	l.entailed += tx.entailed
	return tx.entries, nil
}

// begin opens a transaction and asks the questions in the same round trip, those of the Authorizer first.
func (l *Ledger) begin(ctx context.Context, questions []db.Questions) (*Tx, error) {
	tx := &Tx{By: l.by, ledger: l}
	if l.Authorizer != nil {
		authorizer, ask := l.Authorizer.Before()
		tx.authorizer, questions = authorizer, append([]db.Questions{ask}, questions...)
	}
	if l.DiscardEntries && l.tenantTarget == nil { // there may be many
		questions = append(questions, l.writer.askServer)
	}
	var err error
	if tx.Write, err = l.db.BeginWrite(ctx, questions...); err != nil {
		return nil, err
	}
	tx.Now = tx.Write.Now
	return tx, nil
}

// commit sends the batch with the last statements of a change, seals its audit rows, and commits.
func (tx *Tx) commit(ctx context.Context, batch *stagedBatch) error {
	l := tx.ledger
	var rights []db.PipelineQuery
	if tx.authorizer != nil {
		rights = tx.authorizer.Last(tx.Layout)
	}
	last, err := l.seal(ctx, tx, batch, tx.unsealed, rights...)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.commit(ctx, tx, last, tx.first)
}

// WriteUnaudited asks the questions in a transaction of the database that changes are made in, then calls fn, and commits
// with the statements that fn adds. It may change cxgctl's own tables only, since such changes do not get audit rows. A dry
// run does nothing.
func (l *Ledger) WriteUnaudited(ctx context.Context, fn func(last *pgx.Batch) error, questions ...db.Questions) error {
	if l.DryRun {
		return nil
	}
	raw, err := l.Reader().BeginWrite(ctx, questions...)
	if err != nil {
		return db.Translate(err)
	}
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	last := &pgx.Batch{}
	if err := fn(last); err != nil {
		return db.Translate(err)
	}
	return db.Translate(raw.CommitWith(ctx, last))
}

// WriteUnauditedOnce is WriteUnaudited for statements that depend on no question. It takes one round trip.
func (l *Ledger) WriteUnauditedOnce(ctx context.Context, sql string, args ...any) error {
	if l.DryRun {
		return nil
	}
	return db.Translate(l.Reader().WriteOnce(ctx, sql, args...))
}

// failureTimeout limits how long RecordFailure may take on a busy server, and afterSignal after a signal, when the user
// waits for the command to end.
const (
	failureTimeout = 10 * time.Second
	afterSignal    = 1500 * time.Millisecond
)

// failureContext returns the context for what is recorded of a command that failed, even after a signal.
func failureContext(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := failureTimeout
	if ctx.Err() != nil {
		limit = afterSignal
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// RecordFailure writes the audit row of an attempt that changed nothing: BLOCKED if the operator was refused, otherwise
// FAILURE. Dry runs do not write one. Errors are ignored: if the database is down, the row is lost, and the caller
// reports cause anyway.
func (l *Ledger) RecordFailure(ctx context.Context, intent Intent, cause error) {
	if l.DryRun {
		return
	}
	ctx, cancel := failureContext(ctx)
	defer cancel()
	if l.tenantTarget != nil && intent.TenantID == nil {
		intent.TenantID = &l.tenantTarget.ID
	}
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return
	}
	tx := &Tx{Write: raw, Now: raw.Now, ledger: l}
	defer func() { _ = tx.Rollback(ctx) }()
	e := l.writer.failure(intent, fault.From(cause), tx.Now)
	batch := &stagedBatch{}
	batch.Queue("SET LOCAL lock_timeout = '100ms'")
	if err := l.writer.queue(ctx, tx, batch, []Entry{e}); err != nil {
		return
	}
	// Sealing waits for other sessions' seals, which take a moment each. An attempt that failed on the database has
	// waited long enough.
	if !fault.Is(cause, fault.Database) {
		batch.Queue("SET LOCAL lock_timeout = '5s'")
	}
	if last, err := l.seal(ctx, tx, batch, seal.Unsealed{IDs: []uuid.UUID{e.ID}}); err == nil {
		_ = tx.CommitWith(ctx, &last.Batch)
	}
}

// Record writes audit rows for changes made outside the ledger's transactions, such as migrations.
func (l *Ledger) Record(ctx context.Context, done []Change) error {
	return l.Write(ctx, Intent{done[0].Subject, done[0].Action}, func(context.Context, *Tx) ([]Change, error) {
		return done, nil
	})
}

func (c Change) valid() error {
	if c.Action == "" || c.Resource == "" || (c.Before == nil && c.After == nil) {
		return fmt.Errorf("a change of %q without an action, a resource or a record", c.Resource)
	}
	return nil
}

// Rehearse runs fn in a transaction and always rolls it back, to find out what the server allows.
func Rehearse(ctx context.Context, d *db.DB, fn func(context.Context, pgx.Tx) error) error {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return fn(ctx, tx)
}

// Trace writes without an audit row. It is for records of activity, such as when a session was last used. Changes that
// an operator requests go through a Ledger.
func Trace(ctx context.Context, d *db.DB, sql string, args ...any) error {
	tx, err := d.BeginWrite(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	last := &pgx.Batch{}
	last.Queue(sql, args...)
	return tx.CommitWith(ctx, last)
}

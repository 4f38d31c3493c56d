// Package audit is the only way to change a platform's data, and the log of what was changed. A
// change and its audit row commit together or not at all.
package audit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Operator is the person or service that a change is attributed to.
type Operator struct {
	ID         uuid.UUID // uuid.Nil where no user of the platform acts (migrations)
	Name       string
	AuthMethod string    // claim, login, key, jwt, db_role, or os for commands that run without an operator
	Claimed    string    // the name as it was given
	Proof      uuid.UUID // the row of the session or key that proved it; uuid.Nil for none
}

// Origin is where a command came from. Every audit row records it (reliability.md, "Operator identity").
type Origin struct {
	OSUser   string `json:"os_user"` // the name that the system's user database has for UID
	UID      int    `json:"os_uid"`
	LoginUID string `json:"login_uid,omitempty"`
	SudoUser string `json:"sudo_user,omitempty"`
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	Version  string `json:"client_version"`
	Command  string `json:"command"` // with the flags whose values may be recorded
	Reason   string `json:"reason,omitempty"`
	Ticket   string `json:"ticket,omitempty"`
}

// Guard bounds how many rows one command may change; nil means no bound.
type Guard struct{ Expect, MaxAffected *int }

// Check refuses a number of changed rows that is outside the bounds.
func (g Guard) Check(n int) error {
	switch {
	case g.Expect != nil && n != *g.Expect:
		return fault.New(fault.Conflict, "%d rows would change, --expect says %d", n, *g.Expect).
			WithHint("nothing was changed; look at the rows with --dry-run").With("affected", n).With("expected", *g.Expect)
	case g.MaxAffected != nil && n > *g.MaxAffected:
		return fault.New(fault.Conflict, "%d rows would change, --max-affected allows %d", n, *g.MaxAffected).
			WithHint("nothing was changed; narrow the filter, or raise --max-affected").With("affected", n).With("max_affected", *g.MaxAffected)
	}
	return nil
}

// Gate decides whether the operator may do what the transactions of a ledger do. Enter is called in each before any
// work, and returns what judges it. An error of either rolls the transaction back.
type Authorizer interface {
	Before(ctx context.Context, tx *Tx) (Judge, error)
}

// Judge is a Gate in one transaction.
type Judge interface {
	Changes(ctx context.Context, tx *Tx, changes []Change) error // of changes that were made and can still be taken back
	Close(ctx context.Context, tx *Tx) error                     // before the transaction commits
}

// Action is what was done to a row, as the action_performed column's CHECK spells it.
type Action string

// The actions of audit rows.
const (
	Create  Action = "CREATE"
	Update  Action = "UPDATE"
	Delete  Action = "DELETE"
	Execute Action = "EXECUTE"
	Read    Action = "READ" // changes nothing, and is recorded where what is read is delicate
	Login   Action = "LOGIN"
	Logout  Action = "LOGOUT"
)

// Event is what kind of event a row records: the columns event_type and event_category.
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

// Subject is what a change is about: the noun and, where it is known, the row.
type Subject struct {
	Resource string     // the noun: user, invoice, …
	ID       uuid.UUID  // uuid.Nil where no row is known
	Name     string     // what a person calls it: a username, an invoice number, a REF as it was typed
	TenantID *uuid.UUID // where it belongs to one
}

// Change is one changed row. Before and After are the noun's record, nil where there was none; the
// ledger keeps only the fields that differ where both are given.
type Change struct {
	Subject
	Action        Action
	Event         Event // the zero value means DataModification
	Before, After any
	Secrets       []string    // fields of no record that changed too; their images say "changed"
	Undoes        []uuid.UUID // the audit rows whose changes it takes back
	Risk          string      // LOW, MEDIUM or HIGH; "" means what the event has
}

// Intent is what a command is about to do, for the audit row of an attempt that fails.
type Intent struct {
	Subject
	Action Action
}

// Tx is the transaction in which a verb does its work.
type Tx struct {
	*db.Write
	By  Operator
	Now time.Time // one for all that the transaction writes

	ledger   *Ledger
	judge    Judge     // nil where no user of the platform acts
	first    uuid.UUID // the first audit row that it wrote
	written  int       // how many those are
	entailed int       // how many of those are of changes that Follow made
	unsealed unsealed
	ids      int    // how many of the ledger's ids it has taken
	draft    *Draft // nil where nothing was drafted
	ready    []seal // of drafted rows
	kept     []Entry
}

// note counts audit rows among those that the transaction wrote.
func (tx *Tx) note(ids []uuid.UUID) {
	if tx.written == 0 && len(ids) > 0 {
		tx.first = ids[0]
	}
	tx.written += len(ids)
}

// ByID is the operator's id for a column that refers to users; nil where there is none, as in a tenant's database.
func (tx *Tx) ByID() *uuid.UUID {
	if tx.By.ID == uuid.Nil {
		return nil
	}
	return &tx.By.ID
}

// Log writes the audit rows of changes that the transaction has made. Write does this with those that fn
// returns; fn calls it where there are too many to be held until its end.
func (tx *Tx) Log(ctx context.Context, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	l := tx.ledger
	if l.tenantTarget != nil {
		return l.tenantTarget.log(tx, changes)
	}
	if l.Follow != nil {
		entailed, err := l.Follow(ctx, tx, changes)
		if err != nil {
			return err
		}
		tx.entailed += len(entailed)
		changes = slices.Concat(changes, entailed)
	}
	if tx.judge != nil {
		if err := tx.judge.Changes(ctx, tx, changes); err != nil {
			return err
		}
	}
	changes, err := tx.logDrafted(ctx, changes)
	if err != nil {
		return errNotWritten(err)
	}
	if len(changes) == 0 {
		return nil
	}
	entries, ids := make([]Entry, len(changes)), make([]uuid.UUID, len(changes))
	for i, c := range changes {
		if entries[i], err = l.writer.entry(c, tx.Now); err != nil {
			return err
		}
		ids[i] = entries[i].ID
	}
	written, err := l.writer.insert(ctx, tx, l.sealer, entries, tx.Now)
	if err != nil {
		return errNotWritten(err)
	}
	if err := tx.logged(ctx, ids); err != nil {
		return errNotWritten(err)
	}
	tx.note(ids)
	tx.unsealed.add(written)
	if !l.DiscardEntries {
		tx.kept = append(tx.kept, entries...)
	}
	return nil
}

// logged counts rows that were written to a log without seals; with seals, keptRows does.
func (tx *Tx) logged(ctx context.Context, ids []uuid.UUID) error {
	if tx.ledger.sealer != nil {
		return nil
	}
	if _, err := tx.Exec(ctx, settleConstraints); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM audt.audit_logs l WHERE l.id = ANY ($1::uuid[])`, ids).Scan(&n); err != nil {
		return err
	}
	if n != len(ids) {
		return db.NotStored(ctx, tx, schema.AuditLogs, db.Insert, "kept the change's audit row from being stored")
	}
	return nil
}

// unwritten is the error of a change whose audit row could not be written.
func errNotWritten(err error) error {
	return fault.From(db.Translate(err)).With("audit", "the change was rolled back with its audit row")
}

// Ledger opens the transactions that may change something and writes their audit rows.
type Ledger struct {
	DryRun         bool // run every statement, then roll back
	DiscardEntries bool // keep no Entries: of a million changes nobody wants them
	Guard          Guard
	Gate           Authorizer // nil where no user of the platform acts
	// Follow makes, in the same transaction, the changes that others entail, such as the end of the sessions of an
	// account that is closed. They have audit rows of their own, and the Guard does not count them. May be nil.
	Follow func(ctx context.Context, tx *Tx, changes []Change) ([]Change, error)
	// Confirm, where it is set, is asked before a change is made: with the audit rows of a run of the same
	// statements that was rolled back, so that nothing is locked while a person thinks. What is done after that is
	// what was shown, or a CONFLICT.
	Confirm func(context.Context, []Entry) error

	db           *db.DB
	writer       *writer
	sealer       *sealer // nil where the database has no seals
	by           Operator
	op           uuid.UUID
	ids          []uuid.UUID // of new rows, see Tx.NewID
	changes      []Entry
	entailed     int           // how many committed changes Follow made
	changed      bool          // a transaction was committed, or may have been
	shown        []shownEntry  // what Confirm agreed to; nil for anything
	tenantTarget *tenantTarget // where the changes are made, if not in the database of the audit log
}

// Open makes a ledger over the manager database for one command of one operator. It fails where the
// audit log has no table: no change goes unaudited.
func Open(ctx context.Context, d *db.DB, cat schema.Catalog, by Operator, from Origin) (*Ledger, error) {
	t, err := cat.Table(schema.AuditLogs)
	if err != nil {
		return nil, fault.From(err).WithHint("no change goes unaudited; cxgctl migrate up --database manager creates the table")
	}
	rules, err := schema.ReadRules(ctx, d, schema.AuditLogs)
	if err != nil {
		return nil, err
	}
	op, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &Ledger{db: d, writer: newWriter(t, rules, by, from, op), sealer: newSealer(cat), by: by, op: op}, nil
}

// Op returns the id that all audit rows of this command share.
func (l *Ledger) Op() uuid.UUID { return l.op }

// By returns the operator that changes are attributed to.
func (l *Ledger) By() Operator { return l.by }

// Changed says whether the command has changed something, or may have.
func (l *Ledger) Changed() bool { return l.changed }

// Entries returns the audit rows of this command's changes: committed or, in a dry run, rolled back.
func (l *Ledger) Entries() []Entry { return l.changes }

// Entailed returns how many committed changes Follow made.
func (l *Ledger) Entailed() int { return l.entailed }

// Adopt counts the audit rows of another ledger of the same command, see In, among this one's.
func (l *Ledger) Merge(entries []Entry) { l.changes = append(l.changes, entries...) }

// Reader returns the database for the reading that a mutating command does before its transaction.
func (l *Ledger) Reader() db.Reader {
	if l.tenantTarget != nil {
		return l.tenantTarget.db
	}
	return l.db
}

// Now returns the time by the server's clock.
func (l *Ledger) Now(ctx context.Context) (now time.Time, err error) {
	err = l.db.QueryRow(ctx, `SELECT now()`).Scan(&now)
	return now.UTC(), err
}

// attempts bounds how often a transaction that the server asks to run again is run. Two imports of the same names in
// opposite orders meet in a deadlock as often as they have batches, and one of them may lose each time.
const maxAttempts = 6

// rest waits before another attempt, longer each time and hardly as long as the one we collided with: two that run
// again at once collide again. It does not wait before the first, which has the number 0.
func backoff(ctx context.Context, attempt int) {
	if attempt == 0 {
		return
	}
	select {
	case <-time.After(rand.N(10 * time.Millisecond << attempt)):
	case <-ctx.Done():
	}
}

// Write runs fn in a transaction, adds one audit row per change that fn returns, and commits; in a
// dry run it checks the deferred constraints and rolls back. If fn fails, nothing is changed and the
// failed attempt leaves an audit row of its own. No change at all commits nothing.
func (l *Ledger) Write(ctx context.Context, intent Intent, fn func(context.Context, *Tx) ([]Change, error)) error {
	var entries []Entry
	if l.tenantTarget != nil {
		l.tenantTarget.about = intent
	}
	l.ids = nil
	if intent.Action != Read {
		if err := l.writer.table.RequireColumns([]string{"id", "created_at", "extra_data"}); err != nil {
			return fault.From(err).WithHint("no change goes unaudited, and an audit row without it does not say who changed what; restore the column")
		}
	}
	err := l.confirmed(ctx, fn)
	if err == nil {
		entries, err = l.withRetry(ctx, fn)
	}
	if fault.Is(err, fault.ConfirmationRequired) {
		return err
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

// again runs fn in a transaction until the server does not ask for another one.
func (l *Ledger) withRetry(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error)) (entries []Entry, err error) {
	try := l.attempt
	if l.tenantTarget != nil {
		try = l.attemptTenant
	}
	found := false // the primary was looked for
	for attempt := range maxAttempts {
		backoff(ctx, attempt)
		entries, err = try(ctx, fn)
		switch {
		case db.ReadOnly(err) && !found:
			found = true
			l.db.FindPrimary()
		case !db.Retryable(err) || OutcomeUnknown(err):
			return entries, err // what may have been made is not made again
		}
	}
	return entries, err
}

func (l *Ledger) attempt(ctx context.Context, fn func(context.Context, *Tx) ([]Change, error)) ([]Entry, error) {
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return nil, err
	}
	// A rollback after a commit does nothing; one whose context is gone closes the connection, and
	// the server rolls back.
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	tx := &Tx{Write: raw, By: l.by, Now: raw.Now, ledger: l}
	if l.Gate != nil {
		if tx.judge, err = l.Gate.Before(ctx, tx); err != nil {
			return nil, err
		}
	}
	changes, err := fn(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := l.Guard.Check(tx.written - tx.entailed + len(changes)); err != nil {
		return nil, err
	}
	if err := tx.Log(ctx, changes); err != nil {
		return nil, err
	}
	if tx.written == 0 {
		return nil, nil
	}
	if l.DryRun {
		_, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
		return tx.kept, err
	}
	if err := l.asShown(tx.kept, tx.Now); err != nil {
		return nil, err
	}
	if tx.judge != nil {
		if err := tx.judge.Close(ctx, tx); err != nil {
			return nil, err
		}
	}
	last, err := tx.seal(ctx)
	if err != nil {
		return nil, errNotSealed(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := l.commit(ctx, raw, tx.first, last); err != nil {
		return tx.kept, err
	}
	l.entailed += tx.entailed
	return tx.kept, nil
}

// Keep runs fn in a transaction, of the database that changes are made in, that changes cxgctl's own tables alone, which are no data of the
// platform: no audit row speaks of it. A dry run leaves it out.
func (l *Ledger) WriteUnaudited(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	if l.DryRun {
		return nil
	}
	d := l.db
	if l.tenantTarget != nil {
		d = l.tenantTarget.db
	}
	raw, err := d.BeginWrite(ctx)
	if err != nil {
		return db.Translate(err)
	}
	defer func() { _ = raw.Rollback(context.WithoutCancel(ctx)) }()
	if err := fn(ctx, raw); err != nil {
		return db.Translate(err)
	}
	return db.Translate(raw.Commit(ctx))
}

// failureTimeout is how long the row of a failed attempt may take: whoever pressed Ctrl-C, or ran out
// of time on a lock, has waited enough.
const failureTimeout = 1500 * time.Millisecond

// Failed leaves an audit row of an attempt that changed nothing: BLOCKED where it was refused for who
// the operator is, FAILURE otherwise. Dry runs leave none. An attempt that failed because the
// database is away can leave no row; its error is what the caller sees either way.
func (l *Ledger) RecordFailure(ctx context.Context, intent Intent, cause error) {
	if l.DryRun {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTimeout)
	defer cancel()
	if l.tenantTarget != nil && intent.TenantID == nil {
		intent.TenantID = &l.tenantTarget.ID
	}
	raw, err := l.db.BeginWrite(ctx)
	if err != nil {
		return
	}
	defer func() { _ = raw.Rollback(ctx) }()
	now := raw.Now
	e := l.writer.failure(intent, fault.From(cause), now)
	if _, err := raw.Exec(ctx, "SET LOCAL lock_timeout = '100ms'"); err != nil {
		return
	}
	written, err := l.writer.insert(ctx, raw, l.sealer, []Entry{e}, now)
	if err != nil {
		return
	}
	// Others' seals are made one after the other, and each takes but a moment. Whoever waited in vain already
	// does not wait for that once more.
	if !fault.Is(cause, fault.Database) {
		if _, err := raw.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
			return
		}
	}
	if last, err := l.sealer.seal(ctx, raw, written, now); err == nil {
		_, _ = raw.CommitAfter(ctx, last...)
	}
}

// Record writes audit rows of what took place outside the ledger's transactions, such as migrations.
func (l *Ledger) Record(ctx context.Context, done []Change) error {
	return l.Write(ctx, Intent{done[0].Subject, done[0].Action}, func(context.Context, *Tx) ([]Change, error) {
		return done, nil
	})
}

func (c Change) valid() error {
	if c.Action == "" || c.Resource == "" || (c.Before == nil && c.After == nil) {
		return fmt.Errorf("a change of %q that says nothing", c.Resource)
	}
	return nil
}

package cmdutil

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/sessions"
	"github.com/cxgctl/cxgctl/internal/users"
)

// ChangeFlags are the flags of commands that write.
type ChangeFlags struct {
	DryRun              bool
	expect, maxAffected int
	ifNotExists         bool
}

// Bind adds --dry-run.
func (c *ChangeFlags) Bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.DryRun, "dry-run", false, "run the real statements, show what would change, and roll back")
}

// BindBatch adds --dry-run, --expect and --max-affected.
func (c *ChangeFlags) BindBatch(cmd *cobra.Command) {
	c.Bind(cmd)
	cmd.Flags().IntVar(&c.expect, "expect", 0, "roll back unless exactly `n` rows change")
	cmd.Flags().IntVar(&c.maxAffected, "max-affected", 0, "roll back if more than `n` rows change")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "expect", "max-affected")
}

// BindIfNotExists adds --if-not-exists, for Resource.IfExists.
func (c *ChangeFlags) BindIfNotExists(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.ifNotExists, "if-not-exists", false, "change nothing, and exit 0, if the name is taken already")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "if-not-exists")
}

// Writer is a session that may write, through its ledger.
type Writer struct {
	*Session
	*audit.Ledger
	gate *auth.Authorizer
	spec Spec
}

// RunWrite wraps a command that writes as the operator, through the ledger only.
func RunWrite(env *Env, flags *ChangeFlags, fn func(ctx context.Context, w *Writer, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return RunUnfiltered(env, func(ctx context.Context, s *Session, cmd *cobra.Command, args []string) error {
		manager := s.Manager()
		l, err := audit.Open(ctx, manager.DB, manager.Catalog, s.Operator, env.Origin(cmd))
		if err != nil {
			return err
		}
		gate, err := AuthorizeLedger(env, manager, l, cmd)
		if err != nil {
			return err
		}
		follower := &follower{Closer: sessions.NewCloser(manager.Catalog)}
		l.Follower = follower
		l.DryRun = flags.DryRun
		if err := flags.checkCounts(); err != nil {
			return err
		}
		if cmd.Flags().Changed("expect") {
			l.Guard.Expect = &flags.expect
		}
		if cmd.Flags().Changed("max-affected") {
			l.Guard.MaxAffected = &flags.maxAffected
		}
		l = s.LedgerFor(l)
		err = db.MayNotChange(nameHolders(env, s, fn(ctx, &Writer{s, l, gate, env.SpecOf(cmd)}, cmd, args)))
		if len(l.Entries()) > 0 && !l.DryRun {
			env.Deadline.Done()
		}
		sealOthers(ctx, env, l)
		if len(follower.weakened) > 0 && !l.DryRun && l.Changed() {
			noteOrphans(ctx, env, manager, follower.weakened)
		}
		return err
	})
}

// follower ends sessions, and remembers who may have lost a permission.
type follower struct {
	*sessions.Closer
	weakened []uuid.UUID
}

// Follow implements audit.Follower.
func (f *follower) Follow(ctx context.Context, tx *audit.Tx, changes []audit.Change) ([]audit.Change, error) {
	f.weakened = append(f.weakened, auth.Weakened(changes)...)
	return f.Closer.Follow(ctx, tx, changes)
}

// sealOthers seals a few audit rows of other software after a change is committed. An error does not affect the change.
func sealOthers(ctx context.Context, env *Env, l *audit.Ledger) {
	skipped, err := l.SealOthers(ctx)
	switch {
	case err != nil:
		env.Note("warning: audit rows of other software are not sealed yet (%s); cxgctl audit seal seals them", fault.From(db.Translate(err)).Message)
	case len(skipped) > 0:
		env.Note("warning: %s of other software cannot be sealed; cxgctl audit seal names them", fault.Plural(len(skipped), "audit row"))
	}
}

// plannedChange is one row of a dry run.
type plannedChange struct {
	Action     *string         `json:"action"`
	Resource   *string         `json:"resource"`
	ResourceID *string         `json:"resource_id"`
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
}

// PrintDryRun shows what a dry run would have changed: field by field for people, as objects otherwise.
func PrintDryRun(env *Env, l *audit.Ledger) error {
	entries := l.Entries()
	defer func() { env.Note("dry run: %s would change, nothing was changed", fault.Plural(len(entries), "row")) }()
	if env.forPeople() {
		return newDiffWriter(env, env.Printer.Terminal).write(env.Printer.Stdout, entries, true, isAny)
	}
	env.Printer.Columns = nil // --columns names fields of the record, not of the change
	items := make([]plannedChange, len(entries))
	for i, e := range entries {
		items[i] = plannedChange{e.Action, e.Resource, e.ResourceID, e.Before, e.After}
	}
	return PrintWhole(env, output.View{ID: "resource_id"}, items)
}

// verb returns the words for an action, as in "would update" and "updated".
func verb(action *string) (infinitive, past string) {
	switch audit.Action(*action) {
	case audit.Create:
		return "create", "created"
	case audit.Update:
		return "update", "updated"
	case audit.Delete:
		return "delete", "deleted"
	}
	other := strings.ToLower(*action)
	return other, other
}

// subjectName returns the noun and the display name of the changed row, from the description after the command.
func subjectName(e audit.Entry) string {
	if e.Description != nil {
		_, what, _ := strings.Cut(*e.Description, ": ")
		if name, found := strings.CutPrefix(what, *e.Resource+" "); found && name != "" {
			return what
		}
	}
	return *e.Resource
}

// PrintResult prints the result of a change: the difference after a dry run, else the records by calling print. If
// printing fails, the error says that the change is committed.
func PrintResult(env *Env, l *audit.Ledger, print func() error) error {
	if l.DryRun {
		return PrintDryRun(env, l)
	}
	n := len(l.Entries())
	if n == 0 {
		env.Note("0 rows changed")
		if env.forPeople() {
			return nil
		}
		return print()
	}
	env.QuietRecord()
	if env.forPeople() && env.Printer.Terminal.IsTTY {
		err := showResult(env, l, print)
		NoteEnded(env, l)
		env.Note("%s", summary(env, l))
		return env.printed(err)
	}
	env.Note("%s changed (operation %s)", fault.Plural(n, "row"), l.Op())
	NoteEnded(env, l)
	return env.printed(print())
}

// QuietRecord leaves out the record of a change with --quiet, unless a flag asks for it.
func (env *Env) QuietRecord() {
	if env.Global.Quiet && !env.Output.asked && env.forPeople() {
		env.Printer.Stdout = io.Discard // files are written nevertheless
	}
}

// showResult shows a person the changed fields, or the records if they are new, hold a generated secret or a flag asks
// for them. Of a new record it shows the fields with a value, or with -o all.
func showResult(env *Env, l *audit.Ledger, print func() error) error {
	entries := l.Entries()
	created := func(e audit.Entry) bool { return e.Before == nil }
	if env.Output.asked || slices.ContainsFunc(entries, created) {
		env.Printer.Brief = len(env.Printer.Columns) == 0 && env.Output.Format == ""
		return print()
	}
	return newDiffWriter(env, env.Printer.Terminal).writeFirst(env.Printer.Stdout, entries, false)
}

// summary returns what a change did to which row, or to how many, and how to undo it.
func summary(env *Env, l *audit.Ledger) string {
	entries := l.Entries()
	first := entries[0]
	_, done := verb(first.Action)
	what := output.Sanitize(subjectName(first))
	if len(entries) > 1 {
		what = fault.Plural(len(entries), *first.Resource)
	}
	undoable := true
	for _, e := range entries {
		if *e.Action != *first.Action || *e.Resource != *first.Resource {
			done, what = "changed", fault.Plural(len(entries), "row")
		}
		_, err := FindUndoable(env.Undoable, *e.Resource)
		inTenant := *e.Resource == users.Kind.Name && e.TenantID != nil // in a database of the tenant
		undoable = undoable && err == nil && !inTenant && *e.EventType != audit.PasswordChange.Type
	}
	if undoable {
		return fmt.Sprintf("%s %s (undo: cxgctl audit undo %s)", done, what, l.Op())
	}
	return fmt.Sprintf("%s %s (operation %s)", done, what, l.Op())
}

// LastChange returns when and by whom a row was last changed, such as " (2026-11-28 by admin)". It is empty if the time
// is unknown.
func LastChange(ctx context.Context, env *Env, w *Writer, at *db.Time, by *uuid.UUID) string {
	if at == nil {
		return ""
	}
	when := env.Day(at.Instant)
	if by == nil || w.Tenant != nil {
		return " (" + when + ")"
	}
	u, err := Users.Lookup(ctx, w.Session, RefFlags{By: "id", Deleted: true}, by.String())
	if err != nil {
		return " (" + when + ")"
	}
	return " (" + when + " by " + u.Username + ")"
}

// noteOrphans notes the API keys that stay valid although their maker no longer holds their permissions. Errors are
// ignored: the change is committed, and doctor reports the keys too.
func noteOrphans(ctx context.Context, env *Env, s *Session, makers []uuid.UUID) {
	orphans, err := auth.Orphans(ctx, s.DB, s.Catalog, makers)
	if err != nil {
		return
	}
	for _, o := range orphans {
		env.Note("key %s was made by %s, who no longer holds %s; revoke it: cxgctl keys revoke %s", o.KeyName, o.Maker, strings.Join(o.Lacks, ", "), o.ID)
	}
}

// NoteEnded notes how many sessions a change of accounts ended.
func NoteEnded(env *Env, l *audit.Ledger) {
	if n := l.Entailed(); n > 0 {
		env.Note("%s ended", fault.Plural(n, "session"))
	}
}

// ConfirmIfProtected asks for confirmation of a change of a number of rows in a protected profile.
func ConfirmIfProtected(ctx context.Context, env *Env, l *audit.Ledger, what string, rows int) error {
	if l.DryRun || !env.Config.Protected {
		return nil
	}
	return ConfirmChange(ctx, env, l, what, rows)
}

// ConfirmChange asks for confirmation of a change of a number of rows. On a terminal, a protected profile shows the
// difference first; the change is then made only if it is still the same.
func ConfirmChange(ctx context.Context, env *Env, l *audit.Ledger, what string, rows int) error {
	if l.DryRun {
		return nil
	}
	if _, ok := env.Terminal(); !ok || env.Global.Yes || !env.Config.Protected {
		return env.Confirm(ctx, what, rows)
	}
	l.Confirm = func(ctx context.Context, entries []audit.Entry) error {
		if err := newDiffWriter(env, env.TerminalOf(env.Stderr)).writeFirst(env.Stderr, entries, true); err != nil {
			return err
		}
		return env.Confirm(ctx, what, rows)
	}
	return nil
}

// Unique removes duplicate REFs, keeping the order.
func Unique(refs []string) []string {
	seen := make(map[string]bool, len(refs))
	return slices.DeleteFunc(slices.Clone(refs), func(r string) bool {
		duplicate := seen[r]
		seen[r] = true
		return duplicate
	})
}

// checkCounts refuses negative numbers of rows.
func (c *ChangeFlags) checkCounts() error {
	var p fault.Problems
	if c.expect < 0 {
		p.Add("expect", "%d is out of range; use 0 or more", c.expect)
	}
	if c.maxAffected < 0 {
		p.Add("max_affected", "%d is out of range; use 0 or more", c.maxAffected)
	}
	return p.Err()
}

// FailedOn writes the audit row of a failed attempt and returns err.
func FailedOn(ctx context.Context, w *Writer, name string, err error) error {
	w.RecordFailure(ctx, w.spec.intent(name), err)
	return err
}

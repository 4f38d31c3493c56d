package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/sessions"
)

// changeFlags are the flags of commands that write.
type changeFlags struct {
	dryRun              bool
	batch               bool // the command may change many rows: --expect and --max-affected exist
	expect, maxAffected int
}

func (c *changeFlags) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "run the real statements, show what would change, and roll back")
}

func (c *changeFlags) bindBatch(cmd *cobra.Command) {
	c.bind(cmd)
	c.batch = true
	cmd.Flags().IntVar(&c.expect, "expect", 0, "roll back unless exactly `n` rows change")
	cmd.Flags().IntVar(&c.maxAffected, "max-affected", 0, "roll back if more than `n` rows change")
	markFlags(cmd.Flags(), recorded, "expect", "max-affected")
}

// writer is a session that may write, through its ledger.
type writer struct {
	*session
	*audit.Ledger
	gate   *auth.Authorizer
	action audit.Action // what the command attempts
}

// runWrite wraps a command that writes as the operator, through the ledger only.
func (a *app) runWrite(flags *changeFlags, fn func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return a.runUnfiltered(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		home := s.manager()
		l, err := audit.Open(ctx, home.db, home.cat, s.by, a.origin(cmd))
		if err != nil {
			return err
		}
		gate, err := a.gate(home, l, cmd)
		if err != nil {
			return err
		}
		var weakened []uuid.UUID
		l.Follow = func(ctx context.Context, tx *audit.Tx, changes []audit.Change) ([]audit.Change, error) {
			weakened = append(weakened, auth.Weakened(changes)...)
			return sessions.EndOfClosed(ctx, tx, changes)
		}
		l.DryRun = flags.dryRun
		if err := flags.checkCounts(); err != nil {
			return err
		}
		if cmd.Flags().Changed("expect") {
			l.Guard.Expect = &flags.expect
		}
		if cmd.Flags().Changed("max-affected") {
			l.Guard.MaxAffected = &flags.maxAffected
		}
		l = s.ledger(l)
		err = db.MayNotChange(fn(ctx, &writer{s, l, gate, a.specOf(cmd).action()}, cmd, args))
		if len(l.Entries()) > 0 && !l.DryRun {
			a.clock.done()
		}
		a.sealOthers(ctx, l)
		if len(weakened) > 0 && !l.DryRun && l.Changed() {
			a.noteOrphans(ctx, home, weakened)
		}
		if l.Changed() {
			a.recordPosition(ctx, l, s.db.Addr())
		}
		return err
	})
}

// sealOthers seals a few audit rows of other software after a change is committed. An error does not affect the change.
func (a *app) sealOthers(ctx context.Context, l *audit.Ledger) {
	skipped, err := l.SealOthers(ctx)
	switch {
	case err != nil:
		a.note("warning: audit rows of other software are not sealed yet (%s); cxgctl audit seal seals them", fault.From(db.Translate(err)).Message)
	case len(skipped) > 0:
		a.note("warning: %s of other software cannot be sealed; cxgctl audit seal names them", plural(len(skipped), "audit row"))
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

// printDryRun shows what a dry run would have changed: field by field for people, as objects otherwise.
func (a *app) printDryRun(l *audit.Ledger) error {
	entries := l.Entries()
	defer func() { a.note("dry run: %s would change, nothing was changed", plural(len(entries), "row")) }()
	if a.forPeople() {
		var b strings.Builder
		for _, e := range entries {
			if err := describe(&b, e, a.print.Terminal); err != nil {
				return err
			}
		}
		_, err := io.WriteString(a.print.Stdout, b.String())
		return err
	}
	a.print.Columns = nil // --columns names fields of the record, not of the change
	items := make([]plannedChange, len(entries))
	for i, e := range entries {
		items[i] = plannedChange{e.Action, e.Resource, e.ResourceID, e.Before, e.After}
	}
	return printWhole(a, output.View{ID: "resource_id"}, items)
}

// describe writes one change as lines of field: before → after. Nothing is masked: operators must see the values that
// they are about to change.
func describe(b *strings.Builder, e audit.Entry, t output.Terminal) error {
	id := ""
	if e.ResourceID != nil {
		id = *e.ResourceID
	}
	fmt.Fprintf(b, "%s %s %s\n", *e.Action, *e.Resource, id)
	if name := named(e); name != "" {
		fmt.Fprintf(b, "  %s\n", output.Sanitize(name))
	}
	return differences(b, e, t, func(audit.Difference) bool { return true }, func(_ string, v json.RawMessage) json.RawMessage { return v })
}

// named returns the display name of the changed row, from the description after the command. It is empty for a created
// row, whose fields are all shown.
func named(e audit.Entry) string {
	if e.Description == nil || e.Before == nil {
		return ""
	}
	_, what, _ := strings.Cut(*e.Description, ": ")
	if name, found := strings.CutPrefix(what, *e.Resource+" "); !found || name == "" {
		return ""
	}
	return what
}

// differences writes the wanted fields of an audit row as lines of field: before → after.
func differences(b *strings.Builder, e audit.Entry, t output.Terminal, wanted func(audit.Difference) bool, masked func(string, json.RawMessage) json.RawMessage) error {
	diffs, err := e.Differences()
	if err != nil {
		return err
	}
	for _, d := range diffs {
		before, after := image(masked(d.Field, d.Before)), image(masked(d.Field, d.After))
		switch {
		case e.Before == nil && string(d.After) == "null", !wanted(d):
		case e.Before == nil:
			fmt.Fprintf(b, "  %s: %s\n", d.Field, t.New(after))
		default:
			fmt.Fprintf(b, "  %s: %s → %s\n", d.Field, t.Old(before), t.New(after))
		}
	}
	return nil
}

func image(v json.RawMessage) string {
	if v == nil {
		return "null"
	}
	return output.Sanitize(string(v))
}

// plural counts things in English.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return output.Thousands(int64(n)) + " " + thing + "s"
}

// printResult prints the result of a change: the difference after a dry run, else the records by calling print. If
// printing fails, the error says that the change is committed.
func (a *app) printResult(l *audit.Ledger, print func() error) error {
	if l.DryRun {
		return a.printDryRun(l)
	}
	n := len(l.Entries())
	if n == 0 {
		a.note("0 rows changed")
		if a.forPeople() {
			return nil
		}
		return print()
	}
	a.note("%s changed (operation %s)", plural(n, "row"), l.Op())
	a.noteEnded(l)
	err := print()
	return afterCommit(err)
}

// lastChange returns when and by whom a row was last changed, such as " (2026-11-28 by admin)". It is empty if the time
// is unknown.
func lastChange(ctx context.Context, w *writer, at *db.Time, by *uuid.UUID) string {
	if at == nil {
		return ""
	}
	when := at.Instant.Format(time.DateOnly)
	if by == nil || w.place != nil {
		return " (" + when + ")"
	}
	u, err := userNoun.lookup(ctx, w.session, refFlags{by: "id", deleted: true}, by.String())
	if err != nil {
		return " (" + when + ")"
	}
	return " (" + when + " by " + u.Username + ")"
}

// noteOrphans notes the API keys that stay valid although their maker no longer holds their permissions. Errors are
// ignored: the change is committed, and doctor reports the keys too.
func (a *app) noteOrphans(ctx context.Context, s *session, makers []uuid.UUID) {
	cat, err := readTables(ctx, s, auth.OrphanTables)
	if err != nil {
		return
	}
	orphans, err := auth.Orphans(ctx, s.db, cat, makers)
	if err != nil {
		return
	}
	for _, o := range orphans {
		a.note("key %s was made by %s, who no longer holds %s; revoke it: cxgctl keys revoke %s", o.KeyName, o.Maker, strings.Join(o.Lacks, ", "), o.ID)
	}
}

// noteEnded notes how many sessions a change of accounts ended.
func (a *app) noteEnded(l *audit.Ledger) {
	if n := l.Entailed(); n > 0 {
		a.note("%s ended", plural(n, "session"))
	}
}

// confirmIfProtected asks for confirmation in a protected profile.
func (a *app) confirmIfProtected(ctx context.Context, l *audit.Ledger, what string) error {
	if l.DryRun || !a.cfg.Protected {
		return nil
	}
	return a.confirmChange(ctx, l, what)
}

// confirmChange asks for confirmation of a change. On a terminal, a protected profile shows the difference first; the
// change is then made only if it is still the same.
func (a *app) confirmChange(ctx context.Context, l *audit.Ledger, what string) error {
	if l.DryRun {
		return nil
	}
	if a.cfg.Protected {
		a.printf("profile %s is protected", a.cfg.Profile)
	}
	if _, ok := a.terminal(); !ok || a.global.yes || !a.cfg.Protected {
		return a.confirm(ctx, what)
	}
	l.Confirm = func(ctx context.Context, entries []audit.Entry) error {
		if err := a.showDifference(entries); err != nil {
			return err
		}
		return a.confirm(ctx, what)
	}
	return nil
}

// shownRows limits the rows of a difference shown before a prompt.
const shownRows = 20

// showDifference shows on the terminal what a change would do.
func (a *app) showDifference(entries []audit.Entry) error {
	t := output.DetectTerminal(a.stderr, a.getenv)
	var b strings.Builder
	for _, e := range entries[:min(len(entries), shownRows)] {
		if err := describe(&b, e, t); err != nil {
			return err
		}
	}
	if more := len(entries) - shownRows; more > 0 {
		fmt.Fprintf(&b, "… and %s; --dry-run shows all\n", plural(more, "row"))
	}
	_, err := io.WriteString(a.stderr, b.String())
	return err
}

// unique removes duplicate REFs, keeping the order.
func unique(refs []string) []string {
	seen := make(map[string]bool, len(refs))
	return slices.DeleteFunc(slices.Clone(refs), func(r string) bool {
		was := seen[r]
		seen[r] = true
		return was
	})
}

// checkCounts refuses negative numbers of rows.
func (c *changeFlags) checkCounts() error {
	var p fault.Problems
	if c.expect < 0 {
		p.Add("expect", "%d is out of range; use 0 or more", c.expect)
	}
	if c.maxAffected < 0 {
		p.Add("max-affected", "%d is out of range; use 0 or more", c.maxAffected)
	}
	return p.Err()
}

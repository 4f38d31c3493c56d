package cli

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
)

// selection is a filter that selects the rows of a batch instead of REFs.
type selection[T any, E table[T]] interface {
	bind(cmd *cobra.Command)
	empty() bool // reports whether no filter flag was given
	rows(ctx context.Context, s *session, t E, deleted bool) ([]T, error)
}

// batch is a command that makes the same change to many rows: those named by REFs, listed on standard input, or
// selected by a filter.
type batch[T any, E table[T]] struct {
	a           *app
	noun        resourceKind[T, E]
	verb        string // as in the confirmation prompt: "delete"
	destructive bool   // asks for confirmation even for one row
	deleted     bool   // works on deleted rows (restore)
	edit        func(t E) (rowupdate.Update[T], error)
	filter      selection[T, E] // nil if the command takes only REFs
	// holds describes a row that needs no change, such as "is not deleted"; may be nil
	holds func(ctx context.Context, w *writer, row T) string
	// remark names what the command does not change in a row, and how to change it; may be nil
	remark func(row T) (note, hint string)
	// across changes rows in several tenants' databases; nil if the command works in one only
	across func(ctx context.Context, w *writer, refs []string) error

	// columns checks --columns; nil if the command prints records of type T only
	columns func(columns []string) error

	cmd   *cobra.Command
	ref   refFlags
	stdin bool
	flags changeFlags
}

func (b *batch[T, E]) command(use, short, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, ValidArgsFunction: b.noun.completion(b.a, !b.deleted)}
	b.cmd = cmd
	cmd.RunE = b.a.runWrite(&b.flags, b.run)
	cmd.Flags().BoolVar(&b.stdin, "stdin", false, "read REFs from standard input, one per line")
	markFlags(cmd.Flags(), recorded, "stdin")
	b.ref.bind(cmd, b.noun.KeyNames()...)
	if b.filter != nil {
		b.filter.bind(cmd)
	}
	b.flags.bindBatch(cmd)
	spec := Spec{Permission: b.noun.permission("UPDATE"), Tables: b.noun.tables, Audit: always}
	if b.destructive {
		spec.Permission = b.noun.permission("DELETE")
	}
	b.a.specify(cmd, spec)
	if b.columns == nil {
		b.columns = output.CheckColumns[T]
	}
	return b.a.bindOutput(cmd, b.columns)
}

func (b *batch[T, E]) run(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
	if b.across != nil && b.a.tenant.many() {
		refs, err := b.named(args)
		if err != nil {
			return err
		}
		return b.across(ctx, w, refs)
	}
	t, err := b.noun.open(w.session)
	if err != nil {
		return err
	}
	edit, err := b.edit(t)
	if err != nil {
		return err
	}
	targets, failures, err := b.targets(ctx, w, t, args)
	if err != nil {
		return err
	}
	targets, refused := b.admit(targets, edit)
	failures = append(failures, refused...)
	due, held := split(targets, edit)
	var after []T
	if len(targets) > 0 || len(failures) == 0 {
		if err := w.Guard.Check(len(due)); err != nil {
			w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: b.noun.Name}, Action: edit.Action}, err)
			return err
		}
		if len(due) > 0 || b.a.cfg.Protected {
			if err := b.ask(ctx, w.Ledger, targets); err != nil {
				return err
			}
		}
		if after, err = t.Apply(ctx, w.Ledger, targets, edit); err != nil {
			return err
		}
		b.noteHeld(ctx, w, held)
		b.noteRemarks(targets)
	}
	for _, f := range failures {
		_ = b.noun.recordFailure(ctx, w, f.Ref, f.Row, f.Err)
	}
	single := len(args) == 1 && !b.stdin
	if len(after) > 0 || (len(failures) == 0 && !single) {
		err = b.a.printResult(w.Ledger, func() error {
			if single {
				return output.One(b.a.print, b.noun.view, after[0])
			}
			return printWhole(b.a, b.noun.view, after)
		})
		if err != nil {
			return err
		}
	}
	return b.verdict(failures, len(after))
}

// split separates the rows that the edit changes from those that need no change.
func split[T any](rows []T, e rowupdate.Update[T]) (due, held []T) {
	for _, row := range rows {
		if e.IsNoop != nil && e.IsNoop(row) {
			held = append(held, row)
		} else {
			due = append(due, row)
		}
	}
	return due, held
}

// noteHeld notes the rows that needed no change.
func (b *batch[T, E]) noteHeld(ctx context.Context, w *writer, held []T) {
	if b.byFilter() || len(held) > shownRows {
		if len(held) > 0 {
			b.a.note("%s already up to date", plural(len(held), b.noun.Name))
		}
		return
	}
	for _, row := range held {
		what := "is already up to date"
		if b.holds != nil {
			what = b.holds(ctx, w, row)
		}
		if what != "" {
			b.a.note("%s %s; nothing changed", b.noun.DisplayName(row), what)
		}
	}
}

// noteRemarks notes what the command did not change.
func (b *batch[T, E]) noteRemarks(rows []T) {
	if b.remark == nil || b.byFilter() {
		return
	}
	for _, row := range rows[:min(len(rows), shownRows)] {
		if note, hint := b.remark(row); note != "" {
			b.a.note("%s %s", b.noun.DisplayName(row), note)
			b.a.note("cxgctl: hint: %s", hint)
		}
	}
}

// named returns the given REFs. There are none if a filter selects the rows or standard input is empty.
func (b *batch[T, E]) named(args []string) ([]string, error) {
	refs := args
	if b.stdin {
		lines, err := b.a.lines()
		if err != nil {
			return nil, err
		}
		refs = append(refs, lines...)
	}
	switch {
	case (len(refs) > 0 || b.stdin) && b.byFilter():
		return nil, fault.New(fault.Usage, "REFs and filters cannot be combined").WithHint("give %ss as REFs, or select them with filters", b.noun.Name)
	case len(refs) > 0 || b.stdin || b.byFilter():
		return unique(refs), nil
	}
	f := fault.New(fault.Usage, "which %ss?", b.noun.Name).WithHint("give %ss as REFs, list them on standard input with --stdin", b.noun.Name)
	if b.filter != nil {
		f.Hint += fmt.Sprintf(", or select them with the filters of %ss list", b.noun.Name)
	}
	return nil, f
}

// targets finds the rows to change. A REF that matches nothing fails alone; the other rows are changed.
func (b *batch[T, E]) targets(ctx context.Context, w *writer, t E, args []string) (targets []T, failures []resource.Match[T], err error) {
	refs, err := b.named(args)
	switch {
	case err != nil:
		return nil, nil, err
	case len(refs) == 0 && b.byFilter():
		targets, err = b.filter.rows(ctx, w.session, t, b.deleted)
		return targets, nil, err
	case len(refs) == 0:
		return nil, nil, nil
	}
	by, err := b.noun.ParseKey(b.ref.by)
	if err != nil {
		return nil, nil, err
	}
	found, err := t.Find(ctx, w.db, refs, by, b.deleted)
	if err != nil {
		return nil, nil, err
	}
	if b.destructive {
		if err := b.findDeleted(ctx, w, t, found, by); err != nil {
			return nil, nil, err
		}
	}
	seen := map[uuid.UUID]bool{}
	for _, f := range found {
		switch {
		case f.Err != nil:
			failures = append(failures, f)
		case !seen[b.noun.ID(f.Row)]:
			seen[b.noun.ID(f.Row)] = true
			targets = append(targets, f.Row)
		}
	}
	return targets, failures, nil
}

// findDeleted looks for deleted rows with the REFs that match no live row: deleting one again changes nothing.
func (b *batch[T, E]) findDeleted(ctx context.Context, w *writer, t E, found []resource.Match[T], by string) error {
	var refs []string
	var indexes []int
	for i, f := range found {
		if fault.Is(f.Err, fault.NotFound) {
			refs, indexes = append(refs, f.Ref), append(indexes, i)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	deleted, err := t.Find(ctx, w.db, refs, by, true)
	if err != nil {
		return err
	}
	for i, f := range deleted {
		if f.Err == nil {
			found[indexes[i]] = f
		}
	}
	return nil
}

// admit separates the rows that the edit accepts from those that it refuses. Refused rows fail alone, like REFs that
// match nothing.
func (b *batch[T, E]) admit(rows []T, e rowupdate.Update[T]) (targets []T, refused []resource.Match[T]) {
	if e.Check == nil {
		return rows, nil
	}
	for _, row := range rows {
		if err := e.Check(row); err != nil {
			refused = append(refused, resource.Match[T]{Ref: b.noun.DisplayName(row), Row: row, Err: err})
		} else {
			targets = append(targets, row)
		}
	}
	return targets, refused
}

// byFilter reports whether a filter selects the rows.
func (b *batch[T, E]) byFilter() bool { return b.filter != nil && !b.filter.empty() }

// ask notes how many rows a filter selects, and asks for confirmation of a change that is destructive, selected by a
// filter, or in a protected profile.
func (b *batch[T, E]) ask(ctx context.Context, l *audit.Ledger, targets []T) error {
	if b.flags.dryRun || len(targets) == 0 {
		return nil
	}
	if b.byFilter() {
		b.a.note("the filter selects %s", plural(len(targets), b.noun.Name))
	}
	if !b.destructive && !b.byFilter() && !b.a.cfg.Protected {
		return nil
	}
	what := plural(len(targets), b.noun.Name)
	if len(targets) == 1 {
		what = b.noun.Name + " " + b.noun.DisplayName(targets[0])
	}
	return b.a.confirmChange(ctx, l, b.verb+" "+what)
}

// verdict returns the command's error: a single failure as it is, several as a partial failure that lists them.
func (b *batch[T, E]) verdict(failures []resource.Match[T], done int) error {
	if len(failures) == 0 {
		return nil
	}
	if len(failures) == 1 && done == 0 {
		return failures[0].Err
	}
	items := make([]map[string]any, len(failures))
	for i, f := range failures {
		e := fault.From(f.Err)
		items[i] = map[string]any{"ref": f.Ref, "code": e.Code, "message": e.Message}
		if !isStructured(b.a.print.Format) {
			b.a.printf("cxgctl: error: %s", e.Message)
		}
	}
	if done == 0 && !slices.ContainsFunc(failures, func(f resource.Match[T]) bool {
		return fault.From(f.Err).Code != fault.From(failures[0].Err).Code
	}) {
		verb := "failed"
		if b.flags.dryRun {
			verb = "would fail"
		}
		return fault.New(fault.From(failures[0].Err).Code, "all %d %s; nothing was changed", len(failures), verb).With("failed", items)
	}
	return b.a.partly(b.flags.dryRun, len(failures), len(failures)+done).With("failed", items)
}

// partly returns the error of a batch that failed, or would fail, in part.
func (a *app) partly(dryRun bool, failed, of int) *fault.Error {
	if dryRun {
		return fault.New(fault.PartialFailure, "%d of %d would fail; nothing was changed", failed, of)
	}
	return fault.New(fault.PartialFailure, "%d of %d failed; the rest is done", failed, of)
}

// lines returns the non-empty lines of standard input.
func (a *app) lines() ([]string, error) {
	in, resume := a.input()
	defer resume()
	var list []string
	sc := bufio.NewScanner(in)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if strings.ContainsRune(line, 0) {
			return nil, fault.New(fault.Validation, "standard input, line %d: contains a NUL character", n)
		}
		if line != "" {
			list = append(list, line)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fault.New(fault.Validation, "standard input cannot be read: %s", err).Because(err)
	}
	return list, nil
}

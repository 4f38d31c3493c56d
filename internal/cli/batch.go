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

// selection is a filter that a batch takes in place of REFs.
type selection[T any] interface {
	bind(cmd *cobra.Command)
	empty() bool // no flag of it was given
	rows(ctx context.Context, s *session, t finder[T], deleted bool) ([]T, error)
}

// batch is a command that changes many rows alike: those that REFs name, standard input lists, or a
// filter selects.
type batch[T any] struct {
	a           *app
	noun        resourceKind[T]
	verb        string // as a question asks it: "delete"
	destructive bool   // asks even for one
	deleted     bool   // looks at deleted rows: restore
	edit        func(t editor[T]) (rowupdate.Update[T], error)
	filter      selection[T] // nil where the command takes REFs alone
	// holds says of a row that is as wanted already what it is, such as "is not deleted"; nil for no words of its own
	holds func(ctx context.Context, w *writer, row T) string
	// remark says what the command leaves as it is in a row, and how to change that; may be nil
	remark func(row T) (note, hint string)
	// across changes rows in several tenants' databases; nil where the command works in one alone
	across func(ctx context.Context, w *writer, refs []string) error

	cmd   *cobra.Command
	ref   refFlags
	stdin bool
	flags changeFlags
}

func (b *batch[T]) command(use, short, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, ValidArgsFunction: b.noun.completion(b.a, !b.deleted)}
	b.cmd = cmd
	cmd.RunE = b.a.runWrite(&b.flags, b.run)
	cmd.Flags().BoolVar(&b.stdin, "stdin", false, "read REFs from standard input, one a line")
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
	return addOutputFlags[T](b.a, cmd)
}

func (b *batch[T]) run(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
	if b.across != nil && b.a.tenant.many() {
		refs, err := b.named(args)
		if err != nil {
			return err
		}
		return b.across(ctx, w, refs)
	}
	t, err := b.noun.editable(w.session)
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

// split parts the rows that the edit changes from those that are as it wants them.
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

// noteHeld says of rows that are as wanted already what they are.
func (b *batch[T]) noteHeld(ctx context.Context, w *writer, held []T) {
	if b.byFilter() || len(held) > shownRows {
		if len(held) > 0 {
			b.a.note("%s already as wanted", plural(len(held), b.noun.Name))
		}
		return
	}
	for _, row := range held {
		what := "is already as wanted"
		if b.holds != nil {
			what = b.holds(ctx, w, row)
		}
		if what != "" {
			b.a.note("%s %s; nothing changed", b.noun.DisplayName(row), what)
		}
	}
}

// noteRemarks says what the command leaves as it is.
func (b *batch[T]) noteRemarks(rows []T) {
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

// named returns the REFs that the command is given, none where a filter selects the rows or standard input is empty.
func (b *batch[T]) named(args []string) ([]string, error) {
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
		return nil, fault.New(fault.Usage, "REFs and filters exclude each other").WithHint("name %ss, or select them", b.noun.Name)
	case len(refs) > 0 || b.stdin || b.byFilter():
		return unique(refs), nil
	}
	f := fault.New(fault.Usage, "no %s is named", b.noun.Name).WithHint("name %ss as REFs, or list them on standard input with --stdin", b.noun.Name)
	if b.filter != nil {
		f.Hint += fmt.Sprintf(", or select them with the filters of %ss list", b.noun.Name)
	}
	return nil, f
}

// targets finds the rows to change. A REF that leads nowhere is a failure of its own, and the others
// go ahead.
func (b *batch[T]) targets(ctx context.Context, w *writer, t editor[T], args []string) (targets []T, failures []resource.Match[T], err error) {
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

// findDeleted looks for deleted rows under the REFs that no live row has: to delete one again changes nothing.
func (b *batch[T]) findDeleted(ctx context.Context, w *writer, t editor[T], found []resource.Match[T], by string) error {
	var refs []string
	var places []int
	for i, f := range found {
		if fault.Is(f.Err, fault.NotFound) {
			refs, places = append(refs, f.Ref), append(places, i)
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
			found[places[i]] = f
		}
	}
	return nil
}

// admit parts the rows that the edit may be made on from those that it refuses: these fail alone, as REFs
// do that lead nowhere.
func (b *batch[T]) admit(rows []T, e rowupdate.Update[T]) (targets []T, refused []resource.Match[T]) {
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

// byFilter says whether a filter selects the rows.
func (b *batch[T]) byFilter() bool { return b.filter != nil && !b.filter.empty() }

// ask says how many rows a command is about to change and has a person confirm what is destructive,
// selected by a filter, or in a protected profile.
func (b *batch[T]) ask(ctx context.Context, l *audit.Ledger, targets []T) error {
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

// verdict is the command's end: a lone failure is itself, several are a partial failure that lists them.
func (b *batch[T]) verdict(failures []resource.Match[T], done int) error {
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

// partly is the error of a batch of which a part failed, or would fail.
func (a *app) partly(dryRun bool, failed, of int) *fault.Error {
	if dryRun {
		return fault.New(fault.PartialFailure, "%d of %d would fail; nothing was changed", failed, of)
	}
	return fault.New(fault.PartialFailure, "%d of %d failed; the rest is done", failed, of)
}

// lines reads standard input's lines that are not empty.
func (a *app) lines() ([]string, error) {
	in, resume := a.input()
	defer resume()
	var list []string
	sc := bufio.NewScanner(in)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if strings.ContainsRune(line, 0) {
			return nil, fault.New(fault.Validation, "standard input, line %d: it holds a NUL character", n)
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

package cmdutil

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
)

// Selection is a filter that selects the rows of a batch instead of REFs.
type Selection[T any, E Table[T]] interface {
	Bind(cmd *cobra.Command)
	Empty() bool // reports whether no filter flag was given
	Rows(ctx context.Context, s *Session, t E, deleted bool) ([]T, error)
}

// Batch is a command that makes the same change to many rows: those named by REFs, listed on standard input, or
// selected by a filter.
type Batch[T any, E Table[T]] struct {
	Env         *Env
	Resource    Resource[T, E]
	Verb        string // as in the confirmation prompt: "delete"
	Destructive bool   // asks for confirmation even for one row
	Deleted     bool   // works on deleted rows (restore)
	Edit        func(t E) (rowupdate.Update[T], error)
	Filter      Selection[T, E] // nil if the command takes only REFs
	// NoopReason returns why a row needs no change, such as "is not deleted"; may be nil
	NoopReason func(ctx context.Context, w *Writer, row T) string
	// Remark returns what the command does not change in a row, and a command that does; may be nil
	Remark func(row T) (note, hint string)
	// Across changes rows in the databases of several tenants; nil if the command works in one database only
	Across func(ctx context.Context, w *Writer, refs []string) error

	// Apply makes the change, which differs between rows; nil if Edit is the whole change
	Apply func(ctx context.Context, w *Writer, t E, rows []T) ([]T, error)
	// Print prints the changed rows; nil prints them as they are
	Print func(refs []string, rows []T) error

	// Columns checks --columns; nil if the command prints records of type T only
	Columns func(columns []string) error

	Cmd   *cobra.Command
	Ref   RefFlags
	stdin bool
	flags ChangeFlags
}

// Command builds the command.
func (b *Batch[T, E]) Command(use, short, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, ValidArgsFunction: cliflag.CompleteRefs(b.Resource.Completion(b.Env, !b.Deleted))}
	b.Cmd = cmd
	cmd.RunE = RunWrite(b.Env, &b.flags, b.run)
	cmd.Flags().BoolVar(&b.stdin, "stdin", false, "read REFs from standard input, one per line")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "stdin")
	b.Ref.Bind(cmd, b.Resource.KeyNames()...)
	b.Ref.BindIgnore(cmd)
	if b.Filter != nil {
		b.Filter.Bind(cmd)
	}
	b.flags.BindBatch(cmd)
	spec := Spec{Permission: b.Resource.permission("UPDATE"), Resource: b.Resource.Name, Tables: b.Resource.Tables, Audit: Always}
	if b.Destructive {
		spec.Permission = b.Resource.permission("DELETE")
		cliflag.Instead(cmd, "include-deleted", "deleted rows cannot be deleted again; cxgctl "+b.Resource.Name+"s restore REF restores one")
	}
	b.Env.Specify(cmd, spec)
	if b.Columns == nil {
		b.Columns = output.CheckColumns[T]
	}
	return BindOutput(b.Env, cmd, b.Columns)
}

func (b *Batch[T, E]) run(ctx context.Context, w *Writer, _ *cobra.Command, args []string) error {
	if b.Across != nil && b.Env.Tenants.Many() {
		refs, err := b.refs(args)
		if err != nil {
			return err
		}
		return b.Across(ctx, w, refs)
	}
	t, err := b.Resource.Open(w.Session)
	if err != nil {
		return err
	}
	edit, err := b.Edit(t)
	if err != nil {
		return err
	}
	targets, failures, err := b.targets(ctx, w, t, args)
	if err != nil {
		return err
	}
	targets, refused := b.check(targets, edit)
	failures = append(failures, refused...)
	changing, unchanged := split(targets, edit)
	var after []T
	if len(targets) > 0 || len(failures) == 0 {
		if err := w.Guard.Check(len(changing)); err != nil {
			w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: b.Resource.Name}, Action: edit.Action}, err)
			return err
		}
		if len(changing) > 0 || b.Env.Config.Protected {
			if err := b.confirm(ctx, w.Ledger, targets); err != nil {
				return err
			}
		}
		if b.Apply != nil && len(targets) > 0 {
			after, err = b.Apply(ctx, w, t, targets)
		} else {
			after, err = t.Apply(ctx, w.Ledger, targets, edit)
		}
		if err != nil {
			return err
		}
		b.noteNoops(ctx, w, unchanged)
		b.noteRemarks(targets)
	}
	for _, f := range failures {
		_ = b.Resource.RecordFailure(ctx, w, f.Ref, f.Row, f.Err)
	}
	if b.stdin {
		args = nil // several, even if there is only one
	}
	if len(after) > 0 || len(failures) == 0 {
		err = PrintResult(b.Env, w.Ledger, func() error {
			if b.Print != nil {
				return b.Print(args, after)
			}
			return PrintNamed(b.Env, b.Resource.View, args, after)
		})
		if err != nil {
			return err
		}
	}
	return failure(b.Env, outcomeOf(b.flags.DryRun), failures, len(after))
}

// split separates the rows that the edit changes from those that need no change.
func split[T any](rows []T, e rowupdate.Update[T]) (changing, unchanged []T) {
	for _, row := range rows {
		if e.IsNoop != nil && e.IsNoop(row) {
			unchanged = append(unchanged, row)
		} else {
			changing = append(changing, row)
		}
	}
	return changing, unchanged
}

// noteNoops notes the rows that needed no change.
func (b *Batch[T, E]) noteNoops(ctx context.Context, w *Writer, unchanged []T) {
	if b.ByFilter() || len(unchanged) > maxShownRows {
		if len(unchanged) > 0 {
			b.Env.Note("%s already up to date", fault.Plural(len(unchanged), b.Resource.Name))
		}
		return
	}
	for _, row := range unchanged {
		reason := "is already up to date"
		if b.NoopReason != nil {
			reason = b.NoopReason(ctx, w, row)
		}
		if reason != "" {
			b.Env.Note("%s %s; nothing changed", b.Resource.DisplayName(row), reason)
		}
	}
}

func (b *Batch[T, E]) noteRemarks(rows []T) {
	if b.Remark == nil || b.ByFilter() {
		return
	}
	for _, row := range rows[:min(len(rows), maxShownRows)] {
		if note, hint := b.Remark(row); note != "" {
			b.Env.Note("%s %s", b.Resource.DisplayName(row), note)
			b.Env.Note("cxgctl: hint: %s", hint)
		}
	}
}

// refs returns the given REFs. There are none if a filter selects the rows or standard input is empty.
func (b *Batch[T, E]) refs(args []string) ([]string, error) {
	refs := args
	if b.stdin {
		lines, err := b.Env.lines()
		if err != nil {
			return nil, err
		}
		refs = append(refs, lines...)
	}
	switch {
	case (len(refs) > 0 || b.stdin) && b.ByFilter():
		return nil, fault.New(fault.Usage, "REFs and filters cannot be combined").WithHint("give %ss as REFs, or select them with filters", b.Resource.Name)
	case len(refs) > 0 || b.stdin || b.ByFilter():
		return Unique(refs), nil
	}
	f := fault.New(fault.Usage, "which %ss?", b.Resource.Name).WithHint("give %ss as REFs, list them on standard input with --stdin", b.Resource.Name)
	if b.Filter != nil {
		f.Hint += fmt.Sprintf(", or select them with the filters of %ss list", b.Resource.Name)
	}
	return nil, f
}

// targets finds the rows to change. A REF that matches nothing fails alone; the other rows are changed.
func (b *Batch[T, E]) targets(ctx context.Context, w *Writer, t E, args []string) (targets []T, failures []resource.Match[T], err error) {
	refs, err := b.refs(args)
	switch {
	case err != nil:
		return nil, nil, err
	case len(refs) == 0 && b.ByFilter():
		targets, err = b.Filter.Rows(ctx, w.Session, t, b.Deleted)
		return targets, nil, err
	case len(refs) == 0:
		return nil, nil, nil
	}
	by, err := b.Resource.ParseKey(b.Ref.By)
	if err != nil {
		return nil, nil, err
	}
	found, err := t.Find(ctx, w.DB, refs, by, b.Deleted)
	if err != nil {
		return nil, nil, err
	}
	if b.Destructive {
		if err := b.findDeleted(ctx, w, t, found, by); err != nil {
			return nil, nil, err
		}
	}
	targets, failures = separate(b.Env, b.Resource.ID, b.Ref, found)
	return targets, failures, nil
}

// findDeleted looks for deleted rows with the REFs that match no live row: deleting one again changes nothing.
func (b *Batch[T, E]) findDeleted(ctx context.Context, w *Writer, t E, found []resource.Match[T], by string) error {
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
	deleted, err := t.Find(ctx, w.DB, refs, by, true)
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

// check separates the rows that the edit accepts from those that it refuses. Refused rows fail alone, like REFs that
// match nothing.
func (b *Batch[T, E]) check(rows []T, e rowupdate.Update[T]) (targets []T, refused []resource.Match[T]) {
	if e.Check == nil {
		return rows, nil
	}
	for _, row := range rows {
		if err := e.Check(row); err != nil {
			refused = append(refused, resource.Match[T]{Ref: b.Resource.DisplayName(row), Row: row, Err: err})
		} else {
			targets = append(targets, row)
		}
	}
	return targets, refused
}

// ByFilter reports whether a filter selects the rows.
func (b *Batch[T, E]) ByFilter() bool { return b.Filter != nil && !b.Filter.Empty() }

// confirm notes how many rows a filter selects, and asks for confirmation of a change that is destructive, selected by
// a filter, or in a protected profile.
func (b *Batch[T, E]) confirm(ctx context.Context, l *audit.Ledger, targets []T) error {
	if b.flags.DryRun || len(targets) == 0 {
		return nil
	}
	if b.ByFilter() {
		b.Env.Note("the filter selects %s", fault.Plural(len(targets), b.Resource.Name))
	}
	if !b.Destructive && !b.ByFilter() && !b.Env.Config.Protected {
		return nil
	}
	what := fault.Plural(len(targets), b.Resource.Name)
	if len(targets) == 1 {
		what = b.Resource.Name + " " + b.Resource.DisplayName(targets[0])
	} else {
		what += b.Env.Naming(len(targets), func(i int) string { return b.Resource.DisplayName(targets[i]) })
	}
	return ConfirmChange(ctx, b.Env, l, b.Verb+" "+what, len(targets))
}

// maxNames is the number of rows that a question names.
const maxNames = 5

// Naming returns the part of a question that names the first rows, such as ": ada, bob and 3 more". Without a terminal,
// where nothing is asked, it is empty.
func (env *Env) Naming(rows int, name func(i int) string) string {
	if _, asks := env.Terminal(); !asks || rows == 0 {
		return ""
	}
	var names []string
	for i := range min(rows, maxNames) {
		names = append(names, name(i))
	}
	list := ": " + strings.Join(names, ", ")
	if more := rows - len(names); more > 0 {
		list += " and " + output.Thousands(int64(more)) + " more"
	}
	return list
}

// outcome is how the errors of a command say that some or all of its rows failed.
type outcome struct{ failed, all, some string }

// reading is the outcome of a command that only prints rows.
var reading = outcome{failed: "failed"}

// outcomeOf returns the outcome of a command that changes rows.
func outcomeOf(dryRun bool) outcome {
	if dryRun {
		return outcome{"would fail", "; nothing was changed", "; nothing was changed"}
	}
	return outcome{"failed", "; nothing was changed", "; the rest is done"}
}

// Numbers of failed rows that are printed for each kind of error, and of those with a hint.
const (
	maxErrors = 10
	maxHints  = 3
)

// failure returns the command's error: a single failure as it is, several as a partial failure that lists them.
func failure[T any](env *Env, o outcome, failures []resource.Match[T], done int) error {
	if len(failures) == 0 {
		return nil
	}
	if len(failures) == 1 && done == 0 {
		return failures[0].Err
	}
	items := make([]map[string]any, len(failures))
	kinds := map[string]int{}
	more := 0
	for i, f := range failures {
		e := fault.From(f.Err)
		items[i] = map[string]any{"ref": f.Ref, "code": e.Code, "message": e.Message}
		kinds[e.Kind]++
		switch {
		case IsStructured(env.Printer.Format):
			continue
		case kinds[e.Kind] > maxErrors:
			more++
			continue
		}
		env.Printf("cxgctl: error: %s", e.Message)
		if e.Hint != "" && i < maxHints {
			env.Note("cxgctl: hint: %s", e.Hint)
		}
	}
	if more > 0 {
		env.Printf("cxgctl: error: %s more like these (-o json lists all)", output.Thousands(int64(more)))
	}
	if done == 0 && !slices.ContainsFunc(failures, func(f resource.Match[T]) bool {
		return fault.From(f.Err).Code != fault.From(failures[0].Err).Code
	}) {
		return fault.New(fault.From(failures[0].Err).Code, "all %s %s%s", output.Thousands(int64(len(failures))), o.failed, o.all).With("failed", items)
	}
	return o.partial(len(failures), len(failures)+done).With("failed", items)
}

func (o outcome) partial(failed, of int) *fault.Error {
	return fault.New(fault.PartialFailure, "%s of %s %s%s", output.Thousands(int64(failed)), output.Thousands(int64(of)), o.failed, o.some)
}

// PartialFailure returns the error of a batch that failed, or would fail, in part.
func PartialFailure(dryRun bool, failed, of int) *fault.Error {
	return outcomeOf(dryRun).partial(failed, of)
}

// lines returns the non-empty lines of standard input.
func (env *Env) lines() ([]string, error) {
	in, resume := env.Input()
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
		return nil, fault.New(fault.FileCode(err), "standard input cannot be read: %s", err).Because(err)
	}
	return list, nil
}

// AskAboutTenants prints the numbers of users and tenants that are about to change, and asks for confirmation as a
// batch does. The question has the names of the first rows.
func (b *Batch[T, E]) AskAboutTenants(ctx context.Context, names []string, tenants int) error {
	rows := len(names)
	if b.flags.DryRun || rows == 0 {
		return nil
	}
	what := fmt.Sprintf("%s in %s", fault.Plural(rows, b.Resource.Name), fault.Plural(tenants, "tenant"))
	b.Env.Note("selected: %s", what)
	if !b.ByFilter() && !b.Env.Config.Protected {
		return nil
	}
	what += b.Env.Naming(rows, func(i int) string { return names[i] })
	return b.Env.Confirm(ctx, b.Verb+" "+what, rows)
}

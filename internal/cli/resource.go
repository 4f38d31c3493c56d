package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
)

// resourceKind is a kind of record with what its generic commands need: records of type T, in a table of type E.
type resourceKind[T any, E table[T]] struct {
	*resource.Kind[T]
	tables   []string // of Spec
	view     output.View
	open     func(*session) (E, error)
	complete func(ctx context.Context, s *session, prefix string, live bool) ([]string, error)
}

// table finds rows by REF and changes them.
type table[T any] interface {
	Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[T], error)
	Apply(ctx context.Context, l *audit.Ledger, seen []T, e rowupdate.Update[T]) ([]T, error)
}

// permission returns a permission code of this kind, such as USER_READ.
func (n resourceKind[T, E]) permission(action string) string {
	return strings.ToUpper(n.Name) + "_" + action
}

// completion completes the names of live or deleted rows.
func (n resourceKind[T, E]) completion(a *app, live bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.completeLive(cmd, func(ctx context.Context, s *session) ([]string, error) {
			s, err := a.enterTenant(ctx, cmd, s)
			if err != nil {
				return nil, err
			}
			return n.complete(ctx, s, prefix, live)
		})
	}
}

// lookup returns the row that a REF names.
func (n resourceKind[T, E]) lookup(ctx context.Context, s *session, how refFlags, text string) (row T, err error) {
	by, err := n.ParseKey(how.by)
	if err != nil {
		return row, err
	}
	t, err := n.open(s)
	if err != nil {
		return row, err
	}
	found, err := t.Find(ctx, s.db, []string{text}, by, how.deleted)
	if err != nil {
		return row, err
	}
	return resource.Single(found)
}

// get returns the command that shows one row.
func (n resourceKind[T, E]) get(a *app, short, example string) *cobra.Command {
	var name refFlags
	cmd := &cobra.Command{
		Use: "get REF", Short: short, Example: example, Args: exactly("REF"), ValidArgsFunction: n.completion(a, true),
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		return n.show(ctx, a, s, cmd, name, args[0])
	})
	n.bindGet(a, cmd, &name)
	return addOutputFlags[T](a, cmd)
}

// bindGet adds the flags of a command that shows one row, and its Spec.
func (n resourceKind[T, E]) bindGet(a *app, cmd *cobra.Command, name *refFlags) {
	name.bind(cmd, n.KeyNames()...)
	name.bindDeleted(cmd, n.Name+"s")
	a.specify(cmd, Spec{Permission: n.permission("READ"), Tables: n.tables, Audit: whenReading})
	a.bindReveal(cmd)
}

// show prints the row that a REF names.
func (n resourceKind[T, E]) show(ctx context.Context, a *app, s *session, cmd *cobra.Command, name refFlags, ref string) error {
	row, err := n.lookup(ctx, s, name, ref)
	if err != nil {
		return err
	}
	if err := a.logReveal(ctx, s, cmd, n.Name, 1, n.ID(row)); err != nil {
		return err
	}
	return output.One(a.print, n.view, row)
}

// edit applies an update to the row that a REF names and prints the result.
func (n resourceKind[T, E]) edit(ctx context.Context, a *app, w *writer, how refFlags, name, verb string, e rowupdate.Update[T], print func(T) error) error {
	return n.editSeen(ctx, a, w, how, name, verb, func(E, T) (rowupdate.Update[T], error) { return e, nil }, print)
}

// editSeen is edit for an update that depends on the current row.
func (n resourceKind[T, E]) editSeen(ctx context.Context, a *app, w *writer, how refFlags, name, verb string,
	change func(E, T) (rowupdate.Update[T], error), print func(T) error,
) error {
	row, err := n.lookup(ctx, w.session, how, name)
	if err != nil {
		return n.recordFailure(ctx, w, name, row, err)
	}
	t, err := n.open(w.session)
	if err != nil {
		return err
	}
	e, err := change(t, row)
	if fault.Is(err, fault.Usage) {
		return err // not an attempt, so it is not audited
	}
	if err != nil {
		return n.recordFailure(ctx, w, name, row, err)
	}
	if err := a.confirmIfProtected(ctx, w.Ledger, verb+" "+n.Name+" "+n.DisplayName(row)); err != nil {
		return err
	}
	after, err := t.Apply(ctx, w.Ledger, []T{row}, e)
	if err != nil {
		return err
	}
	if e.IsNoop != nil && e.IsNoop(row) {
		a.note("%s already has these values; nothing changed", n.DisplayName(row))
	}
	return a.printResult(w.Ledger, func() error { return print(after[0]) })
}

// recordFailure writes the audit row of a failed attempt and returns err. row is the zero T if it was not found.
func (n resourceKind[T, E]) recordFailure(ctx context.Context, w *writer, ref string, row T, err error) error {
	w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: n.Name, ID: n.ID(row), Name: ref}, Action: w.action}, err)
	return err
}

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
	"github.com/cxgctl/cxgctl/internal/users"
)

// resourceKind is a kind of record with what its generic commands need.
type resourceKind[T any] struct {
	*resource.Kind[T]
	tables   []string // of Spec
	view     output.View
	open     func(*session) (finder[T], error)
	complete func(ctx context.Context, s *session, prefix string, live bool) ([]string, error)
}

// finder is a table whose rows can be found by REF.
type finder[T any] interface {
	Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[T], error)
}

// editor is a table whose rows can be changed.
type editor[T any] interface {
	finder[T]
	Apply(ctx context.Context, l *audit.Ledger, seen []T, e rowupdate.Update[T]) ([]T, error)
	SetDeleted(deleted bool) (rowupdate.Update[T], error)
}

// permission returns a permission code of this kind, such as USER_READ.
func (n resourceKind[T]) permission(action string) string {
	return strings.ToUpper(n.Name) + "_" + action
}

// completion completes the names of live or deleted rows.
func (n resourceKind[T]) completion(a *app, live bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.completeLive(cmd, func(ctx context.Context, s *session) ([]string, error) {
			if n.Name == users.Kind.Name { // of a tenant's database with --tenant
				var err error
				if s, err = a.enterTenant(ctx, cmd, s); err != nil {
					return nil, err
				}
			}
			return n.complete(ctx, s, prefix, live)
		})
	}
}

// lookup returns the row that a REF names.
func (n resourceKind[T]) lookup(ctx context.Context, s *session, how refFlags, text string) (row T, err error) {
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
func (n resourceKind[T]) get(a *app, short, example string) *cobra.Command {
	var name refFlags
	cmd := &cobra.Command{
		Use: "get REF", Short: short, Example: example, Args: exactly("REF"), ValidArgsFunction: n.completion(a, true),
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		if n.Name == users.Kind.Name && a.tenant.many() {
			return a.getInTenants(ctx, s, cmd, name, args[0])
		}
		row, err := n.lookup(ctx, s, name, args[0])
		if err != nil {
			return err
		}
		if err := a.logReveal(ctx, s, cmd, n.Name, 1, n.ID(row)); err != nil {
			return err
		}
		return output.One(a.print, n.view, row)
	})
	name.bind(cmd, n.KeyNames()...)
	name.bindDeleted(cmd, n.Name+"s")
	a.specify(cmd, Spec{Permission: n.permission("READ"), Tables: n.tables, Audit: whenReading})
	a.bindReveal(cmd)
	return addOutputFlags[T](a, cmd)
}

// edit applies an update to the row that a REF names and prints the result.
func (n resourceKind[T]) edit(ctx context.Context, a *app, w *writer, how refFlags, name, verb string, e rowupdate.Update[T], print func(T) error) error {
	return n.editSeen(ctx, a, w, how, name, verb, func(editor[T], T) (rowupdate.Update[T], error) { return e, nil }, print)
}

// editSeen is edit for an update that depends on the current row.
func (n resourceKind[T]) editSeen(ctx context.Context, a *app, w *writer, how refFlags, name, verb string,
	change func(editor[T], T) (rowupdate.Update[T], error), print func(T) error,
) error {
	row, err := n.lookup(ctx, w.session, how, name)
	if err != nil {
		return n.recordFailure(ctx, w, name, row, err)
	}
	t, err := n.editable(w.session)
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

// editable opens the table for changes.
func (n resourceKind[T]) editable(s *session) (editor[T], error) {
	t, err := n.open(s)
	if err != nil {
		return nil, err
	}
	return t.(editor[T]), nil
}

// recordFailure writes the audit row of a failed attempt and returns err. row is the zero T if it was not found.
func (n resourceKind[T]) recordFailure(ctx context.Context, w *writer, ref string, row T, err error) error {
	w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: n.Name, ID: n.ID(row), Name: ref}, Action: w.action}, err)
	return err
}

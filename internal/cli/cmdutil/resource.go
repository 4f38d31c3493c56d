package cmdutil

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
)

// Resource describes a kind of record to the generic commands: records of type T in a table of type E.
type Resource[T any, E Table[T]] struct {
	*resource.Kind[T]
	Tables    []string // of Spec
	View      output.View
	Open      func(*Session) (E, error)
	InTenants bool // with --tenant, rows of that tenant's database
}

// Table finds rows by REF and changes them.
type Table[T any] interface {
	Words(ctx context.Context, r db.Reader, prefix string, live bool) ([]db.Word, error)
	Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[T], error)
	Apply(ctx context.Context, l *audit.Ledger, seen []T, e rowupdate.Update[T]) ([]T, error)
}

// permission returns a permission code of this kind, such as USER_READ.
func (n Resource[T, E]) permission(action string) string {
	return strings.ToUpper(n.Name) + "_" + action
}

// Completion completes the names of live or deleted rows.
func (n Resource[T, E]) Completion(env *Env, live bool) cobra.CompletionFunc {
	spec := Spec{Permission: n.permission("LIST"), Tables: n.Tables, TenantOnly: n.InTenants}
	return CompleteLive(env, spec, func(ctx context.Context, s *Session, cmd *cobra.Command, prefix string) ([]db.Word, error) {
		if by := cmd.Flags().Lookup("by"); by != nil && by.Changed && by.Value.String() != n.Keys[1].Name {
			return nil, nil
		}
		t, err := n.Open(s)
		if err != nil {
			return nil, err
		}
		return t.Words(ctx, s.DB, prefix, live)
	})
}

// CompleteFlag completes the value of a flag with the names of live rows.
func (n Resource[T, E]) CompleteFlag(env *Env, cmd *cobra.Command, flag string) {
	cliflag.CompleteFlagWith(cmd, flag, n.Completion(env, true))
}

// Lookup returns the row that a REF names.
func (n Resource[T, E]) Lookup(ctx context.Context, s *Session, flags RefFlags, text string) (row T, err error) {
	found, err := n.find(ctx, s, flags, []string{text})
	if err != nil {
		return row, err
	}
	return resource.Single(found)
}

func (n Resource[T, E]) find(ctx context.Context, s *Session, flags RefFlags, refs []string) ([]resource.Match[T], error) {
	by, err := n.ParseKey(flags.By)
	if err != nil {
		return nil, err
	}
	t, err := n.Open(s)
	if err != nil {
		return nil, err
	}
	return t.Find(ctx, s.DB, refs, by, flags.Deleted)
}

// Get returns the command that shows rows.
func (n Resource[T, E]) Get(env *Env, short, example string) *cobra.Command {
	var flags RefFlags
	cmd := &cobra.Command{
		Use: "get REF…", Short: short, Example: example, Args: AtLeast("REF"), ValidArgsFunction: cliflag.CompleteRefs(n.Completion(env, true)),
	}
	cmd.RunE = RunRead(env, func(ctx context.Context, s *Session, cmd *cobra.Command, args []string) error {
		return n.Show(ctx, env, s, cmd, flags, args, func(rows []T) error { return PrintNamed(env, n.View, args, rows) })
	})
	n.BindGet(env, cmd, &flags)
	return AddOutputFlags[T](env, cmd)
}

// BindGet adds the flags of a command that shows rows, and its Spec.
func (n Resource[T, E]) BindGet(env *Env, cmd *cobra.Command, flags *RefFlags) {
	flags.Bind(cmd, n.KeyNames()...)
	flags.BindDeleted(cmd, n.Name+"s")
	flags.BindIgnore(cmd)
	env.Specify(cmd, Spec{Permission: n.permission("READ"), Resource: n.Name, Tables: n.Tables, Audit: WhenReading})
	BindReveal(env, cmd)
}

// Show prints the rows that the REFs name.
func (n Resource[T, E]) Show(ctx context.Context, env *Env, s *Session, cmd *cobra.Command, flags RefFlags, refs []string, print func([]T) error) error {
	found, err := n.find(ctx, s, flags, Unique(refs))
	if err != nil {
		return err
	}
	return ShowFound(env, n.ID, flags, found, func(rows []T) error {
		id := uuid.Nil
		if len(rows) == 1 {
			id = n.ID(rows[0])
		}
		if err := LogReveal(ctx, env, s, cmd, int64(len(rows)), id); err != nil {
			return err
		}
		return print(rows)
	})
}

// ShowFound prints the rows that REFs matched. The error is about the REFs that matched none.
func ShowFound[T any, K comparable](env *Env, id func(T) K, flags RefFlags, found []resource.Match[T], print func([]T) error) error {
	rows, failures := separate(env, id, flags, found)
	if len(rows) > 0 || len(failures) == 0 {
		if err := print(rows); err != nil {
			return err
		}
	}
	return failure(env, reading, failures, len(rows))
}

// separate returns the rows that REFs matched, each once, and the REFs that matched none. It notes and leaves out those
// that --ignore-not-found permits.
func separate[T any, K comparable](env *Env, id func(T) K, flags RefFlags, found []resource.Match[T]) (rows []T, failures []resource.Match[T]) {
	seen := map[K]bool{}
	for _, f := range found {
		switch {
		case flags.Ignore && fault.Is(f.Err, fault.NotFound):
			env.Note("%s; ignored", fault.From(f.Err).Message)
		case f.Err != nil:
			failures = append(failures, f)
		case !seen[id(f.Row)]:
			seen[id(f.Row)] = true
			rows = append(rows, f.Row)
		}
	}
	return rows, failures
}

// PrintNamed prints the rows that REFs name: the row of a single REF as a record, else a list.
func PrintNamed[T any](env *Env, v output.View, refs []string, rows []T) error {
	if len(refs) == 1 && len(rows) == 1 {
		return output.One(env.Printer, v, rows[0])
	}
	return PrintWhole(env, v, rows)
}

// IfExists prints the live row with this display name if there is one and --if-not-exists is given. It reports whether
// it did.
func (n Resource[T, E]) IfExists(ctx context.Context, env *Env, w *Writer, flags ChangeFlags, name string) (bool, error) {
	if !flags.ifNotExists {
		return false, nil
	}
	row, err := n.Lookup(ctx, w.Session, RefFlags{By: n.Keys[1].Name}, name)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return false, err
	}
	env.Note("%s %s already exists; nothing changed", n.Name, n.DisplayName(row))
	return true, n.printResult(env, w, row)
}

func (n Resource[T, E]) printResult(env *Env, w *Writer, row T) error {
	return PrintResult(env, w.Ledger, func() error { return output.One(env.Printer, n.View, row) })
}

// Create creates the row with this display name and prints it, unless --if-not-exists is given and it exists.
func (n Resource[T, E]) Create(ctx context.Context, env *Env, w *Writer, flags ChangeFlags, name string, create func() (T, error)) error {
	if found, err := n.IfExists(ctx, env, w, flags, name); found || err != nil {
		return err
	}
	if err := ConfirmIfProtected(ctx, env, w.Ledger, "create "+n.Name+" "+name, 1); err != nil {
		return err
	}
	made, err := create()
	if err != nil {
		return err
	}
	return n.printResult(env, w, made)
}

// Edit applies an update to the row that a REF names and prints the result.
func (n Resource[T, E]) Edit(ctx context.Context, env *Env, w *Writer, flags RefFlags, ref string, e rowupdate.Update[T]) error {
	return n.EditSeen(ctx, env, w, flags, ref, func(E, T) (rowupdate.Update[T], error) { return e, nil })
}

// EditSeen applies an update that depends on the current row, and prints the result.
func (n Resource[T, E]) EditSeen(ctx context.Context, env *Env, w *Writer, flags RefFlags, ref string,
	change func(E, T) (rowupdate.Update[T], error),
) error {
	row, err := n.Lookup(ctx, w.Session, flags, ref)
	if err != nil {
		return n.RecordFailure(ctx, w, ref, row, err)
	}
	t, err := n.Open(w.Session)
	if err != nil {
		return err
	}
	e, err := change(t, row)
	if fault.Is(err, fault.Usage) {
		return err // not an attempt, so it is not audited
	}
	if err != nil {
		return n.RecordFailure(ctx, w, ref, row, err)
	}
	if err := ConfirmIfProtected(ctx, env, w.Ledger, "update "+n.Name+" "+n.DisplayName(row), 1); err != nil {
		return err
	}
	after, err := t.Apply(ctx, w.Ledger, []T{row}, e)
	if err != nil {
		return err
	}
	if e.IsNoop != nil && e.IsNoop(row) {
		env.Note("%s already has these values; nothing changed", n.DisplayName(row))
	}
	return n.printResult(env, w, after[0])
}

// RecordFailure writes the audit row of a failed attempt and returns err. row is the zero T if it was not found.
func (n Resource[T, E]) RecordFailure(ctx context.Context, w *Writer, ref string, row T, err error) error {
	w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: n.Name, ID: n.ID(row), Name: ref}, Action: w.spec.action()}, err)
	return err
}

package cli

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// undoable are the resources whose changes can be undone.
var undoable = []audit.Resource{users.Resource, invoices.Resource, tenants.Resource, tenants.MemberResource, roles.Resource}

// findUndoable returns the resource that audit rows call by the name.
func findUndoable(name string) (audit.Resource, error) {
	i := slices.IndexFunc(undoable, func(r audit.Resource) bool { return r.Name == name })
	if i < 0 {
		return audit.Resource{}, fault.New(fault.Validation, "a change of a %s cannot be undone", name).With("resource", name)
	}
	return undoable[i], nil
}

func (a *app) auditUndo() *cobra.Command {
	var op string
	var force bool
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "undo [ID…]", Short: "Take back what audit rows record, or all that one command did", Args: cobra.ArbitraryArgs,
		Long: `Take back what audit rows record, or all that one command did. An ID is a row's or an operation's.

Every row gets back the values that it had before, in one transaction, if it is still as the change left it;
otherwise nothing is changed, and the fields that were changed since are named, with who changed them. A row that
was made is marked as deleted. An undo is a change like any other: audited, and itself undone by another. Passwords
cannot be put back, since the audit log does not keep them.`,
		Example: "  cxgctl audit undo 01a20d19-2694-725b-92b8-7e88c8ecf478 --dry-run\n  cxgctl audit undo --op 01a20d19-266f-72f7-a912-3ce8e09758bb --reason 'wrong file'",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
		if force && a.global.reason == "" {
			return fault.New(fault.Usage, "--force takes back over what others changed since, so it wants a --reason")
		}
		log, err := audit.NewLog(w.cat)
		if err != nil {
			return err
		}
		entries, operation, err := undone(ctx, w, log, op, args)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Resource != nil && *e.Resource == users.Kind.Name && e.TenantID != nil {
				return fault.New(fault.Validation, "audit row %s is of a user in a tenant's database, which cannot be undone from here", e.ID).
					WithHint("cxgctl users history --tenant %s shows what the fields were; users update --tenant sets them", e.TenantID).With("id", e.ID.String())
			}
		}
		plan, err := audit.PlanUndo(entries, operation)
		if err != nil {
			return err
		}
		if err := log.Check(ctx, w.db, plan); err != nil {
			return err
		}
		a.noteUnsealedUndo(log)
		tables := map[string]audit.Reverser{}
		for _, noun := range plan.Nouns() {
			r, err := findUndoable(noun)
			if err != nil {
				return err
			}
			if tables[noun], err = r.Open(w.cat); err != nil {
				return err
			}
		}
		if err := w.mayUndo(entries); err != nil {
			return err
		}
		if err := a.confirmChange(ctx, w.Ledger, "undo the change of "+plural(plan.Rows(), "row")); err != nil {
			return err
		}
		if err := audit.Undo(ctx, w.Ledger, log, plan, tables, force); err != nil {
			return err
		}
		return a.printResult(w.Ledger, func() error { return printWhole(a, auditView, w.Entries()) })
	})
	cmd.Flags().StringVar(&op, "op", "", "`id` of the operation to take back as a whole")
	cmd.Flags().BoolVar(&force, "force", false, "put rows back also where others changed them since; wants a --reason")
	markFlags(cmd.Flags(), recorded, "op", "force")
	flags.bindBatch(cmd)
	var undone []string
	for _, r := range undoable {
		undone = append(undone, r.Permissions(audit.Create)...)
	}
	slices.Sort(undone)
	a.specify(cmd, Spec{
		Permission: "AUDIT_READ", Optional: slices.Compact(undone), Audit: always, Action: audit.Update,
		Tables: append([]string{schema.Invoices, schema.Tenants, schema.TenantUsers}, schema.Grants...),
	})
	return addOutputFlags[audit.Entry](a, cmd)
}

// noteUnsealedUndo says that an undo goes by a log that nothing protects.
func (a *app) noteUnsealedUndo(log *audit.Log) {
	if !log.Sealed() {
		a.note("the database has no seals, so the undo trusts the audit log as it is; cxgctl migrate up adds them")
	}
}

// mayUndo demands what an operator needs to do by hand what an undo does: change the rows, and delete those that were
// made.
func (w *writer) mayUndo(entries []audit.Entry) error {
	var need []string
	for _, e := range entries {
		if e.Resource == nil || e.Action == nil {
			continue
		}
		if r, err := findUndoable(*e.Resource); err == nil {
			need = append(need, r.Permissions(audit.Action(*e.Action))...)
		}
	}
	slices.Sort(need)
	return w.require(slices.Compact(need)...)
}

// mayReverse demands what an operator needs to take back by hand such a change of an import.
func (w *writer) mayReverse(noun string, a audit.Action) error {
	r, err := findUndoable(noun)
	if err != nil {
		return err
	}
	return w.require(r.Permissions(a)...)
}

// undone reads the audit rows to be undone: those of the ids, which may be operations', or of one operation. operation
// says that there is one, whose failed attempts are passed over.
func undone(ctx context.Context, w *writer, log *audit.Log, op string, args []string) (list []audit.Entry, operation bool, err error) {
	switch {
	case op == "" && len(args) == 0:
		return nil, false, fault.New(fault.Usage, "nothing is named to undo").WithHint("name audit rows by id, or an operation with --op; cxgctl audit list -o wide has both")
	case op != "" && len(args) > 0:
		return nil, false, fault.New(fault.Usage, "ids and --op exclude each other")
	case op != "":
		list, err = log.ByOp(ctx, w.db, w.idle, op)
		return list, true, err
	}
	ids := make([]uuid.UUID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = auditID(arg); err != nil {
			return nil, false, err
		}
	}
	return log.ByIDs(ctx, w.db, w.idle, ids)
}

// auditID reads an audit row's id.
func auditID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fault.New(fault.Validation, "%q is no audit row's id", text).WithHint("ids are listed by: cxgctl audit list -o wide")
	}
	return id, nil
}

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
		Use: "undo [ID…]", Short: "Undo the changes of audit rows, or everything that one command did", Args: cobra.ArbitraryArgs,
		Long: `Undo the changes of audit rows, or everything that one command did. An ID is that of a row or of an operation.

All rows get their previous values back, in one transaction, if they are still as the change left them. Otherwise
nothing is changed, and the fields changed since are listed, with who changed them. A row that was created is marked as
deleted. An undo is a change like any other: audited, and itself undone by another undo. Passwords cannot be restored,
since the audit log does not keep them.`,
		Example: "  cxgctl audit undo 01a20d19-2694-725b-92b8-7e88c8ecf478 --dry-run\n  cxgctl audit undo --op 01a20d19-266f-72f7-a912-3ce8e09758bb --reason 'wrong file'",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
		if force && a.global.reason == "" {
			return fault.New(fault.Usage, "--force overwrites later changes, so it needs --reason")
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
				return fault.New(fault.Validation, "audit row %s is about a user in a tenant's database and cannot be undone from here", e.ID).
					WithHint("cxgctl users history --tenant %s shows the previous values; users update --tenant sets them", e.TenantID).With("id", e.ID.String())
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
	cmd.Flags().StringVar(&op, "op", "", "`id` of an operation to undo as a whole")
	cmd.Flags().BoolVar(&force, "force", false, "restore even rows that were changed since; needs --reason")
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

// noteUnsealedUndo warns that an undo relies on an audit log without seals.
func (a *app) noteUnsealedUndo(log *audit.Log) {
	if !log.Sealed() {
		a.note("the database has no seals, so the undo trusts the audit log as it is; cxgctl migrate up adds them")
	}
}

// mayUndo requires the permissions for making the same changes by hand: update the rows, and delete the created ones.
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

// mayReverse requires the permissions for undoing a change of an import by hand.
func (w *writer) mayReverse(noun string, a audit.Action) error {
	r, err := findUndoable(noun)
	if err != nil {
		return err
	}
	return w.require(r.Permissions(a)...)
}

// undone reads the audit rows to undo: those with the given ids, of rows or operations, or all rows of operation op.
// operation reports whether they are an operation's, whose failed attempts are skipped.
func undone(ctx context.Context, w *writer, log *audit.Log, op string, args []string) (list []audit.Entry, operation bool, err error) {
	switch {
	case op == "" && len(args) == 0:
		return nil, false, fault.New(fault.Usage, "undo what?").WithHint("give the ids of audit rows, or an operation with --op; both are listed by: cxgctl audit list -o wide")
	case op != "" && len(args) > 0:
		return nil, false, fault.New(fault.Usage, "ids and --op cannot be combined")
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

// auditID parses the id of an audit row.
func auditID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fault.New(fault.Validation, "%q is not an audit row's id", text).WithHint("ids are listed by: cxgctl audit list -o wide")
	}
	return id, nil
}

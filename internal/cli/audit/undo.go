package audit

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/users"
)

func newUndo(env *cmdutil.Env) *cobra.Command {
	var op string
	var force bool
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "undo [ID…]", Short: "Undo the changes of audit rows, or everything that one command did", Args: cobra.ArbitraryArgs,
		ValidArgsFunction: cliflag.CompleteRefs(completeRows(env)),
		Long: `Undo the changes of audit rows, or everything that one command did. An ID is that of a row or of an operation.

All rows get their previous values back, in one transaction, if they are still as the change left them. Otherwise
nothing is changed, and the fields changed since are listed, with who changed them. A row that was created is marked as
deleted. An undo is a change like any other: audited, and itself undone by another undo. Passwords cannot be restored,
since the audit log does not keep them.`,
		Example: "  cxgctl audit undo 01a20d19-2694-725b-92b8-7e88c8ecf478 --dry-run\n  cxgctl audit undo --op 01a20d19-266f-72f7-a912-3ce8e09758bb --reason 'wrong file'",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, args []string) error {
		if force && env.Global.Reason == "" {
			return fault.New(fault.Usage, "--force overwrites later changes, so it needs --reason")
		}
		log, err := audit.NewLog(w.Catalog)
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
		if err := log.Check(ctx, w.DB, plan); err != nil {
			return err
		}
		cmdutil.NoteUnsealedUndo(env, log)
		tables := map[string]audit.Reverser{}
		for _, noun := range plan.Nouns() {
			r, err := cmdutil.FindUndoable(env.Undoable, noun)
			if err != nil {
				return err
			}
			if tables[noun], err = r.Open(w.Catalog); err != nil {
				return err
			}
		}
		if err := mayUndo(env, w, entries); err != nil {
			return err
		}
		names := plan.Names()
		question := "undo the change of " + fault.Plural(len(names), "row") + env.Naming(len(names), func(i int) string { return names[i] })
		if err := cmdutil.ConfirmChange(ctx, env, w.Ledger, question, len(names)); err != nil {
			return err
		}
		if err := audit.Undo(ctx, w.Ledger, log, plan, tables, force); err != nil {
			return err
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintWhole(env, AuditView, w.Entries()) })
	})
	cmd.Flags().StringVar(&op, "op", "", "`id` of an operation to undo as a whole")
	cmd.Flags().BoolVar(&force, "force", false, "restore even rows that were changed since; needs --reason")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "op", "force")
	cliflag.CompleteFlagWith(cmd, "op", completeOperations(env))
	flags.BindBatch(cmd)
	var undone, read []string
	for _, r := range env.Undoable {
		undone, read = append(undone, r.Permissions(audit.Create)...), append(read, r.Tables...)
	}
	slices.Sort(undone)
	env.Specify(cmd, cmdutil.Spec{
		Permission: "AUDIT_READ", Resource: "audit", Optional: slices.Compact(undone), Tables: read, Audit: cmdutil.Always, Action: audit.Update,
	})
	return cmdutil.AddOutputFlags[audit.Entry](env, cmd)
}

// mayUndo requires the permissions for making the same changes by hand: update the rows, and delete the created ones.
func mayUndo(env *cmdutil.Env, w *cmdutil.Writer, entries []audit.Entry) error {
	var need []string
	for _, e := range entries {
		if e.Resource == nil || e.Action == nil {
			continue
		}
		if r, err := cmdutil.FindUndoable(env.Undoable, *e.Resource); err == nil {
			need = append(need, r.Permissions(audit.Action(*e.Action))...)
		}
	}
	slices.Sort(need)
	return w.Require(slices.Compact(need)...)
}

// undone reads the audit rows to undo: those with the given ids, of rows or operations, or all rows of operation op.
// operation reports whether they are an operation's, whose failed attempts are skipped.
func undone(ctx context.Context, w *cmdutil.Writer, log *audit.Log, op string, args []string) (list []audit.Entry, operation bool, err error) {
	switch {
	case op == "" && len(args) == 0:
		return nil, false, fault.New(fault.Usage, "undo what?").WithHint("give the ids of audit rows, or an operation with --op; both are listed by: cxgctl audit list -o wide")
	case op != "" && len(args) > 0:
		return nil, false, fault.New(fault.Usage, "ids and --op cannot be combined")
	case op != "":
		list, err = log.ByOp(ctx, w.DB, w.IdleTimeout, op)
		return list, true, err
	}
	ids := make([]uuid.UUID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = auditID(arg); err != nil {
			return nil, false, err
		}
	}
	return log.ByIDs(ctx, w.DB, w.IdleTimeout, ids)
}

// auditID parses the id of an audit row.
func auditID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fault.New(fault.Validation, "%q is not an audit row's id", text).WithHint("ids are listed by: cxgctl audit list -o wide")
	}
	return id, nil
}

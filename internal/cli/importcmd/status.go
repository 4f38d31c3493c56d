package importcmd

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// importStatus prints the progress of an import, for --status.
func importStatus(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, file *rowreader.File, n Spec) error {
	s, err := importer.StatusOf(ctx, w.DB, w.Catalog, file, importTarget(w.Session), n.Resource.Name)
	if err != nil {
		return err
	}
	return output.OneWithList(env.Printer, output.View{ID: "op_id"}, s, "operations", output.View{Name: "operations"}, s.Operations)
}

// importTarget returns the database that an import writes to.
func importTarget(s *cmdutil.Session) importer.Database {
	if s.Tenant == nil {
		return importer.Database{}
	}
	return importer.Database{Tenant: s.Tenant.ID, Code: s.Tenant.CodeOrID}
}

// importOps returns the operations that --undo names, latest first. An operation means all runs of its file.
func importOps(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, what string, n Spec) ([]uuid.UUID, error) {
	if op, err := uuid.Parse(what); err == nil {
		return importer.RunsWith(ctx, w.DB, w.Catalog, op)
	}
	in, resume := env.Input()
	file, err := rowreader.Open(what, in)
	resume()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return importer.RunsOfFile(ctx, w.DB, w.Catalog, file, importTarget(w.Session), n.Resource.Name)
}

func undoImport(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, what string, n Spec) error {
	if w.Tenant != nil {
		return fault.New(fault.Usage, "--undo cannot be combined with --tenant").WithHint("cxgctl audit list --op OP lists the users; users delete --tenant deletes them")
	}
	if err := w.Require(n.Resource.Delete...); err != nil {
		return err
	}
	ops, err := importOps(ctx, env, w, what, n)
	if err != nil {
		return err
	}
	if len(ops) == 0 {
		env.Note("%s has already been undone; nothing changed", what)
		return cmdutil.PrintResult(env, w.Ledger, func() error { return output.One(env.Printer, output.View{ID: "op_id"}, importer.Undone{}) })
	}
	log, err := audit.NewLog(w.Catalog)
	if err != nil {
		return err
	}
	cmdutil.NoteUnsealedUndo(env, log)
	if !w.DryRun {
		rows, err := importer.RowsOf(ctx, w.DB, ops)
		if err != nil {
			return err
		}
		question := "undo the import of " + fault.Plural(rows, n.Resource.Name) + " by operation " + ops[0].String()
		if len(ops) > 1 {
			question = fmt.Sprintf("undo the import of %s by %d operations, the last %s", fault.Plural(rows, n.Resource.Name), len(ops), ops[0])
		}
		if err := env.Confirm(ctx, question, rows); err != nil {
			return err
		}
	}
	env.Deadline.Stop()
	done, err := n.Undo(ctx, w, ops)
	if err != nil {
		return err
	}
	summary := "%s deleted, %s already deleted, %s changed since and kept"
	if w.DryRun {
		summary = "dry run, nothing was changed: %s would be deleted, %s already deleted, %s changed since and kept"
	}
	summary = fmt.Sprintf(summary, output.Thousands(int64(done.Deleted)), output.Thousands(int64(done.Before)), output.Thousands(int64(len(done.Touched))))
	if done.Restored+done.Links > 0 {
		undone := "undone"
		if w.DryRun {
			undone = "would be undone"
		}
		summary += fmt.Sprintf("; changes: %s, memberships and roles: %s %s", output.Thousands(int64(done.Restored)), output.Thousands(int64(done.Links)), undone)
	}
	if !w.DryRun {
		summary += fmt.Sprintf(" (operation %s)", w.Op())
	}
	env.Note("%s", summary)
	if env.Printer.Format != output.Table && env.Printer.Format != output.Wide {
		if err := cmdutil.AfterCommit(output.One(env.Printer, output.View{ID: "op_id"}, done)); err != nil {
			return err
		}
	}
	if len(done.Touched) == 0 {
		return nil
	}
	if !cmdutil.IsStructured(env.Printer.Format) {
		for _, f := range done.Touched {
			env.Printf("cxgctl: error: %s", f.Message)
		}
	}
	return fault.New(fault.PartialFailure, "%s changed since and kept", fault.Plural(len(done.Touched), n.Resource.Name)).With("failed", len(done.Touched))
}

package cli

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// importStatus prints the progress of an import, for --status.
func (a *app) importStatus(ctx context.Context, w *writer, file *rowreader.File, n importNoun) error {
	s, err := importer.StatusOf(ctx, w.db, w.cat, file, w.importHome(), n.resource)
	if err != nil {
		return err
	}
	return output.One(a.print, output.View{ID: "op_id"}, s)
}

// importHome returns the database that an import writes to.
func (s *session) importHome() importer.Target {
	if s.place == nil {
		return importer.Target{}
	}
	return importer.Target{Tenant: s.place.ID, Code: s.place.code}
}

// importOps returns the operations that --undo names, latest first. An operation means all runs of its file.
func (a *app) importOps(ctx context.Context, w *writer, what string, n importNoun) ([]uuid.UUID, error) {
	if op, err := uuid.Parse(what); err == nil {
		return importer.RunsWith(ctx, w.db, w.cat, op)
	}
	in, resume := a.input()
	file, err := rowreader.Open(what, in)
	resume()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return importer.RunsOfFile(ctx, w.db, w.cat, file, w.importHome(), n.resource)
}

// undoImport undoes an import, for --undo.
func (a *app) undoImport(ctx context.Context, w *writer, what string, n importNoun) error {
	if w.place != nil {
		return fault.New(fault.Usage, "--undo cannot be combined with --tenant").WithHint("cxgctl audit list --op OP lists the users; users delete --tenant deletes them")
	}
	if err := w.require(n.undoes); err != nil {
		return err
	}
	ops, err := a.importOps(ctx, w, what, n)
	if err != nil {
		return err
	}
	log, err := audit.NewLog(w.cat)
	if err != nil {
		return err
	}
	a.noteUnsealedUndo(log)
	if !w.DryRun {
		question := "take back the " + n.resource + "s that operation " + ops[0].String() + " created"
		if len(ops) > 1 {
			question = fmt.Sprintf("take back the %ss that %d operations created, the last %s", n.resource, len(ops), ops[0])
		}
		if err := a.confirm(ctx, question); err != nil {
			return err
		}
	}
	a.clock.stop()
	done, err := n.undo(ctx, w, ops)
	if err != nil {
		return err
	}
	words := "%s deleted, %s already deleted, %s changed since and kept"
	if w.DryRun {
		words = "dry run, nothing was changed: %s would be deleted, %s already deleted, %s changed since and kept"
	}
	words = fmt.Sprintf(words, output.Thousands(int64(done.Deleted)), output.Thousands(int64(done.Before)), output.Thousands(int64(len(done.Touched))))
	if done.Restored+done.Links > 0 {
		back := "taken back"
		if w.DryRun {
			back = "would be taken back"
		}
		words += fmt.Sprintf("; changes: %s, memberships and roles: %s %s", output.Thousands(int64(done.Restored)), output.Thousands(int64(done.Links)), back)
	}
	a.note("%s (operation %s)", words, w.Op())
	if a.print.Format != output.Table && a.print.Format != output.Wide {
		if err := afterCommit(output.One(a.print, output.View{ID: "op_id"}, done)); err != nil {
			return err
		}
	}
	if len(done.Touched) == 0 {
		return nil
	}
	if !isStructured(a.print.Format) {
		for _, f := range done.Touched {
			a.printf("cxgctl: error: %s", f.Message)
		}
	}
	return fault.New(fault.PartialFailure, "%s changed since and kept", plural(len(done.Touched), n.resource)).With("failed", len(done.Touched))
}

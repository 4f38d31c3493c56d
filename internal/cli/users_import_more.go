package cli

import (
	"context"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// importStatus is users import --status.
func (a *app) importStatus(ctx context.Context, w *writer, file *intake.File) error {
	t, err := w.users()
	if err != nil {
		return err
	}
	s, err := t.StatusOfImport(ctx, w.db, w.cat, file)
	if err != nil {
		return err
	}
	return output.One(a.print, output.View{ID: "op_id"}, s)
}

// undoImport is users import --undo.
func (a *app) undoImport(ctx context.Context, w *writer, op uuid.UUID) error {
	if w.place != nil {
		return fault.New(fault.Usage, "--undo does not go with --tenant").WithHint("cxgctl audit list --op %s names the users; users delete --tenant takes them away", op)
	}
	t, err := users.In(w.cat)
	if err != nil {
		return err
	}
	if !w.DryRun {
		if err := a.confirm(ctx, "delete the users that operation "+op.String()+" created"); err != nil {
			return err
		}
	}
	a.clock.stop()
	done, err := t.UndoImport(ctx, w.Ledger, w.cat, op)
	if err != nil {
		return err
	}
	what := ""
	if w.DryRun {
		what = "dry run, nothing was changed: "
	}
	a.note("%s%s deleted, %s deleted before, %s changed since and left (operation %s)", what,
		output.Thousands(int64(done.Deleted)), output.Thousands(int64(done.Before)), output.Thousands(int64(len(done.Touched))), w.Op())
	if a.print.Format != output.Table && a.print.Format != output.Wide {
		if err := committed(output.One(a.print, output.View{ID: "op_id"}, done)); err != nil {
			return err
		}
	}
	if len(done.Touched) == 0 {
		return nil
	}
	if !structured(a.print.Format) {
		for _, f := range done.Touched {
			a.printf("cxgctl: error: %s", f.Message)
		}
	}
	return fault.New(fault.PartialFailure, "%s changed since, and stayed", plural(len(done.Touched), "user")).With("failed", len(done.Touched))
}

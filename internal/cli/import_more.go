package cli

import (
	"context"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/imports"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/output"
)

// importStatus is --status.
func (a *app) importStatus(ctx context.Context, w *writer, file *intake.File, n importNoun) error {
	s, err := imports.StatusOf(ctx, w.db, w.cat, file, w.importHome(), n.resource)
	if err != nil {
		return err
	}
	return output.One(a.print, output.View{ID: "op_id"}, s)
}

// importHome is the database that an import applies rows in.
func (s *session) importHome() imports.Home {
	if s.place == nil {
		return imports.Home{}
	}
	return imports.Home{Tenant: s.place.ID, Code: s.place.code}
}

// undoImport is --undo.
func (a *app) undoImport(ctx context.Context, w *writer, operation string, n importNoun) error {
	op, err := uuid.Parse(operation)
	if err != nil {
		return fault.New(fault.Validation, "--undo %q is no operation's id", operation).
			WithHint("cxgctl %ss import prints it at its end", n.resource)
	}
	if w.place != nil {
		return fault.New(fault.Usage, "--undo does not go with --tenant").WithHint("cxgctl audit list --op %s names the users; users delete --tenant takes them away", op)
	}
	if err := w.demand(n.undoes); err != nil {
		return err
	}
	if !w.DryRun {
		if err := a.confirm(ctx, "delete the "+n.resource+"s that operation "+op.String()+" created"); err != nil {
			return err
		}
	}
	a.clock.stop()
	done, err := n.undo(ctx, w, op)
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
	return fault.New(fault.PartialFailure, "%s changed since, and stayed", plural(len(done.Touched), n.resource)).With("failed", len(done.Touched))
}

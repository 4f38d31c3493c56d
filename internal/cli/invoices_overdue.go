package cli

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
)

// overdueBatch is how many invoices are marked in one transaction: enough that commits cost little, and few enough that
// other sessions do not wait long for a row.
const overdueBatch = 1000

func (a *app) invoicesOverdue() *cobra.Command {
	var set bool
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "overdue [--set]", Short: "List invoices that are past due but not marked OVERDUE, or mark them", Args: exactly(),
		Long: "Lists live invoices that are PENDING or SENT after their due date, in the zone of --tz. With --set they become OVERDUE.\n" +
			"--set is made for cron: it asks nothing, and a second run finds nothing left. It commits every " + plural(overdueBatch, "invoice") + ",\n" +
			"so a run that ends early keeps the batches done so far. With --expect or --max-affected it is one transaction.",
		Example: "  cxgctl invoices overdue\n  5 0 * * * cxgctl invoices overdue --set -q -o id --reason 'nightly run'",
	}
	list := a.runRead(func(ctx context.Context, s *session, _ *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(s.cat)
		if err != nil {
			return err
		}
		due, err := t.PastDue(ctx, s.db, a.today())
		if err != nil {
			return err
		}
		return printWhole(a, invoiceView, due)
	})
	mark := a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, _ []string) error { return a.markOverdue(ctx, w) })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if set {
			return mark(cmd, args)
		}
		for _, name := range []string{"expect", "max-affected", "dry-run", "reason", "ticket"} {
			if cmd.Flags().Changed(name) {
				return fault.New(fault.Usage, "--%s needs --set", name)
			}
		}
		return list(cmd, args)
	}
	cmd.Flags().BoolVar(&set, "set", false, "mark them OVERDUE")
	markFlags(cmd.Flags(), recorded, "set")
	flags.bindBatch(cmd)
	a.specify(cmd, Spec{Permission: "INVOICE_UPDATE", Tables: invoiceNoun.tables, Audit: always})
	return addOutputFlags[invoices.Invoice](a, cmd)
}

func (a *app) markOverdue(ctx context.Context, w *writer) error {
	t, err := invoices.NewTable(w.cat)
	if err != nil {
		return err
	}
	day := a.today()
	ids, err := t.PastDueIDs(ctx, w.db, day)
	if err != nil {
		return err
	}
	if err := a.confirmIfProtected(ctx, w.Ledger, "mark "+plural(len(ids), "invoice")+" as overdue"); err != nil {
		return err
	}
	a.clock.stop() // each transaction has its own time-out
	size := overdueBatch
	if w.Guard.Expect != nil || w.Guard.MaxAffected != nil {
		size = max(len(ids), 1) // a guarded change rolls back as a whole
	}
	batches := slices.Collect(slices.Chunk(ids, size))
	if len(batches) == 0 {
		batches = [][]uuid.UUID{nil} // the guard also checks an empty change
	}
	var marked []invoices.Invoice
	for _, batch := range batches {
		some, err := markBatch(ctx, w, t, batch, day)
		if err != nil {
			if n := len(marked); n > 0 && !w.DryRun {
				a.note("%s already marked and committed; run the command again for the rest", plural(n, "invoice"))
			}
			return err
		}
		marked = append(marked, some...)
	}
	return a.printResult(w.Ledger, func() error { return printWhole(a, invoiceView, marked) })
}

func markBatch(ctx context.Context, w *writer, t *invoices.Table, ids []uuid.UUID, day db.Date) ([]invoices.Invoice, error) {
	if w.idle > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.idle*time.Duration(1+len(ids)/overdueBatch))
		defer cancel()
	}
	return t.MarkOverdue(ctx, w.Ledger, ids, day)
}

package invoice

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
)

// overdueBatch is how many invoices are marked in one transaction: enough that commits cost little, and few enough that
// other sessions do not wait long for a row.
const overdueBatch = 1000

func newOverdue(env *cmdutil.Env) *cobra.Command {
	var set bool
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "overdue [--set]", Short: "List invoices that are past due but not marked OVERDUE, or mark them", Args: cmdutil.ExactArgs(),
		Long: "Lists live invoices that are PENDING or SENT after their due date, in the zone of --tz. With --set they become OVERDUE.\n" +
			"--set is made for cron: it asks nothing, and a second run finds nothing left. It commits every " + cmdutil.Plural(overdueBatch, "invoice") + ",\n" +
			"so a run that ends early keeps the batches done so far. With --expect or --max-affected it is one transaction.",
		Example: "  cxgctl invoices overdue\n  5 0 * * * cxgctl invoices overdue --set -q -o id --reason 'nightly run'",
	}
	list := cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(s.Catalog)
		if err != nil {
			return err
		}
		due, err := t.PastDue(ctx, s.DB, cmdutil.Today(env))
		if err != nil {
			return err
		}
		return cmdutil.PrintWhole(env, cmdutil.InvoiceView, due)
	})
	mark := cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, _ []string) error {
		return markOverdue(ctx, env, w)
	})
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
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "set")
	flags.BindBatch(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "INVOICE_UPDATE", Resource: invoices.Kind.Name, Tables: cmdutil.Invoices.Tables, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[invoices.Invoice](env, cmd)
}

func markOverdue(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer) error {
	t, err := invoices.NewTable(w.Catalog)
	if err != nil {
		return err
	}
	day := cmdutil.Today(env)
	ids, err := t.PastDueIDs(ctx, w.DB, day)
	if err != nil {
		return err
	}
	if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "mark "+cmdutil.Plural(len(ids), "invoice")+" as overdue", len(ids)); err != nil {
		return err
	}
	env.Deadline.Stop() // each transaction has its own time-out
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
				env.Note("%s already marked and committed; run the command again for the rest", cmdutil.Plural(n, "invoice"))
			}
			return err
		}
		marked = append(marked, some...)
	}
	return cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintWhole(env, cmdutil.InvoiceView, marked) })
}

func markBatch(ctx context.Context, w *cmdutil.Writer, t *invoices.Table, ids []uuid.UUID, day db.Date) ([]invoices.Invoice, error) {
	if w.IdleTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.IdleTimeout*time.Duration(1+len(ids)/overdueBatch))
		defer cancel()
	}
	return t.MarkOverdue(ctx, w.Ledger, ids, day)
}

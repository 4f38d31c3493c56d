package invoice

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
)

// overdueBatch is how many invoices are marked in one transaction: enough that commits cost little, and few enough that
// other sessions do not wait long for a row.
const overdueBatch = 1000

func newOverdue(env *cmdutil.Env) *cobra.Command {
	var mark bool
	var f filterFlags
	var page listcmd.PageFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "overdue [--mark]", Short: "List invoices that are past due but not marked OVERDUE, or mark them", Args: cmdutil.ExactArgs(),
		Long: "Lists live invoices that are PENDING or SENT after their due date, in the zone of --tz, all of them unless --page or\n" +
			"--page-size is given. With --mark they become OVERDUE. --mark is made for cron: it asks nothing, and a second run finds\n" +
			"nothing left. It commits every " + fault.Plural(overdueBatch, "invoice") + ", so a run that ends early keeps the batches done so far. With --expect or\n" +
			"--max-affected it is one transaction.",
		Example: "  cxgctl invoices overdue --tenant acme\n  5 0 * * * cxgctl invoices overdue --mark -q --reason 'nightly run'",
	}
	page.Bind(cmd)
	list := cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, args []string) error {
		page.AllUnlessPaged(cmd)
		f.Unmarked, page.Sort = true, []string{"due_date"}
		return list(env, &f, &page)(ctx, s, cmd, args)
	})
	change := cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, _ []string) error {
		f.Unmarked = true
		return markOverdue(ctx, env, w, f.filter())
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		needs, refused := "needs", []string{"expect", "max-affected", "dry-run", "reason", "ticket"}
		if mark {
			needs, refused = "cannot be used with", []string{"page", "page-size", "all"}
		}
		for _, name := range refused {
			if cmd.Flags().Changed(name) {
				return fault.New(fault.Usage, "--%s %s --mark", name, needs)
			}
		}
		if mark {
			return change(cmd, args)
		}
		return list(cmd, args)
	}
	cmd.Flags().BoolVar(&mark, "mark", false, "mark them OVERDUE")
	cmd.Flags().BoolVar(&mark, "set", false, "same as --mark")
	cliflag.Must(cmd.Flags().MarkHidden("set"))
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "mark", "set")
	flags.BindBatch(cmd)
	f.bindFilter(env, cmd)
	f.bindMethods(cmd)
	cliflag.Must(cmd.Flags().MarkHidden("overdue"))
	env.Specify(cmd, cmdutil.Spec{Permission: "INVOICE_UPDATE", Resource: invoices.Kind.Name, Tables: cmdutil.Invoices.Tables, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[invoices.Invoice](env, cmd)
}

func markOverdue(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, f invoices.Filter) error {
	t, err := invoices.NewTable(w.Catalog)
	if err != nil {
		return err
	}
	due, err := t.Select(ctx, w.DB, w.IdleTimeout, f, false)
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(due))
	for i := range due {
		ids[i] = due[i].ID
	}
	question := "mark " + fault.Plural(len(due), "invoice") + " as overdue" +
		env.Naming(len(due), func(i int) string { return invoices.Kind.DisplayName(due[i]) })
	if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, question, len(ids)); err != nil {
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
		some, err := markBatch(ctx, w, t, batch, f.Today)
		if err != nil {
			if n := len(marked); n > 0 && !w.DryRun {
				env.Note("%s already marked and committed; run the command again for the rest", fault.Plural(n, "invoice"))
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

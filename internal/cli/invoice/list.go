// Package invoice implements the invoices commands.
package invoice

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// NewCommand returns the commands about invoices.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	env.Undoable = append(env.Undoable, invoices.Resource)
	return cmdutil.Group("invoices", "Create, change, list, import and sum up invoices",
		newCreate(env), newUpdate(env), newStatus(env),
		newDelete(env), newRestore(env), newImport(env),
		newOverdue(env), newSummary(env), newReport(env),
		newList(env), newExport(env),
		cmdutil.Invoices.Get(env, "Show an invoice, or several",
			"  cxgctl invoices get INV-202611-000123\n  cxgctl invoices get INV-202611-000123 -o json --jq .data.total_amount"),
		cmdutil.Invoices.History(env))
}

// filterFlags are the flags that select invoices.
type filterFlags struct {
	invoices.Filter
	from, to, since, until, month, dueBefore cliflag.DateValue
	minTotal, maxTotal                       cliflag.AmountValue
}

func (f *filterFlags) bindFilter(env *cmdutil.Env, cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var((*cliflag.ListValue)(&f.Tenants), "tenant", "only invoices of these `tenants`, by id or code")
	fs.StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: PENDING, SENT, PAID, OVERDUE, CANCELED")
	fs.StringSliceVar(&f.Currencies, "currency", nil, "only these `currencies`, such as KRW")
	cliflag.SearchVar(fs, &f.Search, "search", "literal `text` in the invoice number")
	fs.Var(&f.from, "from", "invoice_date on or after this `date`, YYYY-MM-DD")
	fs.Var(&f.to, "to", "invoice_date before this `date`")
	fs.Var(&f.since, "since", "same as --from: "+cliflag.ShortForms)
	fs.Var(&f.until, "until", "same as --to")
	fs.Var(&f.month, "month", "invoice_date in this `month`: 2026-11, this-month, last-month")
	cmd.MarkFlagsMutuallyExclusive("from", "since", "month")
	cmd.MarkFlagsMutuallyExclusive("to", "until", "month")
	fs.Var(&f.dueBefore, "due-before", "due_date before this `date`")
	fs.BoolVar(&f.Overdue, "overdue", false, "only invoices past due today and neither PAID nor CANCELED")
	fs.Var(&f.minTotal, "min-total", "total_amount of at least this `amount`, an exact decimal")
	fs.Var(&f.maxTotal, "max-total", "total_amount of at most this `amount`")
	cliflag.MarkFlags(fs, cliflag.Recorded, "tenant", "status", "currency", "from", "to", "due-before", "overdue", "min-total", "max-total")
	cliflag.CompleteFlag(cmd, "status", invoices.Statuses...)
	cliflag.CompleteFlag(cmd, "month", "this-month", "last-month")
	cliflag.CompleteCurrency(cmd)
	cmdutil.Tenants.CompleteFlag(env, cmd, "tenant")
}

// bindMethods adds the filter by payment method. Commands that set a payment method do not have it.
func (f *filterFlags) bindMethods(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.PaymentMethods, "payment-method", nil, "only these `methods`: CREDIT_CARD, BANK_TRANSFER, PAYPAL, WIRE_TRANSFER, CHECK")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "payment-method")
	cliflag.CompleteFlag(cmd, "payment-method", invoices.PaymentMethods...)
}

// filter returns the filter that the flags select, with the values that were refused.
func (f *filterFlags) filter() invoices.Filter {
	out := f.Filter
	p := &out.Refused
	out.From, out.To = cmp.Or(f.from.Read("from", p), f.since.Read("since", p)), cmp.Or(f.to.Read("to", p), f.until.Read("until", p))
	if first, next := f.month.ReadMonth("month", p); first != nil {
		out.From, out.To = first, next
	}
	out.Today = f.from.Times.Today()
	out.DueBefore = f.dueBefore.Read("due_before", p)
	out.MinTotal, out.MaxTotal = f.minTotal.Read("min_total", p), f.maxTotal.Read("max_total", p)
	return out
}

func newList(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List invoices, newest first", Long: "Without --all one page is shown. A file takes all rows, so it needs --all or --page.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl invoices list --overdue --sort due_date\n  cxgctl invoices list --tenant acme --from 2026-01-01 --to 2026-02-01 -o csv\n  cxgctl invoices list --status PAID --all -o jsonl --output-file paid.jsonl.gz",
	}
	page.BindExport(cmd)
	cmd.RunE = cmdutil.RunRead(env, list(env, &f, &page))
	return bindList(env, cmd, &f, &page)
}

func newExport(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "export", Short: "Write invoices to a file, newest first", Long: "The same as invoices list --all, in csv unless -o or the ending of --output-file says otherwise.", Args: listcmd.ExportArgs("invoices"),
		Example: "  cxgctl invoices export --output-file invoices.csv.gz\n  cxgctl invoices export --month last-month -o jsonl\n  cxgctl invoices export --tenant acme --output-file acme.xlsx",
	}
	page.BindWhole(cmd)
	cmd.RunE = cmdutil.RunRead(env, list(env, &f, &page))
	cliflag.Annotate(cmd, cmdutil.FormatAnnotation, string(output.CSV))
	return bindList(env, cmd, &f, &page)
}

// list returns the RunE of list and export.
func list(env *cmdutil.Env, f *filterFlags, page *listcmd.PageFlags) func(context.Context, *cmdutil.Session, *cobra.Command, []string) error {
	return listcmd.List(env, cmdutil.InvoiceView, page, func(ctx context.Context, s *cmdutil.Session, since db.Increment) (q db.ListQuery[invoices.Invoice], err error) {
		t, err := invoices.NewTable(s.Catalog)
		filter := f.filter()
		if err == nil && filter.Search != "" {
			filter.Grams, err = t.Grams(ctx, s.DB)
		}
		if err == nil && page.IsWhole() && len(filter.Tenants) != 1 {
			err = noteShards(ctx, env, s)
		}
		if err != nil {
			return q, err
		}
		filter.Sort, filter.Changed = page.Sort, since
		return t.Matching(ctx, s.DB, filter)
	})
}

// noteShards says that an export of several tenants is not one snapshot, if Citus distributes the invoices.
func noteShards(ctx context.Context, env *cmdutil.Env, s *cmdutil.Session) error {
	layout, err := db.ReadLayout(ctx, s.DB)
	if layout[schema.Invoices].Kind == db.Distributed {
		env.Note("Citus reads the shards of %s at different moments; for a consistent export, use --tenant with one tenant", schema.Invoices)
	}
	return err
}

// bindList adds the flags and the permission of list and export.
func bindList(env *cmdutil.Env, cmd *cobra.Command, f *filterFlags, page *listcmd.PageFlags) *cobra.Command {
	f.bindFilter(env, cmd)
	f.bindMethods(cmd)
	cliflag.BindDeleted(cmd, &f.IncludeDeleted, "invoices")
	page.BindSort(cmd, invoices.SortFields)
	env.Specify(cmd, cmdutil.Spec{Permission: "INVOICE_LIST", Resource: invoices.Kind.Name, Tables: cmdutil.Invoices.Tables, TenantOnly: true})
	return cmdutil.AddOutputFlags[invoices.Invoice](env, cmd)
}

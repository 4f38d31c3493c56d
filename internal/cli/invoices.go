package cli

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

var invoiceView = output.View{
	Table: []string{"invoice_no", "tenant_code", "invoice_date", "due_date", "total_amount", "currency", "status", "paid_at"},
	Wide: []string{
		"id", "invoice_no", "tenant_code", "invoice_date", "due_date", "start_date", "close_date", "base_amount",
		"usage_amount", "discount_amount", "tax_amount", "total_amount", "currency", "user_count", "status", "paid_at",
		"payment_method", "deleted", "created_at", "updated_at",
	},
}

var invoiceNoun = resourceKind[invoices.Invoice, *invoices.Table]{
	Kind:   &invoices.Kind,
	tables: []string{schema.Invoices, schema.Tenants},
	view:   invoiceView,
	open:   func(s *session) (*invoices.Table, error) { return invoices.NewTable(s.cat) },
	complete: func(ctx context.Context, s *session, prefix string, live bool) ([]string, error) {
		t, err := invoices.NewTable(s.cat)
		if err != nil {
			return nil, err
		}
		return t.Numbers(ctx, s.db, prefix, live)
	},
}

func (a *app) invoicesCommand() *cobra.Command {
	return a.group("invoices", "Create, change, list, import and sum up invoices",
		a.invoicesCreate(), a.invoicesUpdate(), a.invoicesStatus(),
		a.invoicesDelete(), a.invoicesRestore(), a.invoicesImport(),
		a.invoicesOverdue(), a.invoicesSummary(), a.invoicesReport(),
		a.invoicesList(),
		invoiceNoun.get(a, "Show an invoice",
			"  cxgctl invoices get INV-202611-000123\n  cxgctl invoices get INV-202611-000123 -o json --jq .data.total_amount"),
		invoiceNoun.history(a))
}

// invoiceFilter are the flags that select invoices.
type invoiceFilter struct {
	invoices.Filter
	from, to, since, until, month, dueBefore dateFlag
	minTotal, maxTotal                       amountFlag
}

func (f *invoiceFilter) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var((*listFlag)(&f.Tenants), "tenant", "only invoices of these `tenants`, by id or code")
	fs.StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: PENDING, SENT, PAID, OVERDUE, CANCELED")
	fs.StringSliceVar(&f.Currencies, "currency", nil, "only these `currencies`, such as KRW")
	searchVar(fs, &f.Search, "search", "literal `text` in the invoice number")
	fs.Var(&f.from, "from", "invoice_date on or after this `date`, YYYY-MM-DD")
	fs.Var(&f.to, "to", "invoice_date before this `date`")
	fs.Var(&f.since, "since", "same as --from: "+shortForms)
	fs.Var(&f.until, "until", "same as --to")
	fs.Var(&f.month, "month", "invoice_date in this `month`: 2026-11, this-month, last-month")
	cmd.MarkFlagsMutuallyExclusive("from", "since", "month")
	cmd.MarkFlagsMutuallyExclusive("to", "until", "month")
	fs.Var(&f.dueBefore, "due-before", "due_date before this `date`")
	fs.BoolVar(&f.Overdue, "overdue", false, "only invoices past due today and neither PAID nor CANCELED")
	fs.Var(&f.minTotal, "min-total", "total_amount of at least this `amount`, an exact decimal")
	fs.Var(&f.maxTotal, "max-total", "total_amount of at most this `amount`")
	markFlags(fs, recorded, "tenant", "status", "currency", "from", "to", "due-before", "overdue", "min-total", "max-total")
	must(cmd.RegisterFlagCompletionFunc("status", complete(invoices.Statuses...)))
}

// bindMethods adds the filter by payment method. Commands that set a payment method do not have it.
func (f *invoiceFilter) bindMethods(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.PaymentMethods, "payment-method", nil, "only these `methods`: CREDIT_CARD, BANK_TRANSFER, PAYPAL, WIRE_TRANSFER, CHECK")
	markFlags(cmd.Flags(), recorded, "payment-method")
	must(cmd.RegisterFlagCompletionFunc("payment-method", complete(invoices.PaymentMethods...)))
}

// filter returns the filter that the flags select, with the values that were refused.
func (f *invoiceFilter) filter() invoices.Filter {
	out := f.Filter
	p := &out.Refused
	out.From, out.To = cmp.Or(f.from.read("from", p), f.since.read("since", p)), cmp.Or(f.to.read("to", p), f.until.read("until", p))
	if first := f.month.read("month", p); first != nil {
		begin := db.Date{Day: first.Day.AddDate(0, 0, 1-first.Day.Day())}
		end := db.Date{Day: begin.Day.AddDate(0, 1, 0)}
		out.From, out.To = &begin, &end
	}
	out.Today = f.from.timing.today()
	out.DueBefore = f.dueBefore.read("due_before", p)
	out.MinTotal, out.MaxTotal = f.minTotal.read("min_total", p), f.maxTotal.read("max_total", p)
	return out
}

func (a *app) invoicesList() *cobra.Command {
	var f invoiceFilter
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List invoices, newest first", Args: exactly(),
		Example: "  cxgctl invoices list --overdue --sort due_date\n  cxgctl invoices list --tenant acme --from 2026-01-01 --to 2026-02-01 -o csv\n  cxgctl invoices list --status PAID --all -o jsonl --output-file paid.jsonl.gz",
	}
	cmd.RunE = a.runRead(list(a, invoiceView, &page, func(ctx context.Context, s *session) (listing[invoices.Invoice], error) {
		t, err := invoices.NewTable(s.cat)
		filter := f.filter()
		filter.Sort = page.sort
		if err == nil && filter.Search != "" {
			filter.Grams, err = t.Grams(ctx, s.db)
		}
		return listing[invoices.Invoice]{
			table: schema.Invoices,
			matching: func(ctx context.Context, since db.Increment) (db.ListQuery[invoices.Invoice], error) {
				filter.Changed = since
				return t.Matching(ctx, s.db, filter)
			},
		}, err
	}))
	f.bind(cmd)
	f.bindMethods(cmd)
	cmd.Flags().BoolVar(&f.IncludeDeleted, "include-deleted", false, "include deleted invoices")
	markFlags(cmd.Flags(), recorded, "include-deleted")
	page.bindExport(cmd)
	cmd.Flags().StringSliceVar(&page.sort, "sort", nil, "`fields` to sort by, each FIELD or FIELD:desc")
	markFlags(cmd.Flags(), shaping, "sort")
	must(cmd.RegisterFlagCompletionFunc("sort", complete(invoices.SortFields...)))
	a.specify(cmd, Spec{Permission: "INVOICE_LIST", Tables: invoiceNoun.tables, TenantOnly: true})
	return addOutputFlags[invoices.Invoice](a, cmd)
}

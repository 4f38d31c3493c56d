package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
)

var summaryView = output.View{
	ID: "group",
	Table: []string{
		"group", "currency", "count", "total", "paid", "unpaid", "paid_rate", "current", "days_1_30", "days_31_60", "days_61_90", "days_over_90",
	},
}

var debtView = output.View{
	ID: "tenant_id",
	Table: []string{
		"tenant_code", "currency", "count", "oldest_due_date", "unpaid", "overdue", "current", "days_1_30", "days_31_60", "days_61_90", "days_over_90",
	},
}

func (a *app) invoicesSummary() *cobra.Command {
	var f invoiceFilter
	var by string
	cmd := &cobra.Command{
		Use: "summary", Short: "Summarize invoices by month, status, currency, tenant or method", Args: exactly(),
		Long: "Summarize invoices by month of the invoice date, status, currency, tenant or payment method, and always by currency:\n" +
			"amounts in different currencies are never added. total is paid + unpaid + canceled; paid_rate is paid / (paid + unpaid).\n" +
			"Unpaid amounts, neither PAID nor CANCELED, are also split by age: not yet due, and 1-30, 31-60, 61-90 and more days past\n" +
			"due, in the zone of --tz.",
		Example: "  cxgctl invoices summary --by month --from 2026-01-01 --to 2027-01-01\n  cxgctl invoices summary --by tenant --currency KRW -o csv --output-file receivables.csv",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(s.cat)
		if err != nil {
			return err
		}
		sums, err := t.Summarize(ctx, a.withReplica(ctx, s, cmd).db, f.filter(), by, a.today())
		if err != nil {
			return err
		}
		return printWhole(a, summaryView, sums)
	})
	cmd.Flags().StringVar(&by, "by", "currency", "month, status, currency, tenant or method")
	markFlags(cmd.Flags(), recorded, "by")
	must(cmd.RegisterFlagCompletionFunc("by", complete(invoices.Groupings...)))
	return sums[invoices.Summary](a, cmd, &f)
}

func (a *app) invoicesReport() *cobra.Command {
	var f invoiceFilter
	cmd := &cobra.Command{
		Use: "report", Short: "Report unpaid amounts by tenant and age", Args: exactly(),
		Long: "The ageing report: one line per tenant and currency with unpaid invoices, neither PAID nor CANCELED: the amount owed,\n" +
			"the part overdue, and its age: not yet due, and 1-30, 31-60, 61-90 and more days past due, in the zone of --tz.",
		Example: "  cxgctl invoices report\n  cxgctl invoices report --tenant acme -o json\n  cxgctl invoices report --overdue -o csv --columns tenant_code,currency,overdue",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(s.cat)
		if err != nil {
			return err
		}
		debts, err := t.Report(ctx, a.withReplica(ctx, s, cmd).db, f.filter(), a.today())
		if err != nil {
			return err
		}
		return printWhole(a, debtView, debts)
	})
	return sums[invoices.Debt](a, cmd, &f)
}

// sums adds the filters of invoices list to a command that summarizes invoices.
func sums[T any](a *app, cmd *cobra.Command, f *invoiceFilter) *cobra.Command {
	f.bind(cmd)
	f.bindMethods(cmd)
	bindMaxLag(cmd)
	cmd.Flags().BoolVar(&f.IncludeDeleted, "include-deleted", false, "deleted invoices too")
	markFlags(cmd.Flags(), recorded, "include-deleted")
	a.specify(cmd, Spec{Permission: "INVOICE_LIST", Tables: invoiceNoun.tables, TenantOnly: true})
	return addOutputFlags[T](a, cmd)
}

package invoice

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
)

// summaryView returns the view of a summary by one or two of invoices.Groupings.
func summaryView(by []string) output.View {
	columns := []string{"group", "subgroup", "currency", "total", "paid", "unpaid", "canceled", "paid_rate", "tenant_name", "count"}
	by = append(strings.Fields(strings.ToLower(strings.Join(by, " "))), "currency")
	columns = slices.DeleteFunc(columns, func(name string) bool {
		return name == "group" && by[0] == "currency" || name == "subgroup" && by[1] == "currency" ||
			name == "tenant_name" && !slices.Contains(by, "tenant")
	})
	return output.View{Name: "invoices", ID: "group", Table: columns}
}

var debtView = output.View{
	Name:  "unpaid invoices",
	ID:    "tenant_id",
	Table: []string{"tenant_code", "currency", "unpaid", "current", "days_1_30", "days_31_60", "days_61_90", "days_over_90", "tenant_name"},
}

func newSummary(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	var by []string
	var chart bool
	cmd := &cobra.Command{
		Use: "summary", Short: "Summarize invoices by month, status, currency, tenant or method", Args: cmdutil.ExactArgs(),
		Long: "Summarize invoices by month of the invoice date, status, currency, tenant or payment method, and always by currency:\n" +
			"amounts in different currencies are never added. total is paid + unpaid + canceled; paid_rate is paid / (paid + unpaid).\n" +
			"Unpaid amounts are neither PAID nor CANCELED. The fields current to days_over_90 split them by age, in the zone of --tz; as a\n" +
			"table, see invoices report; for a page with charts, invoices report --html.",
		Example: "  cxgctl invoices summary --by month,status --month last-month\n  cxgctl invoices summary --by month --from 2026-01-01 --to 2027-01-01\n  cxgctl invoices summary --by month --since 1y --chart\n  cxgctl invoices summary --by tenant --currency KRW -o csv --output-file receivables.csv",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, _ []string) error {
		if f := env.Printer.Format; chart && f != output.Table && f != output.Wide {
			return fault.New(fault.Usage, "--chart cannot be used with --output %s", f).WithHint("the page of invoices report --html has charts too")
		}
		t, err := invoices.NewTable(s.Catalog)
		if err != nil {
			return err
		}
		sums, err := t.Summarize(ctx, cmdutil.WithReplica(ctx, env, s, cmd).DB, f.filter(), by, cmdutil.Today(env))
		if err != nil {
			return err
		}
		if chart && len(sums) > 0 {
			return printBars(env, sums)
		}
		return printReport(env, summaryView(by), "Invoices by "+strings.ToLower(strings.Join(by, " and ")), sums)
	})
	cmd.Flags().StringSliceVar(&by, "by", []string{"currency"}, "month, status, currency, tenant or method, or two of them")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "by")
	cliflag.CompleteFlag(cmd, "by", invoices.Groupings...)
	cmd.Flags().BoolVar(&chart, "chart", false, "draw bars, to scale within each currency, in place of the table")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Printing, "chart")
	sums[invoices.Summary](env, cmd, &f)
	for _, name := range []string{"columns", "no-headers", "jq", "csv-bom", "csv-safe"} {
		cmd.MarkFlagsMutuallyExclusive("chart", name)
	}
	return cmd
}

func newReport(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	cmd := &cobra.Command{
		Use: "report", Short: "Report unpaid amounts by tenant and age", Args: cmdutil.ExactArgs(),
		Long: "The ageing report: one line per tenant and currency with unpaid invoices, neither PAID nor CANCELED: the amount owed,\n" +
			"the part overdue, and its age: not yet due, and 1-30, 31-60, 61-90 and more days past due, in the zone of --tz.\n" +
			"--html writes a page for browsers and printers in its place: per currency, the totals and the paid rate, the amounts by month,\n" +
			"the ageing and the tenants that owe most, as charts beside their tables. The figures are those of invoices summary.",
		Example: "  cxgctl invoices report\n  cxgctl invoices report --tenant acme -o json\n  cxgctl invoices report --overdue -o csv --columns tenant_code,currency,overdue\n  cxgctl invoices report --html report.html --month last-month",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(s.Catalog)
		if err != nil {
			return err
		}
		s = cmdutil.WithReplica(ctx, env, s, cmd)
		if env.Output.Page != "" {
			return printPage(ctx, env, s.DB, cmd, t, f.filter())
		}
		debts, err := t.Report(ctx, s.DB, f.filter(), cmdutil.Today(env))
		if err != nil {
			return err
		}
		return printReport(env, debtView, "Unpaid amounts by tenant and age", debts)
	})
	sums[invoices.Debt](env, cmd, &f)
	cmd.Flags().StringVar(&env.Output.Page, "html", "", "write a page with charts to `file` atomically, in place of the table")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Shaping, "html")
	cliflag.MarkFile(cmd, "html", cliflag.FileRecord)
	for _, name := range []string{"output", "columns", "no-headers", "output-file", "jq", "csv-bom", "csv-safe"} {
		cmd.MarkFlagsMutuallyExclusive("html", name)
	}
	return cmd
}

// printReport prints sums with the day of the figures, which formats for programs omit.
func printReport[T any](env *cmdutil.Env, v output.View, title string, sums []T) error {
	day := asOf(env)
	v.Title = []string{title, day}
	if f := env.Printer.Format; f == output.Table || f == output.Wide {
		env.Note("%s", day)
	}
	return cmdutil.PrintWhole(env, v, sums)
}

// asOf names the day from which ages are counted.
func asOf(env *cmdutil.Env) string {
	return fmt.Sprintf("as of %s, %s", cmdutil.Today(env), cmp.Or(env.Times.Zone, time.UTC))
}

// sums adds the filters of invoices list to a command that summarizes invoices.
func sums[T any](env *cmdutil.Env, cmd *cobra.Command, f *filterFlags) *cobra.Command {
	f.bindFilter(env, cmd)
	f.bindMethods(cmd)
	cmdutil.BindReplica(cmd)
	cliflag.BindDeleted(cmd, &f.IncludeDeleted, "invoices")
	env.Specify(cmd, cmdutil.Spec{Permission: "INVOICE_LIST", Resource: invoices.Kind.Name, Tables: cmdutil.Invoices.Tables, TenantOnly: true})
	return cmdutil.AddOutputFlags[T](env, cmd)
}

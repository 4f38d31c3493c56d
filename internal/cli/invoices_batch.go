package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
)

// invoiceBatch returns a command that changes invoices named by REFs or selected by the filters of invoices list.
func (a *app) invoiceBatch(verb string) *batch[invoices.Invoice, *invoices.Table] {
	return &batch[invoices.Invoice, *invoices.Table]{a: a, noun: invoiceNoun, verb: verb, filter: &invoiceSelection{methods: true}}
}

// invoiceSelection is the filter of a batch.
type invoiceSelection struct {
	invoiceFilter
	methods bool // filters by payment method too
}

func (f *invoiceSelection) bind(cmd *cobra.Command) {
	f.invoiceFilter.bind(cmd)
	if f.methods {
		f.bindMethods(cmd)
	}
}

func (f *invoiceSelection) empty() bool { return f.filter().Empty() }

func (f *invoiceSelection) rows(ctx context.Context, s *session, t *invoices.Table, deleted bool) ([]invoices.Invoice, error) {
	return t.Select(ctx, s.db, s.idle, f.filter(), deleted)
}

func (a *app) invoicesDelete() *cobra.Command {
	b := a.invoiceBatch("delete")
	b.destructive = true
	b.edit = func(t *invoices.Table) (invoices.Edit, error) { return t.SetDeleted(true) }
	b.holds = func(ctx context.Context, w *writer, i invoices.Invoice) string {
		return "is already deleted" + lastChange(ctx, w, i.UpdatedAt, i.UpdatedBy)
	}
	return b.command("delete REF…", "Delete invoices; restore undeletes them", "  cxgctl invoices delete INV-202612-0001 --yes --reason 'entered twice'")
}

func (a *app) invoicesRestore() *cobra.Command {
	b := a.invoiceBatch("restore")
	b.deleted = true
	b.edit = func(t *invoices.Table) (invoices.Edit, error) { return t.SetDeleted(false) }
	b.holds = func(context.Context, *writer, invoices.Invoice) string { return "is not deleted" }
	return b.command("restore REF…", "Restore deleted invoices", "  cxgctl invoices restore INV-202612-0001")
}

func (a *app) invoicesStatus() *cobra.Command {
	var move invoices.Move
	var paidAt timeFlag
	var method textFlag
	var force forceFlag
	var cmd *cobra.Command
	b := a.invoiceBatch("change the status of")
	b.filter = &invoiceSelection{} // --payment-method is the payment's
	b.edit = func(*invoices.Table) (invoices.Edit, error) {
		if move.To == "" {
			return invoices.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set PENDING, SENT, PAID, OVERDUE or CANCELED")
		}
		if cmd.Flags().Changed("paid-at") {
			at := paidAt.exact()
			move.PaidAt = &at
		}
		var err error
		if move.Force, err = force.given(a); err != nil {
			return invoices.Edit{}, err
		}
		move.PaymentMethod, move.Today = method.value(), a.today()
		return move.Edit()
	}
	b.holds = func(context.Context, *writer, invoices.Invoice) string {
		return "is already " + strings.ToUpper(move.To)
	}
	cmd = b.command("status REF… --set STATUS", "Set the status of invoices",
		"  cxgctl invoices status INV-202612-0001 --set PAID --payment-method BANK_TRANSFER --paid-at 2026-12-20\n"+
			"  cxgctl invoices status --stdin --set SENT --expect 120 <sent.txt\n  cxgctl invoices status --tenant acme --status PENDING --set CANCELED --yes")
	cmd.Flags().StringVar(&move.To, "set", "", "PENDING, SENT, PAID, OVERDUE or CANCELED")
	cmd.Flags().Var(&paidAt, "paid-at", "`time` of the payment (default now)")
	cmd.Flags().Var(&method, "payment-method", "`method` of the payment: CREDIT_CARD, BANK_TRANSFER, PAYPAL, WIRE_TRANSFER or CHECK")
	markFlags(cmd.Flags(), recorded, "set", "paid-at", "payment-method")
	force.bind(cmd, "make a change of status that the rules forbid; needs --reason")
	must(cmd.RegisterFlagCompletionFunc("set", complete(invoices.Statuses...)))
	must(cmd.RegisterFlagCompletionFunc("payment-method", complete(invoices.PaymentMethods...)))
	return cmd
}

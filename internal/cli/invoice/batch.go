package invoice

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
)

// newBatch returns a command that changes invoices named by REFs or selected by the filters of invoices list.
func newBatch(env *cmdutil.Env, verb string) *cmdutil.Batch[invoices.Invoice, *invoices.Table] {
	return &cmdutil.Batch[invoices.Invoice, *invoices.Table]{Env: env, Resource: cmdutil.Invoices, Verb: verb, Filter: &selectionFlags{env: env, methods: true}}
}

// selectionFlags is the filter of a batch.
type selectionFlags struct {
	filterFlags
	env     *cmdutil.Env
	methods bool // filters by payment method too
}

func (f *selectionFlags) Bind(cmd *cobra.Command) {
	f.bindFilter(f.env, cmd)
	if f.methods {
		f.bindMethods(cmd)
	}
}

func (f *selectionFlags) Empty() bool { return f.filter().Empty() }

func (f *selectionFlags) Rows(ctx context.Context, s *cmdutil.Session, t *invoices.Table, deleted bool) ([]invoices.Invoice, error) {
	return t.Select(ctx, s.DB, s.IdleTimeout, f.filter(), deleted)
}

func newDelete(env *cmdutil.Env) *cobra.Command {
	b := newBatch(env, "delete")
	b.Destructive = true
	b.Edit = func(t *invoices.Table) (invoices.Edit, error) { return t.SetDeleted(true) }
	b.NoopReason = func(ctx context.Context, w *cmdutil.Writer, i invoices.Invoice) string {
		return "is already deleted" + cmdutil.LastChange(ctx, env, w, i.UpdatedAt, i.UpdatedBy)
	}
	return cmdutil.Describe(b.Command("delete REF…", "Delete invoices; restore undeletes them", ""),
		"They are marked as deleted and stay in the database. The number stays taken.",
		"  cxgctl invoices delete INV-202612-0001 --yes --reason 'entered twice'\n  cxgctl invoices delete --tenant acme --status CANCELED --dry-run")
}

func newRestore(env *cmdutil.Env) *cobra.Command {
	b := newBatch(env, "restore")
	b.Deleted = true
	b.Edit = func(t *invoices.Table) (invoices.Edit, error) { return t.SetDeleted(false) }
	b.NoopReason = func(context.Context, *cmdutil.Writer, invoices.Invoice) string { return "is not deleted" }
	return b.Command("restore REF…", "Restore deleted invoices", "  cxgctl invoices restore INV-202612-0001\n  cxgctl invoices restore INV-202612-0001 --reason 'deleted by mistake'")
}

func newStatus(env *cmdutil.Env) *cobra.Command {
	var move invoices.Move
	var paidAt cliflag.TimeValue
	var method cliflag.TextValue
	var force forceFlag
	var cmd *cobra.Command
	b := newBatch(env, "change the status of")
	b.Filter = &selectionFlags{env: env} // --payment-method is the payment's
	b.Edit = func(*invoices.Table) (invoices.Edit, error) {
		if move.To == "" {
			return invoices.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set PENDING, SENT, PAID, OVERDUE or CANCELED")
		}
		if cmd.Flags().Changed("paid-at") {
			at := paidAt.Exact()
			move.PaidAt = &at
		}
		var err error
		if move.Force, err = force.given(env); err != nil {
			return invoices.Edit{}, err
		}
		move.PaymentMethod, move.Today = method.Value(), cmdutil.Today(env)
		return move.Edit()
	}
	b.NoopReason = func(context.Context, *cmdutil.Writer, invoices.Invoice) string {
		return "is already " + strings.ToUpper(move.To)
	}
	cmd = b.Command("status REF… --set STATUS", "Set the status of invoices",
		"  cxgctl invoices status INV-202612-0001 --set PAID --payment-method BANK_TRANSFER --paid-at 2026-12-20\n"+
			"  cxgctl invoices status --stdin --set SENT --expect 120 <sent.txt\n  cxgctl invoices status --tenant acme --status PENDING --set CANCELED --yes")
	cmd.Long = "PAID needs a payment method and takes the time of the payment. Changes of status that the platform does not make are refused without --force."
	cmd.Flags().StringVar(&move.To, "set", "", "PENDING, SENT, PAID, OVERDUE or CANCELED")
	cmd.Flags().Var(&paidAt, "paid-at", "`time` of the payment (default now)")
	cmd.Flags().Var(&method, "payment-method", "`method` of the payment: CREDIT_CARD, BANK_TRANSFER, PAYPAL, WIRE_TRANSFER or CHECK")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "set", "paid-at", "payment-method")
	force.bind(cmd, "make a change of status that the rules forbid; needs --reason")
	cliflag.CompleteFlag(cmd, "set", invoices.Statuses...)
	cliflag.CompleteFlag(cmd, "payment-method", invoices.PaymentMethods...)
	return cmd
}

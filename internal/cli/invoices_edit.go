package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// invoiceValues are the flags that give an invoice's fields.
type invoiceValues struct {
	tenant, subscription, number, currency, method textFlag
	invoiceDate, dueDate, startDate, closeDate     dateFlag
	base, usage, discount, tax, total, storage     amountFlag
	users, calls                                   countFlag
}

func (v *invoiceValues) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&v.tenant, "tenant", "the tenant billed, a `REF`: its id or code")
	fs.Var(&v.subscription, "subscription", "`id` of a subscription of that tenant")
	fs.Var(&v.number, "invoice-no", "invoice number, unique, 1 to 50 characters")
	fs.Var(&v.invoiceDate, "invoice-date", "date of the invoice, YYYY-MM-DD")
	fs.Var(&v.dueDate, "due-date", "date by which to pay, on or after the invoice date")
	fs.Var(&v.startDate, "start-date", "first day of the period billed")
	fs.Var(&v.closeDate, "close-date", "last day of the period billed")
	fs.Var(&v.base, "base-amount", "base amount, at least 0 and an exact decimal, like every amount")
	fs.Var(&v.usage, "usage-amount", "usage charge, added to the total")
	fs.Var(&v.discount, "discount-amount", "discount, subtracted from the total")
	fs.Var(&v.tax, "tax-amount", "tax, added to the total")
	fs.Var(&v.total, "total-amount", "total (default: computed); must equal base + usage - discount + tax exactly")
	fs.Var(&v.currency, "currency", "ISO 4217 currency `code`")
	fs.Var(&v.users, "user-count", "users billed, at least 1")
	fs.Var(&v.storage, "used-storage", "storage billed in gigabytes, an exact decimal")
	fs.Var(&v.calls, "api-calls", "API calls billed, at least 0")
	fs.Var(&v.method, "payment-method", "payment method: CREDIT_CARD, BANK_TRANSFER, PAYPAL, WIRE_TRANSFER or CHECK")
	markFlags(fs, recorded, "tenant", "currency", "payment-method")
	must(cmd.RegisterFlagCompletionFunc("payment-method", complete(invoices.PaymentMethods...)))
}

// read returns the given fields. Invalid values are added to p.
func (v *invoiceValues) read(p *fault.Problems) invoices.Values {
	return invoices.Values{
		Tenant: v.tenant.value(), Subscription: v.subscription.value(), InvoiceNo: v.number.value(),
		InvoiceDate: v.invoiceDate.read("invoice_date", p), DueDate: v.dueDate.read("due_date", p),
		StartDate: v.startDate.read("start_date", p), CloseDate: v.closeDate.read("close_date", p),
		BaseAmount: v.base.read("base_amount", p), UsageAmount: v.usage.read("usage_amount", p),
		DiscountAmount: v.discount.read("discount_amount", p), TaxAmount: v.tax.read("tax_amount", p),
		TotalAmount: v.total.read("total_amount", p), Currency: v.currency.value(),
		UserCount: v.users.read("user_count", p), UsedStorage: v.storage.read("used_storage", p),
		APICalls: v.calls.read("api_calls", p), PaymentMethod: v.method.value(),
	}
}

func (a *app) printInvoice(i invoices.Invoice) error { return output.One(a.print, invoiceView, i) }

func (a *app) invoicesCreate() *cobra.Command {
	var values invoiceValues
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "create --tenant REF [--subscription ID] --invoice-no N …", Short: "Create an invoice with status PENDING", Args: exactly(),
		Example: "  cxgctl invoices create --tenant acme --subscription 5c1e… --invoice-no INV-202612-0001 --invoice-date 2026-12-01 \\\n" +
			"    --due-date 2026-12-31 --start-date 2026-11-01 --close-date 2026-11-30 --base-amount 99000 --tax-amount 9900 --user-count 12",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(w.cat)
		if err != nil {
			return err
		}
		var p fault.Problems
		v := values.read(&p)
		v.OnlySubscription = true
		if err := t.Check(v, p); err != nil {
			return err
		}
		if err := a.confirmIfProtected(ctx, w.Ledger, "create invoice "+values.number.text); err != nil {
			return err
		}
		made, err := t.Create(ctx, w.Ledger, v)
		if err != nil {
			return err
		}
		return a.printResult(w.Ledger, func() error { return a.printInvoice(made) })
	})
	values.bind(cmd)
	cmd.Flags().Lookup("subscription").Usage += " (default: the tenant's only live subscription)"
	cmd.Flags().Lookup("currency").Usage += " (default: " + invoices.DefaultCurrency + ")"
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "INVOICE_CREATE", Tables: append(invoiceNoun.tables, schema.Subscriptions), Audit: always})
	return addOutputFlags[invoices.Invoice](a, cmd)
}

func (a *app) invoicesUpdate() *cobra.Command {
	var values invoiceValues
	var patch invoices.Patch
	var since ifUpdatedAtFlag
	var name refFlags
	var force forceFlag
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of an invoice; the total is recomputed", Args: exactly("REF"), ValidArgsFunction: invoiceNoun.completion(a, true),
		Example: "  cxgctl invoices update INV-202612-0001 --discount-amount 5000 --reason 'goodwill'\n" +
			"  cxgctl invoices update INV-202612-0001 --due-date 2027-01-31 --if-updated-at 2026-12-01T08:00:00Z",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		patch.Values = values.read(&patch.Refused)
		patch.IfUpdatedAt = since.value(cmd)
		if patch.Empty() {
			return rowupdate.ErrNothingToChange("invoices update")
		}
		var err error
		if patch.Force, err = force.given(a); err != nil {
			return err
		}
		return invoiceNoun.editSeen(ctx, a, w, name, args[0], "update",
			func(t *invoices.Table, seen invoices.Invoice) (invoices.Edit, error) {
				return t.Change(ctx, w.db, seen, patch)
			}, a.printInvoice)
	})
	values.bind(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&patch.Unset, "unset", nil, "`fields` to clear: used_storage and api_calls become 0, payment_method empty")
	markFlags(f, recorded, "unset")
	since.bind(cmd)
	must(cmd.RegisterFlagCompletionFunc("unset", complete(invoices.Unsettable...)))
	force.bind(cmd, "change the amounts of a PAID invoice; needs --reason")
	name.bind(cmd, invoices.Kind.KeyNames()...)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "INVOICE_UPDATE", Tables: append(invoiceNoun.tables, schema.Subscriptions), Audit: always})
	return addOutputFlags[invoices.Invoice](a, cmd)
}

// forceFlag is --force, which overrides a rule of the noun and needs --reason.
type forceFlag bool

func (f *forceFlag) bind(cmd *cobra.Command, usage string) {
	cmd.Flags().BoolVar((*bool)(f), "force", false, usage)
	markFlags(cmd.Flags(), recorded, "force")
}

// given reports whether --force was given, and returns an error if --reason was not.
func (f *forceFlag) given(a *app) (bool, error) {
	if *f && a.global.reason == "" {
		return false, fault.New(fault.Usage, "--force needs --reason").WithHint("give the reason for the audit row: --reason TEXT")
	}
	return bool(*f), nil
}

// today returns the current day in the zone of --tz, by the server's clock.
func (a *app) today() db.Date { return a.timing.today() }

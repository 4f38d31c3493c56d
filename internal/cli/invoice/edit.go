package invoice

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// invoiceValues are the flags that give an invoice's fields.
type invoiceValues struct {
	tenant, subscription, number, currency, method cliflag.TextValue
	invoiceDate, dueDate, startDate, closeDate     cliflag.DateValue
	base, usage, discount, tax, total, storage     cliflag.AmountValue
	users, calls                                   cliflag.CountValue
}

// completeSubscriptions completes the ids of the subscriptions of the tenant of --tenant.
func completeSubscriptions(env *cmdutil.Env) cobra.CompletionFunc {
	spec := cmdutil.Spec{Permission: "TENANT_READ", Tables: slices.Concat(cmdutil.Tenants.Tables, []string{schema.Subscriptions})}
	return cmdutil.CompleteRecent(env, spec, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command) (db.ListQuery[tenants.Subscription], error) {
		t, err := tenants.Find(ctx, s.DB, s.Catalog, cmd.Flag("tenant").Value.String(), false)
		if err != nil {
			return db.ListQuery[tenants.Subscription]{}, err
		}
		return tenants.MatchingSubscriptions(s.Catalog, t.ID, time.Time{}, time.Time{})
	}, func(x tenants.Subscription) (string, []*string) {
		return x.ID.String(), []*string{x.Status, x.BillingCycle, x.Currency}
	})
}

func (v *invoiceValues) bind(env *cmdutil.Env, cmd *cobra.Command) {
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
	cliflag.MarkFlags(fs, cliflag.Recorded, "tenant", "currency", "payment-method")
	cliflag.CompleteFlag(cmd, "payment-method", invoices.PaymentMethods...)
	cliflag.CompleteCurrency(cmd)
	cmdutil.Tenants.CompleteFlag(env, cmd, "tenant")
	cliflag.CompleteFlagWith(cmd, "subscription", completeSubscriptions(env))
}

// read returns the given fields. Invalid values are added to p.
func (v *invoiceValues) read(p *fault.Problems) invoices.Values {
	return invoices.Values{Tenant: v.tenant.Value(), Subscription: v.subscription.Value(), Invoice: invoices.Invoice{
		InvoiceNo: v.number.Text, InvoiceDate: v.invoiceDate.Read("invoice_date", p), DueDate: v.dueDate.Read("due_date", p),
		StartDate: v.startDate.Read("start_date", p), CloseDate: v.closeDate.Read("close_date", p),
		BaseAmount: v.base.Read("base_amount", p), UsageAmount: v.usage.Read("usage_amount", p),
		DiscountAmount: v.discount.Read("discount_amount", p), TaxAmount: v.tax.Read("tax_amount", p),
		TotalAmount: v.total.Read("total_amount", p), Currency: v.currency.Value(),
		UserCount: v.users.Read("user_count", p), UsedStorage: v.storage.Read("used_storage", p),
		APICalls: v.calls.Read("api_calls", p), PaymentMethod: v.method.Value(),
	}}
}

func newCreate(env *cmdutil.Env) *cobra.Command {
	var values invoiceValues
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "create --tenant REF [--subscription ID] --invoice-no N …", Short: "Create an invoice with status PENDING", Long: "The total is computed: base + usage - discount + tax, in exact decimals. Tenant and subscription must be live.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl invoices create --tenant acme --subscription 5c1e… --invoice-no INV-202612-0001 --invoice-date 2026-12-01 \\\n" +
			"    --due-date 2026-12-31 --start-date 2026-11-01 --close-date 2026-11-30 --base-amount 99000 --tax-amount 9900 --user-count 12",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, _ []string) error {
		t, err := invoices.NewTable(w.Catalog)
		if err != nil {
			return err
		}
		var p fault.Problems
		v := values.read(&p)
		v.OnlySubscription = true
		if err := t.Check(v, p); err != nil {
			return err
		}
		return cmdutil.Invoices.Create(ctx, env, w, flags, values.number.Text, func() (invoices.Invoice, error) { return t.Create(ctx, w.Ledger, v) })
	})
	values.bind(env, cmd)
	cliflag.Require(cmd, "tenant", "invoice-no", "invoice-date", "due-date", "start-date", "close-date", "base-amount", "user-count")
	cmd.Flags().Lookup("subscription").Usage += " (default: the tenant's only live subscription)"
	cmd.Flags().Lookup("currency").Usage += " (default: " + invoices.DefaultCurrency + ")"
	flags.Bind(cmd)
	flags.BindIfNotExists(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "INVOICE_CREATE", Resource: invoices.Kind.Name, Tables: append(cmdutil.Invoices.Tables, schema.Subscriptions), Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[invoices.Invoice](env, cmd)
}

func newUpdate(env *cmdutil.Env) *cobra.Command {
	var values invoiceValues
	var patch invoices.Patch
	var since cliflag.IfUpdatedAtFlag
	var name cmdutil.RefFlags
	var force forceFlag
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of an invoice; the total is recomputed", Long: "--if-updated-at refuses the change if someone changed the invoice since you read it. The amounts of a paid invoice change only with --force and --reason.", Args: cmdutil.ExactArgs("REF"), ValidArgsFunction: cliflag.CompleteArgs(cmdutil.Invoices.Completion(env, true)),
		Example: "  cxgctl invoices update INV-202612-0001 --discount-amount 5000 --reason 'goodwill'\n" +
			"  cxgctl invoices update INV-202612-0001 --due-date 2027-01-31 --if-updated-at 2026-12-01T08:00:00Z",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		patch.Values = values.read(&patch.Refused)
		patch.IfUpdatedAt = since.Value(cmd)
		if patch.Empty() {
			return rowupdate.ErrNothingToChange("invoices update")
		}
		var err error
		if patch.Force, err = force.given(env); err != nil {
			return err
		}
		return cmdutil.Invoices.EditSeen(ctx, env, w, name, args[0], func(t *invoices.Table, seen invoices.Invoice) (invoices.Edit, error) {
			return t.Change(ctx, w.DB, seen, patch)
		})
	})
	values.bind(env, cmd)
	f := cmd.Flags()
	f.StringSliceVar(&patch.Unset, "unset", nil, "`fields` to clear: used_storage and api_calls become 0, payment_method empty")
	cliflag.MarkFlags(f, cliflag.Recorded, "unset")
	since.Bind(cmd)
	cliflag.CompleteFlag(cmd, "unset", invoices.Unsettable...)
	force.bind(cmd, "change the amounts of a PAID invoice; needs --reason")
	name.Bind(cmd, invoices.Kind.KeyNames()...)
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "INVOICE_UPDATE", Resource: invoices.Kind.Name, Tables: append(cmdutil.Invoices.Tables, schema.Subscriptions), Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[invoices.Invoice](env, cmd)
}

// forceFlag is --force, which overrides a rule of the noun and needs --reason.
type forceFlag bool

func (f *forceFlag) bind(cmd *cobra.Command, usage string) {
	cmd.Flags().BoolVar((*bool)(f), "force", false, usage)
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "force")
}

// given reports whether --force was given, and returns an error if --reason was not.
func (f *forceFlag) given(env *cmdutil.Env) (bool, error) {
	if *f && env.Global.Reason == "" {
		return false, fault.New(fault.Usage, "--force needs --reason").WithHint("give the reason for the audit row: --reason TEXT")
	}
	return bool(*f), nil
}

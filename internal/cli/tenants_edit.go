package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// tenantValues are the flags that give a tenant's fields.
type tenantValues struct {
	name, kind, bizNo, bizName, bizType, ceo, bizKind, bizItem textFlag
	postcode, address1, address2, phone, zone, locale, money   textFlag
	employees                                                  countFlag
	start, end                                                 dateFlag
}

func (v *tenantValues) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&v.name, "name", "1 to 100 characters")
	fs.Var(&v.kind, "type", "TRIAL, STANDARD, PREMIUM or ENTERPRISE")
	fs.Var(&v.bizNo, "biz-no", "the business's registration number, unique")
	fs.Var(&v.bizName, "biz-name", "the business's registered name")
	fs.Var(&v.bizType, "biz-type", "one character")
	fs.Var(&v.ceo, "ceo-name", "who represents it")
	fs.Var(&v.bizKind, "biz-kind", "its line of business")
	fs.Var(&v.bizItem, "biz-item", "what it deals in")
	fs.Var(&v.postcode, "postcode", "at most 10 characters")
	fs.Var(&v.address1, "address1", "at most 255 characters")
	fs.Var(&v.address2, "address2", "at most 255 characters")
	fs.Var(&v.phone, "phone-no", "at most 20 characters")
	fs.Var(&v.employees, "employee-count", "at least 0")
	fs.Var(&v.start, "start-date", "not in the future")
	fs.Var(&v.end, "close-date", "not before the start date")
	fs.Var(&v.zone, "timezone", "time zone, such as Asia/Seoul")
	fs.Var(&v.locale, "locale", "locale, such as ko-KR")
	fs.Var(&v.money, "currency", "`code` of ISO 4217, such as KRW")
	markFlags(fs, recorded, "name", "type", "currency")
	must(cmd.RegisterFlagCompletionFunc("type", complete(tenants.Types...)))
}

// read returns the fields that were given; a text that is none of its kind is added to problems.
func (v *tenantValues) read(p *fault.Problems) tenants.Values {
	return tenants.Values{
		Name: v.name.value(), Type: v.kind.value(), BizNo: v.bizNo.value(), BizName: v.bizName.value(), BizType: v.bizType.value(),
		CEOName: v.ceo.value(), BizKind: v.bizKind.value(), BizItem: v.bizItem.value(), Postcode: v.postcode.value(),
		Address1: v.address1.value(), Address2: v.address2.value(), PhoneNo: v.phone.value(), Timezone: v.zone.value(),
		Locale: v.locale.value(), Currency: v.money.value(), EmployeeCount: v.employees.read("employee_count", p),
		StartDate: v.start.read("start_date", p), CloseDate: v.end.read("close_date", p),
	}
}

func (a *app) printTenant(t tenants.Tenant) error { return output.One(a.print, tenantView, t) }

func (a *app) tenantsCreate() *cobra.Command {
	var values tenantValues
	var code textFlag
	var status string
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "create --code C --name N", Short: "Create a tenant", Args: exactly(),
		Long: "Create a tenant: its row in the manager database. A database of its own, where tenants have one each, is made by a DBA;\n" +
			"cxgctl migrate up --tenant C then fills it.",
		Example: "  cxgctl tenants create --code acme --name 'Acme Corp.' --type PREMIUM --biz-no 123-45-67890",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, _ []string) error {
		t, err := tenants.NewTable(w.cat)
		if err != nil {
			return err
		}
		n := tenants.New{Status: status, Today: a.today()}
		n.Values = values.read(&n.Refused)
		n.Code = code.value()
		if err := n.Check(); err != nil {
			return err
		}
		if err := a.confirmIfProtected(ctx, w.Ledger, "create tenant "+*n.Code); err != nil {
			return err
		}
		made, err := t.Create(ctx, w.Ledger, n)
		if err != nil {
			return err
		}
		return a.printResult(w.Ledger, func() error { return a.printTenant(made) })
	})
	f := cmd.Flags()
	f.Var(&code, "code", "3 to 20 letters, digits, - and _; unique, and never changed")
	f.StringVar(&status, "status", "", "TRIAL or ACTIVE (default: TRIAL for --type TRIAL, else ACTIVE)")
	markFlags(f, recorded, "status")
	values.bind(cmd)
	f.Lookup("type").Usage += " (default STANDARD)"
	f.Lookup("start-date").Usage += " (default today, UTC)"
	must(cmd.RegisterFlagCompletionFunc("status", complete("TRIAL", "ACTIVE")))
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "TENANT_CREATE", Tables: tenantNoun.tables, Audit: always})
	return addOutputFlags[tenants.Tenant](a, cmd)
}

func (a *app) tenantsUpdate() *cobra.Command {
	var values tenantValues
	var patch tenants.Patch
	var since ifUpdatedAtFlag
	var name refFlags
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of a tenant", Args: exactly("REF"), ValidArgsFunction: tenantNoun.completion(a, true),
		Long:    "Change fields of a tenant. Its code stays as it is, since its database is found by it; its status has a command of its own.",
		Example: "  cxgctl tenants update acme --phone-no '+82 2 1234 5678'\n  cxgctl tenants update acme --type ENTERPRISE --unset close_date",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		patch.Today = a.today()
		patch.Values = values.read(&patch.Refused)
		patch.IfUpdatedAt = since.value(cmd)
		if patch.Empty() {
			return rowupdate.ErrNothingToChange("tenants update")
		}
		return tenantNoun.editSeen(ctx, a, w, name, args[0], "update", func(t editor[tenants.Tenant], seen tenants.Tenant) (tenants.Edit, error) {
			return t.(*tenants.Table).Change(seen, patch)
		}, a.printTenant)
	})
	values.bind(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&patch.Unset, "unset", nil, "`fields` that lose their value, such as biz_no or close_date")
	markFlags(f, recorded, "unset")
	since.bind(cmd)
	must(cmd.RegisterFlagCompletionFunc("unset", complete(tenants.Unsettable...)))
	name.bind(cmd, tenants.Kind.KeyNames()...)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "TENANT_UPDATE", Tables: tenantNoun.tables, Audit: always})
	return addOutputFlags[tenants.Tenant](a, cmd)
}

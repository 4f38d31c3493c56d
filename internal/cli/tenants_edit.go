package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// tenantValues are the flags for the fields of a tenant.
type tenantValues struct {
	name, kind, bizNo, bizName, bizType, ceo, bizKind, bizItem textFlag
	postcode, address1, address2, phone, zone, locale, money   textFlag
	employees                                                  countFlag
	start, end                                                 dateFlag
}

func (v *tenantValues) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&v.name, "name", "name, 1 to 100 characters")
	fs.Var(&v.kind, "type", "TRIAL, STANDARD, PREMIUM or ENTERPRISE")
	fs.Var(&v.bizNo, "biz-no", "business registration number, unique")
	fs.Var(&v.bizName, "biz-name", "registered name of the business")
	fs.Var(&v.bizType, "biz-type", "type of business, one character")
	fs.Var(&v.ceo, "ceo-name", "name of the representative")
	fs.Var(&v.bizKind, "biz-kind", "line of business")
	fs.Var(&v.bizItem, "biz-item", "products or services")
	fs.Var(&v.postcode, "postcode", "postcode, at most 10 characters")
	fs.Var(&v.address1, "address1", "first line of the address, at most 255 characters")
	fs.Var(&v.address2, "address2", "second line of the address, at most 255 characters")
	fs.Var(&v.phone, "phone-no", "phone number, at most 20 characters")
	fs.Var(&v.employees, "employee-count", "number of employees, at least 0")
	fs.Var(&v.start, "start-date", "start date, not in the future")
	fs.Var(&v.end, "close-date", "close date, not before the start date")
	fs.Var(&v.zone, "timezone", "time zone, such as Asia/Seoul")
	fs.Var(&v.locale, "locale", "locale, such as ko-KR")
	fs.Var(&v.money, "currency", "ISO 4217 `code`, such as KRW")
	markFlags(fs, recorded, "name", "type", "currency")
	must(cmd.RegisterFlagCompletionFunc("type", complete(tenants.Types...)))
}

// read returns the fields that were set and adds invalid values to p.
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
		Long: "Create a tenant as a row in the manager database. Where each tenant has its own database, create that separately and\n" +
			"then run cxgctl migrate up --tenant C.",
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
	f.Var(&code, "code", "3 to 20 letters, digits, - and _; unique, cannot be changed later")
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
		Long: "Change fields of a tenant. The code cannot change, because it identifies the tenant's database. To change the status,\n" +
			"use cxgctl tenants status.",
		Example: "  cxgctl tenants update acme --phone-no '+82 2 1234 5678'\n  cxgctl tenants update acme --type ENTERPRISE --unset close_date",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		patch.Today = a.today()
		patch.Values = values.read(&patch.Refused)
		patch.IfUpdatedAt = since.value(cmd)
		if patch.Empty() {
			return rowupdate.ErrNothingToChange("tenants update")
		}
		return tenantNoun.editSeen(ctx, a, w, name, args[0], "update", func(t *tenants.Table, seen tenants.Tenant) (tenants.Edit, error) {
			return t.Change(seen, patch)
		}, a.printTenant)
	})
	values.bind(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&patch.Unset, "unset", nil, "set these `fields` to null, such as biz_no or close_date")
	markFlags(f, recorded, "unset")
	since.bind(cmd)
	must(cmd.RegisterFlagCompletionFunc("unset", complete(tenants.Unsettable...)))
	name.bind(cmd, tenants.Kind.KeyNames()...)
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "TENANT_UPDATE", Tables: tenantNoun.tables, Audit: always})
	return addOutputFlags[tenants.Tenant](a, cmd)
}

package tenant

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// tenantValues are the flags for the fields of a tenant.
type tenantValues struct {
	name, kind, bizNo, bizName, bizType, ceo, bizKind, bizItem cliflag.TextValue
	postcode, address1, address2, phone, zone, locale, money   cliflag.TextValue
	employees                                                  cliflag.CountValue
	start, end                                                 cliflag.DateValue
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
	cliflag.MarkFlags(fs, cliflag.Recorded, "name", "type", "currency")
	cliflag.CompleteFlag(cmd, "type", tenants.Types...)
	cliflag.CompleteZone(cmd, "timezone")
	cliflag.CompleteLocale(cmd)
	cliflag.CompleteCurrency(cmd)
}

// read returns the fields that were set and adds invalid values to p.
func (v *tenantValues) read(p *fault.Problems) tenants.Tenant {
	return tenants.Tenant{
		Name: v.name.Value(), Type: v.kind.Value(), BizNo: v.bizNo.Value(), BizName: v.bizName.Value(), BizType: v.bizType.Value(),
		CEOName: v.ceo.Value(), BizKind: v.bizKind.Value(), BizItem: v.bizItem.Value(), Postcode: v.postcode.Value(),
		Address1: v.address1.Value(), Address2: v.address2.Value(), PhoneNo: v.phone.Value(), Timezone: v.zone.Value(),
		Locale: v.locale.Value(), Currency: v.money.Value(), EmployeeCount: v.employees.Read("employee_count", p),
		StartDate: v.start.Read("start_date", p), CloseDate: v.end.Read("close_date", p),
	}
}

func newCreate(env *cmdutil.Env) *cobra.Command {
	var values tenantValues
	var code cliflag.TextValue
	var status string
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "create --code C --name N", Short: "Create a tenant", Args: cmdutil.ExactArgs(),
		Long: "Create a tenant as a row in the manager database. Where each tenant has its own database, create that separately and\n" +
			"then run cxgctl migrate up --tenant C.",
		Example: "  cxgctl tenants create --code acme --name 'Acme Corp.' --type PREMIUM --biz-no 123-45-67890\n  cxgctl tenants create --code globex --name Globex --type TRIAL",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, _ []string) error {
		t, err := tenants.NewTable(w.Catalog)
		if err != nil {
			return err
		}
		n := tenants.New{Status: status, Today: cmdutil.Today(env)}
		n.Tenant = values.read(&n.Refused)
		n.Code = code.Value()
		if err := n.Check(); err != nil {
			return err
		}
		return cmdutil.Tenants.Create(ctx, env, w, flags, *n.Code, func() (tenants.Tenant, error) { return t.Create(ctx, w.Ledger, n) })
	})
	f := cmd.Flags()
	f.Var(&code, "code", "3 to 20 letters, digits, - and _; unique, cannot be changed later")
	f.StringVar(&status, "status", "", "TRIAL or ACTIVE (default: TRIAL for --type TRIAL, else ACTIVE)")
	cliflag.MarkFlags(f, cliflag.Recorded, "status")
	values.bind(cmd)
	f.Lookup("type").Usage += " (default STANDARD)"
	f.Lookup("start-date").Usage += " (default today, UTC)"
	cliflag.Require(cmd, "code", "name")
	cliflag.CompleteFlag(cmd, "status", "TRIAL", "ACTIVE")
	flags.Bind(cmd)
	flags.BindIfNotExists(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_CREATE", Resource: tenants.Kind.Name, Tables: cmdutil.Tenants.Tables, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[tenants.Tenant](env, cmd)
}

func newUpdate(env *cmdutil.Env) *cobra.Command {
	var values tenantValues
	var patch tenants.Patch
	var since cliflag.IfUpdatedAtFlag
	var name cmdutil.RefFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "update REF", Short: "Change fields of a tenant", Args: cmdutil.ExactArgs("REF"), ValidArgsFunction: cliflag.CompleteArgs(cmdutil.Tenants.Completion(env, true)),
		Long: "Change fields of a tenant. The code cannot change, because it identifies the tenant's database. To change the status,\n" +
			"use cxgctl tenants status.",
		Example: "  cxgctl tenants update acme --phone-no '+82 2 1234 5678'\n  cxgctl tenants update acme --type ENTERPRISE --unset close_date",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		patch.Today = cmdutil.Today(env)
		patch.Tenant = values.read(&patch.Refused)
		patch.IfUpdatedAt = since.Value(cmd)
		if patch.Empty() {
			return rowupdate.ErrNothingToChange("tenants update")
		}
		return cmdutil.Tenants.EditSeen(ctx, env, w, name, args[0], func(t *tenants.Table, seen tenants.Tenant) (tenants.Edit, error) {
			return t.Change(seen, patch)
		})
	})
	values.bind(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&patch.Unset, "unset", nil, "set these `fields` to null, such as biz_no or close_date")
	cliflag.MarkFlags(f, cliflag.Recorded, "unset")
	since.Bind(cmd)
	cliflag.CompleteFlag(cmd, "unset", tenants.Unsettable...)
	name.Bind(cmd, tenants.Kind.KeyNames()...)
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_UPDATE", Resource: tenants.Kind.Name, Tables: cmdutil.Tenants.Tables, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[tenants.Tenant](env, cmd)
}

package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

var tenantView = output.View{
	Table: []string{"code", "name", "type", "status", "start_date", "close_date", "created_at"},
	Wide: []string{
		"id", "code", "name", "type", "biz_no", "ceo_name", "phone_no", "employee_count", "start_date", "close_date", "timezone", "locale",
		"currency", "status", "suspended_reason", "suspended_date", "deleted", "created_at", "updated_at",
	},
}

var tenantNoun = resourceKind[tenants.Tenant, *tenants.Table]{
	Kind:   &tenants.Kind,
	tables: []string{schema.Tenants},
	view:   tenantView,
	open:   func(s *session) (*tenants.Table, error) { return tenants.NewTable(s.cat) },
	complete: func(ctx context.Context, s *session, prefix string, live bool) ([]string, error) {
		t, err := tenants.NewTable(s.cat)
		if err != nil {
			return nil, err
		}
		return t.Codes(ctx, s.db, prefix, live)
	},
}

func (a *app) tenantsCommand() *cobra.Command {
	return a.group("tenants", "Manage tenants, their members and their databases",
		a.tenantsList(), a.tenantsGet(), a.tenantsCreate(), a.tenantsUpdate(),
		a.tenantsStatus(), a.membersCommand(), a.subscriptionsCommand(), a.tenantsDatabases(),
		tenantNoun.history(a))
}

// tenantFilter are the flags that select tenants.
type tenantFilter struct {
	tenants.Filter
	created rangeFlags
}

// filter returns what the flags select.
func (f *tenantFilter) filter() tenants.Filter {
	out := f.Filter
	out.Since, out.Until = f.created.since.Time(), f.created.until.Time()
	return out
}

func (f *tenantFilter) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: TRIAL, ACTIVE, SUSPENDED, TERMINATED")
	fs.StringSliceVar(&f.Types, "type", nil, "only these `types`: TRIAL, STANDARD, PREMIUM, ENTERPRISE")
	markFlags(fs, recorded, "status", "type")
	searchVar(fs, &f.Search, "search", "literal `text` in code, name or business number")
	must(cmd.RegisterFlagCompletionFunc("status", complete(tenants.Statuses...)))
	f.created.bind(cmd, "created")
	must(cmd.RegisterFlagCompletionFunc("type", complete(tenants.Types...)))
}

func (f *tenantFilter) empty() bool { return f.filter().Empty() }

func (f *tenantFilter) rows(ctx context.Context, s *session, t *tenants.Table, deleted bool) ([]tenants.Tenant, error) {
	return t.Select(ctx, s.db, s.idle, f.filter(), deleted)
}

func (a *app) tenantsList() *cobra.Command {
	var f tenantFilter
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List tenants, newest first", Args: exactly(),
		Example: "  cxgctl tenants list --status TRIAL --sort code\n  cxgctl tenants list --all -o csv --output-file tenants.csv",
	}
	cmd.RunE = a.runRead(list(a, tenantView, &page, func(_ context.Context, s *session) (listing[tenants.Tenant], error) {
		t, err := tenants.NewTable(s.cat)
		return listing[tenants.Tenant]{
			table: schema.Tenants,
			matching: func(_ context.Context, since db.Increment) (db.ListQuery[tenants.Tenant], error) {
				f.Changed, f.Sort = since, page.sort
				return t.Matching(f.filter()), nil
			},
		}, err
	}))
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.IncludeDeleted, "include-deleted", false, "include deleted tenants")
	markFlags(cmd.Flags(), recorded, "include-deleted")
	page.bindExport(cmd)
	cmd.Flags().StringSliceVar(&page.sort, "sort", nil, "sort by these `fields`, each FIELD or FIELD:desc")
	markFlags(cmd.Flags(), shaping, "sort")
	must(cmd.RegisterFlagCompletionFunc("sort", complete(tenants.SortFields...)))
	a.specify(cmd, Spec{Permission: "TENANT_LIST", Tables: tenantNoun.tables})
	return addOutputFlags[tenants.Tenant](a, cmd)
}

// shownTenant is a tenant with its subscriptions.
type shownTenant struct {
	tenants.Tenant
	Subscriptions []tenants.Subscription `json:"subscriptions"`
}

func (a *app) tenantsGet() *cobra.Command {
	var name refFlags
	cmd := &cobra.Command{
		Use: "get REF", Short: "Show a tenant with its subscriptions", Args: exactly("REF"), ValidArgsFunction: tenantNoun.completion(a, true),
		Example: "  cxgctl tenants get acme\n  cxgctl tenants get acme -o json --jq '.data.subscriptions[].status'",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, _ *cobra.Command, args []string) error {
		t, err := tenantNoun.lookup(ctx, s, name, args[0])
		if err != nil {
			return err
		}
		subscriptions, err := tenants.Subscriptions(ctx, s.db, s.cat, t.ID)
		if err != nil {
			return err
		}
		return output.One(a.print, tenantView, shownTenant{t, subscriptions})
	})
	name.bind(cmd, tenants.Kind.KeyNames()...)
	name.bindDeleted(cmd, "tenants")
	a.specify(cmd, Spec{Permission: "TENANT_READ", Tables: append(tenantNoun.tables, schema.Subscriptions)})
	return addOutputFlags[shownTenant](a, cmd)
}

var subscriptionView = output.View{
	Table: []string{"id", "status", "billing_cycle", "base_amount", "currency", "start_date", "close_date"},
}

func (a *app) subscriptionsCommand() *cobra.Command {
	return a.group("subscriptions", "List subscriptions of a tenant", a.subscriptionsList())
}

func (a *app) subscriptionsList() *cobra.Command {
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list TENANT", Short: "List the live subscriptions of a tenant, latest first", Args: exactly("TENANT"),
		ValidArgsFunction: tenantNoun.completion(a, true),
		Example:           "  cxgctl tenants subscriptions list acme\n  cxgctl tenants subscriptions list acme -o id",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		t, err := tenantNoun.lookup(ctx, s, refFlags{}, args[0])
		if err != nil {
			return err
		}
		return list(a, subscriptionView, &page, func(_ context.Context, s *session) (listing[tenants.Subscription], error) {
			q, err := tenants.MatchingSubscriptions(s.cat, t.ID)
			return listing[tenants.Subscription]{
				matching: func(context.Context, db.Increment) (db.ListQuery[tenants.Subscription], error) { return q, nil },
			}, err
		})(ctx, s, cmd, args)
	})
	page.bind(cmd)
	a.specify(cmd, Spec{Permission: "TENANT_READ", Tables: append(tenantNoun.tables, schema.Subscriptions)})
	return addOutputFlags[tenants.Subscription](a, cmd)
}

func (a *app) tenantsStatus() *cobra.Command {
	var status string
	b := &batch[tenants.Tenant, *tenants.Table]{a: a, noun: tenantNoun, verb: "change the status of", filter: &tenantFilter{}}
	b.edit = func(t *tenants.Table) (tenants.Edit, error) {
		if status == "" {
			return tenants.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set TRIAL, ACTIVE, SUSPENDED or TERMINATED")
		}
		return t.SetStatus(status, a.global.reason)
	}
	b.holds = func(context.Context, *writer, tenants.Tenant) string { return "is already " + strings.ToUpper(status) }
	cmd := b.command("status REF… --set STATUS", "Set the status of tenants",
		"  cxgctl tenants status acme --set SUSPENDED --reason 'three invoices overdue'\n  cxgctl tenants status acme --set ACTIVE")
	cmd.Long = "Set the status of tenants. SUSPENDED requires --reason, which is stored in suspended_reason, with the time in\n" +
		"suspended_date. Every other status clears both."
	cmd.Flags().StringVar(&status, "set", "", "TRIAL, ACTIVE, SUSPENDED or TERMINATED")
	markFlags(cmd.Flags(), recorded, "set")
	must(cmd.RegisterFlagCompletionFunc("set", complete(tenants.Statuses...)))
	return cmd
}

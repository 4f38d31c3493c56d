// Package tenant implements the tenants commands.
package tenant

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// NewCommand returns the commands about tenants, their members and their databases.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	env.Undoable = append(env.Undoable, tenants.Resource, tenants.MemberResource)
	return cmdutil.Group("tenants", "Manage tenants, their members and their databases",
		newList(env), newGet(env), newCreate(env), newUpdate(env),
		newStatus(env), newMembers(env), newSubscriptions(env), newDatabases(env),
		cmdutil.Tenants.History(env))
}

// filterFlags are the flags that select tenants.
type filterFlags struct {
	tenants.Filter
	created cliflag.RangeFlags
}

// filter returns what the flags select.
func (f *filterFlags) filter() tenants.Filter {
	out := f.Filter
	out.Since, out.Until = f.created.Since.Time(), f.created.Until.Time()
	return out
}

func (f *filterFlags) Bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: TRIAL, ACTIVE, SUSPENDED, TERMINATED")
	fs.StringSliceVar(&f.Types, "type", nil, "only these `types`: TRIAL, STANDARD, PREMIUM, ENTERPRISE")
	cliflag.MarkFlags(fs, cliflag.Recorded, "status", "type")
	cliflag.SearchVar(fs, &f.Search, "search", "literal `text` in code, name or business number")
	cliflag.CompleteFlag(cmd, "status", tenants.Statuses...)
	f.created.Bind(cmd, "created")
	cliflag.CompleteFlag(cmd, "type", tenants.Types...)
}

func (f *filterFlags) Empty() bool { return f.filter().Empty() }

func (f *filterFlags) Rows(ctx context.Context, s *cmdutil.Session, t *tenants.Table, deleted bool) ([]tenants.Tenant, error) {
	return t.Select(ctx, s.DB, s.IdleTimeout, f.filter(), deleted)
}

func newList(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List tenants, newest first", Long: "Tenants are the platform's customers. Their users are members, or in databases of their own.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl tenants list --status TRIAL --sort code\n  cxgctl tenants list --all -o csv --output-file tenants.csv",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, cmdutil.TenantView, &page, func(_ context.Context, s *cmdutil.Session, since db.Increment) (q db.ListQuery[tenants.Tenant], err error) {
		t, err := tenants.NewTable(s.Catalog)
		if err != nil {
			return q, err
		}
		f.Changed, f.Sort = since, page.Sort
		return t.Matching(f.filter()), nil
	}))
	f.Bind(cmd)
	cliflag.BindDeleted(cmd, &f.IncludeDeleted, "tenants")
	page.BindExport(cmd)
	page.BindSort(cmd, tenants.SortFields)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_LIST", Resource: tenants.Kind.Name, Tables: cmdutil.Tenants.Tables})
	return cmdutil.AddOutputFlags[tenants.Tenant](env, cmd)
}

type shownTenant struct {
	tenants.Tenant
	Subscriptions []tenants.Subscription `json:"subscriptions"`
}

func newGet(env *cmdutil.Env) *cobra.Command {
	var name cmdutil.RefFlags
	cmd := &cobra.Command{
		Use: "get REF…", Short: "Show a tenant with its subscriptions, or several", Args: cmdutil.AtLeast("REF"), ValidArgsFunction: cliflag.CompleteRefs(cmdutil.Tenants.Completion(env, true)),
		Example: "  cxgctl tenants get acme\n  cxgctl tenants get acme -o json --jq '.data.subscriptions[].status'\n  cxgctl tenants get acme globex -o csv",
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, args []string) error {
		return cmdutil.Tenants.Show(ctx, env, s, cmd, name, args, func(rows []tenants.Tenant) error {
			list := make([]shownTenant, len(rows))
			for i, t := range rows {
				subscriptions, err := tenants.Subscriptions(ctx, s.DB, s.Catalog, t.ID)
				if err != nil {
					return err
				}
				list[i] = shownTenant{t, subscriptions}
			}
			if len(args) > 1 || len(list) == 0 {
				return cmdutil.PrintWhole(env, cmdutil.TenantView, list)
			}
			view := subscriptionView
			view.Table = view.Table[1:] // subscriptions list shows ids
			return output.OneWithList(env.Printer, cmdutil.TenantView, list[0], "subscriptions", view, list[0].Subscriptions)
		})
	})
	name.Bind(cmd, tenants.Kind.KeyNames()...)
	name.BindDeleted(cmd, "tenants")
	name.BindIgnore(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_READ", Resource: tenants.Kind.Name, Tables: append(cmdutil.Tenants.Tables, schema.Subscriptions)})
	return cmdutil.AddOutputFlags[shownTenant](env, cmd)
}

var subscriptionView = output.View{
	Name:  "subscriptions",
	Table: []string{"id", "status", "billing_cycle", "base_amount", "currency", "start_date", "close_date"},
}

func newSubscriptions(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("subscriptions", "List subscriptions of a tenant", newSubscriptionsList(env))
}

func newSubscriptionsList(env *cmdutil.Env) *cobra.Command {
	var page listcmd.PageFlags
	var started cliflag.RangeFlags
	cmd := &cobra.Command{
		Use: "list TENANT", Short: "List the live subscriptions of a tenant, latest first", Long: "An invoice is for one subscription; its id is what invoices create takes.", Args: cmdutil.ExactArgs("TENANT"),
		ValidArgsFunction: cliflag.CompleteArgs(cmdutil.Tenants.Completion(env, true)),
		Example:           "  cxgctl tenants subscriptions list acme\n  cxgctl tenants subscriptions list acme -o id",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, subscriptionView, &page, func(ctx context.Context, s *cmdutil.Session, _ db.Increment) (q db.ListQuery[tenants.Subscription], err error) {
		t, err := cmdutil.Tenants.Lookup(ctx, s, cmdutil.RefFlags{}, cmd.Flags().Arg(0))
		if err != nil {
			return q, err
		}
		return tenants.MatchingSubscriptions(s.Catalog, t.ID, started.Since.Time(), started.Until.Time())
	}))
	started.Bind(cmd, "started")
	page.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "TENANT_READ", Resource: "subscription", Tables: append(cmdutil.Tenants.Tables, schema.Subscriptions)})
	return cmdutil.AddOutputFlags[tenants.Subscription](env, cmd)
}

func newStatus(env *cmdutil.Env) *cobra.Command {
	var status string
	b := &cmdutil.Batch[tenants.Tenant, *tenants.Table]{Env: env, Resource: cmdutil.Tenants, Verb: "change the status of", Filter: &filterFlags{}}
	b.Edit = func(t *tenants.Table) (tenants.Edit, error) {
		if status == "" {
			return tenants.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set TRIAL, ACTIVE, SUSPENDED or TERMINATED")
		}
		return t.SetStatus(status, env.Global.Reason)
	}
	b.NoopReason = func(context.Context, *cmdutil.Writer, tenants.Tenant) string {
		return "is already " + strings.ToUpper(status)
	}
	cmd := b.Command("status REF… --set STATUS", "Set the status of tenants",
		"  cxgctl tenants status acme --set SUSPENDED --reason 'three invoices overdue'\n  cxgctl tenants status acme --set ACTIVE")
	cmd.Long = "Set the status of tenants. SUSPENDED requires --reason, which is stored in suspended_reason, with the time in\n" +
		"suspended_date. Every other status clears both."
	cmd.Flags().StringVar(&status, "set", "", "TRIAL, ACTIVE, SUSPENDED or TERMINATED")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "set")
	cliflag.CompleteFlag(cmd, "set", tenants.Statuses...)
	return cmd
}

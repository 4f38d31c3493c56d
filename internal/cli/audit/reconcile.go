package audit

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// reconciled is the record of a settled intent.
type reconciled struct {
	ID        uuid.UUID `json:"id"`
	OpID      uuid.UUID `json:"op_id"`
	CreatedAt db.Time   `json:"created_at"`
	Operator  string    `json:"operator"`
	Tenant    string    `json:"tenant" table:"key"`
	Action    string    `json:"action"`
	Resource  string    `json:"resource"`
	Name      string    `json:"name"`
	Outcome   *string   `json:"outcome"` // applied or void; null if unknown
	Error     *string   `json:"error"`
}

var reconciledView = output.View{
	Name:  "unfinished changes",
	Table: []string{"created_at", "operator", "tenant", "action", "resource", "name", "outcome", "error"},
	Wide:  []string{"id", "op_id", "created_at", "operator", "tenant", "action", "resource", "name", "outcome", "error"},
}

func newReconcile(env *cmdutil.Env) *cobra.Command {
	var flags cmdutil.ChangeFlags
	age := cliflag.LifetimeValue(10 * time.Minute)
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Settle changes in tenants' databases that a crash left open", Args: cmdutil.ExactArgs(),
		Long: `Settle changes in tenants' databases that a crash left open.

A change in a tenant's database is announced in the manager database, made, and then written to the audit log. If the
command is killed or loses a server in between, the announcement has no outcome. This command looks in the tenant's
database: a change that was made there gets its audit rows, in the name of its operator; a change that was not made is
recorded as a failed attempt and can no longer take place. Nothing is guessed: if a database cannot be reached, the
announcement stays (exit 9). A dry run only looks.

A change that is still running looks like an interrupted one, and fails when it is settled. So announcements younger
than 10 minutes are skipped, unless --older-than is shorter.`,
		Example: "  cxgctl audit reconcile --dry-run\n  cxgctl audit reconcile --older-than 1h -o json",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, _ []string) error {
		if !flags.DryRun {
			if err := w.Require("SYSTEM_MANAGE"); err != nil {
				return cmdutil.FailedOn(ctx, w, "", err)
			}
		}
		open, err := audit.ReadUnsettled(ctx, w.DB, w.Catalog, time.Now().Add(-time.Duration(age)))
		if err != nil {
			return err
		}
		if len(open) > 0 {
			if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "settle "+fault.Plural(len(open), "change"), len(open)); err != nil {
				return err
			}
		}
		list := make([]reconciled, len(open))
		failed := 0
		reached := map[string]*db.DB{}
		for i, u := range open {
			list[i] = reconciled{
				ID: u.ID, OpID: u.OpID, CreatedAt: u.CreatedAt, Operator: u.Operator(), Tenant: u.TenantCode, Action: u.Action,
				Resource: u.Resource, Name: u.Name,
			}
			outcome, err := settle(ctx, env, cmd, w, u, reached)
			if err != nil {
				message := fault.From(err).Message
				list[i].Error = &message
				failed++
				continue
			}
			list[i].Outcome = &outcome
		}
		if flags.DryRun {
			env.Note("dry run: %s to settle, nothing was changed", fault.Plural(len(open), "change"))
		} else {
			env.QuietRecord()
			env.Note("%s settled", fault.Plural(len(open)-failed, "change"))
		}
		if err := cmdutil.PrintWhole(env, reconciledView, list); err != nil {
			return err
		}
		if failed > 0 {
			return fault.New(fault.PartialFailure, "%d of %d could not be settled; the rest is done", failed, len(open)).
				WithHint("run it again once the tenants' databases can be reached")
		}
		return nil
	})
	cmd.Flags().Var(&age, "older-than", "only changes announced at least this `long` ago; settling a running change makes it fail")
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{
		Permission: "AUDIT_READ", Resource: "audit", Optional: []string{"SYSTEM_MANAGE"}, Tables: []string{schema.Intents}, Audit: cmdutil.Always, Action: audit.Execute,
	})
	cliflag.Exits(cmd, "9")
	return cmdutil.AddOutputFlags[reconciled](env, cmd)
}

// settle settles one intent in the current database of its tenant. reached caches open connections by URL.
func settle(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, w *cmdutil.Writer, u audit.Unsettled, reached map[string]*db.DB) (string, error) {
	p := cmdutil.ResolveTenantTarget(ctx, env, cmd, tenants.Ref{ID: u.TenantID, Code: &u.TenantCode})
	if p.Err != nil {
		return "", p.Err
	}
	d := reached[p.Options.URL]
	if d == nil {
		var err error
		if d, err = env.Open(ctx, p.Options); err != nil {
			return "", err
		}
		reached[p.Options.URL] = d
	}
	return w.Settle(ctx, u, d)
}

package migrate

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

// plannedItem is one line of a migration's plan.
type plannedItem struct {
	Action string  `json:"action"` // a migrate.Action: exists, add or leave
	Kind   string  `json:"kind"`
	Object string  `json:"object"`
	Detail *string `json:"detail"`
}

// attachPlan distributes the items of a plan to their migrations.
func attachPlan(list []migration, plan migrate.Plan) {
	byVersion := map[int64]*migration{}
	for i := range list {
		byVersion[list[i].Version] = &list[i]
	}
	for _, item := range plan.Items {
		m := byVersion[item.Version]
		if m == nil {
			continue // the record of a migration that a newer cxgctl applied
		}
		p := plannedItem{Action: string(item.Action), Kind: string(item.Kind), Object: item.Object}
		if item.Detail != "" {
			p.Detail = &item.Detail
		}
		m.Plan = append(m.Plan, p)
	}
}

// planMarks prefix the lines of a plan: existing, added and skipped objects.
var planMarks = map[migrate.Action]string{migrate.Exists: "=", migrate.Add: "+", migrate.Skip: "~"}

// notePlan prints the plan for a database that other software created or in which a run was interrupted. For
// databases that cxgctl created, the names of the migrations suffice.
func notePlan(env *cmdutil.Env, plan migrate.Plan) {
	switch {
	case plan.Adopts:
		env.Note("the %s database has tables that cxgctl did not create; migrate up adds the objects marked + and changes nothing else:", plan.Database)
	case plan.Interrupted:
		env.Note("migrate up was interrupted in the %s database; the next run adds the objects marked +:", plan.Database)
	default:
		return
	}
	for _, item := range plan.Items {
		env.Note("%s", strings.TrimRight("  "+planMarks[item.Action]+" "+string(item.Kind)+" "+item.Object+": "+item.Detail, ": "))
	}
}

// plannedLosses prints the data that reverting the migrations would delete, and returns an error if there is some
// and --discard-data is not set. The returned text is appended to the confirmation question.
func plannedLosses(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, f *tenantdb.DatabaseFlags, plan []migration) (string, error) {
	lost := ""
	for _, m := range plan {
		which := migrate.Database(m.Database)
		o, err := server(ctx, env, cmd, which)
		if err != nil {
			return "", err
		}
		losses, err := db.Connected(ctx, o, func(cfg *pgx.ConnConfig) ([]migrate.Loss, error) {
			return migrate.PlanDown(ctx, cfg, which)
		})
		if err != nil {
			return "", err
		}
		losses = slices.DeleteFunc(losses, func(l migrate.Loss) bool { return l.Version != m.Version }) // empty for --with
		if !f.DiscardData {
			if err := migrate.Refusal(which, m.Name, losses); err != nil {
				return "", err
			}
		}
		for _, l := range losses {
			env.Note("data lost with %s/%s: %s", m.Database, m.Name, l)
			lost = ", and lose data"
		}
	}
	return lost, nil
}

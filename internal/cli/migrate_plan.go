package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/migrate"
)

// plannedItem is one line of a migration's plan.
type plannedItem struct {
	Action string  `json:"action"` // exists, add or leave
	Kind   string  `json:"kind"`
	Object string  `json:"object"`
	Detail *string `json:"detail"`
}

// attach gives each migration what the plan says of it.
func attachPlan(list []migration, plan migrate.Plan) {
	byVersion := map[int64]*migration{}
	for i := range list {
		byVersion[list[i].Version] = &list[i]
	}
	for _, item := range plan.Items {
		m := byVersion[item.Version]
		p := plannedItem{Action: string(item.Action), Kind: string(item.Kind), Object: item.Object}
		if item.Detail != "" {
			p.Detail = &item.Detail
		}
		m.Plan = append(m.Plan, p)
	}
}

// planMarks stand before the lines of a plan: what is there, what is added, what is left as it is.
var planMarks = map[migrate.Action]string{migrate.Exists: "=", migrate.Add: "+", migrate.Skip: "~"}

// notePlan tells people what up does with a database that other software made, or in which an earlier
// run was interrupted. Of a database of cxgctl's own the migrations' names say enough.
func (a *app) notePlan(plan migrate.Plan) {
	switch {
	case plan.Adopts:
		a.note("the %s database has tables that cxgctl did not make; migrate up adds what is marked + and changes nothing else:", plan.Database)
	case plan.Unfinished() > 0:
		a.note("in the %s database a run of migrate up was interrupted; the next one does what is marked +:", plan.Database)
	default:
		return
	}
	for _, item := range plan.Items {
		a.note("%s", strings.TrimRight("  "+planMarks[item.Action]+" "+string(item.Kind)+" "+item.Object+": "+item.Detail, ": "))
	}
}

// losses names the data that would go with the migrations, and refuses that unless --discard-data was
// given. It returns what to add to the question that is asked before anything is taken back.
func (a *app) plannedLosses(ctx context.Context, cmd *cobra.Command, f *migrateFlags, plan []migration) (string, error) {
	lost := ""
	for _, m := range plan {
		which := migrate.Database(m.Database)
		cfg, err := a.server(ctx, cmd, which)
		if err != nil {
			return "", err
		}
		losses, err := migrate.PlanDown(ctx, cfg, which)
		if err != nil {
			return "", err
		}
		losses = slices.DeleteFunc(losses, func(l migrate.Loss) bool { return l.Version != m.Version }) // of --with, none
		if !f.discardData {
			if err := migrate.Refusal(which, m.Name, losses); err != nil {
				return "", err
			}
		}
		for _, l := range losses {
			a.note("data that goes with %s/%s: %s", m.Database, m.Name, l)
			lost = ", and lose data"
		}
	}
	return lost, nil
}

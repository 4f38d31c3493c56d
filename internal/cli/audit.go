package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

var auditView = output.View{
	Table: []string{"created_at", "operator", "action", "resource", "resource_id", "result", "description"},
	Wide: []string{
		"id", "created_at", "operator", "event_type", "action", "resource", "resource_id", "result", "failure_reason",
		"risk_level", "description", "op_id", "reason", "ticket",
	},
}

func (a *app) auditCommand() *cobra.Command {
	return a.group("audit", "The audit log",
		child{"list", a.auditList}, child{"get", a.auditGet}, child{"undo", a.auditUndo}, child{"verify", a.auditVerify},
		child{"seal", a.auditSeal}, child{"checkpoint", a.auditCheckpoint}, child{"keygen", a.auditKeygen}, child{"reconcile", a.auditReconcile},
		child{"prune", a.auditPrune})
}

func (a *app) auditList() *cobra.Command {
	var f audit.Filter
	var since, until timeFlag
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the audit log, newest first", Args: exactly(),
		Example: "  cxgctl audit list --since 7d --actor admin\n  cxgctl audit list --resource user --action DELETE -o json\n  cxgctl audit list --result BLOCKED",
	}
	cmd.RunE = a.reading(list(a, auditView, &page, func(_ context.Context, s *session) (listing[audit.Entry], error) {
		log, err := audit.LogIn(s.cat)
		f.Since, f.Until = time.Time(since), time.Time(until)
		return listing[audit.Entry]{
			noun: "audit", table: schema.AuditLogs,
			matching: func(ctx context.Context, since db.Increment) (db.Selection[audit.Entry], error) {
				f.Changed = since
				return log.Matching(ctx, s.db, f)
			},
		}, err
	}))
	fs := cmd.Flags()
	fs.StringVar(&f.Operator, "actor", "", "only what this `user` did, by username or id")
	fs.StringVar(&f.Resource, "resource", "", "the `noun`: user, invoice, migration, …")
	fs.StringVar(&f.ResourceID, "resource-id", "", "the changed row's `id`")
	fs.StringVar(&f.Action, "action", "", "CREATE, UPDATE, DELETE, EXECUTE, READ, LOGIN or LOGOUT")
	fs.StringVar(&f.Result, "result", "", "SUCCESS, FAILURE or BLOCKED")
	fs.StringVar(&f.Op, "op", "", "`id` of the operation: everything that one command did")
	fs.Var(&since, "since", "from this `time` on: RFC 3339, a date, or an age such as 7d")
	fs.Var(&until, "until", "before this `time`")
	must(cmd.RegisterFlagCompletionFunc("actor", userNoun.completion(a, true)))
	must(cmd.RegisterFlagCompletionFunc("action", complete(audit.Actions...)))
	must(cmd.RegisterFlagCompletionFunc("result", complete(audit.Results...)))
	page.bindExport(cmd)
	a.bindReveal(cmd)
	needs(cmd, "AUDIT_LIST")
	return records[audit.Entry](a, cmd)
}

func (a *app) auditGet() *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show an audit row, with the fields before and after", Args: exactly("ID")}
	cmd.RunE = a.reading(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		id, err := auditID(args[0])
		if err != nil {
			return err
		}
		log, err := audit.LogIn(s.cat)
		if err != nil {
			return err
		}
		e, err := log.Get(ctx, s.db, id)
		if err != nil {
			return err
		}
		if err := a.accessed(ctx, s, cmd, "audit", 1, id); err != nil {
			return err
		}
		return output.One(a.print, auditView, e)
	})
	a.bindReveal(cmd)
	audited(cmd, whenReading)
	needs(cmd, "AUDIT_READ")
	return records[audit.Entry](a, cmd)
}

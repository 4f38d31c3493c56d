package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

var auditView = output.View{
	Table: []string{"created_at", "operator", "action", "resource", "resource_id", "result", "description"},
	Wide: []string{
		"id", "created_at", "operator", "event_type", "action", "resource", "resource_id", "result", "failure_reason",
		"risk_level", "description", "op_id", "reason", "ticket",
	},
}

func (a *app) auditCommand() *cobra.Command {
	return a.group("audit", "Search, verify, archive and undo the audit log",
		a.auditList(), a.auditGet(), a.auditUndo(), a.auditVerify(),
		a.auditSeal(), a.auditCheckpoint(), a.auditKeygen(), a.auditReconcile(),
		a.auditPrune())
}

func (a *app) auditList() *cobra.Command {
	var f audit.Filter
	var ref string
	var since, until timeFlag
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the audit log, newest first", Args: exactly(),
		Example: "  cxgctl audit list --since 7d --actor admin\n  cxgctl audit list --resource user --action DELETE -o json\n  cxgctl audit list --result BLOCKED",
	}
	cmd.RunE = a.runRead(list(a, auditView, &page, func(ctx context.Context, s *session) (listing[audit.Entry], error) {
		if f.ResourceID != "" {
			if _, err := uuid.Parse(f.ResourceID); err != nil {
				return listing[audit.Entry]{}, fault.New(fault.Validation, "--resource-id: %q is not an id", f.ResourceID).
					WithHint("use --ref %s", f.ResourceID).With("resource_id", f.ResourceID)
			}
		}
		if ref != "" {
			var err error
			if f.ResourceID, err = referred(ctx, s, f.Resource, ref); err != nil {
				return listing[audit.Entry]{}, err
			}
		}
		log, err := audit.NewLog(s.cat)
		f.Since, f.Until = since.Time(), until.Time()
		return listing[audit.Entry]{
			noun: "audit", table: schema.AuditLogs,
			matching: func(ctx context.Context, since db.Increment) (db.ListQuery[audit.Entry], error) {
				f.Changed = since
				return log.Matching(ctx, s.db, f)
			},
		}, err
	}))
	fs := cmd.Flags()
	fs.StringVar(&f.Operator, "actor", "", "only actions of this `user`, by username or id")
	fs.StringVar(&f.Resource, "resource", "", "only this `noun`: user, invoice, migration, …")
	fs.StringVar(&f.ResourceID, "resource-id", "", "`id` of the changed row")
	fs.StringVar(&ref, "ref", "", "the changed user, invoice or tenant, as a `REF`; add --resource if it matches several")
	fs.StringSliceVar(&f.Actions, "action", nil, "only these `actions`: CREATE, UPDATE, DELETE, EXECUTE, READ, LOGIN, LOGOUT")
	fs.StringVar(&f.Ticket, "ticket", "", "`id` of the ticket that a change was made for")
	searchVar(fs, &f.ReasonLike, "reason-like", "literal `text` in the reason")
	fs.StringVar(&f.Result, "result", "", "SUCCESS, FAILURE or BLOCKED")
	fs.StringVar(&f.Op, "op", "", "`id` of the operation: everything that one command did")
	markFlags(fs, recorded, "op")
	fs.Var(&since, "since", "from this `time` on: "+shortForms)
	fs.Var(&until, "until", "before this `time`")
	readsTables(fs, "ref", schema.Invoices, schema.Tenants)
	cmd.MarkFlagsMutuallyExclusive("ref", "resource-id")
	must(cmd.RegisterFlagCompletionFunc("resource", complete(audit.Nouns...)))
	must(cmd.RegisterFlagCompletionFunc("actor", userNoun.completion(a, true)))
	must(cmd.RegisterFlagCompletionFunc("action", complete(audit.Actions...)))
	must(cmd.RegisterFlagCompletionFunc("result", complete(audit.Results...)))
	page.bindExport(cmd)
	a.bindReveal(cmd)
	a.specify(cmd, Spec{Permission: "AUDIT_LIST", Tables: schema.AuditTables})
	return addOutputFlags[audit.Entry](a, cmd)
}

// referred returns the id of the row that a REF names, among rows of one noun, or of all nouns that have REFs.
func referred(ctx context.Context, s *session, noun, text string) (string, error) {
	finders := []struct {
		noun string
		find func() (uuid.UUID, error)
	}{
		{users.Kind.Name, func() (uuid.UUID, error) { return idOf(ctx, s, userNoun, text) }},
		{invoices.Kind.Name, func() (uuid.UUID, error) { return idOf(ctx, s, invoiceNoun, text) }},
		{tenants.Kind.Name, func() (uuid.UUID, error) { return idOf(ctx, s, tenantNoun, text) }},
	}
	var found []string
	var id uuid.UUID
	known := false
	for _, f := range finders {
		if noun != "" && !strings.EqualFold(noun, f.noun) {
			continue
		}
		known = true
		switch one, err := f.find(); {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return "", err
		case !slices.Contains(found, f.noun):
			id, found = one, append(found, f.noun)
		}
	}
	switch {
	case !known:
		return "", fault.New(fault.Validation, "--ref names users, invoices and tenants, not a %s", noun).WithHint("use --resource-id")
	case len(found) == 0:
		return "", fault.New(fault.NotFound, "no user, invoice or tenant is named %q", text).
			WithHint("deleted rows are searched too; for a row that no longer exists use --resource-id").With("ref", text)
	case len(found) > 1:
		return "", fault.New(fault.Validation, "%q matches several resources: %s", text, strings.Join(found, ", ")).
			WithHint("choose one, such as --resource %s", found[0]).With("ref", text)
	}
	return id.String(), nil
}

// idOf returns the id of the row that a REF names, deleted or not.
func idOf[T any, E table[T]](ctx context.Context, s *session, n resourceKind[T, E], text string) (uuid.UUID, error) {
	row, err := n.lookup(ctx, s, refFlags{deleted: true}, text)
	return n.ID(row), err
}

// auditRecord is the record of audit get.
type auditRecord struct {
	Origin *string `json:"origin"` // of its seal: cli or foreign
	audit.Entry
}

func (a *app) auditGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show an audit row, or all rows of an operation, with the fields before and after", Args: exactly("ID"),
		Long: `Show an audit row, or all rows of an operation, with the fields before and after.

The origin is that of the row's seal: cli if cxgctl sealed it in the transaction that wrote it, foreign if it was sealed
later, and empty if it has no seal.`,
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		id, err := auditID(args[0])
		if err != nil {
			return err
		}
		log, err := audit.NewLog(s.cat)
		if err != nil {
			return err
		}
		entries, operation, err := log.ByIDs(ctx, s.db, s.idle, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if err := a.logReveal(ctx, s, cmd, "audit", int64(len(entries)), id); err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(entries))
		for i, e := range entries {
			ids[i] = e.ID
		}
		origins, err := log.Origins(ctx, s.db, ids)
		if err != nil {
			return err
		}
		list := make([]auditRecord, len(entries))
		for i, e := range entries {
			list[i].Entry = e
			if o, ok := origins[e.ID]; ok {
				list[i].Origin = &o
			}
		}
		if operation {
			return printWhole(a, auditView, list)
		}
		return output.One(a.print, auditView, list[0])
	})
	a.bindReveal(cmd)
	a.specify(cmd, Spec{Permission: "AUDIT_READ", Tables: schema.AuditTables, Audit: whenReading})
	return addOutputFlags[auditRecord](a, cmd)
}

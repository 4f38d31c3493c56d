// Package audit implements the audit commands.
package audit

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// AuditView has the columns of audit list in tables.
var AuditView = output.View{
	Name:  "audit rows",
	Table: []string{"created_at", "operator", "action", "resource", "result", "description", "id"},
	Wide: []string{
		"id", "created_at", "operator", "event_type", "action", "resource", "resource_id", "result", "failure_reason",
		"risk_level", "description", "op_id", "reason", "ticket",
	},
}

// NewCommand returns the commands about the audit log.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("audit", "Search, verify, archive and undo the audit log",
		newList(env), newGet(env), newUndo(env), newVerify(env),
		newSeal(env), newCheckpoint(env), newKeygen(env), newReconcile(env),
		newPrune(env))
}

func newList(env *cmdutil.Env) *cobra.Command {
	var f audit.Filter
	var ref string
	var since, until cliflag.TimeValue
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the audit log, newest first", Long: "The filters add up. --actor is who did it, --ref what it was done to. Values of personal fields are masked in a protected profile.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl audit list --since 7d --actor admin\n  cxgctl audit list --resource user --action DELETE -o json\n  cxgctl audit list --result BLOCKED",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, AuditView, &page, func(ctx context.Context, s *cmdutil.Session, changed db.Increment) (q db.ListQuery[audit.Entry], err error) {
		if f.ResourceID != "" {
			if _, err := uuid.Parse(f.ResourceID); err != nil {
				return q, fault.New(fault.Validation, "--resource-id: %q is not an id", f.ResourceID).
					WithHint("use --ref %s", f.ResourceID).With("resource_id", f.ResourceID)
			}
		}
		if ref != "" {
			if f.ResourceID, err = referred(ctx, s, f.Resource, ref); err != nil {
				return q, err
			}
		}
		log, err := audit.NewLog(s.Catalog)
		if err != nil {
			return q, err
		}
		f.Since, f.Until, f.Nouns, f.Changed = since.Time(), until.Time(), nouns(env), changed
		return log.Matching(ctx, s.DB, f)
	}))
	fs := cmd.Flags()
	fs.StringVar(&f.Operator, "actor", "", "only actions of this `user`, by username or id")
	fs.StringVar(&f.Resource, "resource", "", "only this `noun`: user, invoice, migration, …")
	fs.StringVar(&f.ResourceID, "resource-id", "", "`id` of the changed row")
	fs.StringVar(&ref, "ref", "", "the changed user, invoice or tenant, as a `REF`; add --resource if it matches several")
	fs.StringSliceVar(&f.Actions, "action", nil, "only these `actions`: CREATE, UPDATE, DELETE, EXECUTE, READ, LOGIN, LOGOUT")
	fs.StringVar(&f.Ticket, "ticket", "", "`id` of the ticket that a change was made for")
	cliflag.SearchVar(fs, &f.ReasonLike, "reason-like", "literal `text` in the reason")
	fs.StringSliceVar(&f.Results, "result", nil, "only these `results`: SUCCESS, FAILURE, BLOCKED")
	fs.StringVar(&f.Op, "op", "", "`id` of the operation: everything that one command did")
	cliflag.MarkFlags(fs, cliflag.Recorded, "op")
	fs.Var(&since, "since", "from this `time` on: "+cliflag.ShortForms)
	fs.Var(&until, "until", "before this `time`")
	cliflag.MarkTables(fs, "ref", schema.Invoices, schema.Tenants)
	cmd.MarkFlagsMutuallyExclusive("ref", "resource-id")
	cliflag.CompleteFlagWith(cmd, "resource", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nouns(env), cobra.ShellCompDirectiveNoFileComp
	})
	completions := map[string]cobra.CompletionFunc{
		users.Kind.Name: cmdutil.Users.Completion(env, true), invoices.Kind.Name: cmdutil.Invoices.Completion(env, true),
		tenants.Kind.Name: cmdutil.Tenants.Completion(env, true),
	}
	cliflag.CompleteFlagWith(cmd, "ref", func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if complete := completions[cmp.Or(f.Resource, users.Kind.Name)]; complete != nil {
			return complete(cmd, args, typed)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	})
	cliflag.CompleteFlagWith(cmd, "op", completeOperations(env))
	cmdutil.Users.CompleteFlag(env, cmd, "actor")
	cliflag.CompleteFlagWith(cmd, "resource-id", completeResources(env))
	cliflag.CompleteFlag(cmd, "action", audit.Actions...)
	cliflag.CompleteFlag(cmd, "result", audit.Results...)
	page.BindExport(cmd)
	cmdutil.BindReveal(env, cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "AUDIT_LIST", Resource: "audit", Tables: schema.AuditTables})
	return cmdutil.AddOutputFlags[audit.Entry](env, cmd)
}

// completeRows completes the ids of the newest audit rows.
func completeRows(env *cmdutil.Env) cobra.CompletionFunc {
	return completeEntries(env, func(e audit.Entry) string { return e.ID.String() })
}

// completeOperations completes the ids of the newest operations.
func completeOperations(env *cmdutil.Env) cobra.CompletionFunc {
	return completeEntries(env, func(e audit.Entry) string { return deref(e.OpID) })
}

// completeResources completes the ids of the rows that were changed last.
func completeResources(env *cmdutil.Env) cobra.CompletionFunc {
	return completeEntries(env, func(e audit.Entry) string { return deref(e.ResourceID) })
}

// deref returns the text, "" for none.
func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// completeEntries completes with an id of the newest audit rows.
func completeEntries(env *cmdutil.Env, id func(audit.Entry) string) cobra.CompletionFunc {
	spec := cmdutil.Spec{Permission: "AUDIT_LIST", Tables: schema.AuditTables}
	return cmdutil.CompleteRecent(env, spec, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command) (db.ListQuery[audit.Entry], error) {
		log, err := audit.NewLog(s.Catalog)
		if err != nil {
			return db.ListQuery[audit.Entry]{}, err
		}
		return log.Matching(ctx, s.DB, audit.Filter{})
	}, func(e audit.Entry) (string, []*string) {
		at := ""
		if e.CreatedAt != nil {
			at = e.CreatedAt.String()
		}
		return id(e), []*string{&at, e.Operator, e.Action, e.Resource}
	})
}

// nouns returns the nouns of the audit rows that cxgctl writes. Those about an intent are not the subject of a command.
func nouns(env *cmdutil.Env) []string {
	list := append(env.Resources(), "intent")
	slices.Sort(list)
	return list
}

// referred returns the id of the row that a REF names, among rows of one noun, or of all nouns that have REFs.
func referred(ctx context.Context, s *cmdutil.Session, noun, text string) (string, error) {
	finders := []struct {
		noun string
		find func() (uuid.UUID, error)
	}{
		{users.Kind.Name, func() (uuid.UUID, error) { return idOf(ctx, s, cmdutil.Users, text) }},
		{invoices.Kind.Name, func() (uuid.UUID, error) { return idOf(ctx, s, cmdutil.Invoices, text) }},
		{tenants.Kind.Name, func() (uuid.UUID, error) { return idOf(ctx, s, cmdutil.Tenants, text) }},
	}
	var found []string
	var id uuid.UUID
	known := false
	var missing error
	for _, f := range finders {
		if noun != "" && !strings.EqualFold(noun, f.noun) {
			continue
		}
		known = true
		switch one, err := f.find(); {
		case fault.Is(err, fault.NotFound):
			missing = err
		case err != nil:
			return "", err
		case !slices.Contains(found, f.noun):
			id, found = one, append(found, f.noun)
		}
	}
	switch {
	case !known:
		return "", fault.New(fault.Validation, "--ref names users, invoices and tenants, not a %s", noun).WithHint("use --resource-id")
	case len(found) == 0 && noun != "":
		return "", missing // with the near name
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
func idOf[T any, E cmdutil.Table[T]](ctx context.Context, s *cmdutil.Session, n cmdutil.Resource[T, E], text string) (uuid.UUID, error) {
	row, err := n.Lookup(ctx, s, cmdutil.RefFlags{Deleted: true}, text)
	return n.ID(row), err
}

// auditRecord is the record of audit get.
type auditRecord struct {
	Origin *string `json:"origin"` // of its seal: cli or foreign
	audit.Entry
}

func newGet(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show an audit row, or all rows of an operation, with the fields before and after", Example: "  cxgctl audit get 01a20d19-2694-725b-92b8-7e88c8ecf478\n  cxgctl audit get 01a20d19-266f-72f7-a912-3ce8e09758bb -o json", Args: cmdutil.ExactArgs("ID"),
		ValidArgsFunction: cliflag.CompleteArgs(completeRows(env)),
		Long: `Show an audit row, or all rows of an operation, with the fields before and after.

The origin is that of the row's seal: cli if cxgctl sealed it in the transaction that wrote it, foreign if it was sealed
later, and empty if it has no seal.`,
	}
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, args []string) error {
		id, err := auditID(args[0])
		if err != nil {
			return err
		}
		log, err := audit.NewLog(s.Catalog)
		if err != nil {
			return err
		}
		entries, operation, err := log.ByIDs(ctx, s.DB, s.IdleTimeout, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if err := cmdutil.LogReveal(ctx, env, s, cmd, int64(len(entries)), id); err != nil {
			return err
		}
		origins, err := log.Origins(ctx, s.DB, entries)
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
		return cmdutil.PrintChanges(env, AuditView, list, entries, operation)
	})
	cmdutil.BindReveal(env, cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "AUDIT_READ", Resource: "audit", Tables: schema.AuditTables, Audit: cmdutil.WhenReading})
	return cmdutil.AddOutputFlags[auditRecord](env, cmd)
}

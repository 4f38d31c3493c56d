package cmdutil

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// event is one changed field of an audit row. An audit row without fields, such as that of a login, is one event too.
type event struct {
	ID            uuid.UUID `json:"id" table:"key"` // the audit row's
	CreatedAt     *db.Time  `json:"created_at"`
	Operator      *string   `json:"operator"`
	Action        *string   `json:"action"`
	Result        *string   `json:"result"`
	Field         *string   `json:"field" table:"key"`
	Before        any       `json:"before"`
	After         any       `json:"after"`
	Reason        *string   `json:"reason"`
	Ticket        *string   `json:"ticket"`
	Description   *string   `json:"description"`
	FailureReason *string   `json:"failure_reason"`
	OpID          *string   `json:"op_id"`
}

var eventView = output.View{
	Name:  "changes",
	Table: []string{"created_at", "operator", "action", "result", "field", "before", "after", "reason"},
	Wide:  []string{"id", "created_at", "operator", "action", "result", "field", "before", "after", "reason", "ticket", "op_id"},
}

// History returns the command that shows who changed which field of a row, when and why.
func (n Resource[T, E]) History(env *Env) *cobra.Command {
	var ref RefFlags
	var since, until cliflag.TimeValue
	cmd := &cobra.Command{
		Use: "history REF", Short: "Show who changed which field of " + article(n.Name) + ", when and why, newest first", Args: ExactArgs("REF"),
		ValidArgsFunction: cliflag.CompleteArgs(n.Completion(env, true)),
		Example:           "  cxgctl " + n.Name + "s history REF\n  cxgctl " + n.Name + "s history REF --since 30d -o csv",
	}
	cmd.RunE = RunRead(env, func(ctx context.Context, s *Session, cmd *cobra.Command, args []string) error {
		row, err := n.Lookup(ctx, s, ref, args[0])
		if err != nil {
			return err
		}
		manager := s.Manager()
		log, err := audit.NewLog(manager.Catalog)
		if err != nil {
			return err
		}
		entries, err := log.All(ctx, manager.DB, s.IdleTimeout, audit.Filter{
			ResourceID: n.ID(row).String(), Since: since.Time(), Until: until.Time(),
		})
		if err != nil {
			return err
		}
		if err := LogReveal(ctx, env, s, cmd, int64(len(entries)), n.ID(row)); err != nil {
			return err
		}
		return printHistory(env, entries)
	})
	ref.Bind(cmd, n.KeyNames()...)
	ref.BindDeleted(cmd, n.Name+"s")
	cmd.Flags().Var(&since, "since", "from this `time` on: "+cliflag.ShortForms)
	cmd.Flags().Var(&until, "until", "before this `time`")
	BindReveal(env, cmd)
	env.Specify(cmd, Spec{Permission: n.permission("READ"), Resource: n.Name, Tables: slices.Concat(n.Tables, schema.AuditTables), Audit: WhenReading})
	return AddOutputFlags[event](env, cmd)
}

func article(noun string) string {
	if strings.ContainsRune("aei", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// printHistory prints the audit rows of one row: a timeline for people, otherwise a record for each field.
func printHistory(env *Env, entries []audit.Entry) error {
	if env.forPeople() && len(env.Printer.Columns) == 0 {
		if len(entries) == 0 {
			env.Note("no changes found")
		}
		w := newDiffWriter(env, env.Printer.Terminal)
		w.masked = env.masked
		w.findNames(entries)
		for _, e := range entries {
			if err := w.event(e); err != nil {
				return err
			}
		}
		_, err := io.WriteString(env.Printer.Stdout, w.terminal.Fold(w.b.String(), 4))
		return err
	}
	events := []event{}
	for _, e := range entries {
		diffs, err := changedFields(e)
		if err != nil {
			return err
		}
		row := event{
			ID: e.ID, CreatedAt: e.CreatedAt, Operator: e.Operator, Action: e.Action, Result: e.Result, Reason: e.Reason,
			Ticket: e.Ticket, Description: e.Description, FailureReason: e.FailureReason, OpID: e.OpID,
		}
		for _, d := range diffs {
			if audit.Computed(d.Field) || e.Before == nil && string(d.After) == "null" {
				continue
			}
			row.Field, row.Before, row.After = &d.Field, plain(env.masked(d.Field, d.Before)), plain(env.masked(d.Field, d.After))
			events = append(events, row)
		}
		if row.Field == nil {
			events = append(events, row)
		}
	}
	return PrintWhole(env, eventView, events)
}

// changedFields returns the fields that an audit row changed. A read has none.
func changedFields(e audit.Entry) ([]audit.Difference, error) {
	if e.Action != nil && *e.Action == string(audit.Read) {
		return nil, nil
	}
	return e.Differences()
}

// plain returns a JSON string as text, and other values unchanged.
func plain(v json.RawMessage) any {
	var s string
	switch {
	case len(v) == 0 || string(v) == "null":
		return nil
	case json.Unmarshal(v, &s) == nil:
		return s
	}
	return v
}

// event writes an audit row as lines: when, who, what and why, then field: before → after.
func (w *diffWriter) event(e audit.Entry) error {
	var words []string
	if e.CreatedAt != nil {
		words = append(words, w.terminal.Time(e.CreatedAt.Instant))
	}
	for _, part := range []*string{e.Operator, e.Action} {
		if part != nil {
			words = append(words, *part)
		}
	}
	if e.Result != nil && *e.Result != "SUCCESS" {
		words = append(words, *e.Result)
		if e.FailureReason != nil {
			words = append(words, *e.FailureReason)
		}
	}
	read := e.Action != nil && *e.Action == string(audit.Read)
	if (read || e.Before == nil && e.After == nil) && e.Description != nil && e.FailureReason == nil {
		words = append(words, *e.Description)
	}
	if e.Reason != nil {
		words = append(words, "“"+*e.Reason+"”")
	}
	if e.Ticket != nil {
		words = append(words, *e.Ticket)
	}
	w.b.WriteString(output.Sanitize(strings.Join(words, "  ")) + "\n")
	if e.OpID != nil {
		w.b.WriteString("  operation " + output.Sanitize(*e.OpID) + "\n")
	}
	if read {
		return nil
	}
	return w.fields(e, isStored)
}

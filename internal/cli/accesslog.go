package cli

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Whoever reads all accounts, or what a protected profile masks, leaves an audit row. Fields that are
// masked for people's eyes: those of output.Personal.

// bindReveal adds --reveal.
func (a *app) bindReveal(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.reveal, "reveal", false, "show phone and e-mail, which a protected profile masks; leaves an audit row")
	markFlags(cmd.Flags(), recorded, "reveal")
}

// forPeople says whether a person reads what is printed.
func (a *app) forPeople() bool {
	return (a.print.Format == output.Table || a.print.Format == output.Wide) && a.print.File == ""
}

// masked returns the value of a field as this command may show it.
func (a *app) masked(field string, v json.RawMessage) json.RawMessage {
	if a.print.Mask {
		return output.MaskJSON(field, v)
	}
	return v
}

// read is what the audit row of a reading says.
type read struct {
	Filter map[string]string `json:"filter"`
	Rows   int64             `json:"rows"`
}

// accessed leaves the audit row of a reading with --reveal, before anything is shown; other readings leave
// none. id is the row that was read, uuid.Nil for many.
func (a *app) logReveal(ctx context.Context, s *session, cmd *cobra.Command, noun string, rows int64, id uuid.UUID) error {
	if !a.reveal {
		return nil
	}
	l, err := a.readingLedger(ctx, s, cmd)
	if err != nil || l == nil {
		return err
	}
	return logRead(ctx, l, cmd, s.about(noun, id), rows)
}

// readingAll makes sure that the audit row of a reading can be written, before the first row is read, and
// returns what writes it: with the filter, and how many rows were read. It is to be called however the
// reading ended: a reader who went away, or pressed Ctrl-C, has seen what he has seen. Every command that
// prints all users, or exports them, is recorded by it.
func (a *app) logFullRead(ctx context.Context, s *session, cmd *cobra.Command, noun string) (leave func(rows int64) error, err error) {
	l, err := a.readingLedger(ctx, s, cmd)
	if err != nil || l == nil {
		return func(int64) error { return nil }, err
	}
	l.DryRun = true
	about := s.about(noun, uuid.Nil)
	if err := logRead(ctx, l, cmd, about, 0); err != nil {
		return nil, err
	}
	l.DryRun = false
	return func(rows int64) error {
		return logRead(context.WithoutCancel(ctx), l, cmd, about, rows)
	}, nil
}

// readingLedger opens the ledger for the audit row of a reading. A database without an audit log has nowhere
// to leave it; that is no reason to show nothing, and doctor reports it.
func (a *app) readingLedger(ctx context.Context, s *session, cmd *cobra.Command) (*audit.Ledger, error) {
	home := s.manager().primaryDB()
	cat, err := schema.Read(ctx, home, schema.AuditTables...)
	if err != nil || cat[schema.AuditLogs] == nil {
		return nil, err
	}
	return audit.Open(ctx, home, cat, s.by, a.origin(cmd))
}

// about is what a reading is about: rows of a noun, of a tenant where the session is in its database.
func (s *session) about(noun string, id uuid.UUID) audit.Subject {
	about := audit.Subject{Resource: noun, ID: id, Name: "read"}
	if s.place != nil {
		about.TenantID = &s.place.ID
	}
	return about
}

func logRead(ctx context.Context, l *audit.Ledger, cmd *cobra.Command, about audit.Subject, rows int64) error {
	filter := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !printing.has(f) && cmd.InheritedFlags().Lookup(f.Name) == nil {
			filter[f.Name] = f.Value.String()
		}
	})
	err := l.Record(ctx, []audit.Change{{
		Subject: about, Action: audit.Read, Event: audit.DataAccess, After: read{filter, rows},
	}})
	if err != nil {
		f := fault.From(err)
		return fault.New(f.Code, "the reading cannot be recorded: %s", f.Message).WithHint("%s", f.Hint).Because(err)
	}
	return nil
}

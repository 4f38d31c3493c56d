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

// Reading all accounts, or fields that a protected profile masks (output.Personal), writes an audit row.

// bindReveal adds --reveal.
func (a *app) bindReveal(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.reveal, "reveal", false, "show phone and e-mail even in a protected profile; writes an audit row")
	markFlags(cmd.Flags(), recorded, "reveal")
}

// forPeople reports whether the output is a table on standard output.
func (a *app) forPeople() bool {
	return (a.print.Format == output.Table || a.print.Format == output.Wide) && a.print.File == ""
}

// masked returns the value of a field, masked if the printer masks personal data.
func (a *app) masked(field string, v json.RawMessage) json.RawMessage {
	if a.print.Mask {
		return output.MaskJSON(field, v)
	}
	return v
}

// read is what the audit row of a read records.
type read struct {
	Filter map[string]string `json:"filter"`
	Rows   int64             `json:"rows"`
}

// logReveal writes the audit row of a read with --reveal, before anything is shown. Without --reveal it does nothing.
// id is the row that was read, uuid.Nil for many.
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

// logFullRead checks that the audit row of a read can be written, before the first row is read, and returns the
// function that writes it, with the filter and the number of rows. Call it however the read ends: rows printed before
// Ctrl-C or a closed pipe have been seen. Every command that prints or exports all users uses it.
func (a *app) logFullRead(ctx context.Context, s *session, cmd *cobra.Command, noun string) (record func(rows int64) error, err error) {
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

// readingLedger opens the ledger for the audit row of a read. It returns nil for a database without an audit log: reads
// work there all the same, and doctor reports the missing log.
func (a *app) readingLedger(ctx context.Context, s *session, cmd *cobra.Command) (*audit.Ledger, error) {
	home := s.manager().primaryDB()
	cat, err := schema.Read(ctx, home, schema.AuditTables...)
	if err != nil || cat[schema.AuditLogs] == nil {
		return nil, err
	}
	return audit.Open(ctx, home, cat, s.by, a.origin(cmd))
}

// about returns the audit subject of a read: a row of a noun, or several, and the tenant whose database was read.
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
		return fault.New(f.Code, "the read cannot be recorded: %s", f.Message).WithHint("%s", f.Hint).Because(err)
	}
	return nil
}

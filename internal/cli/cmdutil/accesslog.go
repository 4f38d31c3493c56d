package cmdutil

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Reading all accounts, or fields that a protected profile masks (output.Personal), writes an audit row.

// BindReveal adds --reveal.
func BindReveal(env *Env, cmd *cobra.Command) {
	cmd.Flags().BoolVar(&env.Reveal, "reveal", false, "show phone and e-mail even in a protected profile; writes an audit row")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "reveal")
}

// forPeople reports whether the output is a table on standard output.
func (env *Env) forPeople() bool {
	return (env.Printer.Format == output.Table || env.Printer.Format == output.Wide) && env.Printer.File == ""
}

// masked returns the value of a field, masked if the printer masks personal data.
func (env *Env) masked(field string, v json.RawMessage) json.RawMessage {
	if env.Printer.Mask {
		return output.MaskJSON(field, v)
	}
	return v
}

// read is what the audit row of a read records.
type read struct {
	Filter map[string]string `json:"filter"`
	Rows   int64             `json:"rows"`
}

// LogReveal writes the audit row of a read with --reveal, before anything is shown. Without --reveal it does nothing.
// id is the row that was read, uuid.Nil for many.
func LogReveal(ctx context.Context, env *Env, s *Session, cmd *cobra.Command, rows int64, id uuid.UUID) error {
	if !env.Reveal {
		return nil
	}
	l, err := ReadingLedger(ctx, env, s, cmd)
	if err != nil || l == nil {
		return err
	}
	return LogRead(ctx, l, cmd, s.ReadSubject(env.SpecOf(cmd).Resource, id), rows)
}

// LogFullRead checks that the audit row of a read can be written, before the first row is read, and returns the
// function that writes it, with the filter and the number of rows. Call that function even if the read fails, because
// rows printed before Ctrl-C or a closed pipe were seen. Every command that prints or exports all users uses it.
func LogFullRead(ctx context.Context, env *Env, s *Session, cmd *cobra.Command) (record func(rows int64) error, err error) {
	l, err := ReadingLedger(ctx, env, s, cmd)
	if err != nil || l == nil {
		return func(int64) error { return nil }, err
	}
	l.DryRun = true
	subject := s.ReadSubject(env.SpecOf(cmd).Resource, uuid.Nil)
	if err := LogRead(ctx, l, cmd, subject, 0); err != nil {
		return nil, err
	}
	l.DryRun = false
	return func(rows int64) error {
		return LogRead(context.WithoutCancel(ctx), l, cmd, subject, rows)
	}, nil
}

// ReadingLedger opens the ledger for the audit row of a read. It returns nil for a database without an audit log:
// reads work there too, and doctor reports the missing log.
func ReadingLedger(ctx context.Context, env *Env, s *Session, cmd *cobra.Command) (*audit.Ledger, error) {
	primary := s.Manager().PrimaryDB()
	cat, err := schema.Read(ctx, primary, schema.AuditTables...)
	if err != nil || cat[schema.AuditLogs] == nil {
		return nil, err
	}
	return audit.Open(ctx, primary, cat, s.Operator, env.Origin(cmd))
}

// ReadSubject returns the audit subject of a read: a row of a noun, or several, and the tenant whose database was read.
func (s *Session) ReadSubject(noun string, id uuid.UUID) audit.Subject {
	subject := audit.Subject{Resource: noun, ID: id, Name: "read"}
	if s.Tenant != nil {
		subject.TenantID = &s.Tenant.ID
	}
	return subject
}

// LogRead writes the audit row of a read: the filter of the command and the number of rows.
func LogRead(ctx context.Context, l *audit.Ledger, cmd *cobra.Command, subject audit.Subject, rows int64) error {
	filter := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !cliflag.Printing.Has(f) && cmd.InheritedFlags().Lookup(f.Name) == nil {
			filter[f.Name] = f.Value.String()
		}
	})
	err := l.Record(ctx, []audit.Change{{
		Subject: subject, Action: audit.Read, Event: audit.DataAccess, After: read{filter, rows},
	}})
	if err != nil {
		f := fault.From(err)
		return fault.New(f.Code, "the read cannot be recorded: %s", f.Message).WithHint("%s", f.Hint).Because(err)
	}
	return nil
}

package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// permit refuses a command whose permissions the operator lacks: everywhere, or in the one tenant that a
// command with TenantOnly is narrowed to. All that are missing are named, those that only some uses need as well.
func (s *session) authorize(ctx context.Context, cmd *cobra.Command, spec Spec) error {
	need, err := spec.required()
	if err != nil || len(need) == 0 {
		return err
	}
	refused := s.who.Require(nil, need...)
	if refused == nil {
		return nil
	}
	if more := s.who.Lacks(nil, spec.Optional...); len(more) > 0 {
		f := fault.From(refused)
		f.Message += "; some uses of the command need what is missing too: " + strings.Join(more, ", ")
	}
	if len(s.who.Scoped) == 0 || !spec.TenantOnly || !cmd.Flags().Changed("tenant") {
		return refused
	}
	for _, name := range listOfFlag(cmd, "tenant") {
		t, err := tenants.Find(ctx, s.db, s.cat, name, false)
		if err != nil || s.who.Require(&t.ID, need...) != nil {
			return refused // do not reveal whether the tenant exists
		}
	}
	s.narrowed = need
	return nil
}

// demand asks for permissions that a use of the command needs beside its own: now, and from now on in each transaction
// of the ledger. All that are missing are one error.
func (w *writer) require(codes ...string) error { return w.gate.Require(codes...) }

// tellApart refuses a command that a permission in one tenant lets in, where rows of other tenants cannot be told from
// that one's.
func (s *session) requireSeparable() error {
	if len(s.narrowed) == 0 || s.place == nil {
		return nil
	}
	t, err := s.users()
	if err != nil || t.Separable() {
		return err
	}
	list := strings.Join(s.narrowed, ", ")
	return fault.New(fault.PermissionDenied, "tenants share sys.users without tenant_id here; %s is needed in all of them", list).
		With("operator", s.who.Name).With("permission", list)
}

// nounOf is what a command is about, as audit rows call it.
func nounOf(cmd *cobra.Command) string {
	if cmd.HasParent() && cmd.Parent().HasParent() {
		return strings.TrimSuffix(cmd.Parent().Name(), "s")
	}
	return cmd.Name()
}

// blocked leaves the audit row of an attempt that was refused for who the operator is, as well as that
// can be done.
func (a *app) recordBlocked(ctx context.Context, s *session, cmd *cobra.Command, about audit.Intent, cause error) {
	if a.completing {
		return
	}
	cat, err := schema.Read(ctx, s.db, schema.AuditTables...) // a command that reads did not ask for it
	if err != nil {
		return
	}
	if l, err := audit.Open(ctx, s.db, cat, s.by, a.origin(cmd)); err == nil {
		l.RecordFailure(ctx, about, cause)
	}
}

// gate has a ledger ask, inside its transactions, whether the operator may do what the command does.
func (a *app) gate(s *session, l *audit.Ledger, cmd *cobra.Command) (*auth.Authorizer, error) {
	need, err := a.specOf(cmd).required()
	if err != nil {
		return nil, err
	}
	g, err := s.who.Gate(s.cat, need...)
	l.Gate = g
	return g, err
}

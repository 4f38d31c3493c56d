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

// authorize returns an error unless the operator has the command's permissions: everywhere or, for commands with
// TenantOnly, in all tenants of --tenant. The error lists all missing permissions, optional ones included.
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
		f.Message += "; also missing, for some uses of the command: " + strings.Join(more, ", ")
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

// require returns an error unless the operator has these additional permissions. They are checked now and in each
// later transaction of the ledger.
func (w *writer) require(codes ...string) error { return w.gate.Require(codes...) }

// requireSeparable returns an error if the operator's permission is limited to a tenant and the tenants' rows cannot
// be distinguished.
func (s *session) requireSeparable() error {
	if len(s.narrowed) == 0 || s.place == nil {
		return nil
	}
	t, err := s.users()
	if err != nil || t.Separable() {
		return err
	}
	list := strings.Join(s.narrowed, ", ")
	return fault.New(fault.PermissionDenied, "tenants share sys.users without tenant_id here; %s is required in all tenants", list).
		With("operator", s.who.Name).With("permission", list)
}

// nounOf returns the resource of a command, as audit rows name it.
func nounOf(cmd *cobra.Command) string {
	if cmd.HasParent() && cmd.Parent().HasParent() {
		return strings.TrimSuffix(cmd.Parent().Name(), "s")
	}
	return cmd.Name()
}

// recordBlocked writes the audit row of an attempt that was refused because of the operator. It is best effort.
func (a *app) recordBlocked(ctx context.Context, s *session, cmd *cobra.Command, about audit.Intent, cause error) {
	if a.completing {
		return
	}
	cat, err := schema.Read(ctx, s.db, schema.AuditTables...) // s.cat of a read lacks them
	if err != nil {
		return
	}
	if l, err := audit.Open(ctx, s.db, cat, s.by, a.origin(cmd)); err == nil {
		l.RecordFailure(ctx, about, cause)
	}
}

// gate makes a ledger check the command's permissions inside its transactions.
func (a *app) gate(s *session, l *audit.Ledger, cmd *cobra.Command) (*auth.Authorizer, error) {
	need, err := a.specOf(cmd).required()
	if err != nil {
		return nil, err
	}
	g, err := s.who.Authorizer(s.cat, need...)
	l.Gate = g
	return g, err
}

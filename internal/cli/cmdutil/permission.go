package cmdutil

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// authorize returns an error unless the operator has the command's permissions: everywhere or, for commands with
// TenantOnly, in all tenants of --tenant. The error lists all missing permissions, optional ones included.
func (s *Session) authorize(ctx context.Context, cmd *cobra.Command, spec Spec) error {
	need, err := spec.required()
	if err != nil || len(need) == 0 {
		return err
	}
	refused := s.Identity.Require(nil, need...)
	if refused == nil {
		return nil
	}
	if more := s.Identity.Lacks(nil, spec.Optional...); len(more) > 0 {
		f := fault.From(refused)
		f.Message += "; also missing, for some uses of the command: " + strings.Join(more, ", ")
	}
	if len(s.Identity.Scoped) == 0 || !spec.TenantOnly || !cmd.Flags().Changed("tenant") {
		return refused
	}
	for _, name := range cliflag.ValuesOf(cmd, "tenant") {
		t, err := tenants.Find(ctx, s.DB, s.Catalog, name, false)
		if err != nil || s.Identity.Require(&t.ID, need...) != nil {
			return refused // do not reveal whether the tenant exists
		}
	}
	s.tenantOnly = need
	return nil
}

// Require returns an error unless the operator has these additional permissions. They are checked now and in each
// later transaction of the ledger.
func (w *Writer) Require(codes ...string) error { return w.gate.Require(codes...) }

// requireSeparable returns an error if the operator's permission is limited to a tenant and the tenants' rows cannot
// be distinguished.
func (s *Session) requireSeparable() error {
	if len(s.tenantOnly) == 0 || s.Tenant == nil {
		return nil
	}
	t, err := s.Users()
	if err != nil || t.Separable() {
		return err
	}
	list := strings.Join(s.tenantOnly, ", ")
	return fault.New(fault.PermissionDenied, "tenants share sys.users without tenant_id here; %s is required in all tenants", list).
		With("operator", s.Identity.Name).With("permission", list)
}

// recordBlocked writes the audit row of an attempt that was refused because of the operator. It is best effort.
func recordBlocked(ctx context.Context, env *Env, s *Session, cmd *cobra.Command, about audit.Intent, cause error) {
	cat, err := schema.Read(ctx, s.DB, schema.AuditTables...) // the Catalog of a read lacks them
	if err != nil {
		return
	}
	if l, err := audit.Open(ctx, s.DB, cat, s.Operator, env.Origin(cmd)); err == nil {
		l.RecordFailure(ctx, about, cause)
	}
}

// AuthorizeLedger makes a ledger check the command's permissions inside its transactions.
func AuthorizeLedger(env *Env, s *Session, l *audit.Ledger, cmd *cobra.Command) (*auth.Authorizer, error) {
	need, err := env.SpecOf(cmd).required()
	if err != nil {
		return nil, err
	}
	g, err := s.Identity.Authorizer(s.Catalog, need...)
	l.Authorizer = g
	return g, err
}

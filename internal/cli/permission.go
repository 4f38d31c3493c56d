package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
)

// permission is the annotation of a command with what its operator must hold.
const permission = "permission"

// What a command declares where it needs no permission code.
const (
	anyOperator = "any operator" // an operator, whatever they hold: it is about themselves
	noOperator  = "no operator"  // nobody: it does not touch the platform's data, or makes the first operator
)

// needs declares the permission that a command's operator must hold. Every command that does something
// declares one, or that it needs none; a test walks the tree for those that forgot, and a session is
// refused to them.
func needs(cmd *cobra.Command, code string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[permission] = code
}

// open declares that a command, and those that it holds, need no operator.
func open(cmd *cobra.Command) *cobra.Command {
	needs(cmd, noOperator)
	return cmd
}

// declared is what a command declares, or the group that it stands in; "" for nothing.
func declared(cmd *cobra.Command) string {
	for ; cmd != nil; cmd = cmd.Parent() {
		if what := cmd.Annotations[permission]; what != "" {
			return what
		}
	}
	return ""
}

// code is the permission code that a command declares, "" for one that any operator may run.
func code(cmd *cobra.Command) (string, error) {
	switch what := declared(cmd); what {
	case "", noOperator:
		return "", fault.New(fault.Internal, "%q declares no permission, so nobody may run it as an operator", cmd.CommandPath())
	case anyOperator:
		return "", nil
	default:
		return what, nil
	}
}

// permit refuses a command whose permission the operator lacks: everywhere, or in the one tenant that a
// command of withinTenant is narrowed to.
func (s *session) permit(ctx context.Context, cmd *cobra.Command) error {
	need, err := code(cmd)
	if err != nil || need == "" {
		return err
	}
	refused := s.who.Permit(need, nil)
	if refused == nil || len(s.who.Scoped) == 0 || !withinTenant[cmd.Name()] || !cmd.Flags().Changed("tenant") {
		return refused
	}
	for _, name := range listOfFlag(cmd, "tenant") {
		t, err := tenants.Find(ctx, s.db, s.cat, name, false)
		if err != nil {
			return refused // do not reveal whether the tenant exists
		}
		if err := s.who.Permit(need, &t.ID); err != nil {
			return err
		}
	}
	return nil
}

// withinTenant are the commands that read nothing but what --tenant names. Those that change rows are not
// among them: they reach rows by REFs, wherever these are.
var withinTenant = map[string]bool{"list": true, "summary": true, "report": true}

// nounOf is what a command is about, as audit rows call it.
func nounOf(cmd *cobra.Command) string {
	if cmd.HasParent() && cmd.Parent().HasParent() {
		return strings.TrimSuffix(cmd.Parent().Name(), "s")
	}
	return cmd.Name()
}

// blocked leaves the audit row of an attempt that was refused for who the operator is, as well as that
// can be done.
func (a *app) blocked(ctx context.Context, s *session, cmd *cobra.Command, about audit.Subject, cause error) {
	if a.completing {
		return
	}
	cat, err := schema.Read(ctx, s.db, schema.AuditTables...) // a command that reads did not ask for it
	if err != nil {
		return
	}
	if l, err := audit.Open(ctx, s.db, cat, s.by, a.origin(cmd)); err == nil {
		l.Failed(ctx, audit.Intent{Subject: about, Action: audit.Execute}, cause)
	}
}

// gate has a ledger ask, inside its transactions, whether the operator may still do what the command does.
func (a *app) gate(s *session, l *audit.Ledger, cmd *cobra.Command) error {
	need, err := code(cmd)
	if err != nil {
		return err
	}
	l.Gate, err = s.who.Gate(s.cat, need, a.cfg.Enforce)
	return err
}

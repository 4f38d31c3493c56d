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

// The annotations of a command with the permissions that its operator must hold, and with those that some uses of it
// need too. Both are codes with commas between.
const (
	permissionKey = "permission"
	optionalPermissionKey    = "perhaps"
)

// What a command declares where it needs no permission code.
const (
	anyOperator = "any operator" // an operator, whatever they hold: it is about themselves
	noOperator  = "no operator"  // nobody: it does not touch the platform's data, or makes the first operator
)

// needs declares the permissions that a command's operator must hold. Every command that does something
// declares one, or that it needs none; a test walks the tree for those that forgot, and a session is
// refused to them.
func requirePermission(cmd *cobra.Command, codes ...string) { annotate(cmd, permissionKey, codes) }

// mayNeed declares permissions that some uses of a command need beside its own. The command asks for them by demand,
// once its flags or its input say so.
func mayNeed(cmd *cobra.Command, codes ...string) { annotate(cmd, optionalPermissionKey, codes) }

func annotate(cmd *cobra.Command, key string, codes []string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[key] = strings.Join(codes, ",")
}

// possible are the permissions that some uses of a command need beside its own.
func optionalPermissions(cmd *cobra.Command) []string {
	return strings.FieldsFunc(cmd.Annotations[optionalPermissionKey], func(r rune) bool { return r == ',' })
}

func init() { cobra.AddTemplateFunc("permissions", permissionHelp) }

// permissionHelp is the line of a command's help that names its permissions.
func permissionHelp(cmd *cobra.Command) string {
	what := declared(cmd)
	if !cmd.Runnable() || cmd.HasSubCommands() || what == "" || what == noOperator {
		return ""
	}
	list := strings.Split(what, ",")
	if what == anyOperator {
		list = nil
	}
	text := strings.Join(list, ", ")
	if more := optionalPermissions(cmd); len(more) > 0 {
		if text != "" {
			text += ", and for some uses "
		} else {
			text = "for some uses "
		}
		text += strings.Join(more, ", ")
	}
	if text == "" {
		text = "none, for any operator"
	}
	return text
}

// open declares that a command, and those that it holds, need no operator.
func anonymous(cmd *cobra.Command) *cobra.Command {
	requirePermission(cmd, noOperator)
	return cmd
}

// declared is what a command declares, or the group that it stands in; "" for nothing.
func declared(cmd *cobra.Command) string {
	for ; cmd != nil; cmd = cmd.Parent() {
		if what := cmd.Annotations[permissionKey]; what != "" {
			return what
		}
	}
	return ""
}

// codes are the permissions that a command declares, none for one that any operator may run.
func requiredPermissions(cmd *cobra.Command) ([]string, error) {
	switch what := declared(cmd); what {
	case "", noOperator:
		return nil, fault.New(fault.Internal, "%q declares no permission, so nobody may run it as an operator", cmd.CommandPath())
	case anyOperator:
		return nil, nil
	default:
		return strings.Split(what, ","), nil
	}
}

// permit refuses a command whose permissions the operator lacks: everywhere, or in the one tenant that a
// command of withinTenant is narrowed to. All that are missing are named, those that only some uses need as well.
func (s *session) authorize(ctx context.Context, cmd *cobra.Command) error {
	need, err := requiredPermissions(cmd)
	if err != nil || len(need) == 0 {
		return err
	}
	refused := s.who.Require(nil, need...)
	if refused == nil {
		return nil
	}
	if more := s.who.Lacks(nil, optionalPermissions(cmd)...); len(more) > 0 {
		f := fault.From(refused)
		f.Message += "; some uses of the command need what is missing too: " + strings.Join(more, ", ")
	}
	if len(s.who.Scoped) == 0 || !withinTenant[cmd.Name()] || !cmd.Flags().Changed("tenant") {
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

// action is the annotation of a command with the action that its audit rows record, where its permission does not say so.
const actionKey = "action"

// tries declares the action that the audit rows of a command's attempts record.
func setAction(cmd *cobra.Command, what audit.Action) { annotate(cmd, actionKey, []string{string(what)}) }

// tried is the action that an attempt to run the command is recorded with, whatever comes of it.
func auditAction(cmd *cobra.Command) audit.Action {
	if what := cmd.Annotations[actionKey]; what != "" {
		return audit.Action(what)
	}
	code := declared(cmd)
	switch code[strings.LastIndexByte(code, '_')+1:] {
	case "CREATE":
		return audit.Create
	case "READ", "LIST":
		return audit.Read
	case "UPDATE", "MANAGE":
		return audit.Update
	case "DELETE":
		return audit.Delete
	}
	return audit.Execute
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
	need, err := requiredPermissions(cmd)
	if err != nil {
		return nil, err
	}
	g, err := s.who.Gate(s.cat, need...)
	l.Gate = g
	return g, err
}

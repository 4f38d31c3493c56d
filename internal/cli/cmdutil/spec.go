package cmdutil

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// A Spec states what running a command requires and what it records. It is set where the command is built. A command
// without one is refused.
type Spec struct {
	Permission string       // code that the operator must hold, or AnyOperator or NoOperator
	Resource   string       // what its audit rows are about: user, invoice
	Optional   []string     // codes that some uses require too; the command checks them with Writer.Require
	Tables     []string     // of the manager database that it reads, besides those of operators and of flags
	TenantOnly bool         // with --tenant it reads only those tenants, so the permission in them suffices
	Audit      AuditRows    // when it writes audit rows
	Action     audit.Action // in the audit rows of failed attempts; the default follows from Permission
}

// Values of Spec.Permission that are not codes.
const (
	AnyOperator = "any operator" // concerns only the operator's own account
	NoOperator  = "no operator"  // does not use the platform's data, or creates the first operator
)

// AuditRows is when a command writes audit rows, "" for never. Commands that write them take --reason and --ticket.
type AuditRows string

// Values of Spec.Audit.
const (
	Always      AuditRows = "always"
	WhenReading AuditRows = "when reading" // with --reveal, and for all rows of personal data
)

// Specify sets a command's Spec.
func (env *Env) Specify(cmd *cobra.Command, s Spec) {
	if env.specs == nil {
		env.specs = map[*cobra.Command]Spec{}
	}
	env.specs[cmd] = s
}

// SpecOf returns the Spec of a command, or of the nearest group above it that has one.
func (env *Env) SpecOf(cmd *cobra.Command) Spec {
	for ; cmd != nil; cmd = cmd.Parent() {
		if s, ok := env.specs[cmd]; ok {
			return s
		}
	}
	return Spec{}
}

// Resources returns the resources of all commands' audit rows.
func (env *Env) Resources() []string {
	var list []string
	for _, s := range env.specs {
		if s.Resource != "" && !slices.Contains(list, s.Resource) {
			list = append(list, s.Resource)
		}
	}
	return list
}

// Anonymous specifies that a command, or the commands of a group, do not need an operator.
func (env *Env) Anonymous(cmd *cobra.Command) *cobra.Command {
	env.Specify(cmd, Spec{Permission: NoOperator})
	return cmd
}

// required returns the permissions that the operator must hold.
func (s Spec) required() ([]string, error) {
	switch s.Permission {
	case "", NoOperator:
		return nil, fault.New(fault.Internal, "the command does not specify a permission, so operators cannot run it")
	case AnyOperator:
		return nil, nil
	}
	return []string{s.Permission}, nil
}

// action returns the action that audit rows of failed attempts record.
func (s Spec) action() audit.Action {
	if s.Action != "" {
		return s.Action
	}
	switch s.Permission[strings.LastIndexByte(s.Permission, '_')+1:] {
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

// intent returns what audit rows of failed attempts record about the row with the name.
func (s Spec) intent(name string) audit.Intent {
	return audit.Intent{Subject: audit.Subject{Resource: s.Resource, Name: name}, Action: s.action()}
}

// help returns the text after "Permissions:" in the command's help, "" for none.
func (s Spec) help() string {
	more := strings.Join(s.Optional, ", ")
	switch {
	case s.Permission == "" || s.Permission == NoOperator:
		return ""
	case s.Permission != AnyOperator && more != "":
		return s.Permission + ", and for some uses " + more
	case s.Permission != AnyOperator:
		return s.Permission
	case more != "":
		return "for some uses " + more
	}
	return "none, for any operator"
}

// TablesOf returns the tables that this run of a command reads besides those of operators. Asking for more takes time and
// rights on schemas that the command does not touch.
func (env *Env) TablesOf(cmd *cobra.Command) []string {
	s := env.SpecOf(cmd)
	list := slices.Clone(s.Tables)
	if s.Audit == Always {
		list = append(list, schema.AuditTables...)
		list = append(list, schema.Sessions, schema.APIKeys) // which a change of an account concerns
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			list = append(list, f.Annotations[cliflag.TablesAnnotation]...)
		}
	})
	return list
}

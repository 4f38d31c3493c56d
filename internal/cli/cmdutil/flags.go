package cmdutil

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// StrictFlags makes the flags of a command and its children refuse empty values, and a second value unless they take a
// list. Commands that write an audit row get --reason and --ticket. It runs over the finished tree, so that new
// commands and flags need no code for it.
func StrictFlags(env *Env, cmd *cobra.Command) {
	spec := env.SpecOf(cmd)
	if spec.Audit != "" && cmd.Flags().Lookup("ticket") == nil {
		bindReason(env, cmd)
	}
	bindCron(env, cmd)
	if text := spec.help(); text != "" {
		cliflag.Annotate(cmd, "permissions", text)
	}
	completing := env.IsCompleting()
	strict := func(f *pflag.Flag) {
		if t, ok := f.Value.(cliflag.Timed); ok {
			t.Follow(&env.Times)
		}
		if completing { // cobra parses twice
			_, f.Usage = pflag.UnquoteUsage(f)
			cliflag.CompleteTypical(cmd, f)
			return
		}
		if _, done := f.Value.(*cliflag.StrictValue); done {
			return
		}
		switch f.DefValue { // pflag does not recognize zero values of custom types
		case "[]", "0s", "0":
			f.DefValue = ""
		}
		f.Value = &cliflag.StrictValue{Value: f.Value, Name: f.Name}
	}
	cmd.Flags().VisitAll(strict)
	cmd.PersistentFlags().VisitAll(strict)
	for _, child := range cmd.Commands() {
		StrictFlags(env, child)
	}
}

// bindReason adds the flags that are recorded in the audit row.
func bindReason(env *Env, cmd *cobra.Command) {
	cmd.Flags().StringVar(&env.Global.Reason, "reason", "", "reason, recorded in the audit row")
	cmd.Flags().StringVar(&env.Global.ticket, "ticket", "", "`id` of a ticket, recorded in the audit row")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Printing, "reason", "ticket")
	cliflag.ExplainIn(cmd.Flags(), "audit-log", "reason", "ticket")
}

// refuseUnrecorded refuses --reason and --ticket if they are blank or if this run writes no audit row.
func refuseUnrecorded(env *Env, cmd *cobra.Command) error {
	recorded := []string{"reason", "ticket"}
	for i, value := range []string{env.Global.Reason, env.Global.ticket} {
		if value != "" && strings.TrimSpace(value) == "" {
			return cliflag.EmptyValue(recorded[i])
		}
	}
	if env.SpecOf(cmd).Audit != WhenReading || env.Reveal || env.Tenants.Many() {
		return nil
	}
	if cmd.Flags().Changed("all") {
		return nil
	}
	for _, name := range recorded {
		if cmd.Flags().Changed(name) {
			return fault.New(fault.Usage, "--%s is recorded in an audit row, but this command writes none", name).
				WithHint("%s writes one with --reveal", cmd.CommandPath())
		}
	}
	return nil
}

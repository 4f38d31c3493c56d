package cmdutil

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Leaves calls fn for every runnable command without subcommands.
func Leaves(cmd *cobra.Command, fn func(*cobra.Command)) {
	for _, c := range cmd.Commands() {
		Leaves(c, fn)
	}
	if cmd.Runnable() && !cmd.HasSubCommands() {
		fn(cmd)
	}
}

// Group returns a command that only has subcommands.
func Group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: GroupHelp}
	cmd.AddCommand(children...)
	return cmd
}

// GroupHelp prints the help of a group. Arguments are unknown subcommands, and an error.
func GroupHelp(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	f := fault.New(fault.Usage, "unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return f.WithHint("did you mean %s", strings.Join(near, ", "))
	}
	return f.WithHint("see: %s --help", cmd.CommandPath())
}

// ExactArgs requires one argument per name.
func ExactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fault.New(fault.Usage, "%s: %s is missing", cmd.CommandPath(), names[len(args)]).
				WithHint("usage: %s", cmd.UseLine())
		}
		if len(args) > len(names) {
			return fault.New(fault.Usage, "%s: unexpected argument %q", cmd.CommandPath(), args[len(names)]).
				WithHint("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// commandLine returns the command for the audit row.
func commandLine(cmd *cobra.Command) string {
	words := []string{strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case !cliflag.Recorded.Has(f):
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words = append(words, "--"+f.Name)
		default:
			words = append(words, fmt.Sprintf("--%s=%s", f.Name, strings.Trim(f.Value.String(), "[]")))
		}
	})
	return strings.Join(words, " ")
}

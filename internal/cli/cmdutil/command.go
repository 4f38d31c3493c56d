package cmdutil

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
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

// Describe sets the paragraph and the examples of a command's help.
func Describe(cmd *cobra.Command, long, example string) *cobra.Command {
	cmd.Long, cmd.Example = long, example
	return cmd
}

// GroupHelp refuses a group without a command: a script's typo must not pass. It prints the group's help on standard
// error, on standard output if the word help follows.
func GroupHelp(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 0 && args[0] == "help":
		return HelpOn(cmd, args[1:])
	case len(args) > 0:
		return UnknownCommand(cmd, args[0])
	case !cmd.HasParent():
		return cmd.Help()
	}
	return fault.New(fault.Usage, "%s: the command is missing", cmd.CommandPath()).WithHint("see: %s --help", cmd.CommandPath())
}

// HelpOn prints the help of the command that the words name, starting from cmd.
func HelpOn(cmd *cobra.Command, words []string) error {
	for _, word := range words {
		i := slices.IndexFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
		if i < 0 {
			return UnknownCommand(cmd, word)
		}
		cmd = cmd.Commands()[i]
	}
	cmd.InitDefaultHelpFlag()
	return cmd.Help()
}

// UnknownCommand returns the error for a word that is not a command of a group. It suggests the command that may be
// meant.
func UnknownCommand(group *cobra.Command, word string) *fault.Error {
	f := fault.New(fault.Usage, "unknown command %q for %q", word, group.CommandPath())
	var names []string
	for _, c := range group.Commands() {
		if slices.Contains(c.SuggestFor, strings.ToLower(word)) {
			return f.WithHint("did you mean %s", c.Name())
		}
		names = append(names, c.Name())
	}
	if near := validate.Near(word, names); near != "" {
		return f.WithHint("did you mean %s", near)
	}
	return f.WithHint("see: %s --help", group.CommandPath())
}

// ExactArgs requires one argument per name.
func ExactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fault.New(fault.Usage, "%s: %s is missing", cmd.CommandPath(), names[len(args)]).
				WithHint("usage: %s", cmd.UseLine())
		}
		if len(args) > len(names) && args[len(names)] == "help" {
			return pflag.ErrHelp
		}
		if len(args) > len(names) {
			return fault.New(fault.Usage, "%s: unexpected argument %q", cmd.CommandPath(), args[len(names)]).
				WithHint("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// AtLeast requires one argument with this name, or more.
func AtLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return ExactArgs(name)(cmd, args[:min(len(args), 1)]) }
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

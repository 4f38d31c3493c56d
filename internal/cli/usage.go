package cli

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// usageError returns the error for arguments that cobra or pflag refused before the command ran.
func usageError(cmd *cobra.Command, args []string, err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if word := unknownCommand(cmd, args); word != "" {
		return cmdutil.UnknownCommand(cmd, word)
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fault.New(fault.Validation, "--%s: %q is not valid: %s", bad.GetFlag().Name, bad.GetValue(), flagProblem(bad.GetFlag(), errors.Unwrap(bad)))
	}
	message := usageMessage(err.Error())
	if flags := cliflag.Missing(cmd); len(flags) > 0 && strings.HasPrefix(message, "required flag(s) ") {
		message = cliflag.MissingText(flags)
	}
	f := fault.New(fault.Usage, "%s", message).WithHint("see: %s --help", cmd.CommandPath())
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		if hint := cliflag.HintInstead(cmd, name); hint != "" {
			return f.WithHint("%s", hint)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := validate.Near(name, names); near != "" && len(name) > 1 {
			return f.WithHint("did you mean --%s", near)
		}
	}
	return f
}

// unknownCommand returns the first argument of a group that is not a command of it, "" if there is none.
func unknownCommand(group *cobra.Command, args []string) string {
	if !group.HasSubCommands() {
		return ""
	}
	_, rest, err := group.Root().Find(args)
	if err != nil {
		return ""
	}
	for i := 0; i < len(rest); i++ {
		name, isFlag := strings.CutPrefix(rest[i], "-")
		if !isFlag {
			return rest[i]
		}
		flag := group.Flags().Lookup(strings.TrimPrefix(name, "-"))
		if flag != nil && flag.NoOptDefVal == "" {
			i++ // its value
		}
	}
	return ""
}

// usageMessage rewords cobra's messages about groups of flags.
func usageMessage(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	_, set, _ := strings.Cut(text, "[")
	set, rest, _ := strings.Cut(set, "]")
	flags := strings.Fields(set)
	switch {

	case strings.HasPrefix(text, "at least one of the flags"):
		return cliflag.List(flags, "or") + " is required"
	case strings.HasPrefix(text, "if any flags in the group [") && strings.Contains(text, "must all be set"):
		return usageMessage("missing" + strings.TrimPrefix(rest, " are set they must all be set; missing"))
	case strings.HasPrefix(text, "missing ["):
		return cliflag.MissingText(flags)
	case strings.HasPrefix(text, "if any flags in the group ["):
		_, set, _ = strings.Cut(rest, "[")
		return usageMessage("together [" + set)
	case strings.HasPrefix(text, "together ["):
		return cliflag.List(flags, "and") + " cannot be used together"
	}
	return text
}

// flagProblem replaces parse errors that mention Go types with a description of the expected value.
func flagProblem(flag *pflag.Flag, err error) string {
	switch kind := flag.Value.Type(); {
	case errors.Is(err, strconv.ErrRange):
		return "the number is too large"
	case strings.HasPrefix(kind, "int"):
		return "want a whole number"
	case kind == "bool":
		return "want true or false"
	case kind == "duration":
		return "want a duration with a unit, such as 30s or 5m"
	}
	return err.Error()
}

// synonyms are further names of commands: those that other tools use, and words that are suggested from.
var synonyms = map[string]struct{ aliases, suggested []string }{
	"create": {[]string{"add"}, []string{"new", "insert"}},
	"delete": {[]string{"rm"}, []string{"remove", "del", "drop"}},
	"get":    {[]string{"show"}, []string{"view", "describe", "info"}},
	"list":   {[]string{"ls"}, []string{"search", "find", "all"}},
	"remove": {[]string{"rm"}, []string{"delete"}},
	"revoke": {[]string{"rm"}, []string{"delete", "remove"}},
	"update": {nil, []string{"edit", "modify", "change", "set"}},
	"status": {nil, []string{"suspend", "activate", "lock", "disable", "enable"}},
}

// addSynonyms gives the commands below group their synonyms.
func addSynonyms(group *cobra.Command) {
	for _, c := range group.Commands() {
		s := synonyms[c.Name()]
		isTaken := func(word string) bool {
			return slices.ContainsFunc(group.Commands(), func(sibling *cobra.Command) bool { return sibling != c && sibling.Name() == word })
		}
		c.Aliases = append(c.Aliases, slices.DeleteFunc(slices.Clone(s.aliases), isTaken)...)
		c.SuggestFor = append(c.SuggestFor, s.suggested...)
		addSynonyms(c)
	}
}

// synonymsOfFlags accepts the names of flags that other tools use.
func synonymsOfFlags(fs *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "limit" && fs.Lookup("page-size") != nil {
		name = "page-size"
	}
	return pflag.NormalizedName(name)
}

package cli

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// strictFlags makes the flags of a command and its children refuse empty values, and a second value unless they take a
// list. Commands that write an audit row get --reason and --ticket. It runs over the finished tree, so that new commands
// and flags need no code for it.
func (a *app) strictFlags(cmd *cobra.Command) {
	spec := a.specOf(cmd)
	if spec.Audit != "" && cmd.Flags().Lookup("ticket") == nil {
		a.bindReason(cmd)
	}
	if text := spec.help(); text != "" {
		annotate(cmd, "permissions", text)
	}
	completing := len(a.args) > 0 && strings.HasPrefix(a.args[0], cobra.ShellCompRequestCmd) // cobra then parses twice
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if t, ok := f.Value.(timed); ok {
			t.follow(&a.timing)
		}
		if _, done := f.Value.(*strictValue); done || completing {
			return
		}
		switch f.DefValue { // pflag does not recognize zero values of custom types
		case "[]", "0s", "0":
			f.DefValue = ""
		}
		f.Value = &strictValue{Value: f.Value, name: f.Name}
	})
	for _, child := range cmd.Commands() {
		a.strictFlags(child)
	}
}

// strictValue is a flag's value that refuses input that would be ignored silently.
type strictValue struct {
	pflag.Value
	name  string
	given bool
}

// Set refuses an empty value, and a second value unless the flag takes a list.
func (v *strictValue) Set(s string) error {
	list, many := v.Value.(pflag.SliceValue)
	switch {
	case s == "":
		return emptyValue(v.name)
	case v.given && !many:
		return fault.New(fault.Usage, "--%s was given twice but takes one value", v.name).With("flag", v.name)
	}
	v.given = true
	if err := v.Value.Set(s); err != nil {
		return err
	}
	if many && slices.ContainsFunc(list.GetSlice(), func(s string) bool { return strings.TrimSpace(s) == "" }) {
		return emptyValue(v.name)
	}
	return nil
}

// emptyValue is the error of a flag without a value. An empty value usually means an unset shell variable, and an
// empty filter would select everything.
func emptyValue(name string) error {
	return fault.New(fault.Usage, "--%s is empty", name).
		WithHint("give it a value, or omit it").With("flag", name)
}

// listFlag is a list: repeated, or separated by commas.
type listFlag []string

// String returns the values, separated by commas.
func (l *listFlag) String() string { return strings.Join(*l, ",") }

// Set adds the values.
func (l *listFlag) Set(s string) error {
	*l = append(*l, strings.Split(s, ",")...)
	return nil
}

// Type names the flag's values in help.
func (l *listFlag) Type() string { return "strings" }

// Append implements pflag.SliceValue.
func (l *listFlag) Append(s string) error { return l.Set(s) }

// Replace implements pflag.SliceValue.
func (l *listFlag) Replace(values []string) error {
	*l = values
	return nil
}

// GetSlice implements pflag.SliceValue.
func (l *listFlag) GetSlice() []string { return *l }

// searchFlag is a text to search for. Its length is limited, since a long one can take the server minutes.
type searchFlag struct {
	name string
	text *string
}

const maxSearch = 200 // characters

// searchVar adds a searchFlag.
func searchVar(fs *pflag.FlagSet, text *string, name, usage string) {
	fs.Var(&searchFlag{name, text}, name, usage)
}

// String returns the text.
func (t *searchFlag) String() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Set refuses a text that is too long.
func (t *searchFlag) Set(s string) error {
	if n := utf8.RuneCountInString(s); n > maxSearch {
		return fault.New(fault.Validation, "--%s is %d characters long; at most %d are allowed", t.name, n, maxSearch).With("flag", t.name)
	}
	*t.text = s
	return nil
}

// Type names the flag's values in help.
func (t *searchFlag) Type() string { return "text" }

// listOfFlag returns the values of a flag that takes a list, or the single value of any other flag.
func listOfFlag(cmd *cobra.Command, name string) []string {
	v := cmd.Flags().Lookup(name).Value
	if strict, ok := v.(*strictValue); ok {
		v = strict.Value
	}
	if list, many := v.(pflag.SliceValue); many {
		return list.GetSlice()
	}
	return []string{v.String()}
}

// A flagMark is an annotation of a flag, set where the flag is defined.
type flagMark string

const (
	recorded flagMark = "recorded" // audit rows repeat the flag with its value; other flags are fields, or change nothing
	shaping  flagMark = "shaping"  // selects no rows of a list
	printing flagMark = "printing" // the same, and does not affect which rows are read: not in the audit row of a read
	entering flagMark = "entering" // the command works in the databases of the tenants that the flag names
)

// markFlags marks the named flags.
func markFlags(fs *pflag.FlagSet, m flagMark, names ...string) {
	for _, name := range names {
		must(fs.SetAnnotation(name, string(m), []string{}))
	}
}

// has reports whether a flag is marked with m.
func (m flagMark) has(f *pflag.Flag) bool {
	_, ok := f.Annotations[string(m)]
	return ok
}

// bindReason adds the flags that are recorded in the audit row.
func (a *app) bindReason(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.global.reason, "reason", "", "reason, recorded in the audit row")
	cmd.Flags().StringVar(&a.global.ticket, "ticket", "", "`id` of a ticket, recorded in the audit row")
	markFlags(cmd.Flags(), printing, "reason", "ticket")
}

// refuseUnrecorded refuses --reason and --ticket if this run writes no audit row.
func (a *app) refuseUnrecorded(cmd *cobra.Command) error {
	if a.specOf(cmd).Audit != whenReading || a.reveal || a.tenant.many() {
		return nil
	}
	if cmd.Flags().Changed("all") {
		return nil
	}
	for _, name := range []string{"reason", "ticket"} {
		if cmd.Flags().Changed(name) {
			return fault.New(fault.Usage, "--%s is recorded in an audit row, but this command writes none", name).
				WithHint("%s writes one with --reveal", cmd.CommandPath())
		}
	}
	return nil
}

// Package cliflag provides the flag value types that pflag lacks, and annotations of flags: which ones audit rows
// repeat, which select no rows, and which name a file.
package cliflag

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// StrictValue is a flag's value that refuses input that would be ignored silently.
type StrictValue struct {
	pflag.Value
	Name  string
	Given bool
}

// Set refuses an empty value, and a second value unless the flag takes a list.
func (v *StrictValue) Set(s string) error {
	list, many := v.Value.(pflag.SliceValue)
	switch {
	case s == "":
		return EmptyValue(v.Name)
	case v.Given && !many:
		return fault.New(fault.Usage, "--%s was given twice but takes one value", v.Name).With("flag", v.Name)
	}
	v.Given = true
	if err := v.Value.Set(s); err != nil {
		return err
	}
	if many && slices.ContainsFunc(list.GetSlice(), func(s string) bool { return strings.TrimSpace(s) == "" }) {
		return EmptyValue(v.Name)
	}
	return nil
}

// Replace sets a flag to another value, which may be empty.
func Replace(cmd *cobra.Command, f *pflag.Flag, value string) error {
	strict := f.Value.(*StrictValue)
	if value == "" {
		return strict.Value.Set("")
	}
	strict.Given = false
	return cmd.Flags().Set(f.Name, value)
}

// EmptyValue returns the error of a flag without a value. An empty value usually means an unset shell variable, and an
// empty filter would select everything.
func EmptyValue(name string) error {
	return fault.New(fault.Usage, "--%s is empty", name).
		WithHint("give it a value, or omit it").With("flag", name)
}

// ListValue is a list: repeated, or separated by commas.
type ListValue []string

// String returns the values, separated by commas.
func (l *ListValue) String() string { return strings.Join(*l, ",") }

// Set adds the values.
func (l *ListValue) Set(s string) error {
	*l = append(*l, strings.Split(s, ",")...)
	return nil
}

// Type names the flag's values in help.
func (l *ListValue) Type() string { return "strings" }

// Append implements pflag.SliceValue.
func (l *ListValue) Append(s string) error { return l.Set(s) }

// Replace implements pflag.SliceValue.
func (l *ListValue) Replace(values []string) error {
	*l = values
	return nil
}

// GetSlice implements pflag.SliceValue.
func (l *ListValue) GetSlice() []string { return *l }

// BindDeleted adds --include-deleted.
func BindDeleted(cmd *cobra.Command, include *bool, nouns string) {
	cmd.Flags().BoolVar(include, "include-deleted", false, "include deleted "+nouns)
	MarkFlags(cmd.Flags(), Recorded, "include-deleted")
}

// FileList is a list of files: repeated. Names may contain commas.
type FileList struct{ ListValue }

// Set adds a file.
func (l *FileList) Set(s string) error {
	l.ListValue = append(l.ListValue, s)
	return nil
}

// Append implements pflag.SliceValue.
func (l *FileList) Append(s string) error { return l.Set(s) }

// Type names the flag's values in help.
func (l *FileList) Type() string { return "stringArray" }

// searchValue is a text to search for. Its length is limited, since a long one can take the server minutes.
type searchValue struct {
	name string
	text *string
}

const maxSearch = 200 // characters

// SearchVar adds a searchValue.
func SearchVar(fs *pflag.FlagSet, text *string, name, usage string) {
	fs.Var(&searchValue{name, text}, name, usage)
}

// String returns the text.
func (t *searchValue) String() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Set refuses a text that is too long.
func (t *searchValue) Set(s string) error {
	if n := utf8.RuneCountInString(s); n > maxSearch {
		return fault.New(fault.Validation, "--%s is %d characters long; at most %d are allowed", t.name, n, maxSearch).With("flag", t.name)
	}
	*t.text = s
	return nil
}

// Type names the flag's values in help.
func (t *searchValue) Type() string { return "text" }

// ValuesOf returns the values of a flag that takes a list, or the single value of any other flag.
func ValuesOf(cmd *cobra.Command, name string) []string {
	v := cmd.Flags().Lookup(name).Value
	if strict, ok := v.(*StrictValue); ok {
		v = strict.Value
	}
	if list, many := v.(pflag.SliceValue); many {
		return list.GetSlice()
	}
	return []string{v.String()}
}

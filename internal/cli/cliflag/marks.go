package cliflag

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// StandardStream is the file name that means standard input or output.
const StandardStream = "-"

// FileUse annotates a flag that names a file with how the command uses the file. It also annotates a command whose first
// argument names a file to read.
const FileUse = "file"

// The ways in which a command uses a file that a flag names.
const (
	FileRead    = "read"
	FileWritten = "written" // - is standard output
	FileKept    = "kept"    // read, and written for the next run; cannot be a stream
	FileField   = "field"   // written; - makes it a field of the record
	FileRecord  = "record"  // --output-file
	FileFolder  = "folder"  // a folder for new files
)

// MarkFile declares that a flag names a file, and that the command also uses that name with each of the suffixes.
func MarkFile(cmd *cobra.Command, flag, use string, suffixes ...string) {
	f := cmd.Flag(flag)
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[FileUse] = append([]string{use}, suffixes...)
	files := Files
	if use == FileFolder {
		files = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	}
	CompleteFlagWith(cmd, flag, files)
}

// A Mark is an annotation of a flag, set where the flag is defined.
type Mark string

// Marks of flags.
const (
	Recorded Mark = "recorded" // audit rows repeat the flag with its value; other flags are fields, or change nothing
	Shaping  Mark = "shaping"  // selects no rows of a list
	Printing Mark = "printing" // the same, and does not affect which rows are read: not in the audit row of a read
	Entering Mark = "entering" // the command works in the databases of the tenants that the flag names
)

// MarkFlags marks the named flags.
func MarkFlags(fs *pflag.FlagSet, m Mark, names ...string) {
	for _, name := range names {
		Must(fs.SetAnnotation(name, string(m), []string{}))
	}
}

// Has reports whether a flag is marked with m.
func (m Mark) Has(f *pflag.Flag) bool {
	_, ok := f.Annotations[string(m)]
	return ok
}

// fieldAnnotation annotates a flag whose name is not that of the field that it sets.
const fieldAnnotation = "field"

// MarkField declares which field a flag sets. The default is the name of the flag with underscores, as in page_size.
func MarkField(fs *pflag.FlagSet, flag, field string) {
	Must(fs.SetAnnotation(flag, fieldAnnotation, []string{field}))
}

// OfField returns the flag on the command line that set a field, or nil.
func OfField(fs *pflag.FlagSet, field string) (flag *pflag.Flag) {
	fs.Visit(func(f *pflag.Flag) {
		if strings.ReplaceAll(f.Name, "-", "_") == field || slices.Contains(f.Annotations[fieldAnnotation], field) {
			flag = f
		}
	})
	return flag
}

// Require makes cobra refuse the command without these flags.
func Require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		Must(cmd.MarkFlagRequired(name))
	}
	Annotate(cmd, "required", strings.Join(names, ","))
}

// Missing returns the required flags that are not on the command line, in the order of Require.
func Missing(cmd *cobra.Command) (names []string) {
	for _, name := range strings.Split(cmd.Annotations["required"], ",") {
		if f := cmd.Flags().Lookup(name); f != nil && !f.Changed {
			names = append(names, name)
		}
	}
	return names
}

// MissingText returns the message about missing flags: "--username and --email are missing".
func MissingText(names []string) string {
	verb := "is"
	if len(names) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s %s missing", List(names, "and"), verb)
}

// List lists flags as in "--a, --b or --c", where or is last.
func List(names []string, last string) string {
	dashed := make([]string, len(names))
	for i, name := range names {
		dashed[i] = "--" + name
	}
	return fault.Join(dashed, last)
}

// Annotate sets an annotation of a command.
func Annotate(cmd *cobra.Command, key, value string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[key] = value
}

// Instead sets the hint for a flag that the command does not have, but that people expect.
func Instead(cmd *cobra.Command, flag, hint string) {
	Annotate(cmd, "instead of --"+flag, hint)
}

// HintInstead returns the hint that Instead set, or "".
func HintInstead(cmd *cobra.Command, flag string) string {
	return cmd.Annotations["instead of --"+flag]
}

// Exits adds exit codes to the help of a command, or of those of a group, that do not follow from flags and arguments.
func Exits(cmd *cobra.Command, codes ...string) *cobra.Command {
	Annotate(cmd, "exits", strings.Join(codes, " "))
	return cmd
}

// ExitsOf returns the codes that Exits added to a command and to the groups above it.
func ExitsOf(cmd *cobra.Command) (codes []string) {
	for ; cmd != nil; cmd = cmd.Parent() {
		codes = append(codes, strings.Fields(cmd.Annotations["exits"])...)
	}
	return codes
}

// topicAnnotation annotates a flag that a help topic explains, in place of the help of each command that has it.
const topicAnnotation = "topic"

// ExplainIn leaves the explanation of the flags to a help topic.
func ExplainIn(fs *pflag.FlagSet, topic string, names ...string) {
	for _, name := range names {
		Must(fs.SetAnnotation(name, topicAnnotation, []string{topic}))
	}
}

// TopicOf returns the help topic that explains a flag, "" for the command's own help.
func TopicOf(f *pflag.Flag) string { return strings.Join(f.Annotations[topicAnnotation], "") }

// Must panics on errors that only a bug can cause, such as an undefined flag.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// TablesAnnotation is the annotation of a flag with the tables that a command reads only where the flag is given.
const TablesAnnotation = "tables"

// MarkTables states that a command reads the tables only if the flag is given.
func MarkTables(fs *pflag.FlagSet, flag string, tables ...string) {
	Must(fs.SetAnnotation(flag, TablesAnnotation, tables))
}

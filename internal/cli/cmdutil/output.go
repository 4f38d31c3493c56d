package cmdutil

import (
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
)

// OutputFlags are the flags of commands that print records.
type OutputFlags struct {
	Format, JQ           string
	files                cliflag.FileList
	Page                 string // a flag that names a file for a page in place of the records
	columns              []string
	noHeaders, bom, safe bool

	asked bool // a flag chooses what is printed, or a secret is: --quiet then prints it too
}

// AddOutputFlags adds the output flags to a command that prints records of type T.
func AddOutputFlags[T any](env *Env, cmd *cobra.Command) *cobra.Command {
	return BindOutput(env, cmd, output.CheckColumns[T])
}

// BindOutput adds the output flags to a command. check refuses unknown --columns before the command runs.
func BindOutput(env *Env, cmd *cobra.Command, check func(columns []string) error) *cobra.Command {
	cmd.PreRunE = func(*cobra.Command, []string) error { return check(env.Output.columns) }
	f := cmd.Flags()
	f.StringVarP(&env.Output.Format, "output", "o", "", "`format`: table, wide, json, jsonl, csv, tsv, yaml, id or xlsx (default table; CXGCTL_OUTPUT)")
	f.BoolFunc("json", "same as -o json", func(string) error { return f.Set("output", "json") })
	cliflag.Must(f.MarkHidden("json"))
	f.StringSliceVar(&env.Output.columns, "columns", nil, "print these `fields`, in this order")
	f.BoolVar(&env.Output.noHeaders, "no-headers", false, "omit the header row")
	// a single value, see bindCron
	f.Var(struct{ pflag.Value }{&env.Output.files}, "output-file", "write to `file` atomically; the extension selects the format, and .gz and .zst compress")
	cliflag.MarkFlags(f, cliflag.Shaping, "output-file")
	cliflag.MarkFile(cmd, "output-file", cliflag.FileRecord)
	f.StringVar(&env.Output.JQ, "jq", "", "filter the json document with a jq `expression`")
	f.BoolVar(&env.Output.bom, "csv-bom", false, "start csv with a byte order mark, for Excel")
	f.BoolVar(&env.Output.safe, "csv-safe", false, "prefix csv cells that spreadsheets evaluate with ', and quote cells with ;")
	cliflag.MarkFlags(f, cliflag.Printing, "output", "json", "columns", "no-headers", "jq", "csv-bom", "csv-safe")
	cliflag.ExplainIn(f, "formats", "columns", "no-headers", "output-file", "jq", "csv-bom", "csv-safe")
	cliflag.CompleteFlag(cmd, "output", output.Formats...)
	cliflag.CompleteFlagWith(cmd, "columns", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		valid, _ := fault.From(check([]string{"?"})).Detail["valid"].([]string)
		return valid, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// IsStructured reports whether errors in this format are a single document.
func IsStructured(f output.Format) bool {
	return f == output.JSON || f == output.JSONL || f == output.YAML
}

// SetPrinter creates the printer from the flags, and validates them.
func (env *Env) SetPrinter(cmd *cobra.Command) error {
	c, err := env.LoadConfig(cmd)
	if err != nil {
		return err
	}
	env.Output.asked = env.Output.asked || env.Output.Format != "" || len(env.Output.columns) > 0
	terminal := env.TerminalOf(env.Stdout)
	if env.Output.Page != "" {
		env.Output.files.ListValue = []string{env.Output.Page}
	}
	files := env.Output.files.ListValue
	if err := outfile.Expand(files, env.Started, c.Zone); err != nil {
		return err
	}
	if err := env.cron.check(len(files) > 0); err != nil {
		return err
	}
	given, format := env.Output.Format != "", output.Format(c.Output)
	if standard := cmd.Annotations[FormatAnnotation]; standard != "" && !given {
		format = output.Format(standard)
	}
	targets, err := output.Targets(files, format, given, env.Output.JQ)
	if err != nil {
		return err
	}
	var pager *output.Pager
	if cmd.Flags().Lookup("dry-run") == nil { // a change must not wait for a reader
		pager = env.Pager()
	}
	env.Printer, err = output.New(output.Options{
		File: targets[0].File, Format: targets[0].Format, Also: targets[1:],
		Columns: env.Output.columns, NoHeaders: env.Output.noHeaders, JQ: env.Output.JQ,
		CSVBOM: env.Output.bom, CSVSafe: env.Output.safe, Stdout: InterruptibleWriter{env.Context, env.Stdout}, Standard: env.Stdout,
		Context: env.Context, Timeout: c.Timeout, FailIfEmpty: env.cron.failIfEmpty, IfChanged: env.cron.ifChanged,
		Terminal: terminal, Pager: pager, Note: env.Note, Mask: c.Protected && !env.Reveal,
	})
	if err != nil {
		return err
	}
	return checkFiles(env, cmd)
}

// FormatAnnotation annotates a command with its format if no flag selects one.
const FormatAnnotation = "format"

// Pager returns a pager for standard output, or nil if it is not a terminal or no pager is wanted. The time-out of the
// command ends when a person begins to read.
func (env *Env) Pager() *output.Pager {
	t := env.TerminalOf(env.Stdout)
	terminal, isFile := env.Stdout.(*os.File)
	isOff := env.Global.NoPager || env.Global.NoInput || env.Global.Verbose || env.Getenv("TERM") == "dumb"
	if isOff || !isFile || !t.IsTTY || t.Rows == 0 || output.PagerCommand() == "" {
		return nil
	}
	env.pager = &output.Pager{
		Context: env.Context, Terminal: terminal, Plain: InterruptibleWriter{env.Context, terminal},
		Command: output.PagerCommand(), Height: t.Rows, Begin: env.Deadline.Stop,
	}
	return env.pager
}

// HasPaged reports whether output went to a pager.
func (env *Env) HasPaged() bool { return env.pager.Used() }

// CheckPrinted refuses output flags with which a generated secret would not be printed and would be lost. The secret is
// printed in field; the flag elsewhere, which the hint names, writes it to a file instead.
func CheckPrinted(env *Env, cmd *cobra.Command, field, what, elsewhere string) error {
	env.Output.asked = true
	omitted := printsID(env, cmd) || len(env.Output.columns) > 0 && !slices.Contains(env.Output.columns, field)
	if info, err := os.Stat(env.Output.files.String()); err == nil {
		null, err := os.Stat(os.DevNull)
		omitted = omitted || err == nil && os.SameFile(info, null)
	}
	if env.Output.JQ != "" && !omitted {
		prints, err := output.PrintsField(env.Output.JQ, field)
		if err != nil {
			return err
		}
		omitted = !prints
	}
	if omitted {
		return fault.New(fault.Usage, "%s would not be printed", what).
			WithHint("add %s, or print the field %s", elsewhere, field)
	}
	return nil
}

// PrintWhole prints a complete list.
func PrintWhole[T any](env *Env, v output.View, items []T) error {
	return output.List(env.Printer, v, output.Page[T]{Items: items, Total: int64(len(items)), Page: 1, PageSize: len(items)})
}

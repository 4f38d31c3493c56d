package cmdutil

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// OutputFlags are the flags of commands that print records.
type OutputFlags struct {
	Format, file, JQ     string
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
	f.StringVar(&env.Output.file, "output-file", "", "write to `file` atomically; the extension selects the format, and .gz and .zst compress")
	cliflag.MarkFlags(f, cliflag.Shaping, "output-file")
	cliflag.MarkFile(cmd, "output-file", cliflag.FileRecord)
	f.StringVar(&env.Output.JQ, "jq", "", "filter the json document with a jq `expression`")
	f.BoolVar(&env.Output.bom, "csv-bom", false, "start csv with a byte order mark, for Excel")
	f.BoolVar(&env.Output.safe, "csv-safe", false, "prefix csv cells that spreadsheets evaluate with ', and quote cells with ;")
	cliflag.MarkFlags(f, cliflag.Printing, "output", "json", "columns", "no-headers", "jq", "csv-bom", "csv-safe")
	cliflag.ExplainIn(f, "formats", "columns", "no-headers", "output-file", "jq", "csv-bom", "csv-safe")
	formats := make([]string, len(output.Formats))
	for i, x := range output.Formats {
		formats[i] = string(x)
	}
	cliflag.CompleteFlag(cmd, "output", formats...)
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
	format := output.Format(c.Output)
	if env.Output.Format == "" {
		if byName := output.FormatOf(env.Output.file); byName != "" {
			format = byName
		}
		if env.Output.JQ != "" && format != output.JSONL {
			format = "" // --jq selects json
		}
	}
	terminal := env.TerminalOf(env.Stdout)
	terminal.Zone = c.Zone
	env.Output.file = env.expandFile(env.Output.file, c.Zone)
	if err := env.cron.check(env.Output.file); err != nil {
		return err
	}
	env.Printer, err = output.New(output.Options{
		Format: format, Columns: env.Output.columns, NoHeaders: env.Output.noHeaders, File: env.Output.file, JQ: env.Output.JQ,
		CSVBOM: env.Output.bom, CSVSafe: env.Output.safe, Stdout: InterruptibleWriter{env.Context, env.Stdout}, Standard: env.Stdout,
		Context: env.Context, Timeout: c.Timeout, FailIfEmpty: env.cron.failIfEmpty, IfChanged: env.cron.ifChanged,
		Terminal: terminal, Note: env.Note, Mask: c.Protected && !env.reveal,
	})
	if err != nil {
		return err
	}
	return checkFiles(env, cmd)
}

// CheckPrinted refuses output flags with which a generated secret would not be printed and would be lost. The secret is
// printed in field; the flag elsewhere, which the hint names, writes it to a file instead.
func CheckPrinted(env *Env, cmd *cobra.Command, field, what, elsewhere string) error {
	env.Output.asked = true
	omitted := printsID(env, cmd) || len(env.Output.columns) > 0 && !slices.Contains(env.Output.columns, field)
	if info, err := os.Stat(env.Output.file); env.Output.file != "" && err == nil {
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

// printPage prints a page and notes the total and the next page.
func printPage[T any](env *Env, v output.View, page db.Page[T], p db.Paging) error {
	err := output.List(env.Printer, v, output.Page[T]{Items: page.Items, Total: page.Total, Page: p.Page, PageSize: p.Size})
	n := int64(len(page.Items))
	if err != nil || n == page.Total {
		return err
	}
	more := ""
	if int64(p.Page)*int64(p.Size) < page.Total {
		more = fmt.Sprintf(" (next: --page %d, everything: --all)", p.Page+1)
	}
	env.Note("%s of %s%s", output.Thousands(n), output.Thousands(page.Total), more)
	return nil
}

// refusePartialFile refuses to write one page of a longer list to a file unless a flag asks for a page.
func refusePartialFile(env *Env, cmd *cobra.Command, rows, total int64) error {
	if env.Printer.File == "" || rows == total {
		return nil
	}
	for _, name := range []string{"page", "page-size", "cursor"} {
		if cmd.Flags().Changed(name) {
			return nil
		}
	}
	return fault.New(fault.Usage, "%s of %s rows would be written to %s", output.Thousands(rows), output.Thousands(total), env.Printer.File).
		WithHint("add --all, or --page 1 for only the first page")
}

// printSlice prints the page at a cursor and notes the next cursor.
func printSlice[T any](env *Env, v output.View, s db.Slice[T], size int) error {
	if err := output.List(env.Printer, v, output.Page[T]{Items: s.Items, PageSize: size, Next: &s.Next}); err != nil {
		return err
	}
	if s.Next == "" {
		env.Note("this is the last page")
	} else {
		env.Note("next: --cursor %s", s.Next)
	}
	return nil
}

// PrintWhole prints a complete list.
func PrintWhole[T any](env *Env, v output.View, items []T) error {
	return output.List(env.Printer, v, output.Page[T]{Items: items, Total: int64(len(items)), Page: 1, PageSize: len(items)})
}

// Listing describes a list command. Only lists with BindExport have cursors and increments.
type Listing[T any] struct {
	Query func(context.Context, db.Increment) (db.ListQuery[T], error)
	Table string // the table whose transaction ids define increments

	Personal bool // personal data: reading all of it is audited
}

// List runs a list command with the listing that open returns.
func List[T any](env *Env, v output.View, flags *PageFlags, open func(context.Context, *Session) (Listing[T], error)) func(context.Context, *Session, *cobra.Command, []string) error {
	return func(ctx context.Context, s *Session, cmd *cobra.Command, _ []string) error {
		if err := flags.check(flags.all, env.Printer.File); err != nil {
			return err
		}
		if flags.state == "" && flags.manifest == "" { // their transaction ids are those of the primary
			s = WithReplica(ctx, env, s, cmd)
		}
		l, err := open(ctx, s)
		if err != nil {
			return err
		}
		if flags.all {
			return exportAll(ctx, env, cmd, v, s, l, &flags.exportFlags)
		}
		selection, err := l.Query(ctx, db.Increment{Since: flags.ChangedSince.Time()})
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("cursor") {
			c := db.Cursor{Token: flags.cursor, Size: flags.size, Selection: fingerprint(selectedBy(cmd))}
			slice, err := selection.After(ctx, s.DB, c)
			if err != nil {
				return err
			}
			return printSlice(env, v, slice, flags.size)
		}
		page, err := selection.Page(ctx, s.DB, flags.paging())
		if err != nil {
			return err
		}
		if err := refusePartialFile(env, cmd, int64(len(page.Items)), page.Total); err != nil {
			return err
		}
		if err := LogReveal(ctx, env, s, cmd, int64(len(page.Items)), uuid.Nil); err != nil {
			return err
		}
		return printPage(env, v, page, flags.paging())
	}
}

// PageFlags are the flags of list commands.
type PageFlags struct {
	page, size int
	all        bool
	cursor     string
	Sort       []string
	exportFlags
}

// Bind adds --page, --page-size, --all, --max-lag and --primary.
func (p *PageFlags) Bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&p.page, "page", 1, "page `number`, starting at 1")
	f.IntVar(&p.size, "page-size", 20, "rows per page, at most 1000")
	f.BoolVar(&p.all, "all", false, "stream every row")
	cliflag.MarkFlags(f, cliflag.Recorded, "all")
	cliflag.MarkFlags(f, cliflag.Shaping, "page", "page-size", "all")
	BindReplica(cmd)
	cmd.MarkFlagsMutuallyExclusive("all", "page")
	cmd.MarkFlagsMutuallyExclusive("all", "page-size")
}

// BindExport adds the flags of Bind, --cursor and those for increments.
func (p *PageFlags) BindExport(cmd *cobra.Command) {
	p.Bind(cmd)
	cmd.Flags().StringVar(&p.cursor, "cursor", "", "page `token`: \"first\", then next_cursor of the previous page; equally fast at any depth")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Shaping, "cursor")
	cliflag.ExplainIn(cmd.Flags(), "exports", "cursor")
	p.bindIncrements(cmd)
	cmd.MarkFlagsMutuallyExclusive("cursor", "page")
	cmd.MarkFlagsMutuallyExclusive("cursor", "all")
}

// BindWhole adds the flags of a command that always prints every row.
func (p *PageFlags) BindWhole(cmd *cobra.Command) {
	p.all = true
	BindReplica(cmd)
	p.bindIncrements(cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage = strings.NewReplacer("with --all: ", "", "--all and ", "").Replace(f.Usage)
	})
}

func (p PageFlags) paging() db.Paging { return db.Paging{Page: p.page, Size: p.size} }

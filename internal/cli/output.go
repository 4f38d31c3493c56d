package cli

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// outputFlags are the flags of commands that print records.
type outputFlags struct {
	format, file, jq     string
	columns              []string
	noHeaders, bom, safe bool
}

// addOutputFlags adds the output flags to a command that prints records of type T.
func addOutputFlags[T any](a *app, cmd *cobra.Command) *cobra.Command {
	return a.bindOutput(cmd, output.CheckColumns[T])
}

// bindOutput adds the output flags to a command. check refuses unknown --columns before the command runs.
func (a *app) bindOutput(cmd *cobra.Command, check func(columns []string) error) *cobra.Command {
	cmd.PreRunE = func(*cobra.Command, []string) error { return check(a.out.columns) }
	f := cmd.Flags()
	f.StringVarP(&a.out.format, "output", "o", "", "`format`: table, wide, json, jsonl, csv, tsv, yaml, id or xlsx (default table; CXGCTL_OUTPUT)")
	f.StringSliceVar(&a.out.columns, "columns", nil, "print these `fields`, in this order")
	f.BoolVar(&a.out.noHeaders, "no-headers", false, "omit the header row")
	f.StringVar(&a.out.file, "output-file", "", "write to `file` atomically; the extension selects the format, and .gz and .zst compress")
	markFlags(f, shaping, "output-file")
	names(cmd, "output-file", fileRecord)
	f.StringVar(&a.out.jq, "jq", "", "filter the json document with a jq `expression`")
	f.BoolVar(&a.out.bom, "csv-bom", false, "start csv with a byte order mark, for Excel")
	f.BoolVar(&a.out.safe, "csv-safe", false, "prefix csv cells that spreadsheets evaluate with ', and quote cells with ;")
	markFlags(f, printing, "output", "columns", "no-headers", "jq", "csv-bom", "csv-safe")
	formats := make([]string, len(output.Formats))
	for i, x := range output.Formats {
		formats[i] = string(x)
	}
	must(cmd.RegisterFlagCompletionFunc("output", complete(formats...)))
	return cmd
}

// isStructured reports whether errors in this format are a single document.
func isStructured(f output.Format) bool {
	return f == output.JSON || f == output.JSONL || f == output.YAML
}

// printer sets a.print from the flags and validates them, before the command runs.
func (a *app) printer(cmd *cobra.Command) error {
	c, err := a.config(cmd)
	if err != nil {
		return err
	}
	format := output.Format(c.Output)
	if a.out.format == "" {
		if ending := output.FormatOf(a.out.file); ending != "" {
			format = ending
		}
		if a.out.jq != "" && format != output.JSONL {
			format = "" // --jq selects json
		}
	}
	terminal := output.DetectTerminal(a.stdout, a.getenv)
	terminal.Zone = c.Zone
	a.print, err = output.New(output.Options{
		Format: format, Columns: a.out.columns, NoHeaders: a.out.noHeaders, File: a.out.file, JQ: a.out.jq,
		CSVBOM: a.out.bom, CSVSafe: a.out.safe, Stdout: interruptibleWriter{a.ctx, a.stdout}, Standard: a.stdout,
		Context: a.ctx, Timeout: c.Timeout,
		Terminal: terminal, Mask: c.Protected && !a.reveal,
	})
	if err != nil {
		return err
	}
	return a.checkFiles(cmd)
}

// checkPrinted refuses output flags that would lose a generated secret, which is printed in field unless the flag
// elsewhere names a file for it.
func (a *app) checkPrinted(cmd *cobra.Command, field, what, elsewhere string) error {
	lost := a.printsID(cmd) || len(a.out.columns) > 0 && !slices.Contains(a.out.columns, field)
	if info, err := os.Stat(a.out.file); a.out.file != "" && err == nil {
		null, err := os.Stat(os.DevNull)
		lost = lost || err == nil && os.SameFile(info, null)
	}
	if a.out.jq != "" && !lost {
		prints, err := output.PrintsField(a.out.jq, field)
		if err != nil {
			return err
		}
		lost = !prints
	}
	if lost {
		return fault.New(fault.Usage, "%s would not be printed", what).
			WithHint("add %s, or print the field %s", elsewhere, field)
	}
	return nil
}

// printPage prints a page and notes the total and the next page.
func printPage[T any](a *app, v output.View, page db.Page[T], p db.Paging) error {
	err := output.List(a.print, v, output.Page[T]{Items: page.Items, Total: page.Total, Page: p.Page, PageSize: p.Size})
	n := int64(len(page.Items))
	if err != nil || n == page.Total {
		return err
	}
	more := ""
	if int64(p.Page)*int64(p.Size) < page.Total {
		more = fmt.Sprintf(" (next: --page %d, everything: --all)", p.Page+1)
	}
	a.note("%s of %s%s", output.Thousands(n), output.Thousands(page.Total), more)
	return nil
}

// refusePart refuses to write one page of a longer list to a file unless a flag asks for a page.
func (a *app) refusePart(cmd *cobra.Command, rows, total int64) error {
	if a.print.File == "" || rows == total {
		return nil
	}
	for _, name := range []string{"page", "page-size", "cursor"} {
		if cmd.Flags().Changed(name) {
			return nil
		}
	}
	return fault.New(fault.Usage, "%s of %s rows would be written to %s", output.Thousands(rows), output.Thousands(total), a.print.File).
		WithHint("add --all, or --page 1 for only the first page")
}

// printSlice prints the page at a cursor and notes the next cursor.
func printSlice[T any](a *app, v output.View, s db.Slice[T], size int) error {
	if err := output.List(a.print, v, output.Page[T]{Items: s.Items, PageSize: size, Next: &s.Next}); err != nil {
		return err
	}
	if s.Next == "" {
		a.note("that was the last page")
	} else {
		a.note("next: --cursor %s", s.Next)
	}
	return nil
}

// printWhole prints a complete list.
func printWhole[T any](a *app, v output.View, items []T) error {
	return output.List(a.print, v, output.Page[T]{Items: items, Total: int64(len(items)), Page: 1, PageSize: len(items)})
}

// listing describes a list command. Only lists with bindExport have cursors and increments.
type listing[T any] struct {
	matching func(context.Context, db.Increment) (db.ListQuery[T], error)
	table    string // the table whose transaction ids define increments

	noun     string // resource in the audit row of a read
	personal bool   // personal data: reading all of it is audited
}

// list runs a list command with the listing that open returns.
func list[T any](a *app, v output.View, flags *pageFlags, open func(context.Context, *session) (listing[T], error)) func(context.Context, *session, *cobra.Command, []string) error {
	return func(ctx context.Context, s *session, cmd *cobra.Command, _ []string) error {
		if err := flags.check(flags.all, a.print.File); err != nil {
			return err
		}
		if flags.state == "" && flags.manifest == "" { // marks hold transaction ids of the primary
			s = a.withReplica(ctx, s, cmd)
		}
		l, err := open(ctx, s)
		if err != nil {
			return err
		}
		if flags.all {
			return exportAll(ctx, a, cmd, v, s, l, &flags.exportFlags)
		}
		selection, err := l.matching(ctx, db.Increment{Since: flags.changedSince.Time()})
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("cursor") {
			c := db.Cursor{Token: flags.cursor, Size: flags.size, Selection: fingerprint(selectedBy(cmd))}
			slice, err := selection.After(ctx, s.db, c)
			if err != nil {
				return err
			}
			return printSlice(a, v, slice, flags.size)
		}
		page, err := selection.Page(ctx, s.db, flags.paging())
		if err != nil {
			return err
		}
		if err := a.refusePart(cmd, int64(len(page.Items)), page.Total); err != nil {
			return err
		}
		if err := a.logReveal(ctx, s, cmd, l.noun, int64(len(page.Items)), uuid.Nil); err != nil {
			return err
		}
		return printPage(a, v, page, flags.paging())
	}
}

// pageFlags are the flags of list commands.
type pageFlags struct {
	page, size int
	all        bool
	cursor     string
	sort       []string
	exportFlags
}

func (p *pageFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&p.page, "page", 1, "page `number`, starting at 1")
	f.IntVar(&p.size, "page-size", 20, "rows per page, at most 1000")
	f.BoolVar(&p.all, "all", false, "stream every row")
	markFlags(f, recorded, "all")
	markFlags(f, shaping, "page", "page-size", "all")
	bindMaxLag(cmd)
	cmd.MarkFlagsMutuallyExclusive("all", "page")
	cmd.MarkFlagsMutuallyExclusive("all", "page-size")
}

// bindExport adds the flags of bind, --cursor and those for increments.
func (p *pageFlags) bindExport(cmd *cobra.Command) {
	p.bind(cmd)
	cmd.Flags().StringVar(&p.cursor, "cursor", "", "page `token`: \"first\", then next_cursor of the previous page; equally fast at any depth")
	markFlags(cmd.Flags(), shaping, "cursor")
	p.exportFlags.bind(cmd)
	cmd.MarkFlagsMutuallyExclusive("cursor", "page")
	cmd.MarkFlagsMutuallyExclusive("cursor", "all")
}

func (p pageFlags) paging() db.Paging { return db.Paging{Page: p.page, Size: p.size} }

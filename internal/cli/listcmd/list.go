// Package listcmd makes the commands that list and export rows of any noun: pages, cursors, whole exports, increments
// and manifests.
package listcmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// Open returns the query of a list for the rows of an increment. Only lists with BindExport have increments.
type Open[T any] func(context.Context, *cmdutil.Session, db.Increment) (db.ListQuery[T], error)

// List runs a list command with the query that open returns. Its Spec says whether reading all rows is audited.
func List[T any](env *cmdutil.Env, v output.View, flags *PageFlags, open Open[T]) func(context.Context, *cmdutil.Session, *cobra.Command, []string) error {
	return func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, _ []string) error {
		if err := flags.check(flags.all, env.Printer.Files()); err != nil {
			return err
		}
		if flags.state == "" && flags.manifest == "" { // their transaction ids are those of the primary
			s = cmdutil.WithReplica(ctx, env, s, cmd)
		}
		selection, err := open(ctx, s, db.Increment{Since: flags.ChangedSince.Time()})
		if err != nil {
			return err
		}
		if flags.all {
			return exportAll(ctx, env, cmd, v, s, selection, open, &flags.exportFlags)
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
		if err := cmdutil.LogReveal(ctx, env, s, cmd, int64(len(page.Items)), uuid.Nil); err != nil {
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
	cmdutil.BindReplica(cmd)
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

// BindSort adds --sort with the names of fields.
func (p *PageFlags) BindSort(cmd *cobra.Command, fields []string) {
	cmd.Flags().StringSliceVar(&p.Sort, "sort", nil, "sort by these `fields`, each FIELD, -FIELD or FIELD:desc")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Shaping, "sort")
	cliflag.CompleteSort(cmd, fields...)
}

// BindWhole adds the flags of a command that always prints every row.
func (p *PageFlags) BindWhole(cmd *cobra.Command) {
	p.all = true
	AcceptAll(cmd)
	cmdutil.BindReplica(cmd)
	p.bindIncrements(cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage = strings.NewReplacer("with --all: ", "", "--all and ", "").Replace(f.Usage)
	})
}

// AcceptAll accepts the --all of lists on an export, which has every row anyway.
func AcceptAll(cmd *cobra.Command) {
	cmd.Flags().BoolFunc("all", "every row, as always", func(value string) error {
		if value == "true" {
			return nil
		}
		return fault.New(fault.Usage, "--all: an export always has every row").WithHint("%s list has pages", cmd.Parent().CommandPath())
	})
	cliflag.Must(cmd.Flags().MarkHidden("all"))
	cliflag.MarkFlags(cmd.Flags(), cliflag.Shaping, "all")
}

// AllUnlessPaged makes every row the default of a list with the flags of Bind.
func (p *PageFlags) AllUnlessPaged(cmd *cobra.Command) {
	p.all = !cmd.Flags().Changed("page") && !cmd.Flags().Changed("page-size")
}

// IsWhole reports whether every row is printed, not a page or an increment by --state.
func (p *PageFlags) IsWhole() bool { return p.all && p.state == "" }

func (p PageFlags) paging() db.Paging { return db.Paging{Page: p.page, Size: p.size} }

// printPage prints a page and notes the total and the next page.
func printPage[T any](env *cmdutil.Env, v output.View, page db.Page[T], p db.Paging) error {
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
func refusePartialFile(env *cmdutil.Env, cmd *cobra.Command, rows, total int64) error {
	var files []string
	for _, f := range env.Printer.Files() {
		files = append(files, f.File)
	}
	if len(files) == 0 || rows == total {
		return nil
	}
	for _, name := range []string{"page", "page-size", "cursor"} {
		if cmd.Flags().Changed(name) {
			return nil
		}
	}
	return fault.New(fault.Usage, "%s of %s rows would be written to %s", output.Thousands(rows), output.Thousands(total), fault.Join(files, "and")).
		WithHint("add --all, or --page 1 for only the first page")
}

// printSlice prints the page at a cursor and notes the next cursor.
func printSlice[T any](env *cmdutil.Env, v output.View, s db.Slice[T], size int) error {
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

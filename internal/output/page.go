package output

import (
	"bytes"

	"github.com/clipperhouse/displaywidth"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// page prints a table that is held whole. tablewriter lays it out, except where it would measure a
// cell otherwise than a terminal does: it adds up characters, so that a flag or a hand with a skin
// tone, one sign of two columns, counts as four.
func (t *table) page() error {
	t.fit()
	alike := true
	var rows [][]string
	if !t.printer.NoHeaders {
		rows = append(rows, t.clipped(t.headers, &alike))
	}
	_ = t.held(func(cells []string) error {
		rows = append(rows, t.clipped(cells, &alike))
		return nil
	})
	if !alike {
		for _, row := range rows {
			if err := t.writeLine(row); err != nil {
				return err
			}
		}
		return nil
	}

	widths := tw.NewMapper[int, int]()
	for i, w := range t.widths {
		if i < len(t.widths)-1 {
			w += gap
		}
		widths.Set(i, w)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = t.painted(i, row[i])
		}
	}
	var buf bytes.Buffer // the renderer drops the errors of its writer
	tbl := tablewriter.NewTable(&buf,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithEastAsian(tw.Off), // else a Korean locale would widen ambiguous characters
		tablewriter.WithPadding(tw.PaddingNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithTrimLine(tw.Off),
		tablewriter.WithColumnWidths(widths),
	)
	err := tbl.Bulk(rows) // the header too: as a header it would be reformatted
	if err == nil {
		err = tbl.Render()
	}
	if err != nil {
		return fault.New(fault.Internal, "cannot lay out the table: %s", err).Because(err)
	}
	_, err = t.w.Write(buf.Bytes())
	return err
}

// clipped returns a copy of cells, each cut to its column, and clears alike if tablewriter measures
// one differently.
func (t *table) clipped(cells []string, alike *bool) []string {
	row := make([]string, len(cells))
	for i, cell := range cells {
		width := displaywidth.String(cell)
		if width > t.widths[i] {
			cell, width = t.overflow(i, cell, width)
		}
		if twwidth.WidthWithOptions(cell, twwidth.Options{}) != width {
			*alike = false
		}
		row[i] = cell
	}
	return row
}

package output

import (
	"bytes"
	"cmp"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"golang.org/x/text/unicode/norm"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

const (
	gap       = 2    // spaces between columns
	chunkRows = 1000 // rows that are laid out together
)

// table prints aligned columns in chunks. The first chunk determines the widths of the columns. On a
// terminal, wider cells of later chunks are cut; elsewhere they widen their column from that chunk on.
type table struct {
	printer  *Printer
	w        io.Writer
	cols     []column
	status   int // index of the colored column, or -1
	relative bool

	rows    [][]string // of the current chunk
	widths  []int
	started bool // the first chunk is printed
	text    []byte
}

func newTable(p *Printer, w io.Writer, cols []column) *table {
	return &table{
		printer:  p,
		w:        w,
		cols:     cols,
		status:   slices.IndexFunc(cols, func(c column) bool { return c.name == "status" }),
		relative: p.Terminal.IsTTY && p.Format == Table,
		widths:   make([]int, len(cols)),
	}
}

func (t *table) begin() error { return nil }

func (t *table) row(rec reflect.Value) error {
	cells := make([]string, len(t.cols))
	for i := range t.cols {
		var err error
		if cells[i], err = t.cell(i, rec); err != nil {
			return err
		}
	}
	return t.add(cells)
}

func (t *table) add(cells []string) error {
	t.rows = append(t.rows, cells)
	if len(t.rows) < chunkRows {
		return nil
	}
	return t.flush()
}

func (t *table) end(envelope) error {
	if t.started && len(t.rows) == 0 {
		return nil
	}
	return t.flush()
}

// cell returns the cell of a record's field.
func (t *table) cell(i int, rec reflect.Value) (string, error) {
	c := &t.cols[i]
	if v, present := c.value(rec); present && v.Type() == stringsType {
		return t.format(i, []byte(strings.Join(v.Interface().([]string), ", "))), nil
	}
	var err error
	t.text, err = c.appendText(t.text[:0], rec)
	return t.format(i, t.text), err
}

// format returns the text of a cell as tables show it: times for people on a terminal, NFC because
// terminals draw decomposed Hangul apart, and nothing hidden.
func (t *table) format(i int, text []byte) string {
	terminal := t.printer.Terminal
	if at, ok := t.cols[i].time(text); ok && terminal.IsTTY {
		if t.relative {
			return relativeTime(at, terminal.Now)
		}
		return at.In(cmp.Or(terminal.Zone, time.UTC)).Format(time.RFC3339)
	}
	return displayed(string(text))
}

// displayed returns s as the text of a cell. A mark that would combine with the space beside the cell,
// which changes the width of both, is put on a dotted circle, the sign for a missing letter.
func displayed(s string) string {
	const circle = "\u25cc"
	s = Sanitize(norm.NFC.String(s))
	width := displaywidth.String(s)
	if displaywidth.String(" "+s) != width+1 {
		s = circle + s
		width = displaywidth.String(s)
	}
	if displaywidth.String(s+" ") != width+1 {
		s += circle
	}
	return s
}

// time returns the time that a cell of a time-like type contains.
func (c *column) time(cell []byte) (time.Time, bool) {
	if c.kind != marshaled && c.kind != instant || len(cell) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(cell))
	return at, err == nil
}

// flush prints the rows of the current chunk, the first one with the header.
func (t *table) flush() error {
	rows := t.rows
	first := !t.started
	t.rows, t.started = nil, true
	records := rows
	if first && !t.printer.NoHeaders {
		header := make([]string, len(t.cols))
		for i := range t.cols {
			header[i] = strings.ToUpper(t.cols[i].name)
		}
		rows = slices.Concat([][]string{header}, rows)
	}
	if first || !t.printer.Terminal.IsTTY {
		for _, row := range rows {
			for i, cell := range row {
				t.widths[i] = max(t.widths[i], displaywidth.String(cell))
			}
		}
	}
	if first {
		t.fit(records)
	}
	for _, row := range rows {
		for i, cell := range row {
			if displaywidth.String(cell) > t.widths[i] {
				row[i] = displaywidth.TruncateString(cell, t.widths[i], "…")
			}
		}
	}
	return t.layout(rows)
}

// layout prints rows whose cells fit their columns. tablewriter adds up the widths of the characters of
// a cell, but a flag, or a hand with a skin tone, is one sign of two columns. Rows with such cells become
// tables with columns that are as much wider as tablewriter overestimates the cells.
func (t *table) layout(rows [][]string) error {
	for len(rows) > 0 {
		widths := t.layoutWidths(rows[0])
		n := 1
		for n < len(rows) && slices.Equal(t.layoutWidths(rows[n]), widths) {
			n++
		}
		if t.status >= 0 {
			for _, row := range rows[:n] {
				row[t.status] = t.painted(t.status, row[t.status])
			}
		}
		text, err := layout(rows[:n], widths)
		if err != nil {
			return err
		}
		if _, err := t.w.Write(text); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// layoutWidths returns the widths of the columns, with their gaps, in tablewriter's measure of a row.
func (t *table) layoutWidths(row []string) []int {
	widths := make([]int, len(row))
	for i, cell := range row {
		widths[i] = t.widths[i] + twwidth.WidthWithOptions(cell, twwidth.Options{}) - displaywidth.String(cell)
		if i < len(row)-1 {
			widths[i] += gap
		}
	}
	return widths
}

// layout returns rows as left-aligned columns of these widths. The header is a row too: tablewriter
// formats headers in its own way.
func layout(rows [][]string, widths []int) ([]byte, error) {
	columnWidths := tw.NewMapper[int, int]()
	for i, width := range widths {
		columnWidths.Set(i, width)
	}
	var out bytes.Buffer // the renderer drops the errors of its writer
	t := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithEastAsian(tw.Off), // an East Asian locale would widen ambiguous characters
		tablewriter.WithPadding(tw.PaddingNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithTrimLine(tw.Off),
		tablewriter.WithColumnWidths(columnWidths),
	)
	err := t.Bulk(rows)
	if err == nil {
		err = t.Render()
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "cannot lay out the table: %s", err).Because(err)
	}
	return out.Bytes(), nil
}

func (t *table) painted(i int, text string) string {
	if i != t.status {
		return text
	}
	return t.printer.Terminal.paint(statusColor(text), text)
}

// isNumber reports whether a cell is an amount, a count or a date. Text never is, whatever it looks like.
func (c *column) isNumber(text string) bool {
	return c.kind == signed || c.kind == unsigned || c.kind == marshaled && strings.Trim(text, "-.0123456789") == ""
}

// fit narrows columns until a line fits the terminal, the widest first, but the first column, usually the
// id, only if all others are down to eight characters. Columns of numbers keep their width, since half a
// number is another number; where even they do not fit, the terminal wraps the lines.
func (t *table) fit(rows [][]string) {
	term := t.printer.Terminal
	if !term.IsTTY || term.Width <= 0 {
		return
	}
	const least = 8
	room := term.Width - gap*(len(t.widths)-1)
	var elastic []int // columns that may be cut
	var widths []int  // of them
	for i, w := range t.widths {
		isText := func(row []string) bool { return row[i] != "" && !t.cols[i].isNumber(row[i]) }
		if slices.ContainsFunc(rows, isText) {
			elastic, widths = append(elastic, i), append(widths, w)
		} else {
			room -= w
		}
	}
	if len(elastic) < len(t.widths) {
		room = max(room, least*len(elastic))
	}
	if len(elastic) < 2 || elastic[0] != 0 || !shrink(widths[1:], room-widths[0], least) {
		shrink(widths, room, 1)
	}
	for n, i := range elastic {
		t.widths[i] = widths[n]
	}
}

// shrink caps widths at the highest level, but not below least, at which they fit into room, and reports
// whether they do. If they do not, it changes nothing unless least is 1.
func shrink(widths []int, room, least int) bool {
	level := 0
	for _, w := range widths {
		level = max(level, w)
	}
	total := func() (sum int) {
		for _, w := range widths {
			sum += min(w, level)
		}
		return sum
	}
	for total() > room && level > least {
		level--
	}
	left := room - total()
	if left < 0 && least > 1 {
		return false
	}
	for i, w := range widths {
		widths[i] = min(w, level)
		if w > level && left > 0 { // distribute the rest
			widths[i]++
			left--
		}
	}
	return left >= 0
}

// listing prints one record, a field per line.
type listing struct{ *table }

func (l *listing) row(rec reflect.Value) error {
	l.relative = false
	var rows [][]string
	widths := []int{0, 0}
	add := func(name, value string) {
		rows = append(rows, []string{name, value})
		widths[0] = max(widths[0], len(name)+gap)
		widths[1] = max(widths[1], twwidth.WidthWithOptions(value, twwidth.Options{}))
	}
	if !l.printer.NoHeaders {
		add("FIELD", "VALUE")
	}
	for i := range l.cols {
		c := &l.cols[i]
		value, err := l.cell(i, rec)
		if err != nil {
			return err
		}
		if at, ok := c.time([]byte(value)); ok && l.printer.Terminal.IsTTY {
			value += " (" + relativeTime(at, l.printer.Terminal.Now) + ")"
		}
		add(c.name, l.painted(i, value))
	}
	text, err := layout(rows, widths)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if _, err := io.WriteString(l.w, strings.TrimRight(line, " \n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) end(envelope) error { return nil }

// tableRows prints rows in binary form as a table prints records.
type tableRows struct {
	*table
	sent []pgtext.Column
	doc  document
}

func (t *tableRows) begin(b []byte) ([]byte, error) { return b, t.table.begin() }

func (t *tableRows) row(b []byte, values [][]byte) (_ []byte, err error) {
	cells := make([]string, len(values))
	for i, v := range values {
		if t.text, err = t.doc.appendCell(t.text[:0], &t.sent[i], v); err != nil {
			return b, err
		}
		cells[i] = t.format(i, t.text)
	}
	return b, t.add(cells)
}

// write does nothing: add writes.
func (t *tableRows) write([]byte) error { return nil }

func (t *tableRows) end(_ []byte, e envelope) error { return t.table.end(e) }

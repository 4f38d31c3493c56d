package output

import (
	"bytes"
	"cmp"
	"encoding/json"
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
	cols     []column
	status   int // index of the colored column, or -1
	relative bool

	rows    [][]string // of the current chunk
	widths  []int
	elastic []bool // columns with cells that may be cut
	started bool   // the first chunk is printed
	text    []byte
}

func newTable(p *Printer, cols []column) *table {
	return &table{
		printer:  p,
		cols:     cols,
		status:   slices.IndexFunc(cols, func(c column) bool { return c.name == "status" }),
		relative: p.Terminal.IsTTY && p.Format == Table,
		widths:   make([]int, len(cols)),
		elastic:  make([]bool, len(cols)),
	}
}

func (t *table) begin(b []byte) ([]byte, error) { return b, nil }

func (t *table) row(b []byte, r *printedRow) ([]byte, error) {
	cells := make([]string, len(t.cols))
	for i := range t.cols {
		cells[i], _ = t.cell(r, i)
		t.elastic[i] = t.elastic[i] || cells[i] != "" && !isNumber(r.Kind(i), cells[i])
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) < chunkRows {
		return b, nil
	}
	return t.flush(b)
}

func (t *table) end(b []byte, _ envelope) ([]byte, error) {
	if t.started && len(t.rows) == 0 {
		return b, nil
	}
	return t.flush(b)
}

// cell returns the text of a cell as tables show it, and the time that it contains, if any. Times are for people on a
// terminal; other text is in NFC, because terminals draw decomposed Hangul apart, and has nothing hidden.
func (t *table) cell(r *printedRow, i int) (string, time.Time) {
	if r.IsNull(i) {
		return "", time.Time{}
	}
	t.text = r.Append(t.text[:0], i)
	text := string(t.text)
	terminal := t.printer.Terminal
	kind := r.Kind(i)
	if kind == pgtext.Plain && terminal.IsTTY {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			if t.relative {
				return relativeTime(at, terminal.Now), at
			}
			return at.In(cmp.Or(terminal.Zone, time.UTC)).Format(time.RFC3339), at
		}
	}
	var list []string
	if kind == pgtext.Strings && json.Unmarshal(t.text, &list) == nil {
		text = strings.Join(list, ", ")
	}
	return displayed(text), time.Time{}
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

// flush appends the rows of the current chunk, the first one with the header.
func (t *table) flush(b []byte) ([]byte, error) {
	rows := t.rows
	first := !t.started
	t.rows, t.started = nil, true
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
		t.fit()
	}
	for _, row := range rows {
		for i, cell := range row {
			if displaywidth.String(cell) > t.widths[i] {
				row[i] = displaywidth.TruncateString(cell, t.widths[i], "…")
			}
		}
	}
	if first && !slices.ContainsFunc(rows, isMismeasured) {
		widths := slices.Clone(t.widths)
		for i := range widths[1:] {
			widths[i] += gap
		}
		for _, row := range rows {
			for i := range row {
				row[i] = t.painted(i, row[i])
			}
		}
		text, err := layout(rows, widths)
		for line := range bytes.Lines(text) {
			b = t.appendLine(b, bytes.TrimSuffix(line, []byte("\n")))
		}
		return b, err
	}
	for _, row := range rows { // tablewriter takes six times as long
		var line []byte
		for i, cell := range row {
			line = append(line, t.painted(i, cell)...)
			fill := t.widths[i] - displaywidth.String(cell)
			if i < len(row)-1 {
				fill += gap
			}
			line = append(line, strings.Repeat(" ", fill)...)
		}
		b = t.appendLine(b, line)
	}
	return b, nil
}

// appendLine appends a line, without the padding at its end except on a terminal.
func (t *table) appendLine(b, line []byte) []byte {
	if !t.printer.Terminal.IsTTY {
		line = bytes.TrimRight(line, " ")
	}
	return append(append(b, line...), '\n')
}

// isMismeasured reports whether a row has a cell whose width tablewriter overestimates: it adds up the widths of the
// characters, but a flag, or a hand with a skin tone, is one sign of two columns.
func isMismeasured(row []string) bool {
	return slices.ContainsFunc(row, func(cell string) bool {
		return twwidth.WidthWithOptions(cell, twwidth.Options{}) != displaywidth.String(cell)
	})
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
func isNumber(kind pgtext.Kind, text string) bool {
	return (kind == pgtext.Literal || kind == pgtext.Plain) && strings.Trim(text, "-.0123456789") == ""
}

// fit narrows columns until a line fits the terminal, the widest first, but the first column, usually the
// id, only if all others are down to eight characters. Columns of numbers keep their width, since half a
// number is another number; where even they do not fit, the terminal wraps the lines.
func (t *table) fit() {
	term := t.printer.Terminal
	if !term.IsTTY || term.Width <= 0 {
		return
	}
	const least = 8
	room := term.Width - gap*(len(t.widths)-1)
	var elastic []int // columns that may be cut
	var widths []int  // of them
	for i, w := range t.widths {
		if t.elastic[i] {
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

func (l *listing) row(b []byte, r *printedRow) ([]byte, error) {
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
		value, at := l.cell(r, i)
		if !at.IsZero() {
			value += " (" + relativeTime(at, l.printer.Terminal.Now) + ")"
		}
		add(l.cols[i].name, l.painted(i, value))
	}
	text, err := layout(rows, widths)
	if err != nil {
		return b, err
	}
	for line := range strings.Lines(string(text)) {
		b = append(append(b, strings.TrimRight(line, " \n")...), '\n')
	}
	return b, nil
}

func (l *listing) end(b []byte, _ envelope) ([]byte, error) { return b, nil }

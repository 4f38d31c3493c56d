package output

import (
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"
	"golang.org/x/text/unicode/norm"
)

const (
	gap       = 2    // spaces between columns
	pageRows  = 1000 // up to so many rows on a terminal are a page, laid out together
	blockSize = 1 << 18
	// windowBytes bounds the cells held back to find the widths of columns off a terminal: some 100,000
	// users, so that a table of that size comes out even and the process stays small.
	windowBytes = 16 << 20
)

// table prints aligned columns. Rows are held back in a window, whose widths then serve for the rest:
// on a terminal, where a later cell is cut to its column, the window is a page; off a terminal, where
// nothing is ever cut, it is as large as memory allows, and beyond it a wider cell widens its column
// from there on.
type table struct {
	printer  *Printer
	w        io.Writer
	cols     []column
	headers  []string
	status   int // the column that is coloured, or -1
	relative bool

	blocks [][]byte // cells of the window, each its length and its text
	bytes  int
	rows   int
	widths []int
	words  []bool // columns with something else than a number in them
	laid   bool   // the window is printed
	line   []byte
	cell   []byte
	cells  []string
}

func newTable(p *Printer, w io.Writer, cols []column) *table {
	t := &table{
		printer: p, w: w, cols: cols, status: -1,
		relative: p.Terminal.IsTTY && p.Format == Table,
		headers:  make([]string, len(cols)), widths: make([]int, len(cols)), words: make([]bool, len(cols)), cells: make([]string, len(cols)),
	}
	for i := range cols {
		if !p.NoHeaders {
			t.headers[i] = strings.ToUpper(cols[i].name)
		}
		t.widths[i] = displaywidth.String(t.headers[i])
		if cols[i].name == "status" {
			t.status = i
		}
	}
	return t
}

func (t *table) begin() error { return nil }

func (t *table) row(rec reflect.Value) error {
	for i := range t.cols {
		var err error
		if t.cells[i], err = t.show(&t.cols[i], rec); err != nil {
			return err
		}
	}
	if t.laid {
		return t.writeLine(t.cells)
	}
	for i, cell := range t.cells {
		t.widths[i] = max(t.widths[i], displaywidth.String(cell))
		t.words[i] = t.words[i] || cell != "" && !t.cols[i].number(cell)
	}
	t.hold()
	t.rows++
	if t.printer.Terminal.IsTTY && t.rows > pageRows || t.bytes > windowBytes {
		return t.lay()
	}
	return nil
}

func (t *table) end(envelope) error {
	if t.laid {
		return nil
	}
	return t.lay()
}

// show returns the value as a table has it: in NFC, since terminals draw decomposed Hangul apart, and
// with nothing hidden.
func (t *table) show(c *column, rec reflect.Value) (string, error) {
	if v, present := c.value(rec); present && v.Type() == stringsType {
		return displayed(strings.Join(v.Interface().([]string), ", ")), nil
	}
	var err error
	if t.cell, err = c.appendText(t.cell[:0], rec); err != nil {
		return "", err
	}
	if t.printer.Mask {
		switch {
		case Personal[c.name]:
			t.cell = append(t.cell[:0], mask(c.name, string(t.cell))...)
		case c.kind == composite && len(t.cell) > 0:
			t.cell = append(t.cell[:0], MaskJSON(c.name, bytes.Clone(t.cell))...)
		}
	}
	if t.relative {
		if at, ok := c.time(t.cell); ok {
			return relativeTime(at, t.printer.Terminal.Now), nil
		}
	}
	if isPrintableASCII(t.cell) {
		return string(t.cell), nil
	}
	return displayed(string(t.cell)), nil
}

// displayed returns s fit for a cell. A mark that would join the space beside the cell, and so change
// the width of both, gets the dotted circle that stands for a missing letter.
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

// time returns the instant that a cell of a time-like type says.
func (c *column) time(cell []byte) (time.Time, bool) {
	if c.kind != marshaled && c.kind != instant || len(cell) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(cell))
	return at, err == nil
}

// hold keeps the cells of one row in the window, packed: a million small strings would cost more for
// their headers than for their text.
func (t *table) hold() {
	need := 0
	for _, cell := range t.cells {
		need += binary.MaxVarintLen32 + len(cell)
	}
	last := len(t.blocks) - 1
	if last < 0 || cap(t.blocks[last])-len(t.blocks[last]) < need {
		t.blocks = append(t.blocks, make([]byte, 0, max(need, blockSize)))
		last++
	}
	b := t.blocks[last]
	for _, cell := range t.cells {
		b = binary.AppendUvarint(b, uint64(len(cell)))
		b = append(b, cell...)
	}
	t.bytes += len(b) - len(t.blocks[last])
	t.blocks[last] = b
}

// held calls fn for each row of the window, whose cells it may not keep, and lets the window go.
func (t *table) held(fn func(cells []string) error) error {
	blocks := t.blocks
	t.blocks = nil
	cells := make([]string, len(t.cols))
	for i, b := range blocks {
		blocks[i] = nil
		for len(b) > 0 {
			for c := range cells {
				n, size := binary.Uvarint(b)
				cells[c] = string(b[size : size+int(n)])
				b = b[size+int(n):]
			}
			if err := fn(cells); err != nil {
				return err
			}
		}
	}
	return nil
}

// lay prints the header and the window; every later row goes straight out.
func (t *table) lay() error {
	t.laid = true
	t.fit()
	if !t.printer.NoHeaders {
		if err := t.writeLine(t.headers); err != nil {
			return err
		}
	}
	return t.held(t.writeLine)
}

// writeLine prints one line, each cell as wide as its column, the last one too: equal lines can be
// cut and compared.
func (t *table) writeLine(cells []string) error {
	t.line = t.line[:0]
	for i, cell := range cells {
		width := displaywidth.String(cell)
		if width > t.widths[i] {
			cell, width = t.overflow(i, cell, width)
		}
		t.line = append(t.line, t.painted(i, cell)...)
		pad := t.widths[i] - width
		if i < len(cells)-1 {
			pad += gap
		}
		for range pad {
			t.line = append(t.line, ' ')
		}
	}
	t.line = append(t.line, '\n')
	_, err := t.w.Write(t.line)
	return err
}

// overflow cuts a cell that is wider than its column on a terminal, and widens the column elsewhere.
func (t *table) overflow(i int, cell string, width int) (string, int) {
	if t.printer.Terminal.IsTTY {
		cell = displaywidth.TruncateString(cell, t.widths[i], "…")
		return cell, displaywidth.String(cell)
	}
	t.widths[i] = width
	return cell, width
}

func (t *table) painted(i int, cell string) string {
	if i != t.status {
		return cell
	}
	return t.printer.Terminal.paint(statusColor(cell), cell)
}

// number says whether a cell is an amount, a count or a day. What a person typed is none, whatever it looks like.
func (c *column) number(cell string) bool {
	return c.kind == signed || c.kind == unsigned || c.kind == marshaled && strings.Trim(cell, "-.0123456789") == ""
}

// fit narrows the columns to the terminal. The widest give way first; the first column, which is the
// id in most views, only when the others are down to a stump. Numbers stay whole, for half of one is another:
// where there is no room for them the terminal wraps the lines.
func (t *table) fit() {
	term := t.printer.Terminal
	if !term.IsTTY || term.Width <= 0 {
		return
	}
	const stump = 8
	room := term.Width - gap*(len(t.widths)-1)
	var give []int // the columns that may be cut
	for i, w := range t.widths {
		if t.words[i] {
			give = append(give, i)
		} else {
			room -= w
		}
	}
	widths := make([]int, len(give))
	for n, i := range give {
		widths[n] = t.widths[i]
	}
	if len(give) < len(t.widths) {
		room = max(room, stump*len(give))
	}
	if len(give) == 0 || give[0] != 0 || len(give) == 1 || !shrink(widths[1:], room-widths[0], stump) {
		shrink(widths, room, 1)
	}
	for n, i := range give {
		t.widths[i] = widths[n]
	}
}

// shrink caps widths at the highest level, not below least, at which they fit into room, and says
// whether they do. If they do not, it changes nothing unless least is 1, the smallest there is.
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
		if w > level && left > 0 { // what the common level leaves over
			widths[i]++
			left--
		}
	}
	return left >= 0
}

// listing prints one record as its fields, one a line: names aligned, values whole and unpadded, since
// a person who asked for one record wants to read it.
type listing struct{ *table }

func (l *listing) row(rec reflect.Value) error {
	width := len("FIELD")
	for i := range l.cols {
		width = max(width, len(l.cols[i].name))
	}
	var b bytes.Buffer
	line := func(name, value string) {
		b.WriteString(name)
		if value != "" {
			b.WriteString(strings.Repeat(" ", width-len(name)+gap))
			b.WriteString(value)
		}
		b.WriteByte('\n')
	}
	if !l.printer.NoHeaders {
		line("FIELD", "VALUE")
	}
	l.relative = false
	for i := range l.cols {
		c := &l.cols[i]
		value, err := l.show(c, rec)
		if err != nil {
			return err
		}
		if at, ok := c.time([]byte(value)); ok && l.printer.Terminal.IsTTY {
			value += " (" + relativeTime(at, l.printer.Terminal.Now) + ")"
		}
		line(c.name, l.painted(i, value))
	}
	_, err := l.w.Write(b.Bytes())
	return err
}

func (l *listing) end(envelope) error { return nil }

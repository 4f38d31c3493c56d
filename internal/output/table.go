package output

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
	"golang.org/x/text/unicode/norm"

	"github.com/cxgctl/cxgctl/internal/pgtext"
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
	headers  []cell
	status   int // the column that is coloured, or -1
	relative bool

	blocks [][]byte // cells of the window, each its length, its width and its text
	bytes  int
	rows   int
	widths []int
	words  []bool // columns with something else than a number in them
	laid   bool   // the window is printed
	line   []byte
	cells  []cell // of the row at hand
}

// cell is a value as the table shows it.
type cell struct {
	text  []byte
	width int // in columns of the terminal
}

func newTable(p *Printer, w io.Writer, cols []column) *table {
	t := &table{
		printer: p, w: w, cols: cols, status: -1,
		relative: p.Terminal.IsTTY && p.Format == Table,
		headers:  make([]cell, len(cols)), widths: make([]int, len(cols)), words: make([]bool, len(cols)), cells: make([]cell, len(cols)),
	}
	for i := range cols {
		if !p.NoHeaders {
			name := strings.ToUpper(cols[i].name)
			t.headers[i] = cell{[]byte(name), displaywidth.String(name)}
		}
		t.widths[i] = t.headers[i].width
		if cols[i].name == "status" {
			t.status = i
		}
	}
	return t
}

func (t *table) begin() error { return nil }

func (t *table) row(rec reflect.Value) error {
	for i := range t.cols {
		if err := t.show(i, rec); err != nil {
			return err
		}
	}
	return t.add()
}

// add takes the row at hand.
func (t *table) add() error {
	if t.laid {
		return t.writeLine(t.cells)
	}
	for i := range t.cells {
		text := t.cells[i].text
		t.widths[i] = max(t.widths[i], t.cells[i].width)
		t.words[i] = t.words[i] || len(text) > 0 && !t.cols[i].number(text)
	}
	t.hold()
	t.rows++
	if t.printer.Terminal.IsTTY && t.rows > pageRows || t.bytes > windowBytes {
		return t.flush()
	}
	return nil
}

func (t *table) end(envelope) error {
	if t.laid {
		return nil
	}
	return t.flush()
}

// show makes the cell of a record's field.
func (t *table) show(i int, rec reflect.Value) (err error) {
	c, at := &t.cols[i], &t.cells[i]
	if v, present := c.value(rec); present && v.Type() == stringsType {
		at.text = append(at.text[:0], strings.Join(v.Interface().([]string), ", ")...)
	} else if at.text, err = c.appendText(at.text[:0], rec); err != nil {
		return err
	}
	t.format(i)
	return nil
}

// dress makes the text of a cell what the table shows: in NFC, since terminals draw decomposed Hangul apart,
// and with nothing hidden.
func (t *table) format(i int) {
	c, at := &t.cols[i], &t.cells[i]
	if t.printer.Terminal.IsTTY && !t.relative {
		if then, ok := c.time(at.text); ok {
			zone := cmp.Or(t.printer.Terminal.Zone, time.UTC)
			at.text = append(at.text[:0], then.In(zone).Format(time.RFC3339)...)
		}
	}
	if t.relative {
		if then, ok := c.time(at.text); ok {
			at.text = append(at.text[:0], relativeTime(then, t.printer.Terminal.Now)...)
		}
	}
	var plain bool
	if at.width, plain = plainWidth(at.text); !plain {
		s := displayed(string(at.text))
		at.text, at.width = append(at.text[:0], s...), displaywidth.String(s)
	}
}

// plainWidth returns the width of printable ASCII and of Hangul syllables, which displayed leaves alone: nearly
// all there is in our tables, and the way through displayed costs ten times as much. False for any other text.
func plainWidth(text []byte) (width int, plain bool) {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c >= ' ' && c <= '~':
			width++
			i++
		case c >= 0xea && c <= 0xed: // the first bytes of U+AC00 to U+D7A3
			r, size := utf8.DecodeRune(text[i:])
			if r < '가' || r > '힣' {
				return 0, false
			}
			width += 2
			i += size
		default:
			return 0, false
		}
	}
	return width, true
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
	for i := range t.cells {
		need += 2*binary.MaxVarintLen32 + len(t.cells[i].text)
	}
	last := len(t.blocks) - 1
	if last < 0 || cap(t.blocks[last])-len(t.blocks[last]) < need {
		t.blocks = append(t.blocks, make([]byte, 0, max(need, blockSize)))
		last++
	}
	b := t.blocks[last]
	for i := range t.cells {
		c := &t.cells[i]
		b = binary.AppendUvarint(b, uint64(len(c.text)))
		b = binary.AppendUvarint(b, uint64(c.width))
		b = append(b, c.text...)
	}
	t.bytes += len(b) - len(t.blocks[last])
	t.blocks[last] = b
}

// held calls fn for each row of the window, whose cells it may not keep, and lets the window go.
func (t *table) held(fn func(cells []cell) error) error {
	blocks := t.blocks
	t.blocks = nil
	cells := make([]cell, len(t.cols))
	for i, b := range blocks {
		blocks[i] = nil
		for len(b) > 0 {
			for c := range cells {
				n, size := binary.Uvarint(b)
				b = b[size:]
				width, size := binary.Uvarint(b)
				b = b[size:]
				cells[c] = cell{b[:n], int(width)}
				b = b[n:]
			}
			if err := fn(cells); err != nil {
				return err
			}
		}
	}
	return nil
}

// lay prints the header and the window; every later row goes straight out.
func (t *table) flush() error {
	t.laid = true
	t.fit()
	if !t.printer.NoHeaders {
		if err := t.writeLine(t.headers); err != nil {
			return err
		}
	}
	return t.held(t.writeLine)
}

// blanks is what columns are filled up with, a piece at a time.
const blanks = "                                                                "

// writeLine prints one line, each cell as wide as its column, the last one too: equal lines can be
// cut and compared.
func (t *table) writeLine(cells []cell) error {
	t.line = t.line[:0]
	for i, c := range cells {
		if c.width > t.widths[i] {
			c = t.overflow(i, c)
		}
		if i == t.status {
			t.line = append(t.line, t.painted(i, string(c.text))...)
		} else {
			t.line = append(t.line, c.text...)
		}
		pad := t.widths[i] - c.width
		if i < len(cells)-1 {
			pad += gap
		}
		for ; pad > len(blanks); pad -= len(blanks) {
			t.line = append(t.line, blanks...)
		}
		t.line = append(t.line, blanks[:pad]...)
	}
	t.line = append(t.line, '\n')
	_, err := t.w.Write(t.line)
	return err
}

// overflow cuts a cell that is wider than its column on a terminal, and widens the column elsewhere.
func (t *table) overflow(i int, c cell) cell {
	if t.printer.Terminal.IsTTY {
		s := displaywidth.TruncateString(string(c.text), t.widths[i], "…")
		return cell{[]byte(s), displaywidth.String(s)}
	}
	t.widths[i] = c.width
	return c
}

func (t *table) painted(i int, text string) string {
	if i != t.status {
		return text
	}
	return t.printer.Terminal.paint(statusColor(text), text)
}

// number says whether a cell is an amount, a count or a day. What a person typed is none, whatever it looks like.
func (c *column) number(text []byte) bool {
	return c.kind == signed || c.kind == unsigned || c.kind == marshaled && len(bytes.Trim(text, "-.0123456789")) == 0
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
		if err := l.show(i, rec); err != nil {
			return err
		}
		value := string(l.cells[i].text)
		if at, ok := c.time([]byte(value)); ok && l.printer.Terminal.IsTTY {
			value += " (" + relativeTime(at, l.printer.Terminal.Now) + ")"
		}
		line(c.name, l.painted(i, value))
	}
	_, err := l.w.Write(b.Bytes())
	return err
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
	for i, v := range values {
		at := &t.cells[i]
		if at.text, err = t.doc.appendCell(at.text[:0], &t.sent[i], v); err != nil {
			return b, err
		}
		t.format(i)
	}
	return b, t.add() // which writes by itself
}

func (t *tableRows) write([]byte) error { return nil }

func (t *tableRows) end(_ []byte, e envelope) error { return t.table.end(e) }

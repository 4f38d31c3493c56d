package output

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"golang.org/x/text/unicode/norm"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

const (
	gap       = 2    // spaces between columns
	chunkRows = 1000 // rows that are laid out together
	minText   = 12   // width to which text is shortened before columns are left out
)

// table prints aligned columns in chunks. On a terminal, the first chunk determines which columns fit, and no line is
// wider than the screen. If not even the keys fit, or a row of Wide does not, it prints a field per line. Elsewhere
// nothing is cut, and wider cells of later chunks widen their column.
type table struct {
	printer  *Printer
	cols     []column
	status   int // index of the colored column, or -1
	currency int // index of the column with the currency of the amounts, or -1
	relative bool
	none     string // see View

	rows     [][]string // of the current chunk
	shown    []int      // indexes of the columns that are not left out
	natural  []int      // widths of the widest cells
	widths   []int
	vertical bool
	single   bool // one record
	started  bool // the first chunk is printed
	count    int64
	totals   totals
	text     []byte
}

// totals adds up amounts and counts by currency.
type totals map[string]*total

type total struct {
	rows int
	sums map[int]money.Amount // by column
}

// add adds the amounts and counts of a row.
func (t totals) add(cols []column, r *printedRow, code string) {
	sums := t[code]
	if sums == nil {
		sums = &total{sums: map[int]money.Amount{}}
		t[code] = sums
	}
	sums.rows++
	for i := range cols {
		if !cols[i].isAddedUp() || r.IsNull(i) {
			continue
		}
		var a money.Amount
		if a.Scan(string(r.Append(nil, i))) == nil {
			sums.sums[i] = a.Add(sums.sums[i])
		}
	}
}

// all returns the sums of each currency with more than one row, by column.
func (t totals) all() iter.Seq2[string, map[int]money.Amount] {
	return func(yield func(string, map[int]money.Amount) bool) {
		for _, code := range slices.Sorted(maps.Keys(t)) {
			if t[code].rows > 1 && len(t[code].sums) > 0 && !yield(code, t[code].sums) {
				return
			}
		}
	}
}

func newTable(p *Printer, cols []column, v View) *table {
	t := &table{
		printer:  p,
		cols:     cols,
		status:   statusColumn(cols),
		currency: currencyColumn(cols),
		relative: p.Terminal.IsTTY && p.Format == Table,
		none:     cmp.Or(v.None, "no "+cmp.Or(v.Name, "rows")+" found"),
		natural:  make([]int, len(cols)),
		widths:   make([]int, len(cols)),
		totals:   totals{},
	}
	for i := range cols {
		t.shown = append(t.shown, i)
	}
	return t
}

func statusColumn(cols []column) int {
	return slices.IndexFunc(cols, func(c column) bool { return c.name == "status" })
}

func (t *table) begin(b []byte) ([]byte, error) { return b, nil }

func (t *table) row(b []byte, r *printedRow) ([]byte, error) {
	cells := make([]string, len(t.cols))
	for i := range t.cols {
		cells[i], _ = t.cell(r, i)
	}
	t.count++
	if t.currency >= 0 && !t.printer.NoHeaders {
		t.totals.add(t.cols, r, r.code(t.currency))
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) < chunkRows {
		return b, nil
	}
	return t.flush(b)
}

// end prints the rest, and the totals of each currency with more than one row.
func (t *table) end(b []byte, e envelope) ([]byte, error) {
	if t.count == 0 {
		if e.total == 0 {
			t.printer.note("%s", t.none)
		}
		return b, nil
	}
	label := "TOTAL"
	if e.next != nil || e.total != t.count {
		label = "PAGE TOTAL"
	}
	for code, sums := range t.totals.all() {
		cells := make([]string, len(t.cols))
		cells[0], cells[t.currency] = label, code
		for i, a := range sums {
			if t.cols[i].look == asCount {
				cells[i] = grouped(a.String(), 0)
			} else {
				cells[i] = inCurrency(a, code, false)
			}
		}
		t.rows = append(t.rows, cells)
	}
	if len(t.rows) == 0 {
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
	switch t.cols[i].look {
	case asNumber, asCount:
		return grouped(text, 0), time.Time{}
	case asAmount, asSum:
		var a money.Amount
		if a.Scan(text) == nil {
			text = inCurrency(a, r.code(t.currency), t.single)
		}
		return text, time.Time{}
	case asPercent:
		return percentage(text), time.Time{}
	}
	terminal := t.printer.Terminal
	kind := r.Kind(i)
	if kind == pgtext.Plain && terminal.IsTTY {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			if t.relative {
				return relativeTime(at, terminal.Now), at
			}
			return terminal.Time(at), at
		}
	}
	var list []string
	if kind == pgtext.Strings && json.Unmarshal([]byte(text), &list) == nil {
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
	t.nameUsers(rows)
	if first && !t.printer.NoHeaders {
		header := make([]string, len(t.cols))
		for i, c := range t.cols {
			header[i] = c.heading
		}
		rows = slices.Concat([][]string{header}, rows)
	}
	for _, row := range rows {
		for i, cell := range row {
			t.natural[i] = max(t.natural[i], displaywidth.String(cell))
		}
	}
	if !t.vertical {
		t.fit(first)
	}
	if t.vertical {
		if first && !t.printer.NoHeaders {
			rows = rows[1:]
		}
		return t.appendRecords(b, rows, first)
	}
	widths := make([]int, len(t.shown))
	for n, i := range t.shown {
		widths[n] = t.widths[i]
	}
	for n, row := range rows {
		cells := make([]string, len(t.shown))
		for n, i := range t.shown {
			cells[n] = row[i]
			if displaywidth.String(row[i]) > t.widths[i] {
				cells[n] = displaywidth.TruncateString(row[i], t.widths[i], "…")
			}
		}
		rows[n] = cells
	}
	if !first || slices.ContainsFunc(rows, isMismeasured) { // tablewriter takes six times as long
		for _, row := range rows {
			b = t.appendRow(b, row, widths)
		}
		return b, nil
	}
	align := make([]tw.Align, len(t.shown))
	for n, i := range t.shown {
		align[n] = tw.AlignLeft
		if t.cols[i].isRight() {
			align[n] = tw.AlignRight
		}
		if n < len(t.shown)-1 {
			widths[n] += gap
		}
		for _, row := range rows {
			row[n] = t.painted(i, row[n])
			if n < len(t.shown)-1 && t.cols[i].isRight() {
				row[n] += strings.Repeat(" ", gap)
			}
		}
	}
	text, err := layout(rows, widths, align)
	for line := range bytes.Lines(text) {
		b = append(append(b, bytes.TrimRight(line, " \n")...), '\n')
	}
	return b, err
}

// nameUsers replaces the ids of users by their usernames, and in a single record adds the usernames.
func (t *table) nameUsers(rows [][]string) {
	var ids []string
	for _, row := range rows {
		for i, cell := range row {
			if t.cols[i].look == asUser && cell != "" && !slices.Contains(ids, cell) {
				ids = append(ids, cell)
			}
		}
	}
	if len(ids) == 0 || !t.printer.Terminal.IsTTY || t.printer.Usernames == nil {
		return
	}
	names := t.printer.Usernames(ids)
	for _, row := range rows {
		for i, cell := range row {
			name, ok := names[cell]
			switch {
			case t.cols[i].look != asUser || !ok:
			case t.single:
				row[i] += " (" + displayed(name) + ")"
			default:
				row[i] = displayed(name)
			}
		}
	}
}

// appendRow appends the cells of one line.
func (t *table) appendRow(b []byte, row []string, widths []int) []byte {
	start := len(b)
	for n, i := range t.shown {
		if n > 0 {
			b = append(b, strings.Repeat(" ", gap)...)
		}
		fill := strings.Repeat(" ", max(0, widths[n]-displaywidth.String(row[n])))
		if t.cols[i].isRight() {
			b = append(b, fill...)
		}
		b = append(b, t.painted(i, row[n])...)
		if !t.cols[i].isRight() {
			b = append(b, fill...)
		}
	}
	return append(append(b[:start], bytes.TrimRight(b[start:], " ")...), '\n')
}

// isMismeasured reports whether a row has a cell whose width tablewriter overestimates: it adds up the widths of the
// characters, but a flag, or a hand with a skin tone, is one sign of two columns.
func isMismeasured(row []string) bool {
	return slices.ContainsFunc(row, func(cell string) bool {
		return twwidth.WidthWithOptions(cell, twwidth.Options{}) != displaywidth.String(cell)
	})
}

// layout returns rows as columns of these widths. The header is a row too: tablewriter formats headers in its own way.
func layout(rows [][]string, widths []int, align []tw.Align) ([]byte, error) {
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
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{Global: tw.AlignLeft, PerColumn: align}),
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

// fit sets the widths of the columns. On a terminal it shortens text until a line fits, down to minText. If that is not
// enough, it leaves out columns from the end, but only before the first line is printed, and no key.
func (t *table) fit(first bool) {
	copy(t.widths, t.natural)
	term := t.printer.Terminal
	if !term.IsTTY || term.Width <= 0 {
		return
	}
	least := func(i int) int {
		if i > 0 && t.printer.Format == Table && t.cols[i].isFlexible() {
			return min(t.natural[i], max(displaywidth.String(t.cols[i].heading), minText))
		}
		return t.natural[i]
	}
	room := term.Width + gap
	for _, i := range t.shown {
		room -= least(i) + gap
	}
	if room < 0 && first && t.printer.Format == Wide {
		t.vertical = true
		return
	}
	var left []string
	for room < 0 && first {
		n := len(t.shown) - 1
		for n > 0 && t.stays(n) {
			n--
		}
		if n == 0 {
			t.vertical = true
			return
		}
		room += least(t.shown[n]) + gap
		left = append(left, t.cols[t.shown[n]].heading)
		t.shown = slices.Delete(t.shown, n, n+1)
	}
	if len(left) > 0 {
		slices.Reverse(left)
		count := "1 column"
		if len(left) > 1 {
			count = strconv.Itoa(len(left)) + " columns"
		}
		t.printer.note("%s left out: %s (see -o wide)", count, strings.Join(left, ", "))
	}
	for _, i := range t.shown {
		t.widths[i] = least(i)
	}
	for grown := true; grown; { // the shortened columns get equal shares of the rest
		grown = false
		for _, i := range t.shown {
			if room > 0 && t.widths[i] < t.natural[i] {
				t.widths[i]++
				room--
				grown = true
			}
		}
	}
}

// stays reports whether the nth shown column is never left out: a key, or the last amount, which the currency is for.
func (t *table) stays(n int) bool {
	c := &t.cols[t.shown[n]]
	amounts := 0
	for _, i := range t.shown {
		if t.cols[i].isAmount() {
			amounts++
		}
	}
	return c.isKey() || c.isAmount() && amounts == 1
}

// appendRecords appends rows with a field per line, and an empty line between rows.
func (t *table) appendRecords(b []byte, rows [][]string, first bool) ([]byte, error) {
	for n, row := range rows {
		if n > 0 || !first {
			b = append(b, '\n')
		}
		var err error
		if b, err = t.appendFields(b, row); err != nil {
			return b, err
		}
	}
	return b, nil
}

// appendFields appends the fields of a record, one per line.
func (t *table) appendFields(b []byte, values []string) ([]byte, error) {
	widths := []int{0, len("VALUE")}
	for _, c := range t.cols {
		widths[0] = max(widths[0], len(c.name)+gap)
	}
	var rows [][]string
	if t.single && !t.printer.NoHeaders {
		rows = append(rows, []string{"FIELD", "VALUE"})
		widths[0] = max(widths[0], len("FIELD")+gap)
	}
	for i, value := range values {
		widths[1] = max(widths[1], twwidth.WidthWithOptions(value, twwidth.Options{}))
		rows = append(rows, []string{t.cols[i].name, t.painted(i, value)})
	}
	text, err := layout(rows, widths, nil)
	return append(b, t.printer.Terminal.Fold(string(text), widths[0])...), err
}

// listing prints one record, a field per line.
type listing struct {
	*table
	below func(b []byte) ([]byte, error) // see View
}

func (l *listing) row(b []byte, r *printedRow) ([]byte, error) {
	l.relative, l.single = false, true
	values := make([]string, len(l.cols))
	for i := range l.cols {
		value, at := l.cell(r, i)
		if !at.IsZero() {
			value += " (" + relativeTime(at, l.printer.Terminal.Now) + ")"
		}
		values[i] = value
	}
	l.nameUsers([][]string{values})
	if l.printer.Brief {
		var cols []column
		var kept []string
		for i, value := range values {
			if value != "" && value != "false" && (!l.cols[i].isRight() || strings.Trim(value, "0.") != "") {
				cols, kept = append(cols, l.cols[i]), append(kept, value)
			}
		}
		l.cols, values = cols, kept
		l.status = statusColumn(cols)
	}
	return l.appendFields(b, values)
}

func (l *listing) end(b []byte, _ envelope) ([]byte, error) {
	if l.below == nil {
		return b, nil
	}
	return l.below(b)
}

package output

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// Rows calls begin with the columns, then row with the values of each row in the server's binary form, nil
// for NULL. The values are valid until row returns. It stops at the first error.
type Rows func(begin func([]pgtext.Column) error, row func(values [][]byte) error) error

// rowEncoder encodes binary rows in one format, without records in between. The output is the same as that
// of the encoder of the same format, byte for byte.
type rowEncoder interface {
	begin(b []byte) ([]byte, error)
	row(b []byte, values [][]byte) ([]byte, error)
	// write writes the buffer.
	write(b []byte) error
	end(b []byte, e envelope) error
}

// Exports returns the names of the fields of T that Export prints, in order. It returns false if records are
// required: for --jq, and on terminals, where cells are sanitized.
func Exports[T any](p *Printer, v View) ([]string, bool, error) {
	cols, err := p.columns(reflect.TypeFor[T](), v, false)
	if err != nil || p.jq != nil || p.Terminal.IsTTY {
		return nil, false, err
	}
	return names(cols), true, nil
}

// Export prints rows in binary form with the columns that Exports returned. The output is the same as that
// of Stream, but several times as fast.
func Export[T any](p *Printer, v View, rows Rows) (n int64, err error) {
	cols, err := p.columns(reflect.TypeFor[T](), v, false)
	if err != nil {
		return 0, err
	}
	out, err := p.open()
	if err != nil {
		return 0, err
	}
	done := false
	buf := make([]byte, 0, bufferSize+bufferSize/4)
	defer func() {
		if !done {
			keep := n > 0 && p.Format.isLines()
			if keep && out.pending == nil {
				_, _ = out.w.Write(buf) // rows before a failure are complete; report the first error
			}
			out.abort(keep)
		}
	}()

	var enc rowEncoder
	var columns []pgtext.Column
	err = rows(func(sent []pgtext.Column) error {
		if len(sent) != len(cols) {
			return fault.New(fault.Internal, "the query returns %d columns where %d are printed", len(sent), len(cols))
		}
		enc, columns = p.rowEncoder(out.w, cols, sent), sent
		var err error
		buf, err = enc.begin(buf)
		return err
	}, func(values [][]byte) error {
		for i, v := range values {
			if v != nil && cols[i].mask {
				values[i] = maskSent(cols[i].name, &columns[i], v)
			}
		}
		whole := len(buf)
		var err error
		if buf, err = enc.row(buf, values); err != nil {
			buf = buf[:whole]
			return err
		}
		n++
		if len(buf) >= bufferSize {
			err = enc.write(buf)
			buf = buf[:0]
		}
		return err
	})
	if err != nil {
		return n, err
	}
	if err := enc.end(buf, envelope{total: n, page: 1, size: n, pages: min(n, 1)}); err != nil {
		return n, err
	}
	done = true
	return n, out.commit()
}

func (p *Printer) rowEncoder(w io.Writer, cols []column, sent []pgtext.Column) rowEncoder {
	s := passthrough{w}
	switch p.Format {
	case JSON:
		return &jsonRows{passthrough: s, objects: newObjects(sent)}
	case JSONL:
		return &jsonLineRows{s, newObjects(sent)}
	case YAML:
		return newYAMLRows(s, sent)
	case XLSX:
		x := newWorkbook(p, w, cols)
		x.sent = sent
		return xlsxRows{x}
	case Table, Wide:
		return &tableRows{table: newTable(p, w, cols), sent: sent}
	}
	return newDelimitedRows(p, s, cols, sent)
}

// maskSent masks a binary value, which is text, or JSON after its version byte.
func maskSent(name string, c *pgtext.Column, v []byte) []byte {
	switch c.Kind {
	case pgtext.Text:
		return []byte(mask(name, string(v)))
	case pgtext.JSON:
		doc := c.Append(nil, v)
		var compact bytes.Buffer
		if json.Compact(&compact, doc) == nil {
			return append(bytes.Clone(v[:len(v)-len(doc)]), MaskJSON(name, compact.Bytes())...)
		}
	}
	return v
}

// passthrough writes the buffer unchanged.
type passthrough struct{ w io.Writer }

func (s passthrough) write(b []byte) error {
	_, err := s.w.Write(b)
	return err
}

// delimitedRows prints csv, tsv and lists of ids.
type delimitedRows struct {
	passthrough
	delimited
	sent  []pgtext.Column
	typed []bool // users may have typed it, so --csv-safe applies
	comma byte
	doc   document
}

func newDelimitedRows(p *Printer, s passthrough, cols []column, sent []pgtext.Column) *delimitedRows {
	d := &delimitedRows{passthrough: s, delimited: delimited{printer: p, cols: cols}, sent: sent, typed: make([]bool, len(cols)), comma: '\t'}
	if p.Format == CSV {
		d.comma = ','
	}
	for i := range cols {
		d.typed[i] = p.CSVSafe && cols[i].kind == text
	}
	return d
}

func (d *delimitedRows) begin(b []byte) ([]byte, error) {
	var head bytes.Buffer
	d.delimited.w = &head
	err := d.delimited.begin()
	return append(b, head.Bytes()...), err
}

func (d *delimitedRows) row(b []byte, values [][]byte) (_ []byte, err error) {
	for i, v := range values {
		if i > 0 {
			b = append(b, d.comma)
		}
		c := &d.sent[i]
		switch {
		case v != nil && c.Kind != pgtext.Text && c.Kind != pgtext.JSON:
			b = c.Append(b, v)
			continue
		case v != nil && c.Kind == pgtext.Text && !d.typed[i]:
			// Most text needs no quotes: append it, then check it.
			start := len(b)
			b = c.Append(b, v)
			if isPlainCell(b[start:]) {
				continue
			}
			d.cell = append(d.cell[:0], b[start:]...)
			b = b[:start]
		default:
			if d.cell, err = d.doc.appendCell(d.cell[:0], c, v); err != nil {
				return b, err
			}
			if d.typed[i] {
				d.cell = escapeFormula(d.cell)
			}
		}
		if d.comma == ',' {
			b = d.printer.appendCSV(b, d.cell, len(d.sent) == 1)
		} else {
			b = appendTSV(b, d.cell)
		}
	}
	return append(b, '\n'), nil
}

func (d *delimitedRows) end(b []byte, _ envelope) error { return d.write(b) }

// plain contains the ASCII bytes without a meaning in csv and tsv, except for leading and trailing spaces.
var plain = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = c != ',' && c != '"' && c != ';' && c != '\\'
	}
	return is
}()

func isPlainCell(cell []byte) bool {
	if len(cell) == 0 || cell[0] == ' ' || cell[len(cell)-1] == ' ' {
		return false
	}
	for _, c := range cell {
		if !plain[c] {
			return false
		}
	}
	return true
}

// document formats the server's JSON as in records: compact, with escapes for terminals.
type document struct{ compact bytes.Buffer }

func (d *document) append(b []byte, c *pgtext.Column, v []byte) ([]byte, error) {
	n := len(b)
	b = c.Append(b, v)
	d.compact.Reset()
	if err := json.Compact(&d.compact, b[n:]); err != nil {
		return b, fault.New(fault.Internal, "cannot print the field %s: %s", c.Name, err).Because(err)
	}
	return appendJSONEscaped(b[:n], d.compact.Bytes()), nil
}

// appendCell appends the text of a value as in csv and tables: NULL and JSON's null are empty.
func (d *document) appendCell(b []byte, c *pgtext.Column, v []byte) ([]byte, error) {
	if v == nil {
		return b, nil
	}
	if c.Kind != pgtext.JSON {
		return c.Append(b, v), nil
	}
	n := len(b)
	b, err := d.append(b, c, v)
	if err == nil && string(b[n:]) == "null" {
		b = b[:n]
	}
	return b, err
}

// objects appends rows as JSON objects.
type objects struct {
	sent []pgtext.Column
	keys [][]byte // each with the punctuation around it
	doc  document
}

func newObjects(sent []pgtext.Column) objects {
	o := objects{sent: sent, keys: make([][]byte, len(sent))}
	for i := range sent {
		key := []byte{','}
		if i == 0 {
			key[0] = '{'
		}
		o.keys[i] = append(appendJSONString(key, sent[i].Name), ':')
	}
	return o
}

func (o *objects) append(b []byte, values [][]byte) (_ []byte, err error) {
	for i, v := range values {
		b = append(b, o.keys[i]...)
		if v == nil {
			b = append(b, "null"...)
			continue
		}
		switch c := &o.sent[i]; c.Kind {
		case pgtext.Literal:
			b = c.Append(b, v)
		case pgtext.Plain:
			b = append(b, '"')
			b = c.Append(b, v)
			b = append(b, '"')
		case pgtext.JSON:
			if b, err = o.doc.append(b, c, v); err != nil {
				return b, err
			}
		case pgtext.Text:
			b = appendJSONText(b, c, v)
		}
	}
	return append(b, '}'), nil
}

// appendJSONText appends text as a JSON string. Most text needs no escapes: append it, then check it.
func appendJSONText(b []byte, c *pgtext.Column, v []byte) []byte {
	b = append(b, '"')
	start := len(b)
	b = c.Append(b, v)
	for _, x := range b[start:] {
		if x < ' ' || x > '~' || x == '"' || x == '\\' {
			s := string(b[start:])
			return appendJSONString(b[:start-1], s)
		}
	}
	return append(b, '"')
}

// jsonRows prints the document of jsonDocument.
type jsonRows struct {
	passthrough
	objects
	rows int
}

func (j *jsonRows) begin(b []byte) ([]byte, error) { return append(b, itemsHead...), nil }

func (j *jsonRows) row(b []byte, values [][]byte) ([]byte, error) {
	if j.rows++; j.rows > 1 {
		b = append(b, ',')
	}
	return j.append(b, values)
}

func (j *jsonRows) end(b []byte, e envelope) error { return j.write(appendItemsTail(b, e)) }

// jsonLineRows prints one bare record a line.
type jsonLineRows struct {
	passthrough
	objects
}

func (j *jsonLineRows) begin(b []byte) ([]byte, error) { return b, nil }

func (j *jsonLineRows) row(b []byte, values [][]byte) ([]byte, error) {
	b, err := j.append(b, values)
	return append(b, '\n'), err
}

func (j *jsonLineRows) end(b []byte, _ envelope) error { return j.write(b) }

// yamlRows prints the document of yamlDocument.
type yamlRows struct {
	passthrough
	sent []pgtext.Column
	keys [][]byte
	rows int
	doc  document
	cell []byte
}

func newYAMLRows(s passthrough, sent []pgtext.Column) *yamlRows {
	y := &yamlRows{passthrough: s, sent: sent, keys: make([][]byte, len(sent))}
	for i := range sent {
		t := yamlWriter{b: []byte("      ")}
		if i == 0 {
			t.b = []byte("    - ")
		}
		t.scalar(sent[i].Name)
		y.keys[i] = append(t.b, ':')
	}
	return y
}

func (y *yamlRows) begin(b []byte) ([]byte, error) { return append(b, yamlItemsHead...), nil }

func (y *yamlRows) row(b []byte, values [][]byte) (_ []byte, err error) {
	if y.rows++; y.rows == 1 {
		b = append(b, '\n')
	}
	for i, v := range values {
		b = append(b, y.keys[i]...)
		c := &y.sent[i]
		switch {
		case v == nil:
			b = append(b, " null\n"...)
		case c.Kind == pgtext.JSON:
			if y.cell, err = y.doc.append(y.cell[:0], c, v); err != nil {
				return b, err
			}
			t := yamlWriter{dec: decoder(y.cell), b: b}
			if err = t.value(8, afterKey); err != nil {
				return b, err
			}
			b = t.b
		case c.Kind == pgtext.Literal:
			b = append(c.Append(append(b, ' '), v), '\n')
		default:
			y.cell = c.Append(y.cell[:0], v)
			b = append(b, ' ')
			if isPlain(string(y.cell)) {
				b = append(b, y.cell...)
			} else {
				b = appendJSONString(b, string(y.cell))
			}
			b = append(b, '\n')
		}
	}
	return b, nil
}

func (y *yamlRows) end(b []byte, e envelope) error {
	return y.write(appendYAMLItemsTail(b, y.rows, e))
}

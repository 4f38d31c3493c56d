package output

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// delimited prints csv, tsv and lists of ids.
type delimited struct {
	printer *Printer
	w       io.Writer
	cols    []column
	line    []byte
	cell    []byte
}

func (d *delimited) begin() error {
	d.line = d.line[:0]
	if d.printer.Format == CSV && d.printer.CSVBOM {
		d.line = append(d.line, "\uFEFF"...)
	}
	if d.printer.Format != ID && !d.printer.NoHeaders {
		for i := range d.cols {
			d.appendCell(i, []byte(d.cols[i].name))
		}
		d.line = append(d.line, '\n')
	}
	_, err := d.w.Write(d.line)
	return err
}

func (d *delimited) row(rec reflect.Value) (err error) {
	d.line = d.line[:0]
	for i := range d.cols {
		c := &d.cols[i]
		if d.cell, err = c.appendText(d.cell[:0], rec); err != nil {
			return err
		}
		if d.printer.CSVSafe && c.typed(rec) {
			d.cell = escapeFormula(d.cell)
		}
		if d.printer.Terminal.IsTTY {
			d.cell = []byte(Sanitize(string(d.cell)))
		}
		d.appendCell(i, d.cell)
	}
	d.line = append(d.line, '\n')
	_, err = d.w.Write(d.line)
	return err
}

// typed reports whether users may have typed the text of a cell.
func (c *column) typed(rec reflect.Value) bool {
	v, present := c.value(rec)
	return c.kind == text || present && v.Kind() == reflect.Interface && v.Elem().Kind() == reflect.String
}

// escapeFormula prefixes a cell that a spreadsheet would evaluate as a formula.
func escapeFormula(cell []byte) []byte {
	if first, _ := utf8.DecodeRune(cell); len(cell) == 0 || !strings.ContainsRune(formulaSigns, first) {
		return cell
	}
	cell = append(cell, 0)
	copy(cell[1:], cell)
	cell[0] = '\''
	return cell
}

// formulaSigns begin a formula. Korean and Japanese spreadsheets accept full-width signs too.
const formulaSigns = "=+-@\t\r\n＝＋－＠"

func (d *delimited) end(envelope) error { return nil }

func (d *delimited) appendCell(i int, cell []byte) {
	if d.printer.Format == CSV {
		if i > 0 {
			d.line = append(d.line, ',')
		}
		d.line = d.printer.appendCSV(d.line, cell, len(d.cols) == 1)
		return
	}
	if i > 0 {
		d.line = append(d.line, '\t')
	}
	d.line = appendTSV(d.line, cell)
}

// appendCSV appends a cell, quoted where RFC 4180 requires it. It also quotes leading and trailing spaces,
// which readers treat differently, \. which ends psql's \copy, and an empty cell that is alone in its row,
// because readers skip empty lines.
//
// With --csv-safe it also quotes cells with ; which is the separator of spreadsheets in many languages.
func (p *Printer) appendCSV(b, cell []byte, alone bool) []byte {
	cell = validUTF8(cell)
	if len(cell) == 0 {
		if alone {
			b = append(b, `""`...)
		}
		return b
	}
	first, last := cell[0], cell[len(cell)-1]
	if first != ' ' && first != '\t' && last != ' ' && last != '\t' && !bytes.ContainsAny(cell, ",\"\r\n") &&
		(!p.CSVSafe || !bytes.ContainsRune(cell, ';')) && string(cell) != `\.` {
		return append(b, cell...)
	}
	b = append(b, '"')
	for _, c := range cell {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// validUTF8 returns b with U+FFFD in place of each invalid byte, as in JSON.
func validUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	return []byte(string(bytes.Runes(b)))
}

// appendTSV appends a cell with the escapes of PostgreSQL's COPY.
func appendTSV(b, cell []byte) []byte {
	for _, c := range validUTF8(cell) {
		switch c {
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\\':
			b = append(b, '\\', '\\')
		default:
			b = append(b, c)
		}
	}
	return b
}

package output

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// delimited prints csv, tsv and lists of ids.
type delimited struct {
	printer *Printer
	cols    []column
	comma   byte
	cell    []byte
}

func newDelimited(p *Printer, cols []column) *delimited {
	d := &delimited{printer: p, cols: cols, comma: '\t'}
	if p.Format == CSV {
		d.comma = ','
	}
	return d
}

func (d *delimited) begin(b []byte) ([]byte, error) {
	if d.printer.Format == CSV && d.printer.CSVBOM {
		b = append(b, "\uFEFF"...)
	}
	if d.printer.Format == ID || d.printer.NoHeaders {
		return b, nil
	}
	for i := range d.cols {
		if i > 0 {
			b = append(b, d.comma)
		}
		b = d.appendCell(b, []byte(d.cols[i].name))
	}
	return append(b, '\n'), nil
}

func (d *delimited) row(b []byte, r *printedRow) ([]byte, error) {
	for i := range d.cols {
		if i > 0 {
			b = append(b, d.comma)
		}
		if r.IsNull(i) {
			b = d.appendCell(b, nil)
			continue
		}
		start, kind := len(b), r.Kind(i)
		b = r.Append(b, i)
		// Most text needs no quotes: append it, then check it.
		isTyped := kind == pgtext.Text && d.printer.CSVSafe
		if kind == pgtext.Plain || kind == pgtext.Literal || !isTyped && isPlainCell(b[start:]) {
			continue
		}
		d.cell = append(d.cell[:0], b[start:]...)
		if isTyped {
			d.cell = escapeFormula(d.cell)
		}
		if d.printer.Terminal.IsTTY {
			d.cell = []byte(Sanitize(string(d.cell)))
		}
		b = d.appendCell(b[:start], d.cell)
	}
	return append(b, '\n'), nil
}

func (d *delimited) end(b []byte, _ envelope) ([]byte, error) { return b, nil }

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

// plain contains the ASCII bytes without a meaning in csv, tsv and json, except for leading and trailing spaces.
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

func (d *delimited) appendCell(b, cell []byte) []byte {
	if d.comma == '\t' {
		return appendTSV(b, cell)
	}
	return d.printer.appendCSV(b, cell, len(d.cols) == 1)
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

// tsvEscapes are the escapes of PostgreSQL's COPY.
var tsvEscapes = strings.NewReplacer("\t", `\t`, "\n", `\n`, "\r", `\r`, `\`, `\\`)

func appendTSV(b, cell []byte) []byte {
	return append(b, tsvEscapes.Replace(string(validUTF8(cell)))...)
}

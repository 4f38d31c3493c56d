package rowreader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// csvDecoder reads RFC 4180. Unlike encoding/csv it handles a byte order mark before a quoted header, and keeps CRLF
// inside quotes. It refuses lone CR, NUL, invalid UTF-8 and unbounded fields (reliability.md, threat 11).
type csvDecoder struct {
	lines  *lines
	comma  byte
	stops  string // the bytes that end an unquoted field
	header []string
	record []byte // the raw text of the record
	text   []byte // the fields without their quotes
	ends   []int  // of the fields in text
	starts []int  // of the fields in record, for messages
	at     int    // the offset up to which the record has been parsed
	quoted bool   // at is inside quotes
}

func newCSV(l *lines, comma byte) (*csvDecoder, error) {
	d := &csvDecoder{lines: l, comma: comma, stops: string(comma) + "\n\r\""}
	row, err := d.next()
	return d, d.readHeader(row, err, "csv")
}

// readHeader uses the first record as the header.
func (d *csvDecoder) readHeader(row Row, err error, format string) error {
	switch {
	case errors.Is(err, io.EOF):
		return fault.New(fault.Validation, "the file is empty; %s starts with a header row", format)
	case err != nil:
		return err
	case row.Err != nil:
		return fault.New(fault.Validation, "the header row, line %d, cannot be read: %s", row.Line, row.Err)
	}
	d.header = row.Values
	return nil
}

func (d *csvDecoder) columns() []string { return d.header }

// next reads one record. If a record that spans lines is invalid, only its first line is dropped, so a stray quote
// costs one row and not all that it swallowed.
func (d *csvDecoder) next() (Row, error) {
	line, err := d.lines.next()
	for err == nil && len(bytes.TrimRight(line, "\r\n")) == 0 && len(d.header) != 1 {
		line, err = d.lines.next() // skip empty lines, unless there is only one column, where they are an empty value
	}
	row := Row{Line: d.lines.line}
	if errors.Is(err, errTooLong) {
		row.Err, row.Values = &RowError{Message: tooLong}, []string{printable(line[:200])}
		return row, nil
	}
	if err != nil {
		return row, err
	}
	d.record = append(d.record[:0], line...)
	first := len(line)
	d.text, d.ends, d.starts, d.at, d.quoted = d.text[:0], d.ends[:0], d.starts[:0], 0, false
	broken := d.parse()
	for broken == errOpen {
		begun := 0
		if n := len(d.ends); n > 0 {
			begun = d.ends[n-1]
		}
		more, err := d.lines.next()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errTooLong) {
			return row, err
		}
		d.record = append(d.record, more...)
		if err == nil && len(d.text)-begun <= MaxField {
			broken = d.parse()
			continue
		}
		broken = d.unclosed()
	}
	if at := d.starts[len(d.starts)-1]; broken != nil && len(d.record) > first && at < first {
		broken = d.unclosed() // it was closed by the quote of a field on a later line
	}
	if broken != nil {
		if len(d.record) > first {
			d.lines.unread(d.record[first:], row.Line)
		}
		row.Err, row.Values = broken, []string{printable(bytes.TrimRight(d.record[:first], "\r\n"))}
		return row, nil
	}
	row.Values = d.values()
	if i, what := firstInvalid(d.record, d.lines.charset); i >= 0 {
		row.Err = &RowError{Field: d.name(d.fieldAt(i)), Column: column(d.record, i), Message: what, Charset: what != aNUL}
		for j, v := range row.Values {
			row.Values[j] = printable([]byte(v))
		}
		return row, nil
	}
	for i, v := range row.Values {
		if len(v) > MaxField {
			row.Err = fieldTooLong(d.name(i), column(d.record, d.starts[i]), len(v))
			break
		}
	}
	return row, nil
}

func fieldTooLong(field string, column, length int) *RowError {
	return &RowError{Field: field, Column: column, Message: fmt.Sprintf("it is %d bytes long; a field holds at most %d", length, MaxField)}
}

var tooLong = fmt.Sprintf("it is longer than %d bytes", MaxRecord)

// unclosed returns the error for a last field without a closing quote.
func (d *csvDecoder) unclosed() *RowError {
	return &RowError{Field: d.name(len(d.ends)), Column: column(d.record, d.starts[len(d.starts)-1]), Message: "the quote that opens here is never closed"}
}

// errOpen means that the record continues on the next line.
var errOpen = &RowError{Message: "open"}

// parse splits the record into fields. After errOpen it continues when more of the record is available.
func (d *csvDecoder) parse() *RowError {
	b := d.record
	i := d.at
	for {
		if !d.quoted {
			d.starts = append(d.starts, i)
			if d.quoted = i < len(b) && b[i] == '"'; d.quoted {
				i++
			}
		}
		if d.quoted {
			for d.quoted {
				q := bytes.IndexByte(b[i:], '"')
				if q < 0 {
					d.text, d.at = append(d.text, b[i:]...), len(b)
					return errOpen
				}
				d.text = append(d.text, b[i:i+q]...)
				i += q + 1
				if i < len(b) && b[i] == '"' {
					d.text = append(d.text, '"')
					i++
					continue
				}
				d.quoted = false
			}
			if i < len(b) && b[i] != d.comma && b[i] != '\n' && b[i] != '\r' {
				return &RowError{Field: d.name(len(d.ends)), Column: column(b, i), Message: "text follows a closing quote; double a quote inside a quoted field"}
			}
		} else {
			n := bytes.IndexAny(b[i:], d.stops)
			if n < 0 {
				n = len(b) - i
			}
			d.text = append(d.text, b[i:i+n]...)
			i += n
			if i < len(b) && b[i] == '"' {
				return &RowError{Field: d.name(len(d.ends)), Column: column(b, i), Message: "a quote in an unquoted field"}
			}
		}
		d.ends = append(d.ends, len(d.text))
		switch {
		case i == len(b), b[i] == '\n', bytes.Equal(b[i:], []byte("\r\n")), bytes.Equal(b[i:], []byte("\r")):
			return nil
		case b[i] == d.comma:
			i++
		default:
			return &RowError{Field: d.name(len(d.ends) - 1), Column: column(b, i), Message: loneCR}
		}
	}
}

const loneCR = "a lone carriage return; lines end with LF or CRLF"

// values returns the fields as substrings of one string.
func (d *csvDecoder) values() []string {
	all := string(d.text)
	list := make([]string, len(d.ends))
	from := 0
	for i, to := range d.ends {
		list[i] = all[from:to]
		from = to
	}
	return list
}

// fieldAt returns the field at an offset of the record.
func (d *csvDecoder) fieldAt(offset int) int {
	n := 0
	for i, s := range d.starts {
		if s <= offset {
			n = i
		}
	}
	return n
}

func (d *csvDecoder) name(i int) string {
	if i < len(d.header) {
		return d.header[i]
	}
	return ""
}

// tsvDecoder reads the tsv of cxgctl and of PostgreSQL's COPY, where each line is a record.
type tsvDecoder struct{ csvDecoder }

func newTSV(l *lines) (*tsvDecoder, error) {
	d := &tsvDecoder{csvDecoder{lines: l}}
	row, err := d.next()
	return d, d.readHeader(row, err, "tsv")
}

var unescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")

func (d *tsvDecoder) next() (Row, error) {
	line, err := d.lines.next()
	for err == nil && len(bytes.TrimRight(line, "\r\n")) == 0 && len(d.header) != 1 {
		line, err = d.lines.next()
	}
	row := Row{Line: d.lines.line}
	if errors.Is(err, errTooLong) {
		row.Err, row.Values = &RowError{Message: tooLong}, []string{printable(line[:200])}
		return row, nil
	}
	if err != nil {
		return row, err
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	flawAt, what := firstInvalid(line, d.lines.charset)
	if i := bytes.IndexByte(line, '\r'); i >= 0 && flawAt < 0 {
		flawAt, what = i, loneCR
	}
	at := 0
	for i, cell := range bytes.Split(line, []byte("\t")) {
		if flawAt >= at && flawAt <= at+len(cell) && row.Err == nil && flawAt >= 0 {
			row.Err = &RowError{Field: d.name(i), Column: column(line, flawAt), Message: what, Charset: what != aNUL && what != loneCR}
		}
		if len(cell) > MaxField && row.Err == nil {
			row.Err = fieldTooLong(d.name(i), column(line, at), len(cell))
		}
		text := string(cell)
		if row.Err != nil {
			text = printable(cell)
		}
		if text == `\N` { // PostgreSQL's NULL
			text = ""
		}
		row.Values = append(row.Values, unescape.Replace(text))
		at += len(cell) + 1
	}
	return row, nil
}

package rowreader

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// csvDecoder reads RFC 4180 by encoding/csv, which it feeds line by line. Unlike encoding/csv it keeps CRLF inside
// quotes. It refuses lone CR, NUL, invalid UTF-8 and unbounded fields (reliability.md, threat 11).
type csvDecoder struct {
	lines  *lines
	csv    *csv.Reader
	header []string
	record []byte // the raw text of the record
	line   []byte // the record's last line, as csv reads it
	read   int    // the number of bytes of line that it has read
	quoted bool   // the record continues on the next line
	opened int    // the length of record before the line where the open quote is
	cut    bool   // the record ended inside quotes
	comma  byte
}

func newCSV(l *lines, comma byte) (*csvDecoder, error) {
	d := &csvDecoder{lines: l, comma: comma}
	d.csv = csv.NewReader(d)
	d.csv.Comma, d.csv.FieldsPerRecord = rune(comma), -1
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
	line, row, err := d.begin()
	if err != nil || row.Err != nil {
		return row, err
	}
	if len(bytes.TrimRight(line, "\r\n")) == 0 {
		row.Values = []string{""}
		return row, nil
	}
	d.record, d.quoted, d.cut = d.record[:0], false, false
	d.add(line)
	first := len(d.record)
	row.Values, err = d.csv.Read()
	broken, err := d.flaw(err, len(row.Values), first)
	if err != nil {
		return row, err
	}
	if broken != nil {
		if len(d.record) > first {
			d.lines.unread(d.record[first:], row.Line)
		}
		row.Err, row.Values = broken, []string{printable(bytes.TrimRight(d.record[:first], "\r\n"))}
		return row, nil
	}
	if i, what := firstInvalid(d.record, d.lines.charset); i >= 0 {
		row.Err = &RowError{Field: nameOf(d.header, d.fieldAt(i)), Column: column(d.record, i), Message: what, Charset: what != aNUL}
		for j, v := range row.Values {
			row.Values[j] = printable([]byte(v))
		}
		return row, nil
	}
	for i, v := range row.Values {
		if len(v) > MaxField {
			starts, _ := d.scan()
			row.Err = fieldTooLong(nameOf(d.header, i), column(d.record, starts[i]), len(v))
			break
		}
	}
	return row, nil
}

// begin returns the first line of a record. It skips empty lines, unless there is only one column, where they are an
// empty value.
func (d *csvDecoder) begin() ([]byte, Row, error) {
	line, err := d.lines.next()
	for err == nil && len(bytes.TrimRight(line, "\r\n")) == 0 && len(d.header) != 1 {
		line, err = d.lines.next()
	}
	row := Row{Line: d.lines.line}
	if errors.Is(err, errTooLong) {
		row.Err, row.Values = &RowError{Message: tooLong}, []string{printable(line[:200])}
		err = nil
	}
	return line, row, err
}

func fieldTooLong(field string, column, length int) *RowError {
	return &RowError{Field: field, Column: column, Message: fmt.Sprintf("it is %d bytes long; a field holds at most %d", length, MaxField)}
}

var tooLong = fmt.Sprintf("it is longer than %d bytes", MaxRecord)

// add appends a line to the record and offers it to encoding/csv with a line end, so that it reads another line only
// inside quotes. It drops the CR of a CRLF, also inside quotes, where a second one is offered.
func (d *csvDecoder) add(line []byte) {
	if bytes.Count(line, []byte(`"`))%2 == 1 {
		d.quoted = !d.quoted
		d.opened = len(d.record)
	}
	d.record = append(d.record, line...)
	d.line, d.read = append(d.line[:0], line...), 0
	switch {
	case !bytes.HasSuffix(line, []byte("\n")):
		d.line = append(d.line, '\n')
	case d.quoted && bytes.HasSuffix(line, []byte("\r\n")):
		d.line = append(d.line[:len(line)-1], "\r\n"...)
	}
}

// Read returns text of one line for encoding/csv, which reads further lines only for a record with an open quote. It
// ends at a field of more than MaxField bytes.
func (d *csvDecoder) Read(b []byte) (int, error) {
	if d.read == len(d.line) && d.quoted {
		line, err := d.lines.next()
		d.cut = err != nil || len(d.record)-d.opened > MaxField
		switch {
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errTooLong):
			return 0, err
		case d.cut:
			d.record = append(d.record, line...)
			return 0, io.EOF
		}
		d.add(line)
	}
	if d.read == len(d.line) {
		return 0, io.EOF
	}
	n := copy(b, d.line[d.read:])
	d.read += n
	return n, nil
}

const loneCR = "a lone carriage return; lines end with LF or CRLF"

// flaw returns why a record is invalid after n good fields, or another error. first is the length of its first line.
func (d *csvDecoder) flaw(err error, n, first int) (*RowError, error) {
	if err == nil && bytes.Count(d.record, []byte("\r")) == bytes.Count(d.record, []byte("\r\n")) {
		return nil, nil
	}
	invalid, ok := errors.AsType[*csv.ParseError](err)
	if err != nil && !ok {
		return nil, err
	}
	starts, cr := d.scan()
	at, message := cr, loneCR
	if err != nil {
		if d.cut || starts[n] < first && first < len(d.record) { // or the quote of a field on a later line closed it
			column := column(d.record, starts[n])
			return &RowError{Field: nameOf(d.header, n), Column: column, Message: "the quote that opens here is never closed"}, nil
		}
		at, message = bytes.LastIndexByte(d.record[:len(d.record)-1], '\n')+invalid.Column, "a quote in an unquoted field"
		if errors.Is(err, csv.ErrQuote) {
			at, message = at+1, "text follows a closing quote; double a quote inside a quoted field"
		}
		if cr >= 0 && cr <= at {
			at, message = cr, loneCR
		}
	}
	if at < 0 {
		return nil, nil
	}
	return &RowError{Field: nameOf(d.header, min(d.fieldAt(at), n)), Column: column(d.record, at), Message: message}, nil
}

// scan returns the offsets of the record's fields, and of a CR outside of quotes that is not part of the line end, or
// -1.
func (d *csvDecoder) scan() (starts []int, cr int) {
	starts, cr = []int{0}, -1
	end := len(bytes.TrimSuffix(bytes.TrimSuffix(d.record, []byte("\n")), []byte("\r")))
	quoted := false
	for i, b := range d.record[:end] {
		switch {
		case b == '"':
			quoted = !quoted
		case b == d.comma && !quoted:
			starts = append(starts, i+1)
		case b == '\r' && !quoted && cr < 0:
			cr = i
		}
	}
	return starts, cr
}

func (d *csvDecoder) fieldAt(offset int) int {
	starts, _ := d.scan()
	i, found := slices.BinarySearch(starts, offset)
	if !found {
		i--
	}
	return i
}

// nameOf returns the header of a column, or "".
func nameOf(header []string, i int) string {
	if i < len(header) {
		return header[i]
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
	line, row, err := d.begin()
	if err != nil || row.Err != nil {
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
			row.Err = &RowError{Field: nameOf(d.header, i), Column: column(line, flawAt), Message: what, Charset: what != aNUL && what != loneCR}
		}
		if len(cell) > MaxField && row.Err == nil {
			row.Err = fieldTooLong(nameOf(d.header, i), column(line, at), len(cell))
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

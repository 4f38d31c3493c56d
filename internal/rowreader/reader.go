// Package intake reads files of records that people and other programs made: csv, tsv, jsonl, json and xlsx,
// plain or compressed, in whatever encoding. It is strict, since what is read goes into a database: a
// row that cannot be read for certain is an error of its own that names line and column, and the rows
// after it are read all the same. It knows no kind of record, and holds one in memory at a time.
package rowreader

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Format is how the records stand in the file.
type Format string

// The formats.
const (
	CSV   Format = "csv"   // RFC 4180 with any delimiter, with a header row
	TSV   Format = "tsv"   // tabs between; \t \n \r \\ escaped, nothing quoted
	JSONL Format = "jsonl" // one object a line
	JSON  Format = "json"  // an array of objects, or the envelope that -o json prints
	XLSX  Format = "xlsx"  // the first sheet of a workbook, with a header row
)

// Formats lists every format, for help and completion.
var Formats = []Format{CSV, TSV, JSONL, JSON, XLSX}

// The most that a field and a record may hold, in bytes. Nothing that a person enters comes near.
const (
	MaxField  = 32 << 10
	MaxRecord = 1 << 20
)

// Options say how a file is read.
type Options struct {
	Format    Format            // "" goes by the file's name, else by its content
	Delimiter byte              // of csv; 0 goes by the content
	Encoding  string            // "" is UTF-8, or UTF-16 where a byte order mark says so
	Map       map[string]string // a header in the file → the field that it is; "-" leaves the column out
	Fields    []string          // the fields that there are
	Required  []string          // those that a header row must name
	Verbatim  []string          // those whose values may begin with '=, so that no --csv-safe prefix is taken off
}

// ErrorField is the column that an error file adds; it is read over.
const ErrorField = "error"

// Row is one record.
type Row struct {
	Line   int64     // where it begins, from 1; in json the number of the object
	Values []string  // in the order of the reader's columns; "" where there is none
	Err    *RowError // what makes it unreadable; then Values hold what could be made out
	object []member  // of jsonl and json
}

// Broken is why a row cannot be read.
type RowError struct {
	Field   string // the field that it is in, where that is known
	Column  int    // the character in the line, from 1; 0 where there is none
	Message string
	Charset bool // a byte is not a character in the file's encoding
}

func (b *RowError) Error() string {
	if b.Column > 0 {
		return fmt.Sprintf("column %d: %s", b.Column, b.Message)
	}
	return b.Message
}

// decoder reads one format.
type decoder interface {
	columns() []string // as the file calls them
	next() (Row, error)
}

// Reader reads a file's records in order.
type Reader struct {
	Format  Format
	Columns []string // the field of each column; "" for one that is left out
	dec     decoder
	headers []string // as the file calls them
	prefix  []bool   // columns that lose a --csv-safe prefix
	unnamed []bool   // columns whose header is empty
	comma   byte     // between the fields of csv
	close   func()
}

// Close ends the reading.
func (r *Reader) Close() { r.close() }

// Index returns the column that holds a field, or -1.
func (r *Reader) Index(field string) int {
	for i, c := range r.Columns {
		if c == field {
			return i
		}
	}
	return -1
}

// Rows begins reading the file from its first record. What is wrong with the header, the format or the
// encoding is a VALIDATION_ERROR that lists what is valid.
func (f *File) Rows(o Options) (*Reader, error) {
	if err := o.Format.check(); err != nil {
		return nil, err
	}
	plain, closePlain, err := f.plain()
	if err != nil {
		return nil, err
	}
	r := &Reader{close: closePlain}
	if err = r.begin(f, plain, o); err == nil {
		err = r.resolveColumns(o)
	}
	if err != nil {
		r.close()
		return nil, f.unreadable(err)
	}
	return r, nil
}

// plain begins reading the file's content, without its compression.
func (f *File) plain() (*bufio.Reader, func(), error) {
	raw, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	plain, end, err := decompress(raw)
	if err != nil {
		return nil, nil, f.unreadable(err)
	}
	return bufio.NewReaderSize(plain, 64<<10), end, nil
}

// begin finds out the format and makes ready to read it.
func (r *Reader) begin(f *File, plain *bufio.Reader, o Options) error {
	head, err := plain.Peek(len(zipMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	book, err := f.binary(o.Format, head)
	if err != nil {
		return err
	}
	if book {
		d, err := newXLSX(plain)
		if err != nil {
			return err
		}
		closePlain := r.close
		r.Format, r.dec, r.close = XLSX, d, func() { d.close(); closePlain() }
		return nil
	}
	text, charset, err := decode(plain, o.Encoding)
	if err != nil {
		return err
	}
	lines := &lines{r: bufio.NewReaderSize(text, 64<<10), charset: charset}
	start, _ := lines.r.Peek(lines.r.Size()) // an error comes again
	r.Format = f.format(o.Format, start)
	names := newNames(o)
	switch r.Format {
	case TSV:
		r.dec, err = newTSV(lines)
	case JSONL:
		r.dec = &jsonLines{lines: lines, names: names}
	case JSON:
		r.dec, err = newJSON(lines.r, charset, names)
	default:
		delimiter, skip := sniff(start, names)
		if _, err := lines.r.Discard(skip); err != nil {
			return err
		}
		if skip > 0 {
			lines.line++
		}
		r.comma = cmp.Or(o.Delimiter, delimiter)
		r.dec, err = newCSV(lines, r.comma)
	}
	return err
}

// Survey is what a first reading of a file finds.
type Survey struct {
	Rows   int64
	Filled map[string]int64 // how many records have a value, by field
}

// Survey reads the whole file and counts its records, so that a file which is cut off, damaged, or in another encoding
// is refused before its first record is applied.
func (f *File) Survey(ctx context.Context, o Options) (Survey, error) {
	s := Survey{Filled: map[string]int64{}}
	r, err := f.Rows(o)
	if err != nil {
		return s, f.otherEncoding(err, o)
	}
	defer r.Close()
	filled := make([]int64, len(r.Columns))
	var garbled *Row              // the first
	var unreadable, foreign int64 // records that hold bytes which are not UTF-8, or characters beyond ASCII
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && s.Rows%1024 == 0 {
			err = context.Cause(ctx)
		}
		if err != nil {
			return s, f.unreadable(err)
		}
		s.Rows++
		for i, v := range row.Values {
			if v != "" && i < len(filled) {
				filled[i]++
			}
		}
		switch {
		case row.Err != nil && row.Err.Charset:
			if unreadable++; garbled == nil {
				garbled = &row
			}
		case row.Err == nil && !isASCII(row.Values):
			foreign++
		}
	}
	if unreadable > foreign {
		return s, f.otherEncoding(fault.New(fault.Validation, "%s: line %d, %s", f.Name, garbled.Line, garbled.Err), o)
	}
	for i, c := range r.Columns {
		s.Filled[c] += filled[i]
	}
	return s, nil
}

func isASCII(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool {
		for i := range len(v) {
			if v[i] >= utf8.RuneSelf {
				return true
			}
		}
		return false
	})
}

// otherEncoding adds to an error about characters which encoding the file is likely in.
func (f *File) otherEncoding(err error, o Options) error {
	fail := fault.From(f.unreadable(err))
	if fail.Code != fault.Validation || fail.Hint != "" || o.Encoding != "" {
		return fail
	}
	plain, end, openErr := f.plain()
	if openErr != nil {
		return fail
	}
	defer end()
	sample := make([]byte, 1<<20)
	n, _ := io.ReadFull(plain, sample) // a short file is one too
	if sample = sample[:n]; utf8.Valid(sample) && bytes.IndexByte(sample, 0) < 0 {
		return fail
	}
	guess := guessEncoding(sample)
	return fail.WithHint("the file looks like %s: add --encoding %s", guess, guess)
}

// settle finds out what each column is.
func (r *Reader) resolveColumns(o Options) error {
	if r.Format == JSONL || r.Format == JSON {
		r.Columns = o.Fields // each object names its own
		return nil
	}
	r.headers = r.dec.columns()
	columns, err := newNames(o).columns(r.headers, o.Required)
	if err != nil {
		return err
	}
	r.Columns = columns
	r.unnamed = make([]bool, len(columns))
	for i, h := range r.headers {
		_, known := newNames(o).field(h)
		r.unnamed[i] = !known
	}
	r.prefix = make([]bool, len(columns))
	for i, c := range columns {
		r.prefix[i] = true
		for _, v := range o.Verbatim {
			if c == v {
				r.prefix[i] = false
			}
		}
	}
	return nil
}

// Next returns the next record, or io.EOF. A record that is broken has Err; any other error ends the
// reading.
func (r *Reader) Next() (Row, error) {
	row, err := r.dec.next()
	for err == nil && row.Err == nil && r.prefix != nil && len(row.Values) > 1 && isBlank(row.Values) {
		row, err = r.dec.next() // what a spreadsheet writes for an empty row
	}
	if err != nil || r.prefix == nil {
		return row, err
	}
	if row.Err == nil {
		r.fit(&row)
	}
	for i, v := range row.Values {
		if i < len(r.prefix) && r.prefix[i] && len(v) > 1 && v[0] == '\'' && strings.IndexAny(v[1:], "=+-@\t\r\n＝＋－＠") == 0 {
			row.Values[i] = v[1:]
		}
	}
	if b := row.Err; b != nil && b.Field != "" {
		b.Field = r.field(b.Field)
	}
	return row, nil
}

// fit brings a row to the length of the header. Empty fields that are too many are what a spreadsheet writes for empty
// columns, and so are columns without a name: they may hold nothing.
func (r *Reader) fit(row *Row) {
	n := len(row.Values)
	for n > len(r.Columns) && strings.TrimSpace(row.Values[n-1]) == "" {
		n--
	}
	row.Values = row.Values[:n]
	for n < len(r.Columns) && r.unnamed[n] && !slices.Contains(r.unnamed[n:], false) {
		row.Values = append(row.Values, "")
		n++
	}
	if n != len(r.Columns) {
		row.Err = &RowError{Message: fmt.Sprintf("the row has %d fields, but the header has %d", n, len(r.Columns))}
		return
	}
	for i, v := range row.Values {
		if r.unnamed[i] && strings.TrimSpace(v) != "" {
			row.Err = &RowError{Message: fmt.Sprintf("field %d has a value but no name in the header", i+1)}
			return
		}
	}
}

// field is what the file's header calls a field, by our name where it has one.
func (r *Reader) field(header string) string {
	for i, h := range r.headers {
		if h == header && r.Columns[i] != "" {
			return r.Columns[i]
		}
	}
	return header
}

// decompress undoes gzip and zstd, told by their first bytes.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// unreadable says that the file cannot be read, in words.
func (f *File) unreadable(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("it is truncated")
	}
	return fault.New(fault.Validation, "%s cannot be read: %s", f.Name, err).Because(err)
}

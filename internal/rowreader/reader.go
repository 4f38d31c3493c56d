// Package rowreader reads files of records that people and other programs made: csv, tsv, jsonl, json and xlsx, plain
// or compressed, in many encodings. It is strict, because the data goes into a database: a row that cannot be read
// reliably becomes an error with line and column, and reading continues with the next row. It knows nothing about the
// records and holds one in memory at a time.
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

// Format is the format of a file.
type Format string

// The formats.
const (
	CSV   Format = "csv"   // RFC 4180 with any delimiter, with a header row
	TSV   Format = "tsv"   // tab-separated; \t \n \r \\ are escaped, nothing is quoted
	JSONL Format = "jsonl" // one object per line
	JSON  Format = "json"  // an array of objects, or the envelope that -o json prints
	XLSX  Format = "xlsx"  // the first sheet of a workbook, with a header row
)

// Formats lists every format, for help and completion.
var Formats = strings.Fields("csv tsv jsonl json xlsx")

// The maximum size of a field and of a record, in bytes, far above what people enter.
const (
	MaxField  = 32 << 10
	MaxRecord = 1 << 20
)

// Options control how a file is read.
type Options struct {
	Format    Format            // "" detects it by the file's name or content
	Delimiter byte              // of csv; 0 detects it
	Encoding  string            // "" is UTF-8, or UTF-16 with a byte order mark
	Map       map[string]string // header in the file → field; "-" ignores the column
	Fields    []string          // the known fields
	Required  []string          // fields that a header row must have
	Verbatim  []string          // fields whose values may start with '=, so that the --csv-safe prefix is not removed
}

// ErrorField is the column that an error file adds. It is ignored when read.
const ErrorField = "error"

// Row is one record.
type Row struct {
	Line   int64     // where it starts, from 1; in json the number of the object
	Values []string  // in the order of the reader's columns; "" if there is none
	Err    *RowError // why the row is unreadable; Values then holds what could be decoded
	object []member  // only of jsonl and json
}

// RowError is the reason that a row cannot be read.
type RowError struct {
	Field   string // the field, if known
	Column  int    // the character in the line, from 1; 0 if unknown
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
	columns() []string // the names in the file
	next() (Row, error)
}

// Reader reads a file's records in order.
type Reader struct {
	Format  Format
	Columns []string // the field of each column; "" if ignored
	dec     decoder
	headers []string // the names in the file
	prefix  []bool   // columns whose --csv-safe prefix is removed
	unnamed []bool   // columns whose header is empty
	comma   byte     // the delimiter of csv
	close   func()
}

// Close releases the reader.
func (r *Reader) Close() { r.close() }

// Index returns the column of a field, or -1.
func (r *Reader) Index(field string) int { return slices.Index(r.Columns, field) }

// Rows starts reading the file from its first record. An invalid header, format or encoding is a VALIDATION_ERROR
// that lists the valid values.
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

// plain returns the decompressed content of the file.
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

// begin determines the format and prepares the decoder.
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
	start, _ := lines.r.Peek(lines.r.Size()) // an error is returned again by the next read
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

// Survey is the result of a first pass over a file.
type Survey struct {
	Rows   int64
	Filled map[string]int64 // number of records with a value, by field
}

// Survey reads the whole file and counts its records, so that a truncated or damaged file, or one in another
// encoding, is refused before the first record is applied.
func (f *File) Survey(ctx context.Context, o Options) (Survey, error) {
	s := Survey{Filled: map[string]int64{}}
	r, err := f.Rows(o)
	if err != nil {
		return s, f.otherEncoding(err, o)
	}
	defer r.Close()
	filled := make([]int64, len(r.Columns))
	var garbled *Row              // the first one
	var unreadable, foreign int64 // records with invalid UTF-8, and with characters beyond ASCII
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
		return strings.ContainsFunc(v, func(r rune) bool { return r >= utf8.RuneSelf })
	})
}

// otherEncoding adds the most likely encoding to an error about invalid characters.
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
	n, _ := io.ReadFull(plain, sample) // a short file is fine
	if sample = sample[:n]; utf8.Valid(sample) && bytes.IndexByte(sample, 0) < 0 {
		return fail
	}
	guess := guessEncoding(sample)
	return fail.WithHint("the file looks like %s: add --encoding %s", guess, guess)
}

// resolveColumns determines the field of each column.
func (r *Reader) resolveColumns(o Options) error {
	if r.Format == JSONL || r.Format == JSON {
		r.Columns = o.Fields // each object has its own fields
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
		r.prefix[i] = !slices.Contains(o.Verbatim, c)
	}
	return nil
}

// Next returns the next record, or io.EOF. An unreadable record has Err; any other error ends the reading.
func (r *Reader) Next() (Row, error) {
	row, err := r.dec.next()
	for err == nil && row.Err == nil && r.prefix != nil && len(row.Values) > 1 && isBlank(row.Values) {
		row, err = r.dec.next() // spreadsheets write such lines for empty rows
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

// fit adjusts a row to the length of the header. Spreadsheets write surplus empty fields and columns without a name
// for empty columns; a value in one is an error.
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

// field returns our name of a header, or the header if it has none.
func (r *Reader) field(header string) string {
	for i, h := range r.headers {
		if h == header && r.Columns[i] != "" {
			return r.Columns[i]
		}
	}
	return header
}

// decompress decompresses gzip and zstd, which it detects by their first bytes.
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

// unreadable returns the error for a file that cannot be read.
func (f *File) unreadable(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("it is truncated")
	}
	return fault.New(fault.FileCode(err), "%s cannot be read: %s", f.Name, err).Because(err)
}

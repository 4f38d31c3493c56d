// Package intake reads files of records that people and other programs made: csv, tsv, jsonl and json,
// plain or compressed, in whatever encoding. It is strict, since what is read goes into a database: a
// row that cannot be read for certain is an error of its own that names line and column, and the rows
// after it are read all the same. It knows no kind of record, and holds one in memory at a time.
package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Format is how the records stand in the file.
type Format string

// The formats.
const (
	CSV   Format = "csv"   // RFC 4180, with a header row
	TSV   Format = "tsv"   // tabs between; \t \n \r \\ escaped, nothing quoted
	JSONL Format = "jsonl" // one object a line
	JSON  Format = "json"  // an array of objects, or the envelope that -o json prints
)

// Formats lists every format, for help and completion.
var Formats = []Format{CSV, TSV, JSONL, JSON}

// The most that a field and a record may hold, in bytes. Nothing that a person enters comes near.
const (
	MaxField  = 32 << 10
	MaxRecord = 1 << 20
)

// Options say how a file is read.
type Options struct {
	Format   Format            // "" goes by the file's name
	Encoding string            // "" is UTF-8, or UTF-16 where a byte order mark says so
	Map      map[string]string // a header in the file → the field that it is; "-" leaves the column out
	Fields   []string          // the fields that there are
	Required []string          // those that a header row must name
	Verbatim []string          // those whose values may begin with '=, so that no --csv-safe prefix is taken off
}

// ErrorField is the column that an error file adds; it is read over.
const ErrorField = "error"

// Row is one record.
type Row struct {
	Line   int64    // where it begins, from 1; in json the number of the object
	Values []string // in the order of the reader's columns; "" where there is none
	Err    *Broken  // what makes it unreadable; then Values hold what could be made out
	object []member // of jsonl and json
}

// Broken is why a row cannot be read.
type Broken struct {
	Field   string // the field that it is in, where that is known
	Column  int    // the character in the line, from 1; 0 where there is none
	Message string
}

func (b *Broken) Error() string {
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
	format, err := f.format(o.Format)
	if err != nil {
		return nil, err
	}
	raw, err := f.open()
	if err != nil {
		return nil, err
	}
	plain, closePlain, err := decompress(raw)
	if err != nil {
		return nil, f.unreadable(err)
	}
	text, charset, err := decode(plain, o.Encoding)
	if err != nil {
		closePlain()
		return nil, err
	}
	r := &Reader{Format: format, close: closePlain}
	lines := &lines{r: bufio.NewReaderSize(text, 64<<10), charset: charset}
	switch format {
	case CSV:
		r.dec, err = newCSV(lines)
	case TSV:
		r.dec, err = newTSV(lines)
	case JSONL:
		r.dec = &jsonLines{lines: lines, names: newNames(o)}
	case JSON:
		r.dec, err = newJSON(lines.r, charset, newNames(o))
	}
	if err == nil {
		err = r.settle(o)
	}
	if err != nil {
		closePlain()
		return nil, f.unreadable(err)
	}
	return r, nil
}

// settle finds out what each column is.
func (r *Reader) settle(o Options) error {
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
	if err != nil || r.prefix == nil {
		return row, err
	}
	if n := len(row.Values); row.Err == nil && n != len(r.Columns) {
		row.Err = &Broken{Message: fmt.Sprintf("it has %d fields, the header has %d", n, len(r.Columns))}
	}
	for i, v := range row.Values {
		if i < len(r.prefix) && r.prefix[i] && len(v) > 1 && v[0] == '\'' && strings.IndexByte("=+-@\t\r", v[1]) >= 0 {
			row.Values[i] = v[1:]
		}
	}
	if b := row.Err; b != nil && b.Field != "" {
		b.Field = r.field(b.Field)
	}
	return row, nil
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
	return fault.New(fault.Validation, "%s cannot be read: %s", f.Name, err).Because(err)
}

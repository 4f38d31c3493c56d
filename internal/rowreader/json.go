package rowreader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// member is one name and value of an object, as in the file.
type member struct {
	name  string
	value jsontext.Value
}

// Names reports whether an object of json or jsonl has the name, whatever its value.
func (r Row) Names(name string) bool {
	return slices.ContainsFunc(r.object, func(m member) bool { return m.name == name })
}

// HasEmpty reports whether an object of json or jsonl has the name with an empty string, which Values cannot
// distinguish from null.
func (r Row) HasEmpty(name string) bool {
	i := slices.IndexFunc(r.object, func(m member) bool { return m.name == name })
	return i >= 0 && string(r.object[i].value) == `""`
}

// jsonLines reads one object per line.
type jsonLines struct {
	lines *lines
	names names
}

func (d *jsonLines) columns() []string { return nil }

func (d *jsonLines) next() (Row, error) {
	line, err := d.lines.next()
	for err == nil && len(bytes.TrimSpace(line)) == 0 {
		line, err = d.lines.next()
	}
	row := Row{Line: d.lines.line}
	if errors.Is(err, errTooLong) {
		row.Err = &RowError{Message: tooLong}
		return row, nil
	}
	if err != nil {
		return row, err
	}
	d.names.object(&row, line, d.lines.charset)
	return row, nil
}

// object reads one object into a row. If it is invalid, the row gets an Err.
func (n names) object(row *Row, text []byte, charset string) {
	row.Values = make([]string, len(n.fields))
	fail := func(field string, at int, format string, args ...any) {
		row.Err = &RowError{Field: field, Message: fmt.Sprintf(format, args...)}
		if at >= 0 {
			row.Err.Column = column(text, min(at, len(text)))
		}
		if row.object == nil { // for the error file
			raw, err := jsontext.AppendQuote(nil, printable(bytes.TrimRight(text, "\r\n")))
			if err == nil {
				row.object = []member{{"unreadable", raw}}
			}
		}
	}
	if i, what := firstInvalid(text, charset); i >= 0 {
		fail("", i, "%s", what)
		row.Err.Charset = what != aNUL
		return
	}
	members, err := parseObject(text)
	if err != nil {
		at := 0
		if invalid, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			at, err = int(invalid.ByteOffset), invalid.Err
		}
		switch {
		case strings.HasPrefix(err.Error(), "invalid surrogate pair"):
			fail("", at, "the escape %s is half of a surrogate pair", text[at:min(at+len(`\uFFFF`), len(text))])
		case errors.Is(err, io.ErrUnexpectedEOF):
			fail("", at, "it is not a JSON object: unexpected end of JSON input")
		default:
			fail("", at, "it is not a JSON object: %s", err)
		}
		return
	}
	row.object = members
	seen := make([]bool, len(n.fields))
	for k, m := range members {
		field, known := n.field(m.name)
		if !known {
			fail("", -1, "name %d of the object is unknown; valid names: %s", k+1, strings.Join(n.fields, ", "))
			return
		}
		if field == "" {
			continue
		}
		i := slices.Index(n.fields, field)
		if seen[i] {
			fail(field, -1, "it appears twice")
			return
		}
		seen[i] = true
		if row.Values[i], err = scalar(m.value); err != nil {
			fail(field, -1, "%s", err)
			return
		}
		if len(row.Values[i]) > MaxField {
			fail(field, -1, "it is %d bytes long; a field holds at most %d", len(row.Values[i]), MaxField)
			return
		}
		if strings.ContainsRune(row.Values[i], 0) {
			fail(field, -1, "a NUL character")
			return
		}
	}
}

// parseObject splits an object into its members. Duplicate names are allowed.
func parseObject(text []byte) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	fail := func(message string) ([]member, error) {
		begin := dec.InputOffset()
		begin += int64(len(text[begin:]) - len(bytes.TrimLeft(text[begin:], space)))
		return nil, &jsontext.SyntacticError{ByteOffset: begin, Err: errors.New(message)}
	}
	if kind := dec.PeekKind(); kind != '{' && kind != 0 {
		return fail("it does not begin with {")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var list []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		list = append(list, m)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if len(bytes.TrimLeft(text[dec.InputOffset():], space)) > 0 {
		return fail("there is text after it")
	}
	return list, nil
}

// space lists JSON's white space.
const space = " \t\r\n"

// scalar returns a value as it would be in csv: null is empty, and a list of strings is joined by commas.
func scalar(raw jsontext.Value) (string, error) {
	switch raw.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		return string(text), err
	case 'n':
		return "", nil
	case '[':
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil {
			return "", errors.New("a list may contain only strings")
		}
		return strings.Join(list, ","), nil
	case '{':
		return "", errors.New("an object is not allowed as a value")
	}
	return string(raw), nil
}

// jsonArray reads the objects of an array: the document itself, or data.items of the envelope that cxgctl and the
// backend's API print.
type jsonArray struct {
	dec     *jsontext.Decoder
	text    *bounded
	charset string
	names   names
	n       int64
	ended   bool
}

// bounded keeps jsontext.Decoder, which holds a whole value in memory, from reading more than the maximum record. It also
// tracks line numbers for messages.
type bounded struct {
	r     io.Reader
	left  int     // bytes that may be read before the next record starts
	read  int64   // bytes so far
	lines int64   // lines that ended before the record
	start int64   // offset of the first line that did not
	ends  []int64 // offsets after the line ends since
}

// allowance is how much may be read for one record, including the decoder's read-ahead.
const allowance = 2*MaxRecord + 64<<10

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	for i, c := range p[:n] {
		if c == '\n' {
			b.ends = append(b.ends, b.read+int64(i)+1)
		}
	}
	b.read += int64(n)
	b.left -= n
	return n, err
}

// record starts the record at an offset.
func (b *bounded) record(offset int64) {
	b.left = allowance
	passed := 0
	for passed < len(b.ends) && b.ends[passed] <= offset {
		passed++
	}
	if passed > 0 {
		b.lines += int64(passed)
		b.start = b.ends[passed-1]
		b.ends = append(b.ends[:0], b.ends[passed:]...)
	}
}

// place returns the line and byte of an offset in the record, both from 1.
func (b *bounded) place(offset int64) (line, at int64) {
	line, start := b.lines, b.start
	for _, end := range b.ends {
		if end > offset {
			break
		}
		line, start = line+1, end
	}
	return line + 1, offset - start + 1
}

func newJSON(r io.Reader, charset string, n names) (*jsonArray, error) {
	text := &bounded{r: r, left: allowance}
	// Invalid UTF-8 is an error of its record.
	dec := jsontext.NewDecoder(text, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	d := &jsonArray{dec: dec, text: text, charset: charset, names: n}
	for _, name := range []string{"data", "items"} {
		t, err := dec.ReadToken()
		if err != nil {
			return nil, d.broken(err)
		}
		if t.Kind() == '[' {
			return d, nil
		}
		if t.Kind() != '{' {
			return nil, fault.New(fault.Validation, "the document is not a list of objects")
		}
		if err := d.find(name); err != nil {
			return nil, err
		}
	}
	t, err := dec.ReadToken()
	if err != nil || t.Kind() != '[' {
		return nil, fault.New(fault.Validation, "the document's data.items is not a list")
	}
	return d, nil
}

// find advances to the value of a name in the current object.
func (d *jsonArray) find(name string) error {
	for d.dec.PeekKind() != '}' {
		t, err := d.dec.ReadToken()
		if err != nil {
			return d.broken(err)
		}
		if t.String() == name {
			return nil
		}
		if _, err := d.value(); err != nil {
			return err
		}
	}
	return fault.New(fault.Validation, "the document is not a list of objects and has no %q", name)
}

// value reads the next value, of bounded size, which is valid until the next call.
func (d *jsonArray) value() (jsontext.Value, error) {
	d.text.record(d.dec.InputOffset())
	value, err := d.dec.ReadValue()
	if err == nil && len(value) > MaxRecord {
		err = errTooLong
	}
	if err != nil {
		return nil, d.broken(err)
	}
	return value, nil
}

// broken returns the error for an invalid document, with its position. The reader cannot continue after it.
func (d *jsonArray) broken(err error) error {
	invalid, isSyntax := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, errTooLong):
		rest := d.dec.UnreadBuffer()
		begin := len(rest) - len(bytes.TrimLeft(rest, space+",:"))
		line, at := d.text.place(d.dec.InputOffset() + int64(begin))
		return fault.New(fault.Validation, "line %d, byte %d: a value is longer than a record may be, %d bytes", line, at, MaxRecord)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		line, at := d.text.place(d.text.read)
		return fault.New(fault.Validation, "the document is not valid JSON: it ends early at line %d, byte %d", line, at)
	case !isSyntax:
		return err // an error of the file
	}
	line, at := d.text.place(invalid.ByteOffset)
	return fault.New(fault.Validation, "the document is not valid JSON: line %d, byte %d: %s", line, at, invalid.Err).Because(err)
}

func (d *jsonArray) columns() []string { return nil }

func (d *jsonArray) next() (Row, error) {
	if d.ended {
		return Row{}, io.EOF
	}
	if d.dec.PeekKind() == ']' {
		d.ended = true
		return Row{}, d.rest()
	}
	d.n++
	row := Row{Line: d.n}
	raw, err := d.value()
	if err != nil {
		d.ended = true
		return row, err
	}
	d.names.object(&row, raw, d.charset)
	if row.Err != nil {
		row.Err.Column = 0 // the array has no lines to count columns in
	}
	return row, nil
}

// rest reads the end of the list and what follows, to detect a truncated document.
func (d *jsonArray) rest() error {
	for {
		d.text.record(d.dec.InputOffset())
		if _, err := d.dec.ReadToken(); err != nil {
			return d.broken(err)
		}
		if d.dec.StackDepth() > 0 {
			continue
		}
		switch _, err := d.dec.ReadToken(); {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return d.broken(err)
		}
		line, at := d.text.place(d.dec.InputOffset())
		return fault.New(fault.Validation, "unexpected text after the document, at line %d, byte %d", line, at)
	}
}

package rowreader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// member is one name and value of an object, as in the file.
type member struct {
	name  string
	value json.RawMessage
}

// Names reports whether an object of json or jsonl has the name, whatever its value.
func (r Row) Names(name string) bool {
	for _, m := range r.object {
		if m.name == name {
			return true
		}
	}
	return false
}

// HasEmpty reports whether an object of json or jsonl has the name with an empty string, which Values cannot
// distinguish from null.
func (r Row) HasEmpty(name string) bool {
	for _, m := range r.object {
		if m.name == name {
			return string(m.value) == `""`
		}
	}
	return false
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
			raw, err := json.Marshal(printable(bytes.TrimRight(text, "\r\n")))
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
	members, at, err := parseObject(text)
	if err != nil {
		fail("", at, "it is not a JSON object: %s", err)
		return
	}
	if i := halfPair(text); i >= 0 {
		fail("", i, "the escape \\u%s is half of a surrogate pair", text[i+2:i+6])
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
		i := indexOf(n.fields, field)
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

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

// parseObject splits an object into its members. With an error it returns the offset of the error.
func parseObject(text []byte) ([]member, int, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	fail := func(err error) ([]member, int, error) {
		at := int(dec.InputOffset())
		// a decoder's offsets are relative to an inner value
		if se, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(any))); ok {
			at, err = max(int(se.Offset)-1, 0), se
		}
		return nil, at, err
	}
	t, err := dec.Token()
	if err != nil {
		return fail(err)
	}
	if t != json.Delim('{') {
		return nil, 0, errors.New("it does not begin with {")
	}
	var list []member
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fail(err)
		}
		name, ok := t.(string)
		if !ok {
			return fail(errors.New("a name is missing"))
		}
		m := member{name: name}
		if err := dec.Decode(&m.value); err != nil {
			return fail(err)
		}
		list = append(list, m)
	}
	if _, err := dec.Token(); err != nil {
		return fail(err)
	}
	end := int(dec.InputOffset())
	if rest := bytes.TrimSpace(text[end:]); len(rest) > 0 {
		return nil, bytes.LastIndex(text, rest), errors.New("there is text after it")
	}
	return list, 0, nil
}

// halfPair returns the offset of the first escape in valid JSON that is half of a surrogate pair, or -1.
// encoding/json would read it as U+FFFD.
func halfPair(text []byte) int {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		r := unit(text[i:])
		if r < 0 {
			i++ // skip the escaped character
			continue
		}
		if utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, unit(text[i+6:])) == utf8.RuneError {
				return i
			}
			i += 6
		}
		i += 5
	}
	return -1
}

// unit returns the value of the escape \uXXXX at the start of text, or -1.
func unit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	v, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(v)
}

// scalar returns a value as it would be in csv: null is empty, and a list of strings is joined by commas.
func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
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
	dec     *json.Decoder
	text    *bounded
	charset string
	names   names
	n       int64
	depth   int // number of objects around the list
	ended   bool
}

// bounded keeps json.Decoder, which holds a whole value in memory, from reading more than the maximum record. It also
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
	d := &jsonArray{dec: json.NewDecoder(text), text: text, charset: charset, names: n}
	for _, name := range []string{"data", "items"} {
		t, err := d.dec.Token()
		if err != nil {
			return nil, d.broken(err)
		}
		if t == json.Delim('[') {
			return d, nil
		}
		if t != json.Delim('{') {
			return nil, fault.New(fault.Validation, "the document is not a list of objects")
		}
		d.depth++
		if err := d.find(name); err != nil {
			return nil, err
		}
	}
	t, err := d.dec.Token()
	if err != nil || t != json.Delim('[') {
		return nil, fault.New(fault.Validation, "the document's data.items is not a list")
	}
	return d, nil
}

// find advances to the value of a name in the current object.
func (d *jsonArray) find(name string) error {
	for d.dec.More() {
		t, err := d.dec.Token()
		if err != nil {
			return d.broken(err)
		}
		if t == name {
			return nil
		}
		var over json.RawMessage
		if err := d.value(&over); err != nil {
			return err
		}
	}
	return fault.New(fault.Validation, "the document is not a list of objects and has no %q", name)
}

// value reads the next value, of bounded size.
func (d *jsonArray) value(into *json.RawMessage) error {
	d.text.record(d.dec.InputOffset())
	if err := d.dec.Decode(into); err != nil {
		return d.broken(err)
	}
	if len(*into) > MaxRecord {
		return d.broken(errTooLong)
	}
	return nil
}

// broken returns the error for an invalid document, with its position. The reader cannot continue after it.
func (d *jsonArray) broken(err error) error {
	offset := d.dec.InputOffset()
	for _, end := range d.text.ends {
		if end == offset+1 {
			offset = end // the value starts on the line after a comma
		}
	}
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, errTooLong):
		line, at := d.text.place(offset)
		return fault.New(fault.Validation, "line %d, byte %d: a value is longer than a record may be, %d bytes", line, at, MaxRecord)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		line, at := d.text.place(d.text.read)
		return fault.New(fault.Validation, "the document is not valid JSON: it ends early at line %d, byte %d", line, at)
	case !isSyntax:
		return err // an error of the file
	}
	line, at := d.text.place(offset)
	return fault.New(fault.Validation, "the document is not valid JSON: in the value at line %d, byte %d: %s", line, at, syntax).Because(err)
}

func (d *jsonArray) columns() []string { return nil }

func (d *jsonArray) next() (Row, error) {
	if d.ended {
		return Row{}, io.EOF
	}
	if !d.dec.More() {
		d.ended = true
		if _, err := d.dec.Token(); err != nil { // the end of the list
			return Row{}, d.broken(err)
		}
		return Row{}, d.rest()
	}
	d.n++
	row := Row{Line: d.n}
	var raw json.RawMessage
	if err := d.value(&raw); err != nil {
		d.ended = true
		return row, err
	}
	d.names.object(&row, raw, d.charset)
	if row.Err != nil {
		row.Err.Column = 0 // the array has no lines to count columns in
	}
	return row, nil
}

// rest reads what follows the list, to detect a truncated document.
func (d *jsonArray) rest() error {
	for {
		d.text.record(d.dec.InputOffset())
		t, err := d.dec.Token()
		switch {
		case errors.Is(err, io.EOF) && d.depth == 0:
			return io.EOF
		case err != nil:
			return d.broken(err)
		case d.depth == 0:
			line, at := d.text.place(d.dec.InputOffset())
			return fault.New(fault.Validation, "unexpected text after the document, at line %d, byte %d", line, at)
		case t == json.Delim('{'), t == json.Delim('['):
			d.depth++
		case t == json.Delim('}'), t == json.Delim(']'):
			d.depth--
		}
	}
}

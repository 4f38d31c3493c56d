package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// member is one name and value of an object, as it stands in the file.
type member struct {
	name  string
	value json.RawMessage
}

// Names says whether an object of json or jsonl has the name, whatever its value.
func (r Row) Names(name string) bool {
	for _, m := range r.object {
		if m.name == name {
			return true
		}
	}
	return false
}

// jsonLines reads one object a line.
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
		row.Err = &Broken{Message: tooLong}
		return row, nil
	}
	if err != nil {
		return row, err
	}
	d.names.object(&row, line, d.lines.charset)
	return row, nil
}

// object reads one object into a row; what is wrong with it makes the row a broken one.
func (n names) object(row *Row, text []byte, charset string) {
	row.Values = make([]string, len(n.fields))
	fail := func(field string, at int, format string, args ...any) {
		row.Err = &Broken{Field: field, Message: fmt.Sprintf(format, args...)}
		if at >= 0 {
			row.Err.Column = column(text, min(at, len(text)))
		}
		if row.object == nil { // what an error file can show of it
			raw, err := json.Marshal(legible(bytes.TrimRight(text, "\r\n")))
			if err == nil {
				row.object = []member{{"unreadable", raw}}
			}
		}
	}
	if i, what := flaw(text, charset); i >= 0 {
		fail("", i, "%s", what)
		return
	}
	members, at, err := parseObject(text)
	if err != nil {
		fail("", at, "it is no JSON object: %s", err)
		return
	}
	row.object = members
	seen := make([]bool, len(n.fields))
	for _, m := range members {
		field, known := n.field(m.name)
		if !known {
			fail(m.name, -1, "%q is unknown; valid names: %s", m.name, strings.Join(n.fields, ", "))
			return
		}
		if field == "" {
			continue
		}
		i := indexOf(n.fields, field)
		if seen[i] {
			fail(field, -1, "it is there twice")
			return
		}
		seen[i] = true
		if row.Values[i], err = scalar(m.value); err != nil {
			fail(field, -1, "%s", err)
			return
		}
		if len(row.Values[i]) > MaxField {
			fail(field, -1, "it has %d bytes, a field takes at most %d", len(row.Values[i]), MaxField)
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

// parseObject splits an object into its members; on an error it says at which byte.
func parseObject(text []byte) ([]member, int, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	fail := func(err error) ([]member, int, error) {
		at := int(dec.InputOffset())
		// a decoder's errors count from somewhere inside
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
		return nil, bytes.LastIndex(text, rest), errors.New("something follows it")
	}
	return list, 0, nil
}

// scalar is a value as csv would have it: null is the empty text, a list of texts is joined by commas.
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
			return "", errors.New("a list may hold texts only")
		}
		return strings.Join(list, ","), nil
	case '{':
		return "", errors.New("an object is no value here")
	}
	return string(raw), nil
}

// jsonArray reads the objects of an array: the document itself, or data.items of the envelope that
// cxgctl and the backend's API print.
type jsonArray struct {
	dec     *json.Decoder
	charset string
	names   names
	n       int64
	ended   bool
}

func newJSON(r io.Reader, charset string, n names) (*jsonArray, error) {
	d := &jsonArray{dec: json.NewDecoder(r), charset: charset, names: n}
	for _, path := range [][]string{{"data"}, {"items"}} {
		t, err := d.dec.Token()
		if err != nil {
			return nil, d.syntax(err)
		}
		if t == json.Delim('[') {
			return d, nil
		}
		if t != json.Delim('{') {
			return nil, fault.New(fault.Validation, "the document is no list of objects")
		}
		if err := d.find(path[0]); err != nil {
			return nil, err
		}
	}
	t, err := d.dec.Token()
	if err != nil || t != json.Delim('[') {
		return nil, fault.New(fault.Validation, "the document's data.items is no list")
	}
	return d, nil
}

// find goes on to the value of a name in the object that is open.
func (d *jsonArray) find(name string) error {
	for d.dec.More() {
		t, err := d.dec.Token()
		if err != nil {
			return d.syntax(err)
		}
		if t == name {
			return nil
		}
		var over json.RawMessage
		if err := d.dec.Decode(&over); err != nil {
			return d.syntax(err)
		}
	}
	return fault.New(fault.Validation, "the document is no list of objects, and has no %q", name)
}

func (d *jsonArray) syntax(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.Validation, "the document is no JSON: byte %d: %s", d.dec.InputOffset()+1, err).Because(err)
}

func (d *jsonArray) columns() []string { return nil }

func (d *jsonArray) next() (Row, error) {
	if d.ended {
		return Row{}, io.EOF
	}
	d.n++
	row := Row{Line: d.n}
	var raw json.RawMessage
	more := d.dec.More()
	var err error
	if more {
		err = d.dec.Decode(&raw)
	} else {
		_, err = d.dec.Token()
	}
	if err != nil {
		// where the next object begins is anybody's guess
		d.ended = true
		row.Err = &Broken{Message: d.syntax(err).Error() + "; nothing after it is read"}
		row.Values = make([]string, len(d.names.fields))
		return row, nil
	}
	if !more {
		d.ended = true
		return Row{}, io.EOF
	}
	if len(raw) > MaxRecord {
		row.Err, row.Values = &Broken{Message: tooLong}, make([]string, len(d.names.fields))
		return row, nil
	}
	d.names.object(&row, raw, d.charset)
	if row.Err != nil {
		row.Err.Column = 0 // there are no lines to count in
	}
	return row, nil
}

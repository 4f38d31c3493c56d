package seal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the nesting depth that jsontext accepts.
const maxDepth = 10_000

// CanonicalJSON returns the canonical form of a JSON document: without whitespace, members sorted by the bytes of their
// names, only the last of several members with the same name, numbers spelled as in the document, and escapes in
// strings only for quotation marks, backslashes and characters below U+0020, which are spelled \u001f. Malformed JSON is
// an error.
//
// RFC 8785, which jsontext implements, spells numbers as floating-point numbers, which would lose digits, and sorts and
// escapes in another way.
func CanonicalJSON(doc []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	b, err := appendValue(make([]byte, 0, 2*len(doc)), d, doc)
	switch {
	case err != nil && d.StackDepth() >= maxDepth:
		return nil, fmt.Errorf("JSON nested deeper than %d", maxDepth)
	case err != nil:
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("JSON is followed by something else")
	}
	return b, nil
}

// appendValue appends the canonical form of the next value of doc.
func appendValue(b []byte, d *jsontext.Decoder, doc []byte) ([]byte, error) {
	switch d.PeekKind() {
	case jsontext.KindBeginObject:
		return appendObject(b, d, doc)
	case jsontext.KindBeginArray:
		return appendArray(b, d, doc)
	}
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	return appendScalar(b, v)
}

func appendArray(b []byte, d *jsontext.Decoder, doc []byte) ([]byte, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	b = append(b, '[')
	for from := len(b); d.PeekKind() != jsontext.KindEndArray; {
		if len(b) > from {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, d, doc); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return append(b, ']'), err
}

// member is a member of an object: its decoded name, and where its canonical form is.
type member struct {
	name     []byte
	from, to int
}

func appendObject(b []byte, d *jsontext.Decoder, doc []byte) ([]byte, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	b = append(b, '{')
	first := len(b)
	members := make([]member, 0, 32)
	for d.PeekKind() != jsontext.KindEndObject {
		v, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		m := member{name: doc[end-len(v)+1 : end-1], from: len(b)}
		if b, err = appendScalar(b, v); err != nil {
			return nil, err
		}
		if bytes.IndexByte(m.name, '\\') >= 0 {
			m.name = escapes.ReplaceAllFunc(m.name, func(run []byte) []byte { text, _ := unescape(run); return text })
		}
		if b, err = appendValue(append(b, ':'), d, doc); err != nil {
			return nil, err
		}
		m.to = len(b)
		members = append(members, m)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(m, n member) int { return cmp.Or(bytes.Compare(m.name, n.name), m.from-n.from) })
	last := len(b)
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.name, members[i+1].name) {
			continue
		}
		if len(b) > last {
			b = append(b, ',')
		}
		b = append(b, b[m.from:m.to]...)
	}
	b = append(b[:first], b[last:]...)
	return append(b, '}'), nil
}

// escapes matches escapes in a row, among them both halves of a surrogate pair.
var escapes = regexp.MustCompile(`(?:\\u[0-9A-Fa-f]{4}|\\[^u])+`)

func unescape(run []byte) ([]byte, error) {
	return jsontext.AppendUnquote(nil, slices.Concat([]byte{'"'}, run, []byte{'"'}))
}

// appendScalar appends a string in its canonical form, and other values as they are.
func appendScalar(b, v []byte) (_ []byte, err error) {
	if v[0] != '"' || bytes.IndexByte(v, '\\') < 0 {
		return append(b, v...), nil
	}
	return append(b, escapes.ReplaceAllFunc(v, func(run []byte) (form []byte) {
		text, failed := unescape(run)
		err = errors.Join(err, failed)
		for _, c := range text {
			switch {
			case c == '"' || c == '\\':
				form = append(form, '\\', c)
			case c < ' ':
				form = fmt.Appendf(form, `\u%04x`, c)
			default:
				form = append(form, c)
			}
		}
		return form
	})...), err
}

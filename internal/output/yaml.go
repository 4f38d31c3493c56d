package output

import (
	"bytes"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// yamlDocument prints the document of jsonDocument as YAML. It converts each record from JSON, so that the two formats
// cannot differ. Strings are plain if all readers of YAML 1.1 and 1.2 read them as the same string, and JSON strings
// otherwise, which are valid YAML. The encoder of goccy/go-yaml writes control characters and words of YAML 1.1 plain.
type yamlDocument struct {
	jsonDocument
	doc []byte
}

func (d *yamlDocument) begin(b []byte) (_ []byte, err error) {
	if d.single {
		d.doc, err = d.jsonDocument.begin(nil)
		return b, err
	}
	return append(b, "success: true\ndata:\n  items:"...), nil
}

func (d *yamlDocument) row(b []byte, r *printedRow) (_ []byte, err error) {
	if d.single {
		d.doc, err = d.jsonDocument.row(d.doc, r)
		return b, err
	}
	if d.rows++; d.rows == 1 {
		b = append(b, '\n')
	}
	d.doc = d.append(d.doc[:0], r)
	return appendYAML(append(b, "    -"...), d.doc, 6, afterDash)
}

func (d *yamlDocument) end(b []byte, e envelope) (_ []byte, err error) {
	if d.single {
		if d.doc, err = d.jsonDocument.end(d.doc, e); err != nil {
			return b, err
		}
		return appendYAML(b, d.doc, 0, atStart)
	}
	if d.rows == 0 {
		b = append(b, " []\n"...)
	}
	b, err = appendYAML(b, append(e.appendPaging([]byte{'{'}), '}'), 2, atStart)
	return append(b, "error: null\n"...), err
}

// place is the position of a value on its line.
type place uint8

const (
	atStart place = iota
	afterKey
	afterDash
)

// appendYAML appends a JSON document in block style, with its entries indented by indent.
func appendYAML(b, doc []byte, indent int, at place) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return appendYAMLValue(b, dec, indent, at)
}

func appendYAMLValue(b []byte, dec *jsontext.Decoder, indent int, at place) ([]byte, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return b, err
	}
	kind := tok.Kind()
	if kind != '{' && kind != '[' {
		b = appendYAMLScalar(append(b, ' '), tok)
		return append(b, '\n'), nil
	}
	if end := dec.PeekKind(); end == '}' || end == ']' {
		_, err := dec.ReadToken()
		return append(b, ' ', byte(kind), byte(end), '\n'), err
	}
	if at == afterKey {
		b = append(b, '\n')
	}
	for first := true; dec.PeekKind() != '}' && dec.PeekKind() != ']'; first = false {
		if first && at == afterDash {
			b = append(b, ' ')
		} else {
			b = append(b, strings.Repeat(" ", indent)...)
		}
		next := afterDash
		if kind == '{' {
			key, err := dec.ReadToken()
			if err != nil {
				return b, err
			}
			b = appendYAMLScalar(b, key)
			b = append(b, ':')
			next = afterKey
		} else {
			b = append(b, '-')
		}
		if b, err = appendYAMLValue(b, dec, indent+2, next); err != nil {
			return b, err
		}
	}
	_, err = dec.ReadToken()
	return b, err
}

func appendYAMLScalar(b []byte, tok jsontext.Token) []byte {
	text := tok.String()
	if tok.Kind() == '"' && !isPlain(text) {
		return appendJSONString(b, text)
	}
	return append(b, text...)
}

// isPlain reports whether all readers of YAML read the unquoted s as this string.
func isPlain(s string) bool {
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && strings.Trim(s, "0123456789abcdef-") == "" {
		return true // all ids are plain, also those that begin with a digit
	}
	for i, r := range s {
		switch {
		case unicode.IsLetter(r):
		case i == 0:
			return false
		case r == ' ' && i == len(s)-1:
			return false
		case !unicode.IsDigit(r) && !strings.ContainsRune(" _.@/+-", r):
			return false
		}
	}
	switch strings.ToLower(s) {
	case "", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity":
		return false
	}
	return true
}

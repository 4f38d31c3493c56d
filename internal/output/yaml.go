package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// yamlDocument prints the document of jsonDocument as YAML. Strings are plain if all readers of YAML 1.1 and 1.2 read
// them as the same string, and JSON strings otherwise, which are valid YAML. Unlike the encoder of a YAML library, it
// streams.
type yamlDocument struct {
	keys   [][]byte // each with the indent before it and the colon after it
	indent int
	single bool
	rows   int
	cell   []byte
}

func newYAMLDocument(cols []column, single bool) *yamlDocument {
	d := &yamlDocument{keys: make([][]byte, len(cols)), single: single, indent: 6}
	first := "    - "
	if single {
		first, d.indent = "  ", 2
	}
	for i, c := range cols {
		y := yamlWriter{b: []byte(strings.Repeat(" ", d.indent))}
		if i == 0 {
			y.b = []byte(first)
		}
		y.scalar(c.name)
		d.keys[i] = append(y.b, ':')
	}
	return d
}

func (d *yamlDocument) begin(b []byte) ([]byte, error) {
	if d.single {
		return append(b, "success: true\ndata:\n"...), nil
	}
	return append(b, "success: true\ndata:\n  items:"...), nil
}

func (d *yamlDocument) row(b []byte, r *printedRow) ([]byte, error) {
	if d.rows++; d.rows == 1 && !d.single {
		b = append(b, '\n')
	}
	for i, key := range d.keys {
		b = append(b, key...)
		if r.IsNull(i) {
			b = append(b, " null\n"...)
			continue
		}
		d.cell = r.Append(d.cell[:0], i)
		y := yamlWriter{b: b}
		switch r.Kind(i) {
		case pgtext.Literal:
			y.line(json.Number(d.cell))
		case pgtext.Text, pgtext.Plain:
			y.line(string(d.cell))
		case pgtext.JSON, pgtext.Strings:
			y.dec = decoder(d.cell)
			if err := y.value(d.indent+2, afterKey); err != nil {
				return b, err
			}
		}
		b = y.b
	}
	return b, nil
}

func (d *yamlDocument) end(b []byte, e envelope) ([]byte, error) {
	if !d.single && d.rows == 0 {
		b = append(b, " []\n"...)
	}
	switch {
	case d.single:
	case e.next != nil:
		next := []byte("null")
		if *e.next != "" {
			next = appendJSONString(nil, *e.next)
		}
		b = fmt.Appendf(b, "  total: null\n  page: null\n  page_size: %d\n  total_pages: null\n  next_cursor: %s\n", e.size, next)
	default:
		b = fmt.Appendf(b, "  total: %d\n  page: %d\n  page_size: %d\n  total_pages: %d\n", e.total, e.page, e.size, e.pages)
	}
	return append(b, "error: null\n"...), nil
}

// decoder returns a decoder that keeps numbers exact.
func decoder(doc []byte) *json.Decoder {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return dec
}

// yamlOf converts a JSON document.
func yamlOf(doc []byte) ([]byte, error) {
	y := yamlWriter{dec: decoder(doc)}
	err := y.value(0, atStart)
	return y.b, err
}

// place is the position of a value on its line.
type place uint8

const (
	atStart place = iota
	afterKey
	afterDash
)

// yamlWriter writes JSON tokens as YAML in block style.
type yamlWriter struct {
	dec *json.Decoder
	b   []byte
}

// value converts the next value and indents its entries by indent.
func (y *yamlWriter) value(indent int, at place) error {
	tok, err := y.dec.Token()
	if err != nil {
		return err
	}
	delim, nested := tok.(json.Delim)
	if !nested {
		y.line(tok)
		return nil
	}
	if !y.dec.More() {
		y.b = append(y.b, " {}\n"...)
		if delim == '[' {
			y.b = append(y.b[:len(y.b)-4], " []\n"...)
		}
		_, err := y.dec.Token()
		return err
	}
	for first := true; y.dec.More(); first = false {
		switch {
		case first && at == afterDash:
			y.b = append(y.b, ' ')
		case first && at == afterKey:
			y.b = append(y.b, '\n')
			fallthrough
		default:
			y.b = append(y.b, strings.Repeat(" ", indent)...)
		}
		next := afterDash
		if delim == '{' {
			key, err := y.dec.Token()
			if err != nil {
				return err
			}
			y.scalar(key)
			y.b = append(y.b, ':')
			next = afterKey
		} else {
			y.b = append(y.b, '-')
		}
		if err := y.value(indent+2, next); err != nil {
			return err
		}
	}
	_, err = y.dec.Token()
	return err
}

// line appends a scalar after a key or a dash.
func (y *yamlWriter) line(tok json.Token) {
	y.b = append(y.b, ' ')
	y.scalar(tok)
	y.b = append(y.b, '\n')
}

func (y *yamlWriter) scalar(tok json.Token) {
	switch v := tok.(type) {
	case nil:
		y.b = append(y.b, "null"...)
	case string:
		if isPlain(v) {
			y.b = append(y.b, v...)
		} else {
			y.b = appendJSONString(y.b, v)
		}
	default:
		y.b = fmt.Append(y.b, v)
	}
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

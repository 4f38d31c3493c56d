package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// appendJSONString appends s as a JSON string. It escapes what JSON requires, and characters that act on a
// terminal or that YAML readers refuse, but not < > &. Invalid UTF-8 becomes U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, s) // fails for invalid UTF-8, which it replaces
	return appendJSONEscaped(b, quoted)
}

// appendJSONEscaped appends a JSON text with the same escapes as appendJSONString. Such characters
// occur only in strings, where an escape means the same.
func appendJSONEscaped(b, doc []byte) []byte {
	for len(doc) > 0 {
		r, size := utf8.DecodeRune(doc)
		if isActive(r) { // none is above U+FFFF
			b = fmt.Appendf(b, `\u%04x`, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
		doc = doc[size:]
	}
	return b
}

// jsonObjects appends rows as JSON objects.
type jsonObjects struct {
	keys [][]byte // each with the punctuation around it
}

func newJSONObjects(cols []column) jsonObjects {
	o := jsonObjects{keys: make([][]byte, len(cols))}
	for i, c := range cols {
		key := []byte{','}
		if i == 0 {
			key[0] = '{'
		}
		o.keys[i] = append(appendJSONString(key, c.name), ':')
	}
	return o
}

func (o *jsonObjects) append(b []byte, r *printedRow) []byte {
	for i, key := range o.keys {
		b = append(b, key...)
		if r.IsNull(i) {
			b = append(b, "null"...)
			continue
		}
		switch r.Kind(i) {
		case pgtext.Plain:
			b = append(b, '"')
			b = append(r.Append(b, i), '"')
		case pgtext.Text:
			b = appendJSONText(b, r, i)
		case pgtext.Literal, pgtext.JSON, pgtext.Strings:
			b = r.Append(b, i)
		}
	}
	return append(b, '}')
}

// appendJSONText appends text as a JSON string. Most text needs no escapes: append it, then check it.
func appendJSONText(b []byte, r *printedRow, i int) []byte {
	b = append(b, '"')
	start := len(b)
	b = r.Append(b, i)
	for _, c := range b[start:] {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendJSONString(b[:start-1], string(b[start:]))
		}
	}
	return append(b, '"')
}

// jsonDocument prints the envelope of the backend API around a record or streamed items.
type jsonDocument struct {
	jsonObjects
	single bool
	rows   int
}

func (d *jsonDocument) begin(b []byte) ([]byte, error) {
	if d.single {
		return append(b, `{"success":true,"data":`...), nil
	}
	return append(b, `{"success":true,"data":{"items":[`...), nil
}

func (d *jsonDocument) row(b []byte, r *printedRow) ([]byte, error) {
	if d.rows++; d.rows > 1 {
		b = append(b, ',')
	}
	return d.append(b, r), nil
}

func (d *jsonDocument) end(b []byte, e envelope) ([]byte, error) {
	if !d.single {
		b = append(e.appendPaging(append(b, "],"...)), '}')
	}
	return append(b, `,"error":null}`+"\n"...), nil
}

// indentedDocument is jsonDocument with a line per member, for a terminal.
type indentedDocument struct{ jsonDocument }

func (d *indentedDocument) begin(b []byte) ([]byte, error) {
	b = append(b, "{\n  \"success\": true,\n  \"data\": "...)
	if !d.single {
		b = append(b, "{\n    \"items\": ["...)
	}
	return b, nil
}

func (d *indentedDocument) row(b []byte, r *printedRow) ([]byte, error) {
	prefix := "  "
	if !d.single {
		prefix = "      "
		if d.rows++; d.rows > 1 {
			b = append(b, ',')
		}
		b = append(b, "\n"+prefix...)
	}
	return appendIndented(b, d.append(nil, r), prefix)
}

func (d *indentedDocument) end(b []byte, e envelope) ([]byte, error) {
	if !d.single {
		if d.rows > 0 {
			b = append(b, "\n    "...)
		}
		paging, err := appendIndented(nil, append(e.appendPaging([]byte{'{'}), '}'), "  ")
		if err != nil {
			return b, err
		}
		paging[0] = ',' // in place of the brace
		b = append(append(b, ']'), paging...)
	}
	return append(b, ",\n  \"error\": null\n}\n"...), nil
}

// appendIndented appends a JSON text with a line per member. Lines after the first start with prefix.
func appendIndented(b, doc []byte, prefix string) ([]byte, error) {
	var text bytes.Buffer
	err := json.Indent(&text, doc, prefix, "  ")
	return append(b, text.Bytes()...), err
}

// appendPaging appends the members after the items of a list.
func (e envelope) appendPaging(b []byte) []byte {
	if e.next == nil {
		return fmt.Appendf(b, `"total":%d,"page":%d,"page_size":%d,"total_pages":%d`, e.total, e.page, e.size, e.pages)
	}
	next := []byte("null")
	if *e.next != "" {
		next = appendJSONString(nil, *e.next)
	}
	return fmt.Appendf(b, `"total":null,"page":null,"page_size":%d,"total_pages":null,"next_cursor":%s`, e.size, next)
}

// jsonLines prints one bare record per line.
type jsonLines struct{ jsonObjects }

func (l *jsonLines) begin(b []byte) ([]byte, error) { return b, nil }

func (l *jsonLines) row(b []byte, r *printedRow) ([]byte, error) {
	return append(l.append(b, r), '\n'), nil
}

func (l *jsonLines) end(b []byte, _ envelope) ([]byte, error) { return b, nil }

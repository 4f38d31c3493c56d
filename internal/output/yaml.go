package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
)

// yamlDocument prints the document of jsonDocument as YAML. It converts each record from JSON, so that the two
// formats cannot differ. Strings are plain if all readers of YAML 1.1 and 1.2 read them as the same string, and
// JSON strings otherwise, which are valid YAML. Unlike the encoder of a YAML library, it streams.
type yamlDocument struct {
	w      io.Writer
	cols   []column
	single bool
	rows   int
	buf    []byte
}

func (d *yamlDocument) begin() error {
	head := yamlItemsHead
	if d.single {
		head = "success: true\ndata:"
	}
	_, err := io.WriteString(d.w, head)
	return err
}

func (d *yamlDocument) row(rec reflect.Value) (err error) {
	if d.buf, err = appendRecord(d.buf[:0], d.cols, rec); err != nil {
		return err
	}
	y := yamlWriter{dec: decoder(d.buf)}
	if d.single {
		err = y.value(2, afterKey)
	} else {
		if d.rows == 0 {
			y.b = append(y.b, '\n')
		}
		y.b = append(y.b, "    -"...)
		err = y.value(6, afterDash)
	}
	if err != nil {
		return err
	}
	d.rows++
	_, err = d.w.Write(y.b)
	return err
}

func (d *yamlDocument) end(e envelope) error {
	b := []byte(yamlTail)
	if !d.single {
		b = appendYAMLItemsTail(b[:0], d.rows, e)
	}
	_, err := d.w.Write(b)
	return err
}

// The text before the items of a list, and the end of every document.
const (
	yamlItemsHead = "success: true\ndata:\n  items:"
	yamlTail      = "error: null\n"
)

// appendYAMLItemsTail appends the text after the items of a list; rows is their number.
func appendYAMLItemsTail(b []byte, rows int, e envelope) []byte {
	if rows == 0 {
		b = append(b, " []\n"...)
	}
	if e.next != nil {
		next := "null"
		if *e.next != "" {
			next = string(appendJSONString(nil, *e.next))
		}
		b = fmt.Appendf(b, "  total: null\n  page: null\n  page_size: %d\n  total_pages: null\n  next_cursor: %s\n", e.size, next)
		return append(b, yamlTail...)
	}
	b = fmt.Appendf(b, "  total: %d\n  page: %d\n  page_size: %d\n  total_pages: %d\n", e.total, e.page, e.size, e.pages)
	return append(b, yamlTail...)
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
		y.b = append(y.b, ' ')
		y.scalar(tok)
		y.b = append(y.b, '\n')
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

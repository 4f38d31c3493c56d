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

// yamlDocument prints the document of jsonDocument as YAML. Each record is first made JSON and then
// transcribed, so that the two formats cannot differ; a string is written plain only where no reader
// of YAML 1.1 or 1.2 takes it for something else, and otherwise as its JSON string, which YAML reads
// as it stands. That also streams, which a YAML library's encoder does not.
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

// What stands before the items of a list, and at the end.
const (
	yamlItemsHead = "success: true\ndata:\n  items:"
	yamlTail      = "error: null\n"
)

// appendYAMLItemsTail appends what stands behind the items of a list, of which there were so many.
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

// decoder reads JSON with its numbers as they are written.
func decoder(doc []byte) *json.Decoder {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return dec
}

// yamlOf transcribes a whole JSON document.
func yamlOf(doc []byte) ([]byte, error) {
	y := yamlWriter{dec: decoder(doc)}
	err := y.value(0, atStart)
	return y.b, err
}

// place is what stands before a value on its line.
type place uint8

const (
	atStart place = iota
	afterKey
	afterDash
)

// transcript writes JSON tokens as YAML in block style.
type yamlWriter struct {
	dec *json.Decoder
	b   []byte
}

// value transcribes the next value, whose own entries are indented by indent.
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

// isPlain says whether every reader of YAML takes s, unquoted, for this very string.
func isPlain(s string) bool {
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && strings.Trim(s, "0123456789abcdef-") == "" {
		return true // ids look alike whether or not they begin with a digit
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

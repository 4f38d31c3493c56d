package output

import (
	"io"
	"reflect"
	"strconv"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// appendJSONString appends s as a JSON string. It escapes what JSON requires, and characters that act on a
// terminal or that YAML readers refuse, but not < > &. Invalid UTF-8 becomes U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		valid := r != utf8.RuneError || size > 1
		if valid && r > 0x9f && !isActive(r) {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch {
		case !valid:
			b = append(b, "\uFFFD"...)
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		default:
			b = appendJSONEscape(b, r)
		}
		i += size
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendJSONEscaped appends a JSON text with the same escapes as appendJSONString. Such characters
// occur only in strings, where an escape means the same.
func appendJSONEscaped(b, doc []byte) []byte {
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, "\uFFFD"...)
		case isActive(r):
			b = appendJSONEscape(b, r)
		default:
			b = append(b, doc[i:i+size]...)
		}
		i += size
	}
	return b
}

// appendJSONEscape appends \uXXXX. All escaped characters are below U+10000.
func appendJSONEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// jsonDocument prints the envelope of the backend API around a record or streamed items.
type jsonDocument struct {
	w      io.Writer
	cols   []column
	single bool
	rows   int
	buf    []byte
}

func (d *jsonDocument) begin() error {
	head := itemsHead
	if d.single {
		head = `{"success":true,"data":`
	}
	_, err := io.WriteString(d.w, head)
	return err
}

func (d *jsonDocument) row(rec reflect.Value) (err error) {
	d.buf = d.buf[:0]
	if d.rows > 0 {
		d.buf = append(d.buf, ',')
	}
	d.rows++
	if d.buf, err = appendRecord(d.buf, d.cols, rec); err != nil {
		return err
	}
	_, err = d.w.Write(d.buf)
	return err
}

func (d *jsonDocument) end(e envelope) error {
	if d.single {
		d.buf = append(d.buf[:0], documentTail...)
	} else {
		d.buf = appendItemsTail(d.buf[:0], e)
	}
	_, err := d.w.Write(d.buf)
	return err
}

// The text before the items of a list, and the end of every document.
const (
	itemsHead    = `{"success":true,"data":{"items":[`
	documentTail = `,"error":null}` + "\n"
)

// appendItemsTail appends the text after the items of a list.
func appendItemsTail(b []byte, e envelope) []byte {
	if e.next != nil {
		b = append(b, `],"total":null,"page":null,"page_size":`...)
		b = strconv.AppendInt(b, e.size, 10)
		b = append(b, `,"total_pages":null,"next_cursor":`...)
		if *e.next == "" {
			b = append(b, "null"...)
		} else {
			b = appendJSONString(b, *e.next)
		}
		return append(append(b, '}'), documentTail...)
	}
	b = append(b, `],"total":`...)
	b = strconv.AppendInt(b, e.total, 10)
	b = append(b, `,"page":`...)
	b = strconv.AppendInt(b, e.page, 10)
	b = append(b, `,"page_size":`...)
	b = strconv.AppendInt(b, e.size, 10)
	b = append(b, `,"total_pages":`...)
	b = strconv.AppendInt(b, e.pages, 10)
	b = append(b, '}')
	return append(b, documentTail...)
}

// jsonLines prints one record per line, or the results of jq for it.
type jsonLines struct {
	printer *Printer
	w       io.Writer
	cols    []column
	buf     []byte
}

func (l *jsonLines) begin() error { return nil }

func (l *jsonLines) row(rec reflect.Value) (err error) {
	if l.buf, err = appendRecord(l.buf[:0], l.cols, rec); err != nil {
		return err
	}
	if l.printer.jq != nil {
		return l.printer.runJQ(l.w, l.buf)
	}
	l.buf = append(l.buf, '\n')
	_, err = l.w.Write(l.buf)
	return err
}

func (l *jsonLines) end(envelope) error { return nil }

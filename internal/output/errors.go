package output

import (
	"bytes"
	"fmt"
	"io"
	"reflect"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// WriteError prints err on w, which is standard error: a line for the message and one for the hint, or an
// envelope in json (indented on a terminal), jsonl and yaml. A nil err prints nothing. Write errors are ignored, because they cannot
// be reported anywhere.
func WriteError(w io.Writer, f Format, err error, term Terminal) {
	e := fault.From(err)
	if e == nil {
		return
	}
	if f == JSON || f == JSONL || f == YAML {
		doc := append(errorDocument(e), '\n')
		switch {
		case f == YAML:
			if y, err := appendYAML(nil, doc, 0, atStart); err == nil {
				doc = y
			}
		case f == JSON && term.IsTTY:
			if text, err := appendIndented(nil, doc, ""); err == nil {
				doc = text
			}
		}
		_, _ = w.Write(doc)
		return
	}
	lines := term.Message(fmt.Sprintf("cxgctl: %s %s", term.paint(red, "error:"), Sanitize(e.Message))) + "\n"
	if e.Hint != "" {
		lines += term.Message(fmt.Sprintf("cxgctl: %s %s", term.paint(yellow, "hint:"), Sanitize(e.Hint))) + "\n"
	}
	_, _ = io.WriteString(w, lines)
}

func errorDocument(e *fault.Error) []byte {
	b := []byte(`{"success":false,"data":null,"error":{"code":`)
	b = appendJSONString(b, string(e.Code))
	b = append(b, `,"message":`...)
	b = appendJSONString(b, e.Message)
	b = append(b, `,"detail":`...)
	if detail, err := appendJSONAny(nil, reflect.ValueOf(e.Detail)); err == nil {
		b = appendJSONEscaped(b, bytes.TrimSpace(detail))
	} else {
		b = append(b, "null"...) // print the error even if its detail cannot be encoded
	}
	if e.Hint != "" {
		b = append(b, `,"hint":`...)
		b = appendJSONString(b, e.Hint)
	}
	return append(b, "}}"...)
}

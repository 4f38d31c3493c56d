package rowreader

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"

	"golang.org/x/text/encoding"
)

// ErrorFile writes failed rows with their original columns and one more for the reason. After fixing the rows, it can
// be imported like the original file: it has the same format and encoding.
type ErrorFile struct {
	w       *bufio.Writer
	end     io.Closer // flushes the encoder, or nil
	format  Format
	comma   string // between the fields of csv and tsv
	headers []string
	skip    int // the column of an earlier error, or -1
	rows    int64
}

// NewErrorFile starts an error file for the rows of r.
func NewErrorFile(w io.Writer, r *Reader, encodingName string) (*ErrorFile, error) {
	e := &ErrorFile{format: r.Format, comma: ",", headers: r.headers, skip: -1}
	switch {
	case r.Format == XLSX:
		e.format, encodingName = CSV, "" // rows of a workbook are written as csv
	case r.Format == TSV:
		e.comma = "\t"
	case r.comma != 0:
		e.comma = string(r.comma)
	}
	enc, err := charset(encodingName)
	if err != nil {
		return nil, err
	}
	if enc != nil {
		// the reason may contain characters that the encoding lacks
		t := encoding.ReplaceUnsupported(enc.NewEncoder()).Writer(w)
		w = t
		if c, ok := t.(io.Closer); ok {
			e.end = c
		}
	}
	e.w = bufio.NewWriter(w)
	for i, h := range e.headers {
		if strings.EqualFold(strings.TrimSpace(h), ErrorField) {
			e.skip = i
		}
	}
	switch e.format {
	case CSV, TSV:
		e.line(e.headers, ErrorField)
	case JSON:
		_, _ = e.w.WriteString("[") // the buffer keeps its error
	}
	return e, nil
}

// Add writes a row and the reason for its failure.
func (e *ErrorFile) Add(row Row, reason string) error {
	e.rows++
	switch e.format {
	case CSV, TSV:
		e.line(row.Values, reason)
	default:
		if err := e.object(row, reason); err != nil {
			return err
		}
	}
	_, err := e.w.Write(nil)
	return err
}

// line writes a row with as many cells as the header has. Surplus cells are joined into the last one.
func (e *ErrorFile) line(cells []string, reason string) {
	n := len(e.headers)
	for i := range n {
		cell := ""
		if i < len(cells) {
			cell = cells[i]
		}
		if i == n-1 && len(cells) > n {
			cell = strings.Join(cells[i:], e.comma)
		}
		if i != e.skip {
			e.cell(cell)
			_, _ = e.w.WriteString(e.comma)
		}
	}
	e.cell(reason)
	_, _ = e.w.WriteString("\n")
}

var escape = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

func (e *ErrorFile) cell(s string) {
	switch {
	case e.format == TSV:
		s = escape.Replace(s)
	case strings.ContainsAny(s, e.comma+"\"\r\n"):
		s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	_, _ = e.w.WriteString(s)
}

func (e *ErrorFile) object(row Row, reason string) error {
	lead := "\n"
	switch {
	case e.format == JSONL:
		lead = ""
	case e.rows > 1:
		lead = ",\n"
	}
	_, _ = e.w.WriteString(lead + "{")
	for _, m := range row.object {
		if strings.EqualFold(m.name, ErrorField) {
			continue
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return err
		}
		_, _ = e.w.Write(name)
		_, _ = e.w.WriteString(":")
		_, _ = e.w.Write(m.value)
		_, _ = e.w.WriteString(",")
	}
	why, err := json.Marshal(reason)
	if err != nil {
		return err
	}
	_, _ = e.w.WriteString(`"` + ErrorField + `":` + string(why) + "}")
	if e.format == JSONL {
		_, _ = e.w.WriteString("\n")
	}
	return nil
}

// Close ends the file without closing the underlying writer.
func (e *ErrorFile) Close() error {
	if e.format == JSON {
		_, _ = e.w.WriteString("\n]\n")
	}
	if err := e.w.Flush(); err != nil || e.end == nil {
		return err
	}
	return e.end.Close()
}

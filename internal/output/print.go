package output

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"reflect"
	"slices"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// encoder appends rows in one format to the output. Each call of row appends whole lines, or returns an error.
type encoder interface {
	begin(b []byte) ([]byte, error)
	row(b []byte, r *printedRow) ([]byte, error)
	end(b []byte, e envelope) ([]byte, error)
}

// envelope contains the values around the items of a list.
type envelope struct {
	total, page, size, pages int64
	next                     *string // see Page.Next
}

// print opens the output, encodes the rows and commits the output, for List, Stream, Export and One. A nil around means
// a single record instead of a list.
func (p *Printer) print(v View, cols []column, rows iter.Seq2[pgtext.Row, error], around func(n int64) envelope) (n int64, err error) {
	out, err := p.open()
	if err != nil {
		return 0, err
	}
	single, done := around == nil, false
	var buf []byte
	defer func() {
		if done { // otherwise there was an error or a panic, and rows before it may be useful
			return
		}
		keep := n > 0 && p.Format.isLines()
		if keep {
			_, _ = out.w.Write(buf)
		}
		out.abort(keep)
	}()
	enc := p.encoder(out, v, cols, single)
	if buf, err = enc.begin(make([]byte, 0, bufferSize+bufferSize/4)); err != nil {
		return 0, err
	}
	shown := printedRow{cols: cols, mask: p.Mask}
	for row, err := range rows {
		if err != nil {
			return n, err
		}
		whole := len(buf)
		shown.Row = row
		buf, err = enc.row(buf, &shown)
		if err == nil {
			err = shown.err
		}
		if err != nil {
			buf = buf[:whole]
			return n, err
		}
		n++
		if len(buf) >= bufferSize {
			_, err = out.w.Write(buf)
			buf = buf[:0]
			if err != nil {
				return n, err
			}
		}
	}
	p.rows += n
	var e envelope
	if !single {
		if n == 0 && p.FailIfEmpty {
			return n, fault.New(fault.PartialFailure, "no %s found", cmp.Or(v.Name, "rows"))
		}
		e = around(n)
	}
	if buf, err = enc.end(buf, e); err != nil {
		return n, err
	}
	if _, err := out.w.Write(buf); err != nil {
		return n, err
	}
	done = true
	err = out.commit()
	p.writeNotes()
	return n, err
}

func (p *Printer) encoder(out *sink, v View, cols []column, single bool) encoder {
	doc := jsonDocument{jsonObjects: newJSONObjects(cols), single: single}
	switch p.Format {
	case JSON:
		if p.jq != nil {
			return &jqDocument{jsonDocument: doc, printer: p, w: out.w}
		}
		if p.Terminal.IsTTY {
			return &indentedDocument{doc}
		}
		return &doc
	case JSONL:
		lines := jsonLines{doc.jsonObjects}
		if p.jq != nil {
			return &jqLines{jsonLines: lines, printer: p, w: out.w}
		}
		return &lines
	case YAML:
		return &yamlDocument{jsonDocument: doc}
	case XLSX:
		return &workbook{printer: p, out: out, cols: cols, view: v, currency: currencyColumn(cols)}
	case CSV, TSV, ID:
		return newDelimited(p, cols)
	}
	table := newTable(p, cols, v.Name)
	if single {
		return &listing{table, v.below}
	}
	return table
}

// printedRow is a row as every format prints it: JSON is compact and without characters that act on a terminal, JSON's
// null is NULL, and personal data may be masked.
type printedRow struct {
	pgtext.Row
	cols    []column
	mask    bool
	text    []byte
	compact bytes.Buffer
	err     error
}

func isJSON(k pgtext.Kind) bool { return k >= pgtext.JSON }

// IsNull reports whether a value is NULL or JSON's null.
func (r *printedRow) IsNull(i int) bool {
	null := r.Row.IsNull(i)
	if null || !isJSON(r.Kind(i)) {
		return null
	}
	r.text = r.Row.Append(r.text[:0], i)
	return string(bytes.TrimSpace(r.text)) == "null"
}

// Append appends the text of a value that is not null.
func (r *printedRow) Append(b []byte, i int) []byte {
	if !r.mask && !isJSON(r.Kind(i)) {
		return r.Row.Append(b, i)
	}
	return r.appendChanged(b, i)
}

// code returns the currency in column i, or "" if there is none.
func (r *printedRow) code(i int) string {
	if i < 0 || r.IsNull(i) {
		return ""
	}
	return displayed(string(r.Append(nil, i)))
}

// appendChanged appends JSON, or a value that may have to be masked.
func (r *printedRow) appendChanged(b []byte, i int) []byte {
	switch kind := r.Kind(i); {
	case isJSON(kind):
		r.text = r.Row.Append(r.text[:0], i)
		r.compact.Reset()
		if err := json.Compact(&r.compact, r.text); err != nil {
			r.err = fault.New(fault.Internal, "cannot print the field %s: %s", r.cols[i].name, err).Because(err)
			return b
		}
		doc := r.compact.Bytes()
		if r.mask {
			doc = MaskJSON(r.cols[i].name, bytes.Clone(doc))
		}
		return appendJSONEscaped(b, doc)
	case r.mask && kind == pgtext.Text && Personal[r.cols[i].name]:
		return append(b, mask(r.cols[i].name, string(r.Row.Append(nil, i)))...)
	}
	return r.Row.Append(b, i)
}

// columns returns the columns that the user selected, or those of the view.
func (p *Printer) columns(t reflect.Type, v View, single bool) ([]column, error) {
	all, err := columnsOf(t)
	if err != nil {
		return nil, err
	}
	chosen, err := selectColumns(all, p.Columns)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Format == ID:
		name := v.ID
		if name == "" {
			name = "id"
		}
		c, ok := find(all, name)
		if !ok {
			return nil, fault.New(fault.Usage, "--output id cannot be used here: these records have no field %q", name)
		}
		return []column{c}, nil
	case len(p.Columns) > 0 || single:
		return chosen, nil
	case p.Format == Table:
		return viewColumns(all, v.Table)
	case p.Format == Wide:
		return viewColumns(all, v.Wide)
	case p.Format == XLSX && len(v.Title) > 0: // those of Table first
		first, err := viewColumns(all, v.Table)
		rest := slices.DeleteFunc(all, func(c column) bool { return slices.Contains(v.Table, c.name) })
		return append(first, rest...), err
	}
	return all, nil
}

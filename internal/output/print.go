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

// rowWriter is an output while rows are written to it.
type rowWriter struct {
	sink   *sink
	enc    encoder
	format Format
	row    printedRow
	at     []int // the indexes of its columns among those of the rows; nil if they are the same
	buf    []byte
}

// encode appends a row to the buffer.
func (s *rowWriter) encode(row pgtext.Row) (err error) {
	whole := len(s.buf)
	s.row.Row = row
	if s.at != nil {
		s.row.Row = selected{row, s.at}
	}
	s.buf, err = s.enc.row(s.buf, &s.row)
	if err == nil {
		err = s.row.err
	}
	if err != nil {
		s.buf = s.buf[:whole]
	}
	return err
}

func (s *rowWriter) flush() error {
	_, err := s.sink.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// selected is a row with some of the columns of another, in any order.
type selected struct {
	pgtext.Row
	at []int
}

func (r selected) Kind(i int) pgtext.Kind        { return r.Row.Kind(r.at[i]) }
func (r selected) IsNull(i int) bool             { return r.Row.IsNull(r.at[i]) }
func (r selected) Append(b []byte, i int) []byte { return r.Row.Append(b, r.at[i]) }

// open opens the outputs and begins them. On an error it returns those that are open.
func (p *Printer) open(v View, each [][]column, single bool) (open []*rowWriter, err error) {
	all := names(union(each))
	for i, t := range p.targets() {
		out, err := p.openSink(t)
		if err != nil {
			return open, err
		}
		q := p
		if i > 0 {
			other := *p
			other.File, other.Format, other.Terminal = t.File, t.Format, Terminal{}
			q = &other
		}
		s := &rowWriter{
			sink:   out,
			enc:    q.encoder(out, v, each[i], single),
			format: t.Format,
			row:    printedRow{cols: each[i], mask: p.Mask},
			buf:    make([]byte, 0, bufferSize+bufferSize/4),
		}
		if own := names(each[i]); !slices.Equal(own, all) {
			for _, name := range own {
				s.at = append(s.at, slices.Index(all, name))
			}
		}
		open = append(open, s)
		if s.buf, err = s.enc.begin(s.buf); err != nil {
			return open, err
		}
	}
	return open, nil
}

// print opens the outputs, encodes the rows and commits the outputs, for List, Stream, Export and One. each has the
// columns of each output, and the rows those of union. A nil around means a single record instead of a list.
func (p *Printer) print(v View, each [][]column, rows iter.Seq2[pgtext.Row, error], around func(n int64) envelope) (n int64, err error) {
	single, done := around == nil, false
	out, err := p.open(v, each, single)
	defer func() {
		if done { // otherwise there was an error or a panic, and rows before it may be useful
			return
		}
		for _, s := range out {
			keep := n > 0 && s.format.isLines()
			if keep {
				_ = s.flush()
			}
			s.sink.abort(keep)
		}
	}()
	if err != nil {
		return 0, err
	}
	for row, err := range rows {
		if err != nil {
			return n, err
		}
		for _, s := range out {
			if err := s.encode(row); err != nil {
				return n, err
			}
		}
		n++
		for _, s := range out {
			if len(s.buf) < bufferSize {
				continue
			}
			if err := s.flush(); err != nil {
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
	var sinks []*sink
	for _, s := range out {
		if s.buf, err = s.enc.end(s.buf, e); err != nil {
			return n, err
		}
		if err := s.flush(); err != nil {
			return n, err
		}
		sinks = append(sinks, s.sink)
	}
	done = true
	err = commit(sinks...)
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
	table := newTable(p, cols, v)
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

// columns returns the columns of each output.
func (p *Printer) columns(t reflect.Type, v View, single bool) (each [][]column, err error) {
	for _, target := range p.targets() {
		cols, err := p.columnsIn(target.Format, t, v, single)
		if err != nil {
			return nil, err
		}
		each = append(each, cols)
	}
	return each, nil
}

// union returns the columns of all outputs.
func union(each [][]column) []column {
	if len(each) == 0 {
		return nil
	}
	all := each[0]
	for _, cols := range each[1:] {
		for _, c := range cols {
			if _, ok := find(all, c.name); !ok {
				all = append(slices.Clip(all), c)
			}
		}
	}
	return all
}

// columnsIn returns the columns that the user selected, or those of the view.
func (p *Printer) columnsIn(f Format, t reflect.Type, v View, single bool) ([]column, error) {
	all, err := columnsOf(t)
	if err != nil {
		return nil, err
	}
	chosen, err := selectColumns(all, p.Columns)
	if err != nil {
		return nil, err
	}
	switch {
	case f == ID:
		name := cmp.Or(v.ID, "id")
		c, ok := find(all, name)
		if !ok {
			return nil, fault.New(fault.Usage, "--output id cannot be used here: these records have no field %q", name)
		}
		return []column{c}, nil
	case len(p.Columns) > 0 || single:
		return chosen, nil
	case f == Table:
		return viewColumns(all, v.Table)
	case f == Wide:
		return viewColumns(all, v.Wide)
	case f == XLSX && len(v.Title) > 0: // those of Table first
		first, err := viewColumns(all, v.Table)
		rest := slices.DeleteFunc(all, func(c column) bool { return slices.Contains(v.Table, c.name) })
		return append(first, rest...), err
	}
	return all, nil
}

package output

import (
	"io"
	"iter"
	"reflect"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// encoder encodes records in one format. Each call of row writes whole lines or nothing.
type encoder interface {
	begin() error
	row(rec reflect.Value) error
	end(e envelope) error
}

// write opens the output, encodes the records and commits the output, for List, Stream and One. A nil around
// means a single record instead of a list.
func write[T any](p *Printer, v View, seq iter.Seq2[T, error], around func(n int64) envelope) (n int64, err error) {
	var cur T // one variable for all rows, to avoid reflection and an allocation per row
	rec := reflect.ValueOf(&cur).Elem()
	cols, err := p.columns(rec.Type(), v, around == nil)
	if err != nil {
		return 0, err
	}
	out, err := p.open()
	if err != nil {
		return 0, err
	}
	done := false
	defer func() {
		if !done { // also after a panic of seq, to remove the temporary file
			out.abort(n > 0 && p.Format.isLines())
		}
	}()

	enc := p.encoder(out.w, cols, around == nil)
	if err := enc.begin(); err != nil {
		return 0, err
	}
	for item, err := range seq {
		if err != nil {
			return n, err
		}
		cur = item
		if err := enc.row(rec); err != nil {
			return n, err
		}
		n++
	}
	var e envelope
	if around != nil {
		e = around(n)
	}
	if err := enc.end(e); err != nil {
		return n, err
	}
	done = true
	return n, out.commit()
}

func (p *Printer) encoder(w io.Writer, cols []column, single bool) encoder {
	switch p.Format {
	case JSON:
		if p.jq != nil {
			return &jqDocument{printer: p, w: w, cols: cols, single: single}
		}
		return &jsonDocument{w: w, cols: cols, single: single}
	case JSONL:
		return &jsonLines{printer: p, w: w, cols: cols}
	case YAML:
		return &yamlDocument{w: w, cols: cols, single: single}
	case XLSX:
		return xlsxRecords{newWorkbook(p, w, cols)}
	case CSV, TSV, ID:
		return &delimited{printer: p, w: w, cols: cols}
	}
	if single {
		return &listing{table: newTable(p, w, cols)}
	}
	return newTable(p, w, cols)
}

// columns returns the columns to print, and which of them are masked.
func (p *Printer) columns(t reflect.Type, v View, single bool) ([]column, error) {
	cols, err := p.selected(t, v, single)
	for i := range cols {
		cols[i].mask = p.Mask && (Personal[cols[i].name] && cols[i].kind == text || cols[i].kind == composite)
	}
	return cols, err
}

// selected returns the columns that the user selected, or those of the view.
func (p *Printer) selected(t reflect.Type, v View, single bool) ([]column, error) {
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
	}
	return all, nil
}

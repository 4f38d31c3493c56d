package importer

import (
	"context"
	"errors"
	"io"

	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Input is a file whose columns are mapped to a noun's fields.
type Input struct {
	Objects  bool               // each row has its own fields
	Defaults map[string]*string // the texts that new records have in place of empty ones; may be nil

	file    *rowreader.File
	shape   *schema.Table
	opts    rowreader.Options
	columns map[string]int // the field's column in a row
}

// Open reads which columns a file has. shape is the table that the records go to.
func Open(f *rowreader.File, o rowreader.Options, shape *schema.Table) (*Input, error) {
	s := &Input{file: f, shape: shape, opts: o, columns: map[string]int{}}
	in, err := f.Rows(o)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	for i, c := range in.Columns {
		if c != "" {
			s.columns[c] = i
		}
	}
	s.Objects = in.Format == rowreader.JSON || in.Format == rowreader.JSONL
	return s, nil
}

// Has reports whether rows can have the field.
func (s *Input) Has(field string) bool {
	_, ok := s.columns[field]
	return ok
}

// each calls fn for every row of the file, in order.
func (s *Input) each(ctx context.Context, fn func(row rowreader.Row, ordinal int64) error) error {
	in, err := s.file.Rows(s.opts)
	if err != nil {
		return err
	}
	defer in.Close()
	for n := int64(1); ; n++ {
		row, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n%256 == 0 {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if err := fn(row, n); err != nil {
			return err
		}
	}
}

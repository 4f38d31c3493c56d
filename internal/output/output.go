// Package output prints records and errors: one printer per command, one encoder per format, to
// standard output or atomically into a file. It knows neither commands nor databases; a record is any
// struct whose exported fields carry json names in the order of the command-line contract.
package output

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// Format is a value of --output.
type Format string

// The formats of the command-line contract.
const (
	Table Format = "table" // aligned columns for people
	Wide  Format = "wide"  // more columns, with exact times
	JSON  Format = "json"  // one document, the backend API's envelope
	JSONL Format = "jsonl" // one bare record a line
	CSV   Format = "csv"   // RFC 4180, UTF-8, a header, \n line ends
	TSV   Format = "tsv"   // tabs between, \t \n \r \\ escaped, nothing quoted
	YAML  Format = "yaml"  // the same document as JSON
	ID    Format = "id"    // the ids alone, one a line, for xargs
	XLSX  Format = "xlsx"  // a spreadsheet, into an output file
)

// Formats lists every format, for help and completion.
var Formats = strings.Fields("table wide json jsonl csv tsv yaml id xlsx")

// ParseFormat returns the format named s, or a VALIDATION_ERROR that lists the valid ones.
func ParseFormat(s string) (Format, error) {
	if slices.Contains(Formats, s) {
		return Format(s), nil
	}
	return "", fault.New(fault.Validation, "unknown output format %q", s).
		WithHint("valid formats: %s", strings.Join(Formats, ", ")).With("valid", Formats)
}

// FormatOf returns the format of a file by its extension before .gz or .zst, or "".
func FormatOf(file string) Format {
	ext := strings.ToLower(filepath.Ext(file))
	if compressors[ext] != nil {
		ext = strings.ToLower(filepath.Ext(strings.TrimSuffix(file, filepath.Ext(file))))
	}
	switch f := Format(strings.TrimPrefix(ext, ".")); f {
	case CSV, TSV, JSON, JSONL, YAML, XLSX:
		return f
	case "yml":
		return YAML
	}
	return ""
}

// isLines reports whether the rows of f are independent, so that the rows before a failure are useful.
func (f Format) isLines() bool { return f == JSONL || f == CSV || f == TSV || f == ID }

// Options are the output flags of one command.
type Options struct {
	Format    Format   // "" is Table, or JSON when JQ is given
	Columns   []string // --columns: the fields to print, in this order; none means the view's choice
	NoHeaders bool     // --no-headers, for tables, csv and tsv
	File      string   // --output-file; "" and "-" are Stdout
	Also      []Target // further outputs of the same rows
	JQ        string   // --jq, on the document of JSON or on each record of JSONL
	CSVBOM    bool     // --csv-bom
	CSVSafe   bool     // --csv-safe, for csv and tsv

	FailIfEmpty bool // a list without rows is a PARTIAL_FAILURE, and no file is written
	IfChanged   bool // an output file whose bytes would be the same stays as it is

	Mask   bool // mask personal data, in all formats
	Secret bool // the output contains secrets: only its owner may read an output file

	Context context.Context // cancels --jq; may be nil
	Timeout time.Duration   // of --jq for one document; 0 means none

	Stdout   io.Writer
	Standard io.Writer // the file behind Stdout, if Stdout is a wrapper; nil means Stdout
	Terminal Terminal  // of Stdout; the zero value means that it is not a terminal
	Pager    *Pager    // for long output to Stdout; may be nil

	Brief bool // tables of a single record leave out fields that are NULL, false or zero

	Note func(format string, args ...any) // tells the user what a table does not show; may be nil
}

// Target is an output with a format of its own.
type Target struct {
	File   string
	Format Format
	Digest *Digest // nil without HashFiles
}

// Targets returns the outputs of a command, at least one. The extension of a file selects its format unless --output is
// given. With several files --output is for those whose extension selects none, such as standard output.
func Targets(files []string, format Format, given bool, jq string) ([]Target, error) {
	unused := given && len(files) > 1
	if len(files) == 0 {
		files = []string{""}
	}
	list := make([]Target, len(files))
	for i, file := range files {
		f, byFlag := format, given
		if byName := FormatOf(file); byName != "" && (!given || len(files) > 1) {
			f, byFlag = byName, false
		}
		if jq != "" && !byFlag && f != JSONL {
			f = "" // --jq selects json
		}
		list[i] = Target{File: file, Format: f}
		unused = unused && !byFlag
	}
	if unused {
		return nil, fault.New(fault.Usage, "--output selects nothing: the extension of each --output-file selects its format").
			WithHint("omit --output, or add --output-file - to print to standard output too")
	}
	return list, nil
}

// View says how a kind of record is shown.
type View struct {
	Table []string // fields of Table; none means all
	Wide  []string // fields of Wide; none means all
	ID    string   // field that Format ID prints; "" is "id"
	Name  string   // plural of the records, for "no users found", and the name of a workbook's sheet
	None  string   // the note that a table has no rows; "" is that none were found
	Title []string // lines above the rows of a workbook, which then is a report: with headings and totals as in tables

	below func(b []byte) ([]byte, error) // appends what tables show below a single record; may be nil
}

// Page is one page of a list.
type Page[T any] struct {
	Items    []T
	Total    int64 // rows on all pages together
	Page     int   // from 1
	PageSize int
	// Next is the cursor of the next page, "" on the last page, and nil in a list with numbered pages. If it
	// is not nil, the rows were not counted, and Total and Page are printed as null.
	Next *string
}

// Printer prints the one result of a command. It holds nothing open between calls.
type Printer struct {
	Options
	jq     *gojq.Code
	digest *Digest  // of File
	notes  []string // for Note, after the output
	rows   int64    // printed so far
	bytes  int64    // written so far
	direct bool     // some bytes went to a stream or a device

	// Usernames returns the usernames of the given ids, as far as they are known. Tables on a terminal show them in place
	// of ids. It may be nil.
	Usernames func(ids []string) map[string]string
}

// Printed returns the rows and the bytes that were printed.
func (p *Printer) Printed() (rows, bytes int64) { return p.rows, p.bytes }

// HasPrinted reports whether something is on a stream or a device, which cannot be taken back.
func (p *Printer) HasPrinted() bool { return p.direct }

// targets returns the outputs. The first one is that of File.
func (p *Printer) targets() []Target {
	return append([]Target{{p.File, p.Format, p.digest}}, p.Also...)
}

// HashFiles makes the next output record the sizes and the hashes of its files.
func (p *Printer) HashFiles() {
	p.digest = &Digest{Hash: sha256.New()}
	for i := range p.Also {
		p.Also[i].Digest = &Digest{Hash: sha256.New()}
	}
}

// Files returns the output files. Standard output is not one.
func (p *Printer) Files() []Target {
	return slices.DeleteFunc(p.targets(), func(t Target) bool { return t.File == "" })
}

// New checks the format, the jq expression and the path of the output file, so that wrong flags are refused
// before any work is done.
func New(o Options) (*Printer, error) {
	p := &Printer{Options: o}
	targets := p.targets()
	for i := range targets {
		if err := p.check(&targets[i]); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(targets, func(a, b Target) int { return cmp.Compare(min(len(a.File), 1), min(len(b.File), 1)) }) // standard output first
	p.File, p.Format, p.Also = targets[0].File, targets[0].Format, targets[1:]
	if o.JQ != "" {
		code, err := compileJQ(o.JQ)
		if err != nil {
			return nil, err
		}
		p.jq = code
	}
	if p.File != "" {
		p.Terminal = Terminal{} // a file is not for this terminal
	}
	if p.Terminal.IsTTY && p.Terminal.Now.IsZero() {
		p.Terminal.Now = time.Now()
	}
	return p, nil
}

// check completes an output, and checks its format and its path.
func (p *Printer) check(t *Target) error {
	if t.Format == "" {
		t.Format = Table
		if p.JQ != "" {
			t.Format = JSON
		}
	} else if _, err := ParseFormat(string(t.Format)); err != nil {
		return err
	}
	if p.JQ != "" && t.Format != JSON && t.Format != JSONL {
		return fault.New(fault.Usage, "--jq cannot be used with --output %s", t.Format).
			WithHint("use --output json, or jsonl to run it on each record")
	}
	if t.File == "-" {
		t.File = ""
	}
	if t.File != "" {
		if err := p.locate(t); err != nil {
			return err
		}
	}
	if t.Format == XLSX && t.File == "" {
		return fault.New(fault.Usage, "xlsx cannot be written to standard output").
			WithHint("name a file: --output-file list.xlsx")
	}
	return nil
}

// note tells the user something once the output is printed.
func (p *Printer) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

func (p *Printer) writeNotes() {
	for _, note := range p.notes {
		if p.Note != nil {
			p.Note("%s", note)
		}
	}
	p.notes = nil
}

// List prints one page of records.
func List[T any](p *Printer, v View, page Page[T]) error {
	_, err := printRecords(p, v, each(page.Items...), func(int64) envelope {
		e := envelope{total: page.Total, page: int64(page.Page), size: int64(page.PageSize)}
		e.next = page.Next
		if e.size > 0 {
			e.pages = (e.total + e.size - 1) / e.size
		}
		return e
	})
	return err
}

// Stream prints the records of seq as they arrive and returns their number. It returns an error from seq
// unchanged, and does not put an output file in place then. Rows that are already on standard output
// remain.
//
// JSON with JQ keeps the whole document in memory, like jq; JSONL does not.
func Stream[T any](p *Printer, v View, seq iter.Seq2[T, error]) (n int64, err error) {
	return printRecords(p, v, seq, wholeList)
}

// Export is Stream of rows with the columns that Columns returns. The output is the same, and several times as fast if
// the rows are in binary form.
func Export[T any](p *Printer, v View, rows iter.Seq2[pgtext.Row, error]) (n int64, err error) {
	each, err := p.columns(reflect.TypeFor[T](), v, false)
	if err != nil {
		return 0, err
	}
	return p.print(v, each, rows, wholeList)
}

// Columns returns the names of the fields of T that Export needs, in order.
func Columns[T any](p *Printer, v View) ([]string, error) {
	each, err := p.columns(reflect.TypeFor[T](), v, false)
	return names(union(each)), err
}

// One prints a single record: an envelope without items in JSON and YAML, a listing of fields in
// tables, a list of one in every other format.
func One[T any](p *Printer, v View, item T) error {
	_, err := printRecords(p, v, each(item), nil)
	return err
}

// OneWithList prints a single record that contains a list in the field named field. Tables show the list as a table
// below the record, unless the user chose columns.
func OneWithList[T, D any](p *Printer, v View, item T, field string, dv View, list []D) error {
	if p.Format != Table && p.Format != Wide || len(p.Columns) > 0 {
		return One(p, v, item)
	}
	cols, err := p.columnsIn(p.Format, reflect.TypeFor[T](), v, true)
	if err != nil {
		return err
	}
	cols = slices.DeleteFunc(cols, func(c column) bool { return c.name == field })
	under, err := p.columnsIn(p.Format, reflect.TypeFor[D](), dv, false)
	if err != nil {
		return err
	}
	v.below = func(b []byte) ([]byte, error) {
		if len(list) > 0 {
			b = append(b, '\n')
		}
		t := newTable(p, under, dv)
		row := &printedRow{cols: under, mask: p.Mask}
		for r, err := range rowsOf(under, each(list...)) {
			if err != nil {
				return b, err
			}
			row.Row = r
			if b, err = t.row(b, row); err != nil {
				return b, err
			}
		}
		return t.end(b, wholeList(int64(len(list))))
	}
	_, err = p.print(v, [][]column{cols}, rowsOf(cols, each(item)), nil)
	return err
}

// each yields the items of a list.
func each[T any](list ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range list {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func printRecords[T any](p *Printer, v View, seq iter.Seq2[T, error], around func(n int64) envelope) (int64, error) {
	each, err := p.columns(reflect.TypeFor[T](), v, around == nil)
	if err != nil {
		return 0, err
	}
	return p.print(v, each, rowsOf(union(each), seq), around)
}

func wholeList(n int64) envelope { return envelope{total: n, page: 1, size: n, pages: min(n, 1)} }

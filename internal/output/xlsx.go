package output

import (
	"archive/zip"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/flate"
	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// workbook writes a spreadsheet. The rows of large sheets are in temporary files until the end.
//
// Numbers of up to 15 digits, dates and booleans are typed cells. All other values are text, including times, because
// spreadsheets support neither time zones nor microseconds. Text is never a formula.
type workbook struct {
	printer *Printer
	out     *sink
	cols    []column
	file    *excelize.File
	sheet   *excelize.StreamWriter // the current one
	rows    int                    // of the current sheet
	cells   []any
	text    []byte

	header, day int                // styles
	decimals    [maxPlaces + 1]int // styles by the number of decimal places
}

// Spreadsheets store 15 digits exactly. Styles have at most eight decimal places.
const (
	exactDigits = 15
	maxPlaces   = 8
)

// begin starts the first sheet.
func (x *workbook) begin(b []byte) ([]byte, error) {
	folder := "" // the system's
	if x.out.pending != nil {
		folder = filepath.Dir(x.printer.File)
	}
	x.file = excelize.NewFile(excelize.Options{TmpDir: folder})
	x.out.temporary = x.file
	// Without a ZipWriter that writes to the output, excelize would keep the whole file in memory.
	x.file.SetZipWriter(func(io.Writer) excelize.ZipWriter {
		z := zip.NewWriter(x.out.w)
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
		return z
	})
	x.cells = make([]any, len(x.cols))
	style := func(format string, bold bool) (id int, err error) {
		s := &excelize.Style{Font: &excelize.Font{Bold: bold}}
		if format != "" {
			s.CustomNumFmt = &format
		}
		return x.file.NewStyle(s)
	}
	var err error
	if x.header, err = style("", true); err != nil {
		return b, err
	}
	if x.day, err = style(`yyyy\-mm\-dd`, false); err != nil {
		return b, err
	}
	for places := 1; places <= maxPlaces; places++ {
		if x.decimals[places], err = style("#,##0."+strings.Repeat("0", places), false); err != nil {
			return b, err
		}
	}
	return b, x.next()
}

// next starts a sheet. The previous one must be flushed.
func (x *workbook) next() (err error) {
	name := "Sheet" + strconv.Itoa(x.file.SheetCount)
	if x.sheet != nil {
		name = "Sheet" + strconv.Itoa(x.file.SheetCount+1)
		if _, err := x.file.NewSheet(name); err != nil {
			return err
		}
	}
	x.rows = 0
	if x.sheet, err = x.file.NewStreamWriter(name); err != nil || x.printer.NoHeaders {
		return err
	}
	for i, c := range x.cols {
		x.cells[i] = excelize.Cell{StyleID: x.header, Value: c.name}
	}
	return x.write()
}

// write writes the cells of a row.
func (x *workbook) write() error {
	x.rows++
	if err := x.sheet.SetRow("A"+strconv.Itoa(x.rows), x.cells); err != nil {
		return x.out.fault(err)
	}
	return nil
}

func (x *workbook) row(b []byte, r *printedRow) (_ []byte, err error) {
	if x.rows == excelize.TotalRows {
		if err := x.sheet.Flush(); err != nil {
			return b, x.out.fault(err)
		}
		if err := x.next(); err != nil {
			return b, err
		}
	}
	for i := range x.cols {
		if x.cells[i], err = x.cell(r, i); err != nil {
			return b, err
		}
	}
	return b, x.write()
}

func (x *workbook) end(b []byte, _ envelope) ([]byte, error) {
	if err := x.sheet.Flush(); err != nil {
		return b, x.out.fault(err)
	}
	if err := x.file.Write(io.Discard); err != nil { // to the ZipWriter
		return b, x.out.fault(err)
	}
	return b, nil
}

// cell returns the value of a cell for excelize.
func (x *workbook) cell(r *printedRow, i int) (any, error) {
	if r.IsNull(i) {
		return nil, nil
	}
	x.text = r.Append(x.text[:0], i)
	text := string(x.text)
	switch r.Kind(i) {
	case pgtext.Literal:
		if text == "true" || text == "false" {
			return text == "true", nil
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) <= exactDigits {
			return n, nil
		}
	case pgtext.Plain:
		if day, ok := serialDay(text); ok {
			return excelize.Cell{StyleID: x.day, Value: day}, nil
		}
		if n, places, ok := decimal(text); ok {
			return excelize.Cell{StyleID: x.decimals[min(places, maxPlaces)], Value: n}, nil
		}
	case pgtext.Text, pgtext.JSON, pgtext.Strings:
		if len(text) <= excelize.TotalCellChars { // an upper bound
			return text, nil
		}
		if n := len(utf16.Encode([]rune(text))); n > excelize.TotalCellChars {
			return nil, fault.New(fault.Validation, "a %s of %d characters does not fit into a spreadsheet cell, which holds at most %d",
				x.cols[i].name, n, excelize.TotalCellChars).
				WithHint("leave the field out with --columns, or use --output csv")
		}
	}
	return text, nil
}

// decimal returns a decimal that a spreadsheet stores exactly, and its number of decimal places.
func decimal(text string) (n float64, places int, ok bool) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := whole + fraction
	if len(digits) > exactDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, len(fraction), err == nil
}

// serialDay returns the serial number of a date. Spreadsheets treat 1900 as a leap year, so dates before
// 1 March 1900 are written as text.
func serialDay(text string) (int64, bool) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Before(time.Date(1900, time.March, 1, 0, 0, 0, 0, time.UTC)) {
		return 0, false
	}
	return day.Unix()/86400 + 25569, true
}

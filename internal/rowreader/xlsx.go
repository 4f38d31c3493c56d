package rowreader

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Limits of a workbook. Sheets larger than maxWorkbookMemory are unpacked to temporary files.
const (
	maxWorkbookMemory = 16 << 20
	maxWorkbook       = 2 << 30
	maxWorkbookZip    = 128 << 20
)

// xlsxDecoder reads the first sheet of a workbook, and further sheets with the same header, which an export writes
// for more rows than a sheet can hold.
type xlsxDecoder struct {
	book   *excelize.File
	sheets []string // sheets still to be read
	header []string
	raw    *excelize.Rows // stored values of cells
	shown  *excelize.Rows // displayed values of the same cells, to distinguish dates from numbers
	line   int64
}

func newXLSX(r io.Reader) (*xlsxDecoder, error) {
	limited := &io.LimitedReader{R: r, N: maxWorkbookZip + 1}
	book, err := excelize.OpenReader(limited, excelize.Options{UnzipSizeLimit: maxWorkbook, UnzipXMLSizeLimit: maxWorkbookMemory})
	switch {
	case limited.N == 0:
		return nil, fault.New(fault.Validation, "the workbook is larger than %d MiB", maxWorkbookZip>>20).WithHint("save it as csv")
	case err != nil:
		return nil, fault.New(fault.Validation, "the workbook cannot be read: %s", err).WithHint("save it as csv").Because(err)
	}
	d := &xlsxDecoder{book: book, sheets: book.GetSheetList()}
	d.header, err = d.nextSheet()
	if err == nil && len(d.header) == 0 {
		err = fault.New(fault.Validation, "the first sheet is empty; it must start with a header row")
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// nextSheet opens the next sheet and returns its first row.
func (d *xlsxDecoder) nextSheet() (header []string, err error) {
	name := d.sheets[0]
	d.sheets = d.sheets[1:]
	if d.raw, err = d.book.Rows(name); err == nil {
		d.shown, err = d.book.Rows(name)
	}
	if err != nil {
		return nil, err
	}
	header, err = d.row()
	for err == nil && isBlank(header) {
		header, err = d.row()
	}
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return header, err
}

func isBlank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(s string) bool { return strings.TrimSpace(s) != "" })
}

// row returns the next row of the sheet, or io.EOF.
func (d *xlsxDecoder) row() ([]string, error) {
	if !d.raw.Next() || !d.shown.Next() {
		if err := d.raw.Error(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	d.line++
	cells, err := d.raw.Columns(excelize.Options{RawCellValue: true})
	if err != nil {
		return nil, err
	}
	shown, err := d.shown.Columns()
	if err != nil {
		return nil, err
	}
	for i, v := range cells {
		if i < len(shown) {
			cells[i] = cellText(v, shown[i])
		}
	}
	return cells, nil
}

func (d *xlsxDecoder) columns() []string { return d.header }

func (d *xlsxDecoder) next() (Row, error) {
	cells, err := d.row()
	for errors.Is(err, io.EOF) && len(d.sheets) > 0 {
		var header []string
		if header, err = d.nextSheet(); err == nil && slices.Equal(header, d.header) {
			cells, err = d.row()
		} else if err == nil {
			err = io.EOF
		}
	}
	row := Row{Line: d.line, Values: cells}
	if err != nil {
		return row, err
	}
	for len(row.Values) < len(d.header) { // trailing empty cells are not stored
		row.Values = append(row.Values, "")
	}
	for i, v := range cells {
		if len(v) > MaxField {
			row.Err = fieldTooLong(nameOf(d.header, i), 0, len(v))
			break
		}
	}
	return row, nil
}

func (d *xlsxDecoder) close() { _ = d.book.Close() }

// looksLikeDate matches a number that is displayed as a date or a time: 2026-11-28, 11/28/26, 28-Nov-26, 10:30.
var looksLikeDate = regexp.MustCompile(`^[^,%$]*(\d:\d\d|\d+[-/.년年][^,]*\d+[-/.월月][^,]*\d+|\d+-[A-Za-z]{3})`)

// cellText returns a stored cell as it would be in csv: dates as dates instead of serial numbers, and whole numbers
// without an exponent.
func cellText(stored, shown string) string {
	if stored == shown && !strings.ContainsAny(stored, "Ee") {
		return stored
	}
	n, err := strconv.ParseFloat(stored, 64)
	if err != nil {
		return stored
	}
	if looksLikeDate.MatchString(shown) {
		at, err := excelize.ExcelDateToTime(n, false)
		if err != nil {
			return stored
		}
		if at = at.Round(time.Millisecond); at.Equal(at.Truncate(24 * time.Hour)) {
			return at.Format(time.DateOnly)
		}
		return at.Format(time.RFC3339)
	}
	if strings.ContainsAny(stored, "Ee") && n == float64(int64(n)) && n > -1e15 && n < 1e15 {
		return strconv.FormatInt(int64(n), 10)
	}
	return stored
}

package output

import (
	"archive/zip"
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/clipperhouse/displaywidth"
	"github.com/klauspost/compress/flate"
	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// workbook writes a spreadsheet. The first rows are kept in memory, because the widths of the columns come before them.
// The other rows of large sheets are in temporary files until the end.
//
// Numbers of up to 15 digits, dates and booleans are typed cells. All other values are text, including times, because
// spreadsheets support neither time zones nor microseconds. Text is never a formula.
type workbook struct {
	printer  *Printer
	out      *sink
	cols     []column
	view     View
	currency int // index of the column with the currency of the amounts, or -1
	file     *excelize.File
	sheet    *excelize.StreamWriter // the current one, or nil
	header   int                    // its row with the names of the columns, or 0
	rows     int                    // of the current sheet
	kept     [][]any                // rows before the first sheet
	widths   []int                  // in characters
	cells    []any
	totals   totals
	text     []byte

	head, headRight, title, bold, truth, day, percent int                // styles
	decimals                                          [maxPlaces + 1]int // styles by the number of decimal places
}

// Spreadsheets store 15 digits exactly. Styles have at most eight decimal places.
const (
	exactDigits = 15
	maxPlaces   = 8
)

// sheetRows is the number of rows of a full sheet. A test lowers it.
var sheetRows = excelize.TotalRows

// Widths of columns in characters: text is cut at the next column, and a number that does not fit is shown as ###.
const (
	maxTextWidth   = 50
	minNumberWidth = 21 // of numbers in rows that are not known yet
	filterWidth    = 3  // of the button beside a column's name
	gapWidth       = 2  // before the next column
)

// boldFont is the bold form of the font that excelize gives to cells without a style.
var boldFont = &excelize.Font{Family: "Calibri", Size: 11, Bold: true}

// Dates and booleans are aligned as their headings.
var (
	alignRight = &excelize.Alignment{Horizontal: "right"}
	alignLeft  = &excelize.Alignment{Horizontal: "left"}
)

// blank ends the formats of right-aligned cells: a space as wide as a digit, before the text in the next column.
// LibreOffice 7.4 applies an indent to some of a column's cells only.
const blank = "_0"

// begin makes the file and its styles.
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
	x.totals = totals{}
	x.widths = make([]int, len(x.cols))
	for i := range x.cols {
		if !x.printer.NoHeaders {
			x.widths[i] = displaywidth.String(x.heading(i)) + filterWidth
		}
	}
	shade := excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"E7E6E6"}}
	type styled struct {
		id    *int
		style excelize.Style
	}
	styles := []styled{
		{&x.head, excelize.Style{Font: boldFont, Fill: shade}},
		{&x.headRight, excelize.Style{Font: boldFont, Fill: shade, CustomNumFmt: new("@" + blank), Alignment: alignRight}},
		{&x.title, excelize.Style{Font: &excelize.Font{Family: boldFont.Family, Bold: true, Size: 14}}},
		{&x.bold, excelize.Style{Font: boldFont}},
		{&x.truth, excelize.Style{CustomNumFmt: new(`"TRUE";"TRUE";"FALSE"`), Alignment: alignLeft}},
		{&x.day, excelize.Style{CustomNumFmt: new(`yyyy\-mm\-dd`), Alignment: alignLeft}},
		{&x.percent, excelize.Style{CustomNumFmt: new("0.0%" + blank), Alignment: alignRight}},
	}
	for places := range x.decimals {
		styles = append(styles, styled{&x.decimals[places], excelize.Style{CustomNumFmt: new(numberFormat(places)), Alignment: alignRight}})
	}
	for _, s := range styles {
		var err error
		if *s.id, err = x.file.NewStyle(&s.style); err != nil {
			return b, err
		}
	}
	return b, nil
}

// numberFormat returns the format of numbers with some decimal places, and of text in their columns.
func numberFormat(places int) string {
	number := strings.TrimSuffix("#,##0."+strings.Repeat("0", places), ".") + blank
	return number + ";-" + number + ";" + number + ";@" + blank
}

// heading returns the name of a column.
func (x *workbook) heading(i int) string {
	if len(x.view.Title) > 0 {
		return strings.ReplaceAll(x.cols[i].heading, "_", " ")
	}
	return x.cols[i].name
}

// next starts a sheet. The previous one must be finished.
func (x *workbook) next() error {
	name, first := cmp.Or(x.view.Name, "rows"), x.sheet == nil
	var err error
	if first {
		err = x.file.SetSheetName("Sheet1", name)
	} else {
		name += " " + strconv.Itoa(x.file.SheetCount+1)
		_, err = x.file.NewSheet(name)
	}
	if err == nil {
		err = x.file.SetSheetProps(name, &excelize.SheetPropsOptions{FitToPage: new(true)})
	}
	if err == nil {
		err = x.file.SetPageLayout(name, &excelize.PageLayoutOptions{
			Size:        new(9), // A4
			Orientation: new("landscape"),
			FitToWidth:  new(1),
			FitToHeight: new(0), // as many pages as needed
		})
	}
	if err == nil {
		err = x.file.SetPageMargins(name, &excelize.PageLayoutMarginsOptions{ // in inches
			Left:   new(0.4),
			Right:  new(0.4),
			Top:    new(0.5),
			Bottom: new(0.6),
			Footer: new(0.3),
		})
	}
	if err == nil {
		err = x.file.SetHeaderFooter(name, &excelize.HeaderFooterOptions{OddFooter: "&L&A&R&P / &N"}) // sheet, page, pages
	}
	if err != nil {
		return err
	}
	if x.sheet, err = x.file.NewStreamWriter(name); err != nil {
		return err
	}
	for i, width := range slices.Backward(x.widths) { // excelize puts each column before the others
		if err := x.sheet.SetColWidth(i+1, i+1, float64(min(width, excelize.MaxColumnWidth-gapWidth)+gapWidth)); err != nil {
			return err
		}
	}
	x.rows, x.header = 0, 0
	if x.printer.NoHeaders {
		return nil
	}
	x.header = 1
	if first && len(x.view.Title) > 0 {
		x.header = len(x.view.Title) + 2
	}
	err = x.sheet.SetPanes(&excelize.Panes{
		Freeze:      true,
		YSplit:      x.header,
		TopLeftCell: "A" + strconv.Itoa(x.header+1),
		ActivePane:  "bottomLeft",
	})
	if err != nil {
		return err
	}
	if x.header > 1 {
		for i, line := range x.view.Title {
			cell := excelize.Cell{Value: line}
			if i == 0 {
				cell.StyleID = x.title
			}
			if err := x.write([]any{cell}); err != nil {
				return err
			}
		}
		x.rows++
	}
	cells := make([]any, len(x.cols))
	for i := range x.cols {
		style := x.head
		if x.cols[i].isRight() {
			style = x.headRight
		}
		cells[i] = excelize.Cell{StyleID: style, Value: x.heading(i)}
	}
	return x.write(cells)
}

func (x *workbook) write(cells []any) error {
	x.rows++
	if err := x.sheet.SetRow("A"+strconv.Itoa(x.rows), cells); err != nil {
		return x.out.fault(err)
	}
	return nil
}

// finish ends a sheet: its header is repeated on each page, and has buttons that filter the rows.
func (x *workbook) finish() error {
	if x.header > 0 {
		last, err := excelize.CoordinatesToCellName(len(x.cols), max(x.rows, x.header+1))
		if err == nil {
			err = x.file.AutoFilter(x.sheet.Sheet, fmt.Sprintf("A%d:%s", x.header, last), nil)
		}
		if err == nil {
			err = x.file.SetDefinedName(&excelize.DefinedName{
				Name:     "_xlnm.Print_Titles",
				Scope:    x.sheet.Sheet,
				RefersTo: fmt.Sprintf("'%s'!$%d:$%d", x.sheet.Sheet, x.header, x.header),
			})
		}
		if err == nil {
			err = x.writeTotals()
		}
		if err != nil {
			return err
		}
	}
	if err := x.sheet.Flush(); err != nil {
		return x.out.fault(err)
	}
	return nil
}

// writeTotals writes the sums of a report by currency.
func (x *workbook) writeTotals() error {
	for code, sums := range x.totals.all() {
		cells := make([]any, len(x.cols))
		cells[0] = excelize.Cell{StyleID: x.bold, Value: "TOTAL"}
		cells[x.currency] = excelize.Cell{StyleID: x.bold, Value: code}
		for i, a := range sums {
			var sum any = a.String()
			n, places, ok := decimal(a.String())
			if ok {
				sum = n
			}
			if x.cols[i].look == asSum {
				places = shownPlaces(code, places)
			}
			format := numberFormat(places)
			style, err := x.file.NewStyle(&excelize.Style{Font: boldFont, CustomNumFmt: &format, Alignment: alignRight})
			if err != nil {
				return err
			}
			cells[i] = excelize.Cell{StyleID: style, Value: sum}
		}
		if err := x.write(cells); err != nil {
			return err
		}
	}
	return nil
}

// start writes the rows so far, whose widths are those of the columns.
func (x *workbook) start() error {
	if err := x.next(); err != nil {
		return err
	}
	for _, cells := range x.kept {
		if err := x.write(cells); err != nil {
			return err
		}
	}
	x.kept = nil
	return nil
}

func (x *workbook) row(b []byte, r *printedRow) (_ []byte, err error) {
	if len(x.view.Title) > 0 && x.currency >= 0 {
		x.totals.add(x.cols, r, r.code(x.currency))
	}
	if x.sheet == nil && len(x.kept) == chunkRows { // there are more rows
		for i := range x.cols {
			if x.cols[i].isRight() {
				x.widths[i] = max(x.widths[i], minNumberWidth)
			}
		}
		if err := x.start(); err != nil {
			return b, err
		}
	}
	if x.rows == sheetRows {
		if err := x.finish(); err != nil {
			return b, err
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
	if x.sheet == nil {
		x.kept = append(x.kept, slices.Clone(x.cells))
		return b, nil
	}
	return b, x.write(x.cells)
}

func (x *workbook) end(b []byte, _ envelope) ([]byte, error) {
	if x.sheet == nil {
		for _, sums := range x.totals.all() {
			for i, a := range sums {
				x.widths[i] = max(x.widths[i], numberWidth(a.String()))
			}
		}
		if err := x.start(); err != nil {
			return b, err
		}
	}
	if err := x.finish(); err != nil {
		return b, err
	}
	if err := x.file.Write(io.Discard); err != nil { // to the ZipWriter
		return b, x.out.fault(err)
	}
	return b, nil
}

// cell returns the value of a cell, and widens its column if it is one of the first.
func (x *workbook) cell(r *printedRow, i int) (any, error) {
	cell, err := x.value(r, i)
	if x.sheet == nil && cell != nil {
		width := numberWidth(string(x.text))
		if text, isText := cell.(string); isText {
			width = min(displaywidth.String(text), maxTextWidth)
		}
		x.widths[i] = max(x.widths[i], width)
	}
	return cell, err
}

// numberWidth returns the most characters that a number takes, with separators of thousands.
func numberWidth(text string) int { return len(text) + len(text)/3 }

// shownPlaces returns the decimal places of an amount in a currency.
func shownPlaces(code string, places int) int {
	if known, ok := currencyPlaces(code); ok {
		places = known
	}
	return min(places, maxPlaces)
}

// value returns the value of a cell for excelize.
func (x *workbook) value(r *printedRow, i int) (any, error) {
	if r.IsNull(i) {
		return nil, nil
	}
	x.text = r.Append(x.text[:0], i)
	text := string(x.text)
	switch r.Kind(i) {
	case pgtext.Literal:
		if text == "true" || text == "false" {
			return excelize.Cell{StyleID: x.truth, Value: text == "true"}, nil
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) <= exactDigits {
			return excelize.Cell{StyleID: x.decimals[0], Value: n}, nil
		}
	case pgtext.Plain:
		if day, ok := serialDay(text); ok {
			return excelize.Cell{StyleID: x.day, Value: day}, nil
		}
		if n, places, ok := decimal(text); ok {
			return excelize.Cell{StyleID: x.numberStyle(r, i, places), Value: n}, nil
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
	if x.cols[i].isRight() { // a number that a spreadsheet cannot hold
		return excelize.Cell{StyleID: x.decimals[0], Value: text}, nil
	}
	return text, nil
}

// numberStyle returns the style of a decimal with some places.
func (x *workbook) numberStyle(r *printedRow, i, places int) int {
	switch look := x.cols[i].look; {
	case look == asPercent:
		return x.percent
	case (look == asAmount || look == asSum) && x.currency >= 0:
		return x.decimals[shownPlaces(r.code(x.currency), places)]
	}
	return x.decimals[min(places, maxPlaces)]
}

// decimal returns a decimal that a spreadsheet stores exactly, and its number of decimal places.
func decimal(text string) (n float64, places int, ok bool) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := whole + strings.TrimRight(fraction, "0")
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

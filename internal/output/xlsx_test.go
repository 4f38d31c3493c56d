package output

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// sheet has every row of a workbook's sheet as another program reads it: raw values, and as shown.
func sheet(t *testing.T, file string, n int) (raw, shown [][]string) {
	t.Helper()
	f, err := excelize.OpenFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	name := f.GetSheetList()[n]
	if raw, err = f.GetRows(name, excelize.Options{RawCellValue: true}); err != nil {
		t.Fatal(err)
	}
	if shown, err = f.GetRows(name); err != nil {
		t.Fatal(err)
	}
	for _, cells := range shown {
		for i := range cells {
			cells[i] = strings.TrimSuffix(cells[i], " ") // the gap behind a number
		}
	}
	return raw, shown
}

func TestXLSX_Exact(t *testing.T) {
	t.Parallel()
	type row struct {
		Name  string `json:"name"`
		Total *stamp `json:"total"`
		Day   *stamp `json:"day"`
		At    *stamp `json:"at"`
		Count int64  `json:"count"`
		Yes   bool   `json:"yes"`
	}
	at := stamp("2026-01-02T03:04:05.000006Z")
	rows := []row{
		{"=1+1", ptr(stamp("12000.0000")), ptr(stamp("2026-11-24")), &at, -5, true},
		{"홍길동 <&> \"'", ptr(stamp("99999999999999.9999")), ptr(stamp("infinity")), nil, 9007199254740993, false},
		{"a\r\nb\x01_x000D_\ttab ", ptr(stamp("-0.0001")), ptr(stamp("0044-03-15 BC")), nil, 0, false},
		{" 007 ", ptr(stamp("NaN")), ptr(stamp("1900-02-28")), nil, 999999999999999, false},
		{"", nil, nil, nil, 1, false},
	}
	file := filepath.Join(t.TempDir(), "x.xlsx")
	p, err := New(Options{Format: XLSX, File: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Stream(p, View{}, seq(rows, nil)); err != nil {
		t.Fatal(err)
	}
	raw, shown := sheet(t, file, 0)
	for i, want := range [][]string{
		{"name", "total", "day", "at", "count", "yes"},
		{"=1+1", "12000", "46350", string(at), "-5", "1"},
		{"홍길동 <&> \"'", "99999999999999.9999", "infinity", "", "9007199254740993", "0"},
		{"a\r\nb\ufffd_x000D_\ttab ", "-0.0001", "0044-03-15 BC", "", "0", "0"},
		{" 007 ", "NaN", "1900-02-28", "", "999999999999999", "0"},
		{"", "", "", "", "1", "0"},
	} {
		if strings.Join(raw[i], "|") != strings.Join(want, "|") {
			t.Errorf("row %d: %q, want %q", i+1, raw[i], want)
		}
	}
	if got := strings.Join(shown[1], "|"); got != "=1+1|12,000.0000|2026-11-24|"+string(at)+"|-5|TRUE" {
		t.Errorf("shown is %q", got)
	}
	f, err := excelize.OpenFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if formula, err := f.GetCellFormula("rows", "A2"); err != nil || formula != "" {
		t.Errorf("a name became the formula %q, %v", formula, err)
	}
}

// debt is a row of a report.
type debt struct {
	TenantID uuid.UUID     `json:"tenant_id"`
	Code     string        `json:"tenant_code" table:"key"`
	Currency string        `json:"currency" table:"currency" heading:"CUR"`
	Unpaid   *money.Amount `json:"unpaid" table:"sum"`
	Paid     *money.Amount `json:"paid_rate" table:"percent" heading:"PAID %"`
	Due      *stamp        `json:"oldest_due_date"`
}

// A report has a title, headings, totals, formats by currency, and fits its page (N9). The file is read as XML.
func TestXLSX_Report(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.xlsx")
	p, err := New(Options{Format: XLSX, File: file})
	if err != nil {
		t.Fatal(err)
	}
	due := stamp("2026-11-24")
	rows := []debt{
		{Code: "acme", Currency: "KRW", Unpaid: amount("1751304.4000"), Paid: amount("0.8690"), Due: &due},
		{Code: strings.Repeat("가", 40), Currency: "KRW", Unpaid: amount("100000000000"), Paid: amount("1"), Due: &due},
		{Code: "acme", Currency: "USD", Unpaid: amount("47684.05")},
	}
	v := View{Name: "unpaid invoices", Title: []string{"Unpaid amounts", "as of 2026-11-29, UTC"}, Table: []string{"tenant_code", "currency", "unpaid"}}
	if _, err := Stream(p, v, seq(rows, nil)); err != nil {
		t.Fatal(err)
	}
	raw, shown := sheet(t, file, 0)
	for i, want := range []string{
		"Unpaid amounts", "as of 2026-11-29, UTC", "",
		"TENANT CODE|CUR|UNPAID|TENANT ID|PAID %|OLDEST DUE DATE",
		"acme|KRW|1,751,304|00000000-0000-0000-0000-000000000000|86.9%|2026-11-24",
		strings.Repeat("가", 40) + "|KRW|100,000,000,000|00000000-0000-0000-0000-000000000000|100.0%|2026-11-24",
		"acme|USD|47,684.05|00000000-0000-0000-0000-000000000000",
		"TOTAL|KRW|100,001,751,304",
	} {
		if got := strings.Join(shown[i], "|"); got != want {
			t.Errorf("row %d shows %q, want %q", i+1, got, want)
		}
	}
	if got := raw[4][2]; got != "1751304.4" {
		t.Errorf("an amount is stored as %q", got)
	}
	part := func(name string, doc any) {
		t.Helper()
		z, err := zip.OpenReader(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = z.Close() }()
		f, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.NewDecoder(f).Decode(doc); err != nil {
			t.Fatal(err)
		}
	}
	var ws struct {
		Pane struct {
			YSplit int    `xml:"ySplit,attr"`
			State  string `xml:"state,attr"`
		} `xml:"sheetViews>sheetView>pane"`
		Props struct {
			Fit string `xml:"fitToPage,attr"`
		} `xml:"sheetPr>pageSetUpPr"`
		Cols []struct {
			Width float64 `xml:"width,attr"`
		} `xml:"cols>col"`
		Filter struct {
			Ref string `xml:"ref,attr"`
		} `xml:"autoFilter"`
		Page struct {
			Orientation string `xml:"orientation,attr"`
			Width       int    `xml:"fitToWidth,attr"`
			Height      string `xml:"fitToHeight,attr"`
		} `xml:"pageSetup"`
	}
	part("xl/worksheets/sheet1.xml", &ws)
	if ws.Pane.YSplit != 4 || ws.Pane.State != "frozen" || ws.Filter.Ref != "$A$4:$F$7" {
		t.Errorf("the header is %+v, the filter %+v", ws.Pane, ws.Filter)
	}
	if ws.Props.Fit != "true" && ws.Props.Fit != "1" || ws.Page.Orientation != "landscape" || ws.Page.Width != 1 || ws.Page.Height != "0" {
		t.Errorf("the page is %+v %+v", ws.Props, ws.Page)
	}
	if len(ws.Cols) != 6 {
		t.Fatalf("%d columns have a width", len(ws.Cols))
	}
	for i, least := range []float64{maxTextWidth, 3, 15, 36, 6, 10} {
		if got := ws.Cols[i].Width; got <= least || got > least+12 {
			t.Errorf("column %d is %v wide, want more than %v", i, got, least)
		}
	}
	type named struct {
		Name string `xml:"name,attr"`
		Text string `xml:",chardata"`
	}
	var book struct {
		Sheets []named `xml:"sheets>sheet"`
		Names  []named `xml:"definedNames>definedName"`
	}
	part("xl/workbook.xml", &book)
	if len(book.Sheets) != 1 || book.Sheets[0].Name != "unpaid invoices" {
		t.Errorf("the sheets are %+v", book.Sheets)
	}
	if !slices.Contains(book.Names, named{"_xlnm.Print_Titles", "'unpaid invoices'!$4:$4"}) {
		t.Errorf("the names are %+v", book.Names)
	}
}

// Columns of long lists are wide enough for numbers that come later.
func TestXLSX_LaterNumbers(t *testing.T) {
	t.Parallel()
	type row struct {
		N int64 `json:"n"`
	}
	for n, want := range map[int]string{chunkRows: ` width="6"`, chunkRows + 1: ` width="23"`} {
		file := filepath.Join(t.TempDir(), "x.xlsx")
		p, err := New(Options{Format: XLSX, File: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Stream(p, View{}, seq(make([]row, n), nil)); err != nil {
			t.Fatal(err)
		}
		z, err := zip.OpenReader(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := z.Open("xl/worksheets/sheet1.xml")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(text, []byte("<row ")); got != n+1 || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%d rows: %d rows, no%s in %.600s", n, got, want, text)
		}
		_ = z.Close()
	}
}

// More rows than a sheet has go on in a second one, under a header of its own.
func TestXLSX_SecondSheet(t *testing.T) {
	sheetRows = 5000 // no other test runs meanwhile
	defer func() { sheetRows = excelize.TotalRows }()
	rows := int64(sheetRows) + 10
	file := filepath.Join(t.TempDir(), "x.xlsx")
	p, err := New(Options{Format: XLSX, File: file})
	if err != nil {
		t.Fatal(err)
	}
	type number struct {
		N int `json:"n"`
	}
	c, _ := pgtext.ColumnFor("n", pgtype.Int4OID)
	row := &pgtext.BinaryRow{Columns: []pgtext.Column{c}, Values: [][]byte{make([]byte, 4)}}
	n, err := Export[number](p, View{}, func(yield func(pgtext.Row, error) bool) {
		for i := range rows {
			binary.BigEndian.PutUint32(row.Values[0], uint32(i))
			if !yield(row, nil) {
				return
			}
		}
	})
	if err != nil || n != rows {
		t.Fatal(n, err)
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	for name, want := range map[string]int{"xl/worksheets/sheet1.xml": sheetRows, "xl/worksheets/sheet2.xml": 12} {
		f, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(text, []byte("<row ")); got != want {
			t.Errorf("%s has %d rows, want %d", name, got, want)
		}
		if first := strconv.FormatInt(rows-11, 10); name == "xl/worksheets/sheet2.xml" && !regexp.MustCompile(`</row><row r="2"><c r="A2"[^>]*><v>`+first+"</v>").Match(text) {
			t.Errorf("the second sheet does not begin with %s: %.300s", first, text)
		}
	}
	if raw, _ := sheet(t, file, 1); len(raw) != 12 || raw[0][0] != "n" || raw[11][0] != strconv.FormatInt(rows-1, 10) {
		t.Errorf("the second sheet reads %q", raw)
	}
}

func TestXLSX_Refusals(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Format: XLSX}); !fault.Is(err, fault.Usage) {
		t.Errorf("to standard output: %v", err)
	}
	dir := t.TempDir()
	p, err := New(Options{Format: XLSX, File: filepath.Join(dir, "x.xlsx")})
	if err != nil {
		t.Fatal(err)
	}
	type text struct {
		S string `json:"s"`
	}
	_, err = Stream(p, View{}, seq([]text{{strings.Repeat("가", excelize.TotalCellChars)}, {strings.Repeat("가", excelize.TotalCellChars+1)}}, nil))
	if !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "32768") {
		t.Errorf("too long a cell: %v", err)
	}
	alone(t, dir)
}

package output

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
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
	if formula, err := f.GetCellFormula("Sheet1", "A2"); err != nil || formula != "" {
		t.Errorf("a name became the formula %q, %v", formula, err)
	}
}

// More rows than a sheet has go on in a second one, under a header of its own.
func TestXLSX_SecondSheet(t *testing.T) {
	if testing.Short() {
		t.Skip("writes and reads a million rows")
	}
	t.Parallel()
	const rows = excelize.TotalRows + 10
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
	for name, want := range map[string]int{"xl/worksheets/sheet1.xml": excelize.TotalRows, "xl/worksheets/sheet2.xml": 12} {
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
		if first := strconv.Itoa(rows - 11); name == "xl/worksheets/sheet2.xml" && !bytes.Contains(text, []byte(`</row><row r="2"><c r="A2"><v>`+first+"</v>")) {
			t.Errorf("the second sheet does not begin with %s: %.300s", first, text)
		}
	}
	if raw, _ := sheet(t, file, 1); len(raw) != 12 || raw[0][0] != "n" || raw[11][0] != strconv.Itoa(rows-1) {
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

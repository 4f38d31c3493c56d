package rowreader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// opened returns a file with this content.
func opened(t testing.TB, name, content string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// readRows reads everything and returns one line per row: its number, and its values or its error.
func readRows(t testing.TB, f *File, o Options) []string {
	t.Helper()
	r, err := f.Rows(o)
	if err != nil {
		return []string{err.Error()}
	}
	defer r.Close()
	var list []string
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			return append(list, err.Error())
		}
		if row.Err != nil {
			list = append(list, fmt.Sprintf("%d! %s: %s", row.Line, row.Err.Field, row.Err))
			continue
		}
		list = append(list, fmt.Sprintf("%d %q", row.Line, row.Values))
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"plain":                                   {"a,b\n1,2\n", []string{`2 ["1" "2"]`}},
		"no line end at the end":                  {"a,b\n1,2", []string{`2 ["1" "2"]`}},
		"CRLF, and blank lines":                   {"a,b\r\n\r\n1,2\r\n\n", []string{`3 ["1" "2"]`}},
		"a byte order mark before a quote":        {"\ufeff\"a\",b\n1,2\n", []string{`2 ["1" "2"]`}},
		"quotes, commas, doubled quotes":          {"a,b\n\"1,\"\"x\"\"\",2\n", []string{`2 ["1,\"x\"" "2"]`}},
		"line ends inside quotes":                 {"a,b\n\"1\r\n2\",3\n4,5\n", []string{`2 ["1\r\n2" "3"]`, `4 ["4" "5"]`}},
		"an empty value of the only column":       {"a\n\n1\n", []string{`2 [""]`, `3 ["1"]`}},
		"too few":                                 {"a,b\n1\n2,3\n", []string{"2! : the row has 1 fields, but the header has 2", `3 ["2" "3"]`}},
		"too many":                                {"a,b\n1,2,3\n", []string{"2! : the row has 3 fields, but the header has 2"}},
		"a lone carriage return":                  {"a,b\n1,2\r3,4\n", []string{"2! b: column 4: a lone carriage return; lines end with LF or CRLF"}},
		"NUL":                                     {"a,b\n1,x\x00y\n", []string{"2! b: column 4: a NUL character"}},
		"invalid UTF-8, columns count characters": {"a,b\né,x\xffy\n", []string{"2! b: column 4: the byte 0xFF is not valid UTF-8"}},
		"invalid UTF-8 on a later line":           {"a,b\n\"x\ny\xff\",1\n", []string{"2! a: column 2: the byte 0xFF is not valid UTF-8"}},
		"text after a closing quote":              {"a,b\n\"1\"x,2\n3,4\n", []string{"2! a: column 4: text follows a closing quote; double a quote inside a quoted field", `3 ["3" "4"]`}},
		"a quote in an unquoted field":            {"a,b\n1\"x,2\n", []string{"2! a: column 2: a quote in an unquoted field"}},
		"a quote that never closes":               {"a,b\n1,\"2\n3,4\n", []string{"2! b: column 3: the quote that opens here is never closed", `3 ["3" "4"]`}},
		"a spreadsheet's prefix is removed":       {"a,v\n'=1,'=1\n", []string{`2 ["=1" "'=1"]`}},
		"an empty file":                           {"", []string{"the file is empty; csv starts with a header row"}},
		"carriage returns as line ends":           {"a,b\r1,2\r", []string{"the header row, line 1, cannot be read: column 4: a lone carriage return; lines end with LF or CRLF"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := readRows(t, opened(t, "x.csv", c.content), Options{Fields: []string{"a", "b", "v"}, Verbatim: []string{"v"}})
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// A stray quote swallows text up to the next quoted field, where it becomes invalid. Only its first line is dropped;
// the rest is read again.
func TestCSV_StrayQuoteCostsOneRow(t *testing.T) {
	t.Parallel()
	got := readRows(t, opened(t, "x.csv", "a,b\n1,\"2\n3,4\n5,\"six\"\n7,8\n"), Options{Fields: []string{"a", "b"}})
	want := []string{
		"2! b: column 3: the quote that opens here is never closed",
		`3 ["3" "4"]`, `4 ["5" "six"]`, `5 ["7" "8"]`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestOversized(t *testing.T) {
	t.Parallel()
	field := strings.Repeat("x", MaxField+1)
	record := strings.Repeat("x", MaxRecord+1)
	got := readRows(t, opened(t, "x.csv", "a,b\n1,"+field+"\n1,"+record+"\n\"1\n"+strings.Repeat(strings.Repeat("y", 500)+"\n", 3000)+"3,4\n"), Options{Fields: []string{"a", "b"}})
	if len(got) < 4 {
		t.Fatalf("got %d rows", len(got))
	}
	for i, want := range []string{
		"2! b: column 3: it is 32769 bytes long; a field holds at most 32768",
		"3! : it is longer than 1048576 bytes",
		"4! a: column 1: the quote that opens here is never closed",
	} {
		if got[i] != want {
			t.Errorf("row %d: %s", i, got[i])
		}
	}
	if last := got[len(got)-1]; !strings.HasSuffix(last, `["3" "4"]`) {
		t.Errorf("the last row: %s", last)
	}
}

func TestTSV(t *testing.T) {
	t.Parallel()
	got := readRows(t, opened(t, "x.tsv", "a\tb\n\"1\"\tx\\ty\\\\n\n1\t2\t3\n1\t\x00\n1\t2\r3\n"), Options{Fields: []string{"a", "b"}})
	want := []string{
		`2 ["\"1\"" "x\ty\\n"]`, "3! : the row has 3 fields, but the header has 2",
		"4! b: column 3: a NUL character", "5! b: column 4: a lone carriage return; lines end with LF or CRLF",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	got := readRows(t, opened(t, "x.jsonl", `{"a":1,"b":null}

{"b":["x","y"],"error":"old"}
{"a":{}}
{"a":"\u0000"}
{"a":1} 2
[1]
{"a":1`), Options{Fields: []string{"a", "b"}})
	want := []string{
		`1 ["1" ""]`, `3 ["" "x,y"]`, "4! a: an object is not allowed as a value", "5! a: a NUL character",
		"6! : column 9: it is not a JSON object: there is text after it",
		"7! : column 1: it is not a JSON object: it does not begin with {",
		"8! : column 7: it is not a JSON object: unexpected end of JSON input",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// M11: the reader stops at its limit, inside a record or before the first.
func TestJSON_Truncated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"in a record":                  {`[{"a":"1"},{"a":"2"},{"a"`, "the document is not valid JSON: it ends early at line 1, byte 26"},
		"in the list":                  {"[{\"a\":\"1\"},\n", "the document is not valid JSON: it ends early at line 2, byte 1"},
		"after the list":               {`{"data":{"items":[{"a":"1"}],"total":1}`, "the document is not valid JSON: it ends early at line 1, byte 40"},
		"a missing comma":              {"[{\"a\":\"1\"},\n{\"a\" \"1\"}]", "the document is not valid JSON: line 2, byte 6: invalid character"},
		"a second document":            {`[{"a":"1"}] [{"a":"2"}]`, "unexpected text after the document, at line 1, byte 14"},
		"a long value":                 {"[\n{\"a\":\"" + strings.Repeat("x", 4*MaxRecord) + `"}]`, "line 2, byte 1: a value is longer than a record may be"},
		"a long value before the list": {`{"x":"` + strings.Repeat("x", 4*MaxRecord) + `","data":[]}`, "line 1, byte 6: a value is longer than a record may be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := opened(t, "x.json", c.content)
			if _, err := f.Survey(t.Context(), Options{Fields: []string{"a"}}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %.200v", err)
			}
		})
	}
}

// A pipe can be read repeatedly; a long one is kept in an unlinked file.
func TestPipe(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, 2 * spoolMemory / 1000} {
		line := strings.Repeat("x", 1000) + "\n"
		f, err := Open("-", strings.NewReader("a\n"+strings.Repeat(line, n)))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := readRows(t, f, Options{Format: CSV, Fields: []string{"a"}}); len(got) != n {
				t.Errorf("%d rows of %d", len(got), n)
			}
		}
		f.Close()
	}
}

func TestFileThatIsWrittenTo(t *testing.T) {
	t.Parallel()
	f := opened(t, "x.csv", "a\n1\n")
	if err := os.WriteFile(f.Name, []byte("a\n1\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readRows(t, f, Options{Fields: []string{"a"}}); len(got) != 1 || !strings.Contains(got[0], "was changed while it was read") {
		t.Errorf("got %q", got)
	}
}

// FuzzCSV: whatever the input, reading ends, lines ascend, values are text, and an error file of all readable rows
// yields the same rows.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n"), "csv")
	f.Add([]byte("a,b\n\"1\n\",\"2\"\"\"\r\n\"x"), "csv")
	f.Add([]byte("a\tb\n1\\t\t2\n"), "tsv")
	f.Add([]byte("\xff\xfea\x00,\x00b\x00\n\x00"), "csv")
	f.Add([]byte("{\"a\":\"x\",\"b\":1}\n"), "jsonl")
	f.Add([]byte("[{\"a\":\"x\"},{\"b\":[\"y\"]}]"), "json")
	f.Add([]byte("{\"\":\"x\",\"b\":1}\n"), "")
	f.Fuzz(func(t *testing.T, content []byte, format string) {
		file, err := Open("-", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		o := Options{Format: Format(format), Fields: []string{"a", "b"}}
		r, err := file.Rows(o)
		if err != nil {
			return
		}
		defer r.Close()
		var again bytes.Buffer
		e, err := NewErrorFile(&again, r, "")
		if err != nil {
			t.Fatal(err)
		}
		var rows []Row
		last := int64(0)
		for {
			row, err := r.Next()
			if err != nil {
				break
			}
			if row.Line <= last {
				t.Fatalf("line %d after line %d", row.Line, last)
			}
			last = row.Line
			for _, v := range row.Values {
				if strings.ContainsRune(v, 0) && row.Err == nil {
					t.Fatalf("line %d: a NUL in %q", row.Line, v)
				}
			}
			if row.Err == nil {
				rows = append(rows, row)
				if err := e.Add(row, "why"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 && again.Len() == 0 { // JSON has no header
			return
		}
		copied, err := Open("-", &again)
		if err != nil {
			t.Fatal(err)
		}
		defer copied.Close()
		r2, err := copied.Rows(o)
		if err != nil {
			t.Fatalf("the error file: %v\n%q", err, again.String())
		}
		defer r2.Close()
		for _, want := range rows {
			got, err := r2.Next()
			if err != nil || got.Err != nil {
				t.Fatalf("a row of the error file: %v %v", err, got.Err)
			}
			for i, field := range r.Columns {
				if j := r2.Index(field); field != "" && want.Values[i] != got.Values[j] {
					t.Fatalf("%s: %q became %q", field, want.Values[i], got.Values[j])
				}
			}
		}
	})
}

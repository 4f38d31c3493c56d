package output

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
)

type person struct {
	ID     string          `json:"id"`
	Email  string          `json:"email"`
	Phone  *string         `json:"phone"`
	Before json.RawMessage `json:"before"`
}

// N24: each masked field, alone and in an image, in each format.
func TestMask_EveryFormat(t *testing.T) {
	people := []person{{"1", "ada@example.com", ptr("010-1234-5678"), json.RawMessage(`{"email":"ada@example.com","list":[{"phone":"010-1234-5678"}]}`)}}
	all := View{Table: []string{"email", "phone", "before"}, Wide: []string{"email", "phone", "before"}}
	for _, name := range Formats {
		format := Format(name)
		for _, masked := range []bool{true, false} {
			file := filepath.Join(t.TempDir(), "x")
			p, err := New(Options{Format: format, File: file, Mask: masked})
			if err != nil {
				t.Fatal(err)
			}
			if err := List(p, all, Page[person]{Items: people, Total: 1, Page: 1, PageSize: 1}); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			if format == XLSX {
				book, err := excelize.OpenFile(file)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := book.GetRows(book.GetSheetName(0))
				if err != nil {
					t.Fatal(err)
				}
				text = strings.Join(rows[1], " ")
				_ = book.Close()
			}
			clear := strings.Contains(text, "ada@example.com") || strings.Contains(text, "1234-5678")
			if clear && masked || format != ID && !masked && !clear || format != ID && masked && !strings.Contains(text, "a***@example.com") {
				t.Errorf("%s, masked %t: %s", format, masked, text)
			}
		}
	}
}

// F33: each formula character, ASCII and full-width, and cells with the separator of other languages.
func TestCSVSafe_FormulasAndSeparators(t *testing.T) {
	for cell, want := range map[string]string{
		"=1+1": "'=1+1", "+82": "'+82", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\nx": "\"'\nx\"",
		"＝1+1": "'＝1+1", "＋82": "'＋82", "－1": "'－1", "＠x": "'＠x",
		"x;=1+1;y": `"x;=1+1;y"`, "=1;2": `"'=1;2"`, "plain": "plain", "a=b": "a=b", "한글": "한글",
	} {
		var out strings.Builder
		p, err := New(Options{Format: CSV, CSVSafe: true, NoHeaders: true, Columns: []string{"id", "email"}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		if err := One(p, View{}, person{ID: cell}); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(out.String(), ",\n"); got != want {
			t.Errorf("%q: got %s, want %s", cell, got, want)
		}
	}
}

// M10: an expression without an end is stopped by the time-out and by a signal.
func TestJQ_EndsWithTheContext(t *testing.T) {
	hungUp := fault.New(fault.HungUp, "hung up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(hungUp)
	for _, tc := range []struct {
		o    Options
		code fault.Code
	}{
		{Options{Timeout: time.Millisecond}, fault.Validation},
		{Options{Context: ctx}, fault.HungUp},
	} {
		for _, expression := range []string{"def f: f; f", "[range(1e18)] | length", "last(range(1e18))"} {
			tc.o.JQ, tc.o.Stdout = expression, io.Discard
			p, err := New(tc.o)
			if err != nil {
				t.Fatal(err)
			}
			f, ok := errors.AsType[*fault.Error](One(p, View{}, person{}))
			if !ok || f.Code != tc.code {
				t.Errorf("%s: %v", expression, f)
			}
		}
	}
}

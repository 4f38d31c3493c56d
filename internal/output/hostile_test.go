package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
	"github.com/goccy/go-yaml"

	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// pieces are what hostile strings are made of.
var pieces = []string{
	"\x1b[31m", "\x1b]0;title\x07", "\x1b", "\u009b31m", "\u0085", "\x7f", "\x00", "\a", "\b", "\t", "\n", "\r", "\r\n", "\v", "\f",
	"\u202e", "\u202a", "\u2066", "\u2069", "\u200e", "\u061c", "\u200b", "\u200d", "\u2060", "\ufeff", "\u2028", "\u2029", "\u00ad", "\u3164", "\u115f", "\U000e0041",
	"\xff", "\xc3", "\xed\xa0\x80", "\xf0\x9f", "\ufffe", "\uffff", "\ufffd", "\U0001fffe",
	",", `"`, `""`, "'", `\`, `\n`, `\.`, " ", "  ", "=", "+", "-", "@", "|", "{", "}", "[", "]", "&", "*", "!", "%", ":", ": ", " #", "#", "- ", "---", "...", "?", "<", ">", "~", "`",
	"true", "No", "null", "1", "0x1f", "1e3", "1_000", "12:30:45", "2026-07-01", ".inf", "<<", "=",
	"a", "é", "e\u0301", "\u0301", "\u0600", "ß", "İ", "홍", "\u1112\u1169\u11bc", "\u1112", "길동", "漢字", "ｱ", "Ａ", "ไทย", "กำ", "हिन्दी", "العربية", "👍", "👍🏽", "🇰🇷", "👩‍💻", "❤️", "1️⃣", "…", "─", "\u00a0", "\u3000",
}

func hostile(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(8) {
		if rng.IntN(6) == 0 {
			b.WriteRune(rune(rng.IntN(unicode.MaxRune)))
		} else {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
	}
	return b.String()
}

type line struct {
	A string  `json:"a"`
	B string  `json:"b"`
	C *string `json:"c"`
}

// valid is what a text format can hold of s: PostgreSQL stores only that anyway.
func valid(s string) string {
	var b strings.Builder
	for i, size := 0, 0; i < len(s); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(s[i:])
		b.WriteRune(r)
	}
	return b.String()
}

func raw(s string, keep string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return isHidden(r) && !strings.ContainsRune(keep, r) })
}

func TestHostileStrings(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	count := torture.Count(10_000, 10_000, 2_000)
	torture.Report(t, 8, "hostile strings in each format and in messages").Attempts.Add(int64(3 * count))
	rows := make([]line, count)
	for i := range rows {
		rows[i] = line{hostile(rng), hostile(rng), ptr(hostile(rng))}
	}
	render := func(o Options) string {
		return printed(t, o, func(p *Printer) error {
			_, err := Stream(p, View{}, seq(rows, nil))
			return err
		})
	}
	type document struct {
		Data struct{ Items []line }
	}
	same := func(t *testing.T, got []line) {
		t.Helper()
		if len(got) != count {
			t.Fatalf("%d rows came back", len(got))
		}
		for i, r := range rows {
			if got[i].A != valid(r.A) || got[i].B != valid(r.B) || *got[i].C != valid(*r.C) {
				t.Fatalf("row %d: %q %q %q came back as %q %q %q", i, r.A, r.B, *r.C, got[i].A, got[i].B, *got[i].C)
			}
		}
	}

	t.Run("table", func(t *testing.T) {
		for _, term := range []Terminal{{}, {IsTTY: true, Width: 50}} {
			out := render(Options{Terminal: term})
			if raw(out, "\n") {
				t.Error("a raw control character")
			}
			if n := strings.Count(out, "\n"); n != count+1 && !term.IsTTY {
				t.Errorf("%d lines", n)
			}
			for i := 0; i < count; i += 500 {
				out := printed(t, Options{Terminal: term}, func(p *Printer) error {
					return List(p, View{}, Page[line]{Items: rows[i : i+100]})
				})
				if w := tableWidth(out); raw(out, "\n") || term.IsTTY && w > term.Width {
					t.Errorf("page %d: %d wide", i, w)
				}
			}
		}
	})
	t.Run("json", func(t *testing.T) {
		out := render(Options{Format: JSON})
		if strings.ContainsFunc(out, func(r rune) bool { return isActive(r) && r != '\n' }) {
			t.Error("a raw control character")
		}
		var doc document
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatal(err)
		}
		same(t, doc.Data.Items)
	})
	t.Run("jsonl", func(t *testing.T) {
		var got []line
		for s := range strings.Lines(render(Options{Format: JSONL})) {
			var l line
			if err := json.Unmarshal([]byte(s), &l); err != nil {
				t.Fatal(err)
			}
			got = append(got, l)
		}
		same(t, got)
	})
	t.Run("yaml", func(t *testing.T) {
		var doc document
		if err := yaml.Unmarshal([]byte(render(Options{Format: YAML})), &doc); err != nil {
			t.Fatal(err)
		}
		same(t, doc.Data.Items)
	})
	t.Run("csv", func(t *testing.T) {
		all, err := csv.NewReader(strings.NewReader(render(Options{Format: CSV}))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rows {
			for c, s := range []string{r.A, r.B, *r.C} {
				if want := readCSV(s); all[i+1][c] != want {
					t.Fatalf("row %d: %q came back as %q", i, want, all[i+1][c])
				}
			}
		}
	})
	t.Run("tsv", func(t *testing.T) {
		unescape := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")
		all := strings.Split(render(Options{Format: TSV}), "\n")
		for i, r := range rows {
			cells := strings.Split(all[i+1], "\t")
			if len(cells) != 3 || unescape.Replace(cells[0]) != valid(r.A) {
				t.Fatalf("row %d: %q", i, cells)
			}
		}
	})
	t.Run("on a terminal", func(t *testing.T) {
		for _, o := range []Options{{Format: CSV}, {Format: TSV}, {Format: JSONL, JQ: ".a, .b"}, {Format: JSON, JQ: ".data"}} {
			o.Terminal = Terminal{IsTTY: true, Width: 80}
			if o.Format == JSON {
				if out := render(o); strings.ContainsFunc(out, func(r rune) bool { return isActive(r) && r != '\n' }) {
					t.Error("a raw control character in jq's json")
				}
			} else if raw(render(o), "\n\t") {
				t.Errorf("a raw control character in %s%s", o.Format, o.JQ)
			}
		}
	})
	t.Run("messages", func(t *testing.T) {
		for _, r := range rows {
			var out bytes.Buffer
			WriteError(&out, Table, fault.New(fault.NotFound, "user %s not found", r.A).WithHint("%s", r.B), Terminal{})
			if n := strings.Count(out.String(), "\n"); raw(out.String(), "\n") || n > 2 {
				t.Fatalf("%q", &out)
			}
		}
	})
}

// readCSV is s as encoding/csv reads it: it takes a line end of \r\n, in quotes too, for \n.
func readCSV(s string) string { return strings.ReplaceAll(valid(s), "\r\n", "\n") }

func TestSanitize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ada": "ada", "a\x1b[31mb\n\t\r\x00\x7f": `a\x1b[31mb\n\t\r\x00\x7f`, "\u009b\u202e\u2028": `\u009b\u202e\u2028`,
		"ad\u200bmin\ufeff": `ad\u200bmin\ufeff`, "\xffü\xc3": `\xffü\xc3`, "홍길동 👍": "홍길동 👍", "\U000e0041": `\U000e0041`, `\n`: `\n`, "\u3164": `\u3164`,
	} {
		if got := Sanitize(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// The first chunk determines the widths. Off a terminal nothing is cut: a late wide cell widens its column.
func TestTable_Chunks(t *testing.T) {
	t.Parallel()
	items := make([]line, 5000)
	for i := range items {
		items[i] = line{A: fmt.Sprint("user", i), B: "b"}
	}
	items[4999].A = strings.Repeat("漢", 100)
	call := func(p *Printer) error { return List(p, View{}, Page[line]{Items: items}) }
	out := printed(t, Options{}, call)
	first, last := strings.Index(out, "user1000 "), strings.Index(out, "user4000 ")
	if w := tableWidth(out[:first]); w != len("user999  B  C") {
		t.Errorf("the first chunk is %d wide", w)
	}
	if w := tableWidth(out[last:]); w != 200+2+1 || !strings.Contains(out, items[4999].A) {
		t.Errorf("the last chunk is %d wide", w)
	}
	out = printed(t, Options{Terminal: Terminal{IsTTY: true, Width: 30}}, call)
	if !strings.Contains(out, "\nuser1000  b\n") || !strings.Contains(out, items[4999].A) {
		t.Error("a key is cut on a terminal")
	}
}

func FuzzSanitize(f *testing.F) {
	for _, s := range pieces {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Sanitize(s)
		if raw(got, "") {
			t.Errorf("%q gives %q", s, got)
		}
		if Sanitize(got) != got {
			t.Errorf("%q changes twice", s)
		}
		if displaywidth.String(displayed(s)) < 0 {
			t.Errorf("%q has no width", s)
		}
	})
}

func FuzzCSV(f *testing.F) {
	for i, s := range pieces {
		f.Add(s, pieces[len(pieces)-1-i])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, cells := range [][]string{{a, b}, {a}} {
			var text []byte
			for i, c := range cells {
				if i > 0 {
					text = append(text, ',')
				}
				text = new(Printer).appendCSV(text, []byte(c), len(cells) == 1)
			}
			r := csv.NewReader(bytes.NewReader(append(text, '\n')))
			got, err := r.Read()
			if err != nil || len(got) != len(cells) {
				t.Fatalf("%q: %q, %v", text, got, err)
			}
			for i, c := range cells {
				if got[i] != readCSV(c) {
					t.Errorf("%q came back as %q", c, got[i])
				}
			}
			if _, err := r.Read(); err != io.EOF {
				t.Errorf("%q has more than a row: %v", text, err)
			}
		}
	})
}

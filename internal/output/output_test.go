package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
)

// stamp is a time-like type of a domain package: it marshals as text.
type stamp string

func (s stamp) MarshalText() ([]byte, error) { return []byte(s), nil }

type record struct {
	ID       uuid.UUID       `json:"id"`
	Username string          `json:"username"`
	FullName string          `json:"full_name"`
	Phone    *string         `json:"phone"`
	Status   string          `json:"status"`
	MFA      bool            `json:"mfa_enabled"`
	Attempts int32           `json:"failed_login_attempts"`
	Storage  *int64          `json:"used_storage"`
	Total    *money.Amount   `json:"total_amount"`
	Created  stamp           `json:"created_at"`
	Login    *time.Time      `json:"last_login_at"`
	Before   json.RawMessage `json:"before"`
	Tags     []string        `json:"tags"`
	Secret   string          `json:"-"`
	hidden   string
}

var (
	view  = View{Table: []string{"username", "full_name", "status", "created_at"}, Wide: []string{"id", "username", "phone", "status", "created_at"}}
	epoch = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
)

func ptr[T any](v T) *T { return &v }

func amount(s string) *money.Amount {
	a, err := money.Parse(s)
	if err != nil {
		panic(err)
	}
	return &a
}

func records() []record {
	return []record{
		{
			ID: uuid.MustParse("0190a1b2-c3d4-7000-8000-000000000001"), Username: "ada", FullName: "Ada, \"Countess\" Lovelace",
			Phone: ptr("+44 20"), Status: "ACTIVE", MFA: true, Attempts: 3, Storage: ptr(int64(9007199254740993)),
			Total: amount("12000.0000"), Created: "2026-06-28T12:00:00Z", Login: ptr(time.Date(2026, 7, 1, 12, 0, 0, 5000, time.FixedZone("KST", 9*3600))),
			Before: json.RawMessage(`{"b": 1.10, "a": "<x>"}`), Tags: []string{"x", "y"}, Secret: "s3cret", hidden: "s3cret",
		},
		{
			ID: uuid.MustParse("f190a1b2-c3d4-7000-8000-000000000002"), Username: "홍길동", FullName: "e\u0301\t👍\\",
			Status: "LOCKED", Created: "2026-07-01T11:00:00Z",
		},
	}
}

func printed(t *testing.T, o Options, call func(p *Printer) error) string {
	t.Helper()
	var out bytes.Buffer
	o.Stdout = &out
	p, err := New(o)
	if err == nil {
		err = call(p)
	}
	if err != nil {
		t.Fatalf("%+v: %v", o.Format, err)
	}
	return out.String()
}

func list(p *Printer) error {
	return List(p, view, Page[record]{Items: records(), Total: 1003, Page: 1, PageSize: 20})
}

func one(p *Printer) error { return One(p, view, records()[0]) }

func seq[T any](items []T, end error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if end != nil {
			var zero T
			yield(zero, end)
		}
	}
}

func stream(p *Printer) error {
	_, err := Stream(p, view, seq(records(), nil))
	return err
}

func none(p *Printer) error {
	_, err := Stream(p, view, seq([]record(nil), nil))
	return err
}

const (
	adaJSON  = `{"id":"0190a1b2-c3d4-7000-8000-000000000001","username":"ada","full_name":"Ada, \"Countess\" Lovelace","phone":"+44 20","status":"ACTIVE","mfa_enabled":true,"failed_login_attempts":3,"used_storage":9007199254740993,"total_amount":"12000.0000","created_at":"2026-06-28T12:00:00Z","last_login_at":"2026-07-01T03:00:00.000005Z","before":{"b":1.10,"a":"<x>"},"tags":["x","y"]}`
	hongJSON = `{"id":"f190a1b2-c3d4-7000-8000-000000000002","username":"홍길동","full_name":"e` + "\u0301" + `\t👍\\","phone":null,"status":"LOCKED","mfa_enabled":false,"failed_login_attempts":0,"used_storage":null,"total_amount":null,"created_at":"2026-07-01T11:00:00Z","last_login_at":null,"before":null,"tags":null}`
	header   = `id,username,full_name,phone,status,mfa_enabled,failed_login_attempts,used_storage,total_amount,created_at,last_login_at,before,tags`
	adaCSV   = `0190a1b2-c3d4-7000-8000-000000000001,ada,"Ada, ""Countess"" Lovelace",+44 20,ACTIVE,true,3,9007199254740993,12000.0000,2026-06-28T12:00:00Z,2026-07-01T03:00:00.000005Z,"{""b"":1.10,""a"":""<x>""}","[""x"",""y""]"`
)

func TestFormats(t *testing.T) {
	t.Parallel()
	tty := Terminal{IsTTY: true, Width: 100, Now: epoch}
	small := []string{"username", "phone"}
	for _, tc := range []struct {
		name string
		o    Options
		call func(*Printer) error
		want string
	}{
		{"json list", Options{Format: JSON}, list, `{"success":true,"data":{"items":[` + adaJSON + "," + hongJSON + `],"total":1003,"page":1,"page_size":20,"total_pages":51},"error":null}` + "\n"},
		{"json stream", Options{Format: JSON, Columns: small}, stream, `{"success":true,"data":{"items":[{"username":"ada","phone":"+44 20"},{"username":"홍길동","phone":null}],"total":2,"page":1,"page_size":2,"total_pages":1},"error":null}` + "\n"},
		{"json of nothing", Options{Format: JSON}, none, `{"success":true,"data":{"items":[],"total":0,"page":1,"page_size":0,"total_pages":0},"error":null}` + "\n"},
		{"json one", Options{Format: JSON}, one, `{"success":true,"data":` + adaJSON + `,"error":null}` + "\n"},
		{"jsonl", Options{Format: JSONL}, stream, adaJSON + "\n" + hongJSON + "\n"},
		{"jsonl one", Options{Format: JSONL}, one, adaJSON + "\n"},
		{"csv", Options{Format: CSV}, list, header + "\n" + adaCSV + "\n" + `f190a1b2-c3d4-7000-8000-000000000002,홍길동,e` + "\u0301\t" + `👍\,,LOCKED,false,0,,,2026-07-01T11:00:00Z,,,` + "\n"},
		{"csv one", Options{Format: CSV}, one, header + "\n" + adaCSV + "\n"},
		{"csv with a byte order mark", Options{Format: CSV, CSVBOM: true, Columns: small}, none, "\uFEFFusername,phone\n"},
		{"csv that is safe", Options{Format: CSV, CSVSafe: true, NoHeaders: true, Columns: small}, list, "ada,'+44 20\n홍길동,\n"},
		{"csv of one empty cell", Options{Format: CSV, Columns: []string{"phone"}}, list, "phone\n+44 20\n\"\"\n"},
		{"tsv", Options{Format: TSV, Columns: []string{"full_name", "used_storage"}}, list, "full_name\tused_storage\nAda, \"Countess\" Lovelace\t9007199254740993\ne\u0301\\t👍\\\\\t\n"},
		{"id", Options{Format: ID}, list, "0190a1b2-c3d4-7000-8000-000000000001\nf190a1b2-c3d4-7000-8000-000000000002\n"},
		{"yaml", Options{Format: YAML, Columns: []string{"id", "username", "full_name", "phone", "mfa_enabled", "used_storage", "created_at", "before", "tags"}}, list, `success: true
data:
  items:
    - id: 0190a1b2-c3d4-7000-8000-000000000001
      username: ada
      full_name: "Ada, \"Countess\" Lovelace"
      phone: "+44 20"
      mfa_enabled: true
      used_storage: 9007199254740993
      created_at: "2026-06-28T12:00:00Z"
      before:
        b: 1.10
        a: "<x>"
      tags:
        - x
        - "y"
    - id: f190a1b2-c3d4-7000-8000-000000000002
      username: 홍길동
      full_name: "e` + "\u0301" + `\t👍\\"
      phone: null
      mfa_enabled: false
      used_storage: null
      created_at: "2026-07-01T11:00:00Z"
      before: null
      tags: null
  total: 1003
  page: 1
  page_size: 20
  total_pages: 51
error: null
`},
		{"yaml of nothing", Options{Format: YAML}, none, "success: true\ndata:\n  items: []\n  total: 0\n  page: 1\n  page_size: 0\n  total_pages: 0\nerror: null\n"},
		{"yaml one", Options{Format: YAML, Columns: small}, one, "success: true\ndata:\n  username: ada\n  phone: \"+44 20\"\nerror: null\n"},
		{"table", Options{Format: Table}, list, `USERNAME  FULL_NAME                 STATUS  CREATED_AT
ada       Ada, "Countess" Lovelace  ACTIVE  2026-06-28T12:00:00Z
홍길동    é\t👍\                    LOCKED  2026-07-01T11:00:00Z
`},
		{"table without a header", Options{Columns: small, NoHeaders: true}, list, "ada     +44 20\n홍길동\n"},
		{"table of nothing", Options{Format: Table}, none, ""},
		{"table on a terminal", Options{Format: Table, Terminal: tty}, list, `USERNAME  FULL_NAME                 STATUS  CREATED_AT
ada       Ada, "Countess" Lovelace  ACTIVE  3 days ago
홍길동    é\t👍\                    LOCKED  1 hour ago
`},
		{"table on a narrow terminal", Options{Format: Table, Terminal: Terminal{IsTTY: true, Width: 43, Now: epoch}}, list, `USERNAME  FULL_NAME      STATUS  CREATED_AT
ada       Ada, "Counte…  ACTIVE  3 days ago
홍길동    é\t👍\         LOCKED  1 hour ago
`},
		{"table on a narrower terminal", Options{Format: Table, Terminal: Terminal{IsTTY: true, Width: 41, Now: epoch}}, list, `USERNAME  FULL_NAME                STATUS
ada       Ada, "Countess" Lovela…  ACTIVE
홍길동    é\t👍\                   LOCKED
`},
		{"wide on a narrow terminal is never cut", Options{Format: Wide, Terminal: Terminal{IsTTY: true, Width: 50, Now: epoch}}, list, `id          0190a1b2-c3d4-7000-8000-000000000001
username    ada
phone       +44 20
status      ACTIVE
created_at  2026-06-28T12:00:00Z

id          f190a1b2-c3d4-7000-8000-000000000002
username    홍길동
phone
status      LOCKED
created_at  2026-07-01T11:00:00Z
`},
		{"wide on a terminal keeps times exact", Options{Format: Wide, Terminal: tty}, list, `ID                                    USERNAME  PHONE   STATUS  CREATED_AT
0190a1b2-c3d4-7000-8000-000000000001  ada       +44 20  ACTIVE  2026-06-28T12:00:00Z
f190a1b2-c3d4-7000-8000-000000000002  홍길동            LOCKED  2026-07-01T11:00:00Z
`},
		{"colour of a status", Options{Columns: []string{"status", "username"}, Terminal: Terminal{Color: true}}, list, "STATUS  USERNAME\n\x1b[32mACTIVE\x1b[0m  ada\n\x1b[31mLOCKED\x1b[0m  홍길동\n"},
		{"table one", Options{Format: Table, Columns: []string{"username", "phone", "last_login_at", "before", "tags"}}, one, `FIELD          VALUE
username       ada
phone          +44 20
last_login_at  2026-07-01T03:00:00.000005Z
before         {"b":1.10,"a":"<x>"}
tags           x, y
`},
		{"table one on a terminal", Options{Columns: []string{"status", "created_at"}, Terminal: tty}, one, "FIELD       VALUE\nstatus      ACTIVE\ncreated_at  2026-06-28T12:00:00Z (3 days ago)\n"},
		{"jq", Options{JQ: `.data.items[] | .username, .used_storage, .phone, {b: .tags}`}, list, "ada\n9007199254740993\n+44 20\n{\"b\":[\"x\",\"y\"]}\n홍길동\nnull\nnull\n{\"b\":null}\n"},
		{"jq on each record", Options{Format: JSONL, JQ: `.before.b`}, list, "1.10\nnull\n"},
		{"jq on one", Options{JQ: `.data.total_amount`}, one, "12000.0000\n"},
		{"jq sees no environment", Options{JQ: `$ENV | length`}, one, "0\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := printed(t, tc.o, tc.call); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// On a terminal, JSON is the same document with a line per member.
func TestJSON_IndentedOnTerminal(t *testing.T) {
	t.Parallel()
	next := "n\x1b\"1"
	calls := map[string]func(p *Printer) error{
		"one": func(p *Printer) error { return One(p, view, records()[0]) },
		"list": func(p *Printer) error {
			return List(p, view, Page[record]{Items: records(), Total: 2, Page: 1, PageSize: 20})
		},
		"slice": func(p *Printer) error {
			return List(p, view, Page[record]{Items: records()[:1], PageSize: 1, Next: &next})
		},
		"empty": func(p *Printer) error { return List(p, view, Page[record]{Page: 1, PageSize: 20}) },
	}
	for name, call := range calls {
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(printed(t, Options{Format: JSON}, call)), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got := printed(t, Options{Format: JSON, Terminal: Terminal{IsTTY: true, Width: 80}}, call); got != want.String() {
			t.Errorf("%s is %s, want %s", name, got, want.String())
		}
	}
	var out bytes.Buffer
	WriteError(&out, JSON, fault.New(fault.NotFound, "none").With("username", "bob"), Terminal{IsTTY: true})
	if want := "{\n  \"success\": false,\n"; !strings.HasPrefix(out.String(), want) || !strings.HasSuffix(out.String(), "\n}\n") {
		t.Errorf("the error is %s", out.String())
	}
}

func TestNew_Refusals(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		o          Options
	}{
		{"format", `unknown output format "xml"`, Options{Format: "xml"}},
		{"jq with a table", "--jq cannot be used with --output table", Options{Format: Table, JQ: "."}},
		{"jq that is none", "--jq is not a valid jq expression: unexpected EOF", Options{JQ: ".["}},
		{"jq that asks for input", "--jq cannot be compiled: input", Options{JQ: "input"}},
		{"jq that loads a module", "--jq cannot be compiled", Options{JQ: `import "m" as m; .`}},
		{"jq that halts", "--jq failed: halt", Options{JQ: "halt"}},
		{"jq that fails", "--jq failed: cannot iterate over: boolean (true)", Options{JQ: ".success[]"}},
		{"column", `unknown column "nope"`, Options{Columns: []string{"id", "nope"}}},
		{"hidden column", `unknown column "Secret"`, Options{Columns: []string{"Secret"}}},
		{"column twice", `column "id" is named twice`, Options{Columns: []string{"id", " id"}}},
		{"column of another format", `unknown column "nope"`, Options{Format: ID, Columns: []string{"nope"}}},
		{"folder", "is a directory", Options{File: t.TempDir()}},
		{"file in no folder", "no such file or directory", Options{File: t.TempDir() + "/no/x.csv"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			tc.o.Stdout = &out
			p, err := New(tc.o)
			if err == nil {
				err = list(p)
			}
			code := fault.Validation
			if strings.Contains(tc.want, "cannot be used") { // flags that exclude each other
				code = fault.Usage
			}
			if strings.Contains(tc.want, "no such file") || tc.want == "is a directory" {
				code = fault.IO
			}
			if !fault.Is(err, code) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a %s with %q", err, code, tc.want)
			}
			if out.Len() > 0 {
				t.Errorf("printed %q", &out)
			}
		})
	}
	p, err := New(Options{Format: ID, Stdout: io.Discard})
	if err == nil {
		err = One(p, View{}, struct{ Name string }{"x"})
	}
	if !fault.Is(err, fault.Usage) {
		t.Errorf("an id of a record without one: %v", err)
	}
	err = CheckColumns[record]([]string{"x"})
	if want := "valid columns: " + strings.ReplaceAll(header, ",", ", "); fault.From(err).Hint != want {
		t.Errorf("hint %q, want %q", fault.From(err).Hint, want)
	}
	if err := CheckColumns[record](Fields[record]()); err != nil {
		t.Error(err)
	}
}

// A record of another package's type in a wrapper, as lists over several tenants print it.
func TestFields_EmbeddedRecord(t *testing.T) {
	t.Parallel()
	type inner struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	type outer struct {
		Tenant string `json:"tenant"`
		inner
	}
	if got := strings.Join(Fields[outer](), ","); got != "tenant,id,name" {
		t.Errorf("fields %s", got)
	}
	got := printed(t, Options{Format: JSONL}, func(p *Printer) error { return One(p, View{}, outer{"acme", inner{7, "x"}}) })
	if want := `{"tenant":"acme","id":7,"name":"x"}` + "\n"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestStream_Error(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	for _, tc := range []struct {
		format Format
		want   string
	}{
		{CSV, "username\nada\n홍길동\n"}, {JSONL, "{\"username\":\"ada\"}\n{\"username\":\"홍길동\"}\n"}, {JSON, ""}, {YAML, ""}, {Table, ""},
	} {
		var out bytes.Buffer
		p, err := New(Options{Format: tc.format, Columns: []string{"username"}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		n, err := Stream(p, view, seq(records(), lost))
		if !errors.Is(err, lost) || n != 2 || out.String() != tc.want {
			t.Errorf("%s: %d, %v, %q", tc.format, n, err, &out)
		}
		out.Reset()
		if _, err := Stream(p, view, seq([]record(nil), lost)); !errors.Is(err, lost) || out.Len() > 0 {
			t.Errorf("%s, before the first row: %v, %q", tc.format, err, &out)
		}
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	err := fault.New(fault.NotFound, "user %q not found\n\x1b[31m", "bob").WithHint("see <users list>").With("username", "bob")
	for _, tc := range []struct {
		name   string
		format Format
		err    error
		term   Terminal
		want   string
	}{
		{"text", Table, err, Terminal{}, `cxgctl: error: user "bob" not found\n\x1b[31m` + "\ncxgctl: hint: see <users list>\n"},
		{"no format yet", "", errors.New("boom"), Terminal{}, "cxgctl: error: boom\n"},
		{"colour", CSV, errors.New("boom"), Terminal{Color: true}, "cxgctl: \x1b[31merror:\x1b[0m boom\n"},
		{"json", JSON, err, Terminal{}, `{"success":false,"data":null,"error":{"code":"RESOURCE_NOT_FOUND","message":"user \"bob\" not found\n\u001b[31m","detail":{"username":"bob"},"hint":"see <users list>"}}` + "\n"},
		{"jsonl without detail", JSONL, errors.New("boom"), Terminal{}, `{"success":false,"data":null,"error":{"code":"INTERNAL_ERROR","message":"boom","detail":null}}` + "\n"},
		{"yaml", YAML, fault.New(fault.Usage, "no"), Terminal{}, "success: false\ndata: null\nerror:\n  code: USAGE_ERROR\n  message: \"no\"\n  detail: null\n"},
		{"detail that cannot be told", JSON, fault.New(fault.Usage, "no").With("f", func() {}), Terminal{}, `{"success":false,"data":null,"error":{"code":"USAGE_ERROR","message":"no","detail":null}}` + "\n"},
		{"nothing", JSON, nil, Terminal{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			WriteError(&out, tc.format, tc.err, tc.term)
			if out.String() != tc.want {
				t.Errorf("got\n%s\nwant\n%s", &out, tc.want)
			}
		})
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 4683: "4,683", -1234567: "-1,234,567", -123: "-123", 100000: "100,000"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestRelativeTime(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "just now", time.Minute: "1 minute ago", -2 * time.Hour: "in 2 hours", 24 * time.Hour: "1 day ago",
		65 * 24 * time.Hour: "2 months ago", 800 * 24 * time.Hour: "2 years ago", -30 * time.Second: "just now",
		// N27: rounded, so that a second makes no hour's difference
		-8 * time.Hour: "in 8 hours", -8*time.Hour + time.Second: "in 8 hours", -90 * 24 * time.Hour: "in 3 months",
		-90*24*time.Hour + time.Second: "in 3 months", -30*time.Minute + time.Second: "in 30 minutes",
		-time.Hour + time.Second: "in 1 hour", -24*time.Hour + time.Second: "in 1 day", 364 * 24 * time.Hour: "1 year ago",
	} {
		if got := relativeTime(epoch.Add(-d), epoch); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestDetectTerminal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		env, color string
		want       bool
	}{
		{"", "", false},
		{"CLICOLOR_FORCE=1", "", true},
		{"CLICOLOR_FORCE=0", "auto", false},
		{"CLICOLOR_FORCE=1 NO_COLOR=1", "", false},
		{"CLICOLOR_FORCE=1 TERM=dumb", "", true},
		{"NO_COLOR=1", "always", true},
		{"CLICOLOR_FORCE=1", "never", false},
	} {
		term := DetectTerminal(&bytes.Buffer{}, func(name string) string {
			for pair := range strings.FieldsSeq(tc.env) {
				if k, v, _ := strings.Cut(pair, "="); k == name {
					return v
				}
			}
			return ""
		}, tc.color)
		if term.Color != tc.want || term.IsTTY {
			t.Errorf("%q: %+v", tc.env, term)
		}
	}
}

// tableWidth returns the width of the widest line.
func tableWidth(table string) (width int) {
	for line := range strings.Lines(table) {
		width = max(width, displaywidth.String(strings.TrimSuffix(line, "\n")))
	}
	return width
}

type payment struct {
	Name     string        `json:"name"`
	Note     string        `json:"note"`
	Total    *money.Amount `json:"total" table:"sum"`
	Currency string        `json:"currency" table:"currency"`
	Count    int           `json:"count"`
	Rate     *money.Amount `json:"rate" table:"percent" heading:"PAID"`
}

var payments = []payment{
	{"acme", "a note of some length", amount("1751304.0000"), "KRW", 1234567, amount("0.8690")},
	{"beta", "", amount("47684.0500"), "USD", 2, nil},
	{"gamma", "", amount("0.5000"), "KRW", 3, amount("1.0000")},
	{"delta", "", nil, "XX", -4000, nil},
}

// B-1, B-5, N42: numbers are right-aligned and never cut, with thousands and the decimals of their currency. Columns are
// left out from the end, and named. If not even the keys fit, each field is on a line.
func TestTable_Numbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		width       int
		want, notes string
	}{
		{0, `NAME   NOTE                       TOTAL  CURRENCY      COUNT     PAID
acme   a note of some length  1,751,304  KRW       1,234,567   86.9 %
beta                          47,684.05  USD               2
gamma                                 1  KRW               3  100.0 %
delta                                    XX           -4,000
TOTAL                         1,751,305  KRW
`, ""},
		{54, `NAME   NOTE                 TOTAL  CURRENCY      COUNT
acme   a note of some…  1,751,304  KRW       1,234,567
beta                    47,684.05  USD               2
gamma                           1  KRW               3
delta                              XX           -4,000
TOTAL                   1,751,305  KRW
`, "1 column left out: PAID (see -o wide)"},
		{12, `name      acme
note      a note of some length
total     1,751,304
currency  KRW
count     1,234,567
rate      86.9 %

name      beta
`, ""},
	} {
		var notes []string
		o := Options{Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }}
		if c.width > 0 {
			o.Terminal = Terminal{IsTTY: true, Width: c.width}
		}
		got := printed(t, o, func(p *Printer) error {
			return List(p, View{}, Page[payment]{Items: payments, Total: 4})
		})
		if !strings.HasPrefix(got, c.want) || strings.Join(notes, "\n") != c.notes {
			t.Errorf("in %d columns it prints\n%s%q", c.width, got, notes)
		}
	}
	got := printed(t, Options{Format: CSV}, func(p *Printer) error { return List(p, View{}, Page[payment]{Items: payments[:1]}) })
	if want := "name,note,total,currency,count,rate\nacme,a note of some length,1751304.0000,KRW,1234567,0.8690\n"; got != want {
		t.Errorf("csv is not exact: %s", got)
	}
}

func TestTable_TotalOfPage(t *testing.T) {
	t.Parallel()
	got := printed(t, Options{}, func(p *Printer) error { return List(p, View{}, Page[payment]{Items: payments, Total: 5}) })
	if !strings.Contains(got, "\nPAGE TOTAL ") {
		t.Errorf("it prints\n%s", got)
	}
	got = printed(t, Options{NoHeaders: true}, func(p *Printer) error { return List(p, View{}, Page[payment]{Items: payments, Total: 4}) })
	if strings.Contains(got, "TOTAL") {
		t.Errorf("without a header it prints\n%s", got)
	}
}

func TestTable_NothingFound(t *testing.T) {
	t.Parallel()
	var note string
	o := Options{Note: func(format string, args ...any) { note = fmt.Sprintf(format, args...) }}
	got := printed(t, o, func(p *Printer) error { return List(p, View{Name: "users"}, Page[payment]{}) })
	if got != "" || note != "no users found" {
		t.Errorf("%q, note %q", got, note)
	}
}

func TestTable_Usernames(t *testing.T) {
	t.Parallel()
	type made struct {
		Name string     `json:"name"`
		By   *uuid.UUID `json:"created_by" table:"user"`
	}
	id := records()[0].ID
	items := []made{{"x", &id}, {"y", nil}}
	for terminal, want := range map[bool][2]string{
		true:  {"x     ada", "created_by  " + id.String() + " (ada)"},
		false: {"x     " + id.String(), "created_by  " + id.String()},
	} {
		o := Options{Terminal: Terminal{IsTTY: terminal, Width: 100}}
		named := func(p *Printer) *Printer {
			p.Usernames = func(ids []string) map[string]string { return map[string]string{ids[0]: "ada"} }
			return p
		}
		list := printed(t, o, func(p *Printer) error { return List(named(p), View{}, Page[made]{Items: items, Total: 2}) })
		single := printed(t, o, func(p *Printer) error { return One(named(p), View{}, items[0]) })
		if !strings.Contains(list, "\n"+want[0]+"\n") || !strings.Contains(single, "\n"+want[1]+"\n") {
			t.Errorf("on a terminal (%t):\n%s%s", terminal, list, single)
		}
	}
}

// Lines break between words, except where one is too long for a line, and not after the name of a field.
func TestFold_BreaksBetweenWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"updated invoice INV-1 (018b8830-1b40)\n":             "updated invoice INV-1\n    (018b8830-1b40)\n",
		"  note: \x1b[31m\"one two\"\x1b[0m → \"three four\"": "  note: \x1b[31m\"one two\"\x1b[0m → \"three\n    four\"\n",
		"    a/path/that/is/wider/than/the/screen":            "    a/path/that/is/wider/tha\n    n/the/screen\n",
		"  a b/path/that/is/wider/than/the/screen":            "  a b/path/that/is/wider/tha\n    n/the/screen\n",
		"이름 가나다라마바사 아자차카타파하거너더":                               "이름 가나다라마바사\n    아자차카타파하거너더\n",
		"short   \n": "short\n",
	} {
		if got := (Terminal{IsTTY: true, Width: 28}).Fold(text, 4); got != want {
			t.Errorf("%q becomes\n%s\nwant\n%s", text, got, want)
		}
	}
}

// Messages break between words, not in them and not in a command that is to be copied.
func TestMessage_BreaksBetweenWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"3 columns left out: A, B (see -o wide)":               "3 columns left out: A, B (see\n  -o wide)",
		"fits on a line of thirty  cols.":                      "fits on a line of thirty  cols.",
		"deleted user ada (undo: cxgctl audit undo 01a2-ed66)": "deleted user ada (undo:\n  cxgctl audit undo 01a2-ed66)",
		"write one (cxgctl config init); or else do without":   "write one (cxgctl config init);\n  or else do without",
		"run: cxgctl users list --status LOCKED --search kang": "run:\n  cxgctl users list --status LOCKED --search kang",
		"cxgctl: \x1b[31merror:\x1b[0m user \"강은지\" not found": "cxgctl: \x1b[31merror:\x1b[0m user \"강은지\"\n  not found",
		"  + index users_search_index: concurrently":           "  + index users_search_index:\n    concurrently",
		"/a/path/that/is/wider/than/the/screen: not found":     "/a/path/that/is/wider/than/the/screen:\n  not found",
		"delete 2 users: u1, u2 (db1/mgmt)? [y/N] ":            "delete 2 users: u1, u2\n  (db1/mgmt)? [y/N] ",
	} {
		if got := (Terminal{IsTTY: true, Width: 31}).Message(text); got != want {
			t.Errorf("%q becomes\n%s\nwant\n%s", text, got, want)
		}
		if got := (Terminal{}).Message(text); got != text {
			t.Errorf("off a terminal %q becomes %q", text, got)
		}
	}
}

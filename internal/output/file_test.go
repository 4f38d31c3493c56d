package output

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/cxgctl/cxgctl/internal/fault"
)

const twoNames = "username\nada\n홍길동\n"

// toFile streams two usernames as csv into file, with end as the stream's error.
func toFile(t *testing.T, file string, end error) error {
	t.Helper()
	p, err := New(Options{Format: CSV, Columns: []string{"username"}, File: file})
	if err != nil {
		return err
	}
	_, err = Stream(p, view, seq(records(), end))
	return err
}

func content(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// alone fails if the file's folder holds anything else: no temporary file may stay.
func alone(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

func TestFile_ReplacedAtomically(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "x.csv")
	if err := toFile(t, file, nil); err != nil || content(t, file) != twoNames {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("connection lost")
	if err := toFile(t, file, lost); !errors.Is(err, lost) || content(t, file) != "old" {
		t.Errorf("after a failure: %v, %q", err, content(t, file))
	}
	alone(t, dir, "x.csv")
	if err := toFile(t, file, nil); err != nil || content(t, file) != twoNames {
		t.Errorf("%v, %q", err, content(t, file))
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	alone(t, dir, "x.csv")
}

func TestFile_Panic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := New(Options{Format: CSV, File: filepath.Join(dir, "x.csv")})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = Stream(p, view, func(func(record, error) bool) { panic("seq") })
	}()
	alone(t, dir)
}

func TestFile_Compressed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for suffix, reader := range map[string]func(io.Reader) (io.Reader, error){
		".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		".zst": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		file := filepath.Join(dir, "x.csv"+suffix)
		if err := toFile(t, file, nil); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := reader(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != twoNames {
			t.Errorf("%s: %v, %q", suffix, err, b)
		}
		_ = f.Close()
	}
}

func TestFile_SymbolicLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"real/deep", "links"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"links/x.csv": "../deep/../x.csv", // through the link to a folder below: real/x.csv
		"links/loop":  "loop",
		"deep":        "real/deep",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // first dangling, then not
		if err := toFile(t, filepath.Join(dir, "links/x.csv"), nil); err != nil {
			t.Fatal(err)
		}
		if got := content(t, filepath.Join(dir, "real/x.csv")); got != twoNames {
			t.Errorf("got %q", got)
		}
	}
	alone(t, filepath.Join(dir, "links"), "loop", "x.csv")
	alone(t, filepath.Join(dir, "real"), "deep", "x.csv")
	if err := toFile(t, filepath.Join(dir, "links/loop"), nil); err == nil {
		t.Error("a link to itself was written")
	}
}

func TestFile_Pipe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		b, _ := os.ReadFile(file)
		read <- string(b)
	}()
	if err := toFile(t, file, nil); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != twoNames {
		t.Errorf("got %q", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("the pipe became %v, %v", info.Mode(), err)
	}
}

func TestFile_WriteErrors(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	r, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer func() { _ = closed.Close() }()

	for _, name := range Formats {
		format := Format(name)
		for _, tc := range []struct {
			o    Options
			is   error
			want string
		}{
			{Options{Stdout: full}, syscall.ENOSPC, "cannot write to standard output: no space left on device"},
			{Options{Stdout: closed}, syscall.EPIPE, "cannot write to standard output: broken pipe"},
			{Options{File: "/dev/full"}, syscall.ENOSPC, `cannot write "/dev/full": no space left on device`},
		} {
			if tc.o.Format = format; format == XLSX && tc.o.File == "" {
				continue // it is refused
			}
			p, err := New(tc.o)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []func(*Printer) error{list, one, stream} {
				err := call(p)
				if !errors.Is(err, tc.is) || !fault.Is(err, fault.IO) || err.Error() != tc.want {
					t.Errorf("%s: got %v, want %s", format, err, tc.want)
				}
			}
		}
	}
}

// limited is a disk that fills up in the middle of a long stream.
type limited struct{ left int }

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(b), nil
}

func TestFile_DiskFull(t *testing.T) {
	t.Parallel()
	for _, name := range Formats {
		format := Format(name)
		if format == XLSX {
			continue // it is refused
		}
		drawn := 0
		p, err := New(Options{Format: format, Stdout: &limited{left: 200 << 10}, Terminal: Terminal{IsTTY: true, Width: 200}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Stream(p, view, func(yield func(record, error) bool) {
			for r := records()[0]; yield(r, nil) && drawn < 100_000; drawn++ {
			}
		})
		if !errors.Is(err, syscall.ENOSPC) || drawn == 100_000 {
			t.Errorf("%s: %v after %d rows", format, err, drawn)
		}
	}
}

func TestFile_SeveralReplacedTogether(t *testing.T) {
	t.Parallel()
	long := records()[0]
	long.FullName = strings.Repeat("x", 40_000)
	names := []string{"a.csv", "b.jsonl.gz", "c.xlsx"}
	for _, tc := range []struct {
		name, also string
		rows       []record
		end        error
		before     func(dir string) // the last row
		want       string           // of the error; "" for none
		old        string           // the files that stay
	}{
		{name: "written", rows: records()},
		{name: "stream failed", rows: records(), end: io.ErrUnexpectedEOF, want: "unexpected EOF", old: "abc"},
		{name: "one refuses a row", rows: []record{records()[0], long}, want: "does not fit into a spreadsheet cell", old: "abc"},
		{name: "one disk full", also: "/dev/full", rows: records(), want: "no space left on device", old: "abc"},
		{name: "one folder missing", also: "no/x.csv", rows: records(), want: "no such file or directory", old: "abc"},
		{
			name: "one renamed in vain", rows: records(), want: "already replaced: a.csv", old: "bc",
			before: func(dir string) {
				_ = os.Remove(filepath.Join(dir, "b.jsonl.gz"))
				_ = os.Mkdir(filepath.Join(dir, "b.jsonl.gz"), 0o700)
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			o := Options{}
			for _, name := range names {
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				o.Also = append(o.Also, Target{File: file, Format: FormatOf(name)})
			}
			if tc.also != "" {
				o.Also = append(o.Also, Target{File: tc.also, Format: CSV})
			}
			o.File, o.Format, o.Also = o.Also[0].File, o.Also[0].Format, o.Also[1:]
			p, err := New(o)
			if err == nil {
				_, err = Stream(p, view, func(yield func(record, error) bool) {
					for r, err := range seq(tc.rows, tc.end) {
						if tc.before != nil {
							tc.before(dir)
						}
						if !yield(r, err) {
							return
						}
					}
				})
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir+"/", ""), tc.want)) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			alone(t, dir, names...)
			for _, name := range names {
				b, _ := os.ReadFile(filepath.Join(dir, name))
				if isOld := string(b) == "old" || tc.before != nil && name == "b.jsonl.gz"; isOld != strings.Contains(tc.old, name[:1]) {
					t.Errorf("%s: %.40q", name, b)
				}
			}
		})
	}
}

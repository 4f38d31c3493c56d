package importcmd

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// ReportedFailures limits the failures in the report of an import, which is kept in memory. --errors lists them all.
const ReportedFailures = 10_000

// failures groups failed rows for the terminal, keeps the first ones for the report, and writes all to --errors.
type failures struct {
	env    *cmdutil.Env
	causes causes
	list   []importer.Failure
	name   string       // of --errors
	to     *errorOutput // nil without --errors
	rows   *rowreader.ErrorFile
}

// openFailures opens --errors. The file holds the rows as they were read, passwords included, so only its owner can
// read it. It gets its name once it is complete.
func openFailures(env *cmdutil.Env, file *rowreader.File, f *Flags, reading rowreader.Options) (*failures, error) {
	x := &failures{env: env, causes: causes{unit: "line"}, name: f.errors, list: []importer.Failure{}}
	in, err := file.Rows(reading)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if in.Format == rowreader.JSON {
		x.causes.unit = "object"
	}
	if f.errors == "" {
		return x, nil
	}
	if x.to, err = openErrors(env, f.errors); err != nil {
		return nil, cmdutil.WriteError("--errors", f.errors, err)
	}
	if x.rows, err = rowreader.NewErrorFile(x.to, in, f.encoding); err != nil {
		x.to.abort()
		return nil, err
	}
	return x, nil
}

// errorOutput is the destination of failed rows: a file that gets its name once it is complete, a pipe, or standard
// output.
type errorOutput struct {
	io.Writer
	file *outfile.Pending // nil for a stream
}

func openErrors(env *cmdutil.Env, path string) (*errorOutput, error) {
	stdout := &errorOutput{Writer: cmdutil.InterruptibleWriter{Context: env.Context, Writer: env.Stdout}}
	if path == cliflag.StandardStream {
		return stdout, nil
	}
	place, err := outfile.Locate(path)
	if err != nil {
		return nil, err
	}
	if place.Is(env.Stdout) {
		place.Close()
		return stdout, nil
	}
	if place.IsDevice() {
		f, err := place.Device()
		return &errorOutput{Writer: f}, err
	}
	f, err := place.Pending(true)
	if err == nil && place.Exists() { // its rows failed in an earlier run, not in this one
		err = place.Remove()
	}
	return &errorOutput{f, f}, err
}

func (e *errorOutput) abort() {
	if e.file != nil {
		e.file.Abort()
	}
}

func (e *errorOutput) commit() error {
	if e.file != nil {
		return e.file.Commit()
	}
	if f, ok := e.Writer.(io.Closer); ok {
		return f.Close()
	}
	return nil
}

func (x *failures) add(f importer.Failure, row rowreader.Row) error {
	if len(x.list) < ReportedFailures {
		x.list = append(x.list, f)
	}
	x.causes.add(f)
	if x.rows == nil {
		return nil
	}
	if err := x.rows.Add(row, f.Message); err != nil {
		return cmdutil.WriteError("--errors", x.name, err)
	}
	return nil
}

// print prints the failures, unless the report lists them.
func (x *failures) print() {
	if cmdutil.IsStructured(x.env.Printer.Format) {
		return
	}
	for _, line := range x.causes.lines() {
		x.env.Printf("cxgctl: error: %s", line)
	}
}

// close gives the file its name if the import is complete, and otherwise discards it.
func (x *failures) close(complete bool) error {
	if x.rows == nil {
		return nil
	}
	if !complete && x.to.file != nil {
		x.to.abort()
		return nil
	}
	err := x.rows.Close()
	if err == nil {
		err = x.to.commit()
	}
	if err != nil {
		x.to.abort()
		return cmdutil.WriteError("--errors", x.name, err)
	}
	return nil
}

// elapsed formats a duration for people.
func elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Widths of the bar in columns. If not even the least fits, only the text is shown.
const minBar, maxBar = 10, 30

// showProgress shows the progress of an import, with a bar on a terminal. report is called after each batch.
func showProgress(env *cmdutil.Env, rows int64) (report func(importer.Report), stop func()) {
	began := time.Now()
	columns := env.TerminalOf(env.Stderr).Width
	var latest atomic.Pointer[importer.Report]
	stop = env.Progress(func() string {
		r := latest.Load()
		if r == nil {
			return ""
		}
		line := progressLine(*r, rows, time.Since(began))
		if width := min(maxBar, columns-len(line)-2); width >= minBar {
			full := min(int(r.Rows*int64(width)/max(rows, 1)), width)
			line = strings.Repeat("█", full) + strings.Repeat("░", width-full) + " " + line
		}
		return line
	})
	return func(r importer.Report) { latest.Store(&r) }, stop
}

// progressLine formats the progress: rows done, of all rows of the file. Rows that earlier runs applied do not count
// towards the rate.
func progressLine(r importer.Report, total int64, took time.Duration) string {
	done := r.Rows - r.AppliedEarlier
	rate := float64(done) / max(took.Seconds(), 0.001)
	line := fmt.Sprintf("%s of %s rows, %s/s, %s failed", output.Thousands(r.Rows), output.Thousands(total), output.Thousands(int64(rate)), output.Thousands(r.Failed))
	part := float64(r.Rows) / float64(max(total, 1))
	if done > 0 && part <= 1 {
		left := time.Duration(float64(total-r.Rows) / rate * float64(time.Second))
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return fmt.Sprintf("%3.0f %%  %s", part*100, line)
}

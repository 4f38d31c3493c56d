package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/imports"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/output"
)

// reportedFailures is how many failures the report of an import lists. It is kept in memory, and whoever has more
// of them looks at the first, or takes --errors.
const reportedFailures = 10_000

// failures are told to a person as they come, the first of them kept for the report, and written to --errors.
type failures struct {
	a       *app
	unit    string // what Line counts
	list    []imports.Failure
	pending *renameio.PendingFile // nil without --errors
	rows    *intake.ErrorFile
}

// openFailures makes --errors ready. The file holds what the rows hold, passwords included, so it is
// for its owner alone, and is put in place when it is whole.
func (a *app) openFailures(file *intake.File, f *importFlags, reading intake.Options) (*failures, error) {
	x := &failures{a: a, unit: "line", list: []imports.Failure{}}
	in, err := file.Rows(reading)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if in.Format == intake.JSON {
		x.unit = "object"
	}
	if f.errors == "" {
		return x, nil
	}
	if file.Is(f.errors) {
		return nil, fault.New(fault.Validation, "--errors %s is the file that is imported", f.errors)
	}
	if info, err := os.Stat(f.errors); err == nil && !info.Mode().IsRegular() {
		return nil, fault.New(fault.Validation, "--errors %s is no regular file", f.errors)
	}
	x.pending, err = renameio.NewPendingFile(f.errors, renameio.WithTempDir(filepath.Dir(f.errors)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return nil, unwritableFlag("--errors", f.errors, err)
	}
	if x.rows, err = intake.NewErrorFile(x.pending, in, f.encoding); err != nil {
		_ = x.pending.Cleanup()
		return nil, err
	}
	return x, nil
}

func unwritableFlag(flag, path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fault.New(fault.Validation, "%s %s cannot be written: %s", flag, path, err)
}

func (x *failures) add(f imports.Failure, row intake.Row) error {
	if len(x.list) < reportedFailures {
		x.list = append(x.list, f)
	}
	if !structured(x.a.print.Format) {
		where := fmt.Sprintf("%s %d", x.unit, f.Line)
		if f.Field != "" && !strings.HasPrefix(f.Message, f.Field) {
			where += ", " + f.Field
		}
		x.a.printf("cxgctl: error: %s: %s", where, f.Message)
	}
	if x.rows == nil {
		return nil
	}
	if err := x.rows.Add(row, f.Message); err != nil {
		return unwritableFlag("--errors", x.pending.Name(), err)
	}
	return nil
}

// close puts the file in place, unless the import did not come to its end.
func (x *failures) close(whole bool) error {
	if x.rows == nil {
		return nil
	}
	if !whole {
		return x.pending.Cleanup()
	}
	if err := x.rows.Close(); err != nil {
		return errors.Join(unwritableFlag("--errors", x.pending.Name(), err), x.pending.Cleanup())
	}
	return x.pending.CloseAtomicallyReplace()
}

// elapsed is a duration as a person reads it.
func elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// meter shows how far an import is: a bar on a terminal, else a line every ten seconds.
type meter struct {
	a        *app
	began    time.Time
	last     time.Time
	terminal bool
	shown    bool
	total    int64 // bytes
	read     atomic.Int64
}

func (a *app) newMeter(file *intake.File) *meter {
	m := &meter{a: a, began: time.Now(), last: time.Now(), total: file.Size}
	m.terminal = output.DetectTerminal(a.stderr, a.getenv).IsTTY && a.getenv("TERM") != "dumb"
	file.Watch(func(n int) { m.read.Add(int64(n)) })
	return m
}

// report is called after each batch.
func (m *meter) report(r imports.Report) {
	every := 10 * time.Second
	if m.terminal {
		every = 200 * time.Millisecond
	}
	if m.a.global.quiet || structured(m.a.print.Format) && !m.terminal || time.Since(m.last) < every {
		return
	}
	m.last = time.Now()
	took := time.Since(m.began).Seconds()
	rate := float64(r.Rows) / took
	line := fmt.Sprintf("%s rows, %s/s, %s failed", output.Thousands(r.Rows), output.Thousands(int64(rate)), output.Thousands(r.Failed))
	if part := float64(m.read.Load()) / float64(max(m.total, 1)); part > 0 && part <= 1 {
		left := time.Duration(took * (1 - part) / part * float64(time.Second))
		line = fmt.Sprintf("%3.0f %%  %s, %s left", part*100, line, left.Round(time.Second))
		if m.terminal {
			const width = 30
			full := int(part * width)
			line = strings.Repeat("█", full) + strings.Repeat("░", width-full) + " " + line
		}
	}
	if !m.terminal {
		m.a.printf("%s", line)
		return
	}
	m.shown = true
	_, _ = io.WriteString(m.a.stderr, "\r"+line+"\x1b[K")
}

// end wipes the bar.
func (m *meter) end() {
	if m.shown {
		_, _ = io.WriteString(m.a.stderr, "\r\x1b[K")
	}
}

package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// failures are told to a person as they come, kept for the report, and written to --errors.
type failures struct {
	a       *app
	unit    string // what Line counts
	list    []users.Failure
	pending *renameio.PendingFile // nil without --errors
	rows    *intake.ErrorFile
}

// openFailures makes --errors ready. The file holds what the rows hold, passwords included, so it is
// for its owner alone, and is put in place when it is whole.
func (a *app) openFailures(file *intake.File, f importFlags, o users.ImportOptions) (*failures, error) {
	x := &failures{a: a, unit: "line", list: []users.Failure{}}
	in, err := file.Rows(o.Reading())
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

func (x *failures) add(f users.Failure, row intake.Row) error {
	x.list = append(x.list, f)
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

// passwordsFile is --passwords-out: a csv of usernames and the passwords that were made up for them.
type passwordsFile struct {
	file  *os.File   // nil in a dry run
	mu    sync.Mutex // the reader asks while the writer stores
	known map[string]string
}

const passwordsHeader = "username,password\n"

// openPasswords opens or makes the file. One that a run of the same command left behind is read, so that
// who was to get a password gets that one.
func openPasswords(path string, dry bool) (*passwordsFile, error) {
	p := &passwordsFile{known: map[string]string{}}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if dry {
			return p, nil
		}
		if p.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_, err = p.file.WriteString(passwordsHeader)
		}
		if err != nil {
			return nil, unwritableFlag("--passwords-out", path, err)
		}
		return p, nil
	}
	if err != nil {
		return nil, unwritableFlag("--passwords-out", path, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Validation, "--passwords-out %s exists, and is no file that only you can read", path).WithHint("name a new file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, unwritableFlag("--passwords-out", path, err)
	}
	if !strings.HasPrefix(string(text), passwordsHeader) {
		return nil, fault.New(fault.Validation, "--passwords-out %s exists, and holds no passwords of an import", path).
			WithHint("name a new file; nothing is overwritten")
	}
	whole := text[:strings.LastIndexByte(string(text), '\n')+1] // a killed run may have left half a line
	rows, err := csv.NewReader(strings.NewReader(string(whole))).ReadAll()
	if err != nil {
		return nil, fault.New(fault.Validation, "--passwords-out %s cannot be read", path).WithHint("name a new file")
	}
	for _, r := range rows[1:] {
		p.known[r[0]] = r[1]
	}
	if dry {
		return p, nil
	}
	if p.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
		err = p.file.Truncate(int64(len(whole)))
	}
	if err != nil {
		return nil, unwritableFlag("--passwords-out", path, err)
	}
	return p, nil
}

// Known implements users.PasswordFile.
func (p *passwordsFile) Known(username string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[username]
}

// Store implements users.PasswordFile.
func (p *passwordsFile) Store(usernames, made []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for i, name := range usernames {
		if p.known[name] != "" {
			continue // written before
		}
		fmt.Fprintf(&b, "%s,%s\n", name, made[i])
		p.known[name] = made[i]
	}
	if _, err := io.WriteString(p.file, b.String()); err != nil {
		return unwritableFlag("--passwords-out", p.file.Name(), err)
	}
	return p.file.Sync()
}

// Close ends the writing.
func (p *passwordsFile) Close() {
	if p.file != nil {
		_ = p.file.Close() // what counts was synced
	}
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
func (m *meter) report(r users.Report) {
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

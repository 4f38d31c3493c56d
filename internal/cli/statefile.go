package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
)

// stateFile is where the runs of an incremental export leave word for the next one. The lock stands
// beside it, in a file that is never replaced, and ends with the process that holds it, however that ends.
type stateFile struct {
	path  string
	place *outfile.Place
	lock  *os.File

	output *outputShape // of the last run that wrote a file
}

// content is what a state file holds. What selects the rows is part of it: with another filter, rows that
// did not change would be missed.
type stateContent struct {
	Version int               `json:"version"` // 1
	Command string            `json:"command"`
	Filter  map[string]string `json:"filter"`
	Output  *outputShape      `json:"output,omitempty"` // nil where no run has named a file
	db.Mark
}

const stateVersion = 1

// outputShape is what an increment is written as. A state whose rows went to a file belongs to that kind of file.
type outputShape struct {
	Format  output.Format `json:"format"`
	Columns string        `json:"columns,omitempty"`
	JQ      string        `json:"jq,omitempty"`
}

func (o outputShape) flags() string {
	text := string(o.Format)
	if o.Columns != "" {
		text += " --columns " + o.Columns
	}
	if o.JQ != "" {
		text += " --jq " + o.JQ
	}
	return text
}

// lockState takes the lock of a state file; that another run holds it is BUSY, at once.
func lockState(path string) (*stateFile, error) {
	place, err := outfile.Locate(path)
	if err != nil {
		return nil, stateError(path, "cannot lock", err)
	}
	f, err := place.Beside(".lock").Lock()
	if err != nil {
		place.Close()
		return nil, stateError(path, "cannot lock", err)
	}
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return &stateFile{path: path, place: place, lock: f}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			_ = f.Close()
			return nil, fault.New(fault.Busy, "another run works with the state file %q", path).
				WithHint("nothing was done; the next run has what this one would have had").With("file", path)
		default:
			_ = f.Close()
			return nil, stateError(path, "cannot lock", err)
		}
	}
}

func stateError(path, what string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	reason := err
	if inner := errors.Unwrap(err); inner != nil {
		reason = inner // without the path once more
	}
	return fault.New(fault.Validation, "%s the state file %q: %s", what, path, reason).With("file", path).Because(err)
}

// unlock lets the next run in; it does nothing without a state file.
func (f *stateFile) unlock() {
	if f != nil {
		_ = f.lock.Close()
		f.place.Close()
	}
}

// read returns the mark of the last run, nil where there was none. A file that is no state file, or one of
// another command or filter, is a VALIDATION_ERROR.
func (f *stateFile) read(command string, filter map[string]string, shape *outputShape) (*db.Mark, error) {
	b, err := f.place.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, stateError(f.path, "cannot read", err)
	}
	var c stateContent
	if err := json.Unmarshal(b, &c); err != nil || c.Version != stateVersion || c.Command == "" {
		return nil, fault.New(fault.Validation, "%q is no state file of this cxgctl", f.path).
			WithHint("name another file, or remove this one to export everything").With("file", f.path)
	}
	if c.Command != command || !maps.Equal(c.Filter, filter) {
		return nil, fault.New(fault.Validation, "the state file %q is of another selection: %s", f.path, commandText(c.Command, c.Filter)).
			WithHint("each selection needs a state file of its own; ages such as 30d select something else in every run").With("file", f.path)
	}
	if f.output = c.Output; c.Output != nil && shape != nil && *c.Output != *shape {
		return nil, fault.New(fault.Validation, "the state file %q is of another output: -o %s", f.path, c.Output.flags()).
			WithHint("each output needs a state file of its own; a second one would miss what the first has had").With("file", f.path)
	}
	return &c.Mark, nil
}

// asked is a command with its filters, as one would type it.
func commandText(command string, filter map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(filter)) {
		command += " --" + name + "=" + strings.Trim(filter[name], "[]") // which stand around a list
	}
	return command
}

// write moves the state on.
func (f *stateFile) write(command string, filter map[string]string, shape *outputShape, m db.Mark) error {
	return writeJSON(f.path, stateContent{stateVersion, command, filter, cmp.Or(shape, f.output), m})
}

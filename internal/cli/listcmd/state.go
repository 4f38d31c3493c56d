package listcmd

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
)

// stateFile stores the state of an incremental export between runs. Its lock is a separate file, because the state
// file is replaced at each run. The lock ends with the process.
type stateFile struct {
	path  string
	place *outfile.Place
	lock  *os.File

	output *outputShape // of the last run with an output file
}

// stateContent is the content of a state file. It includes the filter: an increment with another filter would miss
// rows that did not change.
type stateContent struct {
	Version int               `json:"version"` // 1
	Command string            `json:"command"`
	Filter  map[string]string `json:"filter"`
	Output  *outputShape      `json:"output,omitempty"` // nil until a run writes to a file
	db.Mark
}

const stateVersion = 1

// outputShape is the format of an increment. All increments of a state that go to files have the same shape.
type outputShape struct {
	Format  string `json:"format"` // of several files, separated by commas
	Columns string `json:"columns,omitempty"`
	JQ      string `json:"jq,omitempty"`
}

func (o outputShape) flags() string {
	text := "-o " + o.Format
	if several := strings.Split(o.Format, ","); len(several) > 1 {
		text = "files in " + fault.Join(several, "and")
	}
	if o.Columns != "" {
		text += " --columns " + o.Columns
	}
	if o.JQ != "" {
		text += " --jq " + o.JQ
	}
	return text
}

// lockState locks a state file. If another run holds the lock, it returns BUSY at once.
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
			return nil, fault.New(fault.Busy, "another run is using the state file %q", path).
				WithHint("nothing was done; the next run exports these changes").With("file", path)
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
		reason = inner // does not repeat the path
	}
	return fault.New(fault.FileCode(err), "%s the state file %q: %s", what, path, reason).With("file", path).Because(err)
}

// unlock releases the lock. f may be nil.
func (f *stateFile) unlock() {
	if f != nil {
		_ = f.lock.Close()
		f.place.Close()
	}
}

// read returns the mark of the last run, or nil before the first one. The error is VALIDATION_ERROR if the file is not
// a state file, or belongs to another command, filter or output.
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
		return nil, fault.New(fault.Validation, "%q is not a state file of this version of cxgctl", f.path).
			WithHint("use another file, or remove this one to export everything").With("file", f.path)
	}
	if c.Command != command || !maps.Equal(c.Filter, filter) {
		return nil, fault.New(fault.Validation, "the state file %q belongs to another selection: %s", f.path, commandText(c.Command, c.Filter)).
			WithHint("use one state file per selection; an age such as 30d is a different selection in every run").With("file", f.path)
	}
	if f.output = c.Output; c.Output != nil && shape != nil && *c.Output != *shape {
		return nil, fault.New(fault.Validation, "the state file %q belongs to another output: %s", f.path, c.Output.flags()).
			WithHint("use one state file per output; a second output would miss the rows of the first").With("file", f.path)
	}
	return &c.Mark, nil
}

// commandText returns a command with its filters as flags.
func commandText(command string, filter map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(filter)) {
		command += " --" + name + "=" + strings.Trim(filter[name], "[]") // pflag's brackets around a list
	}
	return command
}

// write replaces the state.
func (f *stateFile) write(command string, filter map[string]string, shape *outputShape, m db.Mark) error {
	return writeJSON(f.path, stateContent{stateVersion, command, filter, cmp.Or(shape, f.output), m})
}

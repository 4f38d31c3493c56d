package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// The YAML parser's time grows with the square of the size and of the lines. Within these limits it takes less than
// a second for any file.
const (
	maxFile  = 64 << 10
	maxLines = 5000
)

// Candidate is a path where the configuration file is looked for.
type Candidate struct {
	Path   string `json:"path"`
	Origin string `json:"origin"` // why it is searched
	State  string `json:"state"`  // read, refused, shadowed (an earlier one is read) or missing
}

// place is a path to search.
type place struct {
	path, origin string
	named        bool // by the operator, so it must exist
	working      bool // in the working folder, which may belong to anyone
}

// places returns the paths to search, in order. If the operator names a file, it is the only one, and an
// error if it cannot be read.
func places(f Flags, getenv func(string) string, dir string) []place {
	if f.ConfigFile != "" || f.given("config") {
		return []place{{absolute(f.ConfigFile, dir), "--config", true, false}}
	}
	if named := getenv(envConfig); named != "" {
		return []place{{absolute(named, dir), envConfig, true, false}}
	}
	list := []place{{filepath.Join(dir, ".cxgctl.yaml"), "working folder", false, true}}
	if p := userFile(getenv); p.path != "" {
		list = append(list, p)
	}
	if home := getenv("HOME"); home != "" {
		list = append(list, place{filepath.Join(home, ".cxgctl.yaml"), "home folder", false, false})
	}
	return list
}

// userFile returns the path by the XDG rules, which ignore a relative XDG_CONFIG_HOME.
func userFile(getenv func(string) string) place {
	if xdg := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(xdg) {
		return place{filepath.Join(xdg, "cxgctl", "config.yaml"), "XDG_CONFIG_HOME", false, false}
	}
	if home := getenv("HOME"); home != "" {
		return place{filepath.Join(home, ".config", "cxgctl", "config.yaml"), "home folder", false, false}
	}
	return place{}
}

func absolute(path, dir string) string {
	if path == "" || path == "-" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// Path returns the file that Load reads ("" for none) and all searched paths in order, without reading
// any of them.
func Path(f Flags, getenv func(string) string, dir string) (used string, searched []Candidate) {
	for _, p := range places(f, getenv, dir) {
		c := Candidate{Path: p.path, Origin: p.origin, State: "missing"}
		if _, err := os.Lstat(p.path); err == nil || p.path == "-" {
			c.State = "shadowed"
			if used == "" {
				used, c.State = p.path, "read"
				if file, info, err := p.open(); err == nil {
					_ = file.Close()
					if p.checkTrust(info, getenv) != nil {
						c.State = "refused"
					}
				}
			}
		}
		searched = append(searched, c)
	}
	return used, searched
}

// source is the content of a configuration file.
type source struct {
	path   string // "" if none was found
	origin string // why it was searched
	text   []byte
	info   fs.FileInfo // nil for standard input
}

// open finds and reads the configuration file.
func open(f Flags, getenv func(string) string, dir string) (source, error) {
	for _, p := range places(f, getenv, dir) {
		if p.path == "" {
			return source{}, fault.New(fault.Validation, "--config must not be empty")
		}
		if p.path == "-" && f.Stdin != nil {
			text, err := readLimited(f.Stdin, "standard input")
			return source{path: "standard input", origin: p.origin, text: text}, err
		}
		file, info, err := p.open()
		if err != nil {
			// Dangling links and unreadable files exist and are errors. Files in a folder that cannot be
			// entered count as missing.
			if _, there := os.Lstat(p.path); there != nil && !p.named {
				continue
			}
			return source{}, unreadable(p, err)
		}
		return readFile(file, info, p, getenv)
	}
	return source{}, nil
}

// open opens the file. In the working folder, where anyone may have put a pipe, it does not wait for a writer.
func (p place) open() (*os.File, fs.FileInfo, error) {
	flags := os.O_RDONLY
	if p.working {
		flags |= syscall.O_NONBLOCK
	}
	file, err := os.OpenFile(p.path, flags, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
	}
	return file, info, err
}

func readFile(file *os.File, info fs.FileInfo, p place, getenv func(string) string) (source, error) {
	defer file.Close() //nolint:errcheck // nothing was written to it
	if info.IsDir() {
		return source{}, fault.New(fault.Validation, "configuration %s is a folder, not a file", p.path)
	}
	if err := p.checkTrust(info, getenv); err != nil {
		return source{}, err
	}
	text, err := readLimited(file, p.path)
	return source{path: p.path, origin: p.origin, text: text, info: info}, err
}

// checkTrust refuses a file of the working folder that another user may have written, because a configuration decides
// where passwords are sent and which programs run.
func (p place) checkTrust(info fs.FileInfo, getenv func(string) string) error {
	if !p.working {
		return nil
	}
	why := p.whyDistrusted(info, getenv)
	if why == "" {
		return nil
	}
	return fault.New(fault.Validation, "configuration %s %s", p.path, why).With("file", p.path).
		WithHint("to trust it, name it: --config %s; otherwise remove it or work in another folder", fault.Word(p.path))
}

func (p place) whyDistrusted(info fs.FileInfo, getenv func(string) string) string {
	link, err := os.Lstat(p.path)
	if err != nil {
		return "cannot be examined"
	}
	folder, err := os.Stat(filepath.Dir(p.path))
	if err != nil {
		return "is in a folder that cannot be examined"
	}
	f := ownership{mode: info.Mode(), folder: folder.Mode()}
	f.owner, f.group = ownersOf(info)
	f.link, _ = ownersOf(link)
	return currentIdentity(getenv).whyDistrusts(f)
}

func readLimited(r io.Reader, what string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fault.New(fault.Validation, "configuration %s cannot be read: %s", what, fault.Reason(err)).Because(err)
	}
	if len(text) > maxFile {
		return nil, fault.New(fault.Validation, "configuration %s is larger than %d KiB", what, maxFile>>10)
	}
	if bytes.Count(text, []byte("\n")) > maxLines {
		return nil, fault.New(fault.Validation, "configuration %s has more than %d lines", what, maxLines)
	}
	return text, nil
}

func unreadable(p place, err error) error {
	why := "cannot be read: " + fault.Reason(err)
	if errors.Is(err, fs.ErrNotExist) {
		why = "does not exist"
	}
	e := fault.New(fault.Validation, "configuration %s %s", p.path, why).Because(err)
	switch {
	case errors.Is(err, fs.ErrNotExist) && p.named:
		return e.WithHint("%s names it; `cxgctl config init` writes a new one", p.origin)
	case errors.Is(err, fs.ErrPermission):
		return e.WithHint("let the current user read it, or name another with --config")
	}
	return e
}

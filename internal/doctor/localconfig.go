package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Config describes the configuration in use.
type Config struct {
	File    string // absolute path; "" if no file was read
	Profile string // "" for none
	Err     error  // why it could not be read; nothing else is checked then
}

// File is a file that contains a secret.
type File struct {
	Name string // name in findings: password_file
	Path string
	Err  error // why commands refuse it, or nil
}

// Dev describes the dev database if commands use it.
type Dev struct {
	Folder, Version, LogFile string
	Running                  bool
	PID                      int
	Err                      error // why its state is unknown
}

// local runs the checks that need no database.
func local(in *Input) []Result {
	results := []Result{
		{"configuration", Local, in.Config.check()},
		{"secret-files", Local, secretFiles(in)},
	}
	if in.Dev != nil {
		results = append(results, Result{"dev-database", Local, in.Dev.check()})
	}
	return results
}

// check looks for a configuration that other users can write, because they would decide where cxgctl connects to and
// as whom. Others may read it; if it contains a password, commands refuse that earlier.
func (c Config) check() Finding {
	if c.Err != nil {
		return failure(c.Err)
	}
	profile := ""
	if c.Profile != "" {
		profile = ", profile " + c.Profile
	}
	if c.File == "" {
		return fine("no configuration file is read: only flags and environment are used")
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return wrong(Fail, "cannot stat %s: %s", c.File, fault.Reason(err)).remedied("restore it, or choose another with --config")
	}
	mode := fmt.Sprintf("%s, mode %04o", c.File, info.Mode().Perm())
	folder, err := os.Stat(filepath.Dir(c.File))
	switch {
	case foreign(info):
		return wrong(Warn, "%s, belongs to another user, who can change where cxgctl connects to", mode).
			remedied("check its content and chown it, or choose your own with --config")
	case writable(info):
		return wrong(Warn, "%s, can be changed by group or others, who can change where cxgctl connects to", mode).
			remedied("chmod go-w %s", fault.Word(c.File))
	case err == nil && writable(folder) && folder.Mode()&fs.ModeSticky == 0:
		return wrong(Warn, "%s, is in a directory in which group or others can replace it", mode).
			remedied("chmod go-w %s", fault.Word(filepath.Dir(c.File)))
	}
	return fine("%s%s", mode, profile)
}

// secretFiles looks for files with secrets that other users can read.
func secretFiles(in *Input) Finding {
	if in.Config.Err != nil {
		return skipped("the configuration cannot be read")
	}
	if len(in.Secrets) == 0 {
		return skipped("no file with a secret is in use")
	}
	var good, bad, remedies []string
	for _, f := range in.Secrets {
		if f.Err == nil {
			good = append(good, f.Name+" "+f.Path)
			continue
		}
		refused := fault.From(f.Err)
		bad = append(bad, refused.Message)
		if refused.Hint != "" {
			remedies = append(remedies, refused.Hint)
		}
	}
	if len(bad) > 0 {
		return wrong(Fail, "%s", strings.Join(bad, "; ")).of(bad).remedied("%s", strings.Join(remedies, "; "))
	}
	return fine("not accessible by others: %s", strings.Join(good, ", "))
}

func (d *Dev) check() Finding {
	switch {
	case d.Err != nil:
		return failure(d.Err)
	case d.Version == "":
		return wrong(Fail, "the dev database does not exist yet").remedied("cxgctl dev up")
	case !d.Running:
		return wrong(Fail, "PostgreSQL %s in %s is not running", d.Version, d.Folder).
			remedied("cxgctl dev up; the server's log is %s", d.LogFile)
	}
	return fine("PostgreSQL %s in %s is running as process %d", d.Version, d.Folder, d.PID)
}

// writable reports whether other users may write. A private group, with the same number as the user, does not count.
func writable(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Gid == stat.Uid {
		return mode&0o002 != 0
	}
	return mode&0o022 != 0
}

// foreign reports whether the file belongs to a user other than us and root.
func foreign(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

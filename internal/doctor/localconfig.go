package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Config says which configuration is in force.
type Config struct {
	File    string // absolute; "" where none was read from a file
	Profile string // "" for none
	Err     error  // why it could not be read; nothing else is looked at then
}

// File is a file that holds a secret.
type File struct {
	Name string // how findings call it: password_file
	Path string
	Err  error // why commands refuse it; nil where they do not
}

// Dev describes the dev database where commands use it.
type Dev struct {
	Folder, Version, LogFile string
	Running                  bool
	PID                      int
	Err                      error // why that could not be found out
}

// local makes the checks that need no database.
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

// check looks whether somebody else could have written the configuration: who can, decides where
// cxgctl connects to and as whom. Reading it is harmless; one that holds a password and may be read by
// others is refused before it comes here.
func (c Config) check() Finding {
	if c.Err != nil {
		return failure(c.Err)
	}
	profile := ""
	if c.Profile != "" {
		profile = ", profile " + c.Profile
	}
	if c.File == "" {
		return fine("no configuration file is read: flags and environment only")
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return wrong(Fail, "%s cannot be looked at: %s", c.File, cause(err)).remedied("put it back, or name another by --config")
	}
	mode := fmt.Sprintf("%s, mode %04o", c.File, info.Mode().Perm())
	folder, err := os.Stat(filepath.Dir(c.File))
	switch {
	case foreign(info):
		return wrong(Warn, "%s, belongs to another user, who decides where cxgctl connects to", mode).
			remedied("see that it is what you want, and chown it or name one of your own by --config")
	case writable(info):
		return wrong(Warn, "%s, can be changed by group or others, who so decide where cxgctl connects to", mode).
			remedied("chmod go-w %s", quote(c.File))
	case err == nil && writable(folder) && folder.Mode()&fs.ModeSticky == 0:
		return wrong(Warn, "%s, stands in a folder in which group or others can replace it", mode).
			remedied("chmod go-w %s", quote(filepath.Dir(c.File)))
	}
	return fine("%s%s", mode, profile)
}

// secretFiles looks whether anybody else can read the files with secrets in them.
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
	return fine("closed to everybody else: %s", strings.Join(good, ", "))
}

func (d *Dev) check() Finding {
	switch {
	case d.Err != nil:
		return failure(d.Err)
	case d.Version == "":
		return wrong(Fail, "the dev database has not been made yet").remedied("cxgctl dev up")
	case !d.Running:
		return wrong(Fail, "PostgreSQL %s in %s does not run", d.Version, d.Folder).
			remedied("cxgctl dev up; the server's account of it is in %s", d.LogFile)
	}
	return fine("PostgreSQL %s in %s runs as process %d", d.Version, d.Folder, d.PID)
}

// writable says whether somebody else may write. The group that many systems give every user for
// themselves alone, with the user's own number, is nobody else.
func writable(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Gid == stat.Uid {
		return mode&0o002 != 0
	}
	return mode&0o022 != 0
}

// foreign says whether the file belongs to neither us nor root: who cannot trust root has lost already.
func foreign(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

// cause is an error of the file system without the path, which stands beside it already.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// quote makes a path safe to paste into a shell.
func quote(path string) string {
	if !strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%", r)
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

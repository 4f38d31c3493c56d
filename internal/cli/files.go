package cli

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
)

// fileUse annotates a flag that names a file with how the command uses the file. It also annotates a command whose first
// argument names a file to read.
const fileUse = "file"

const (
	fileRead    = "read"
	fileWritten = "written" // - is standard output
	fileKept    = "kept"    // read, and written for the next run; cannot be a stream
	fileField   = "field"   // written; - makes it a field of the record
	fileRecord  = "record"  // --output-file
	fileFolder  = "folder"  // a folder for new files
)

// emptyTable annotates a command that prints no record in the table format.
const emptyTable = "no table"

// annotate sets an annotation of a command.
func annotate(cmd *cobra.Command, key, value string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[key] = value
}

// names declares that a flag names a file, and that the command also uses that name with each of the suffixes.
func names(cmd *cobra.Command, flag, use string, suffixes ...string) {
	must(cmd.Flags().SetAnnotation(flag, fileUse, append([]string{use}, suffixes...)))
}

// usedFile is a file that a command uses, with the flag that names it.
type usedFile struct {
	flag, path string
	read       bool
	stdout     bool
	place      *outfile.Place // nil for standard output
}

// checkFiles refuses two outputs, or an input and an output, that are the same file, before any work is done.
func (a *app) checkFiles(cmd *cobra.Command) error {
	var list []usedFile
	defer func() {
		for _, u := range list {
			if u.place != nil {
				u.place.Close()
			}
		}
	}()
	add := func(flag, path, use string) error {
		u := usedFile{flag: flag, path: path, read: use == fileRead}
		switch {
		case path == standardStream && use == fileKept:
			return fault.New(fault.Validation, "%s cannot be %s: the next run reads it again", flag, standardStream)
		case path == standardStream && (u.read || use == fileField || use == fileRecord):
			return nil // standard input, or the record
		case path == standardStream:
			u.stdout = true
		default:
			var err error
			u.place, err = outfile.Locate(path)
			if _, judged := errors.AsType[*fault.Error](err); judged && !u.read {
				return err
			}
			if err != nil {
				return nil //nolint:nilerr // opening it reports the error
			}
			u.stdout = u.place.Is(a.stdout)
			if u.stdout && (use == fileField || use == fileRecord) {
				u.place.Close()
				return cmd.Flags().Lookup(strings.TrimPrefix(flag, "--")).Value.(*strictValue).Value.Set(standardStream)
			}
		}
		list = append(list, u)
		return nil
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		use := f.Annotations[fileUse]
		if len(use) == 0 || use[0] == fileFolder || err != nil {
			return
		}
		for _, path := range listOfFlag(cmd, f.Name) {
			err = errors.Join(err, add("--"+f.Name, path, use[0]))
			for _, suffix := range use[1:] {
				if path != standardStream {
					err = errors.Join(err, add("--"+f.Name, path+suffix, use[0]))
				}
			}
		}
	})
	if err != nil {
		return fault.From(err)
	}
	if args := cmd.Flags().Args(); cmd.Annotations[fileUse] != "" && len(args) > 0 {
		_ = add(cmd.Annotations[fileUse], args[0], fileRead)
	}
	if a.printsRecord(cmd) {
		list = append(list, usedFile{flag: "the record", stdout: true})
	}
	for i, u := range list {
		for _, v := range list[:i] {
			if err := collision(v, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// printsRecord reports whether the command's record goes to standard output.
func (a *app) printsRecord(cmd *cobra.Command) bool {
	return a.print.File == "" && (cmd.Annotations[emptyTable] == "" || !a.forPeople())
}

// collision returns the error for two uses of the same file.
func collision(one, other usedFile) error {
	switch {
	case one.read && other.read:
		return nil
	case one.stdout && other.stdout:
		return fault.New(fault.Usage, "%s and %s both go to standard output", one.flag, other.flag).
			WithHint("name a file for one of them, such as --output-file F for the record")
	case one.stdout || other.stdout || !one.place.IsSame(other.place):
		return nil
	}
	return fault.New(fault.Usage, "%s and %s name the same file, %s", one.flag, other.flag, one.path).
		WithHint("use different files; one would overwrite the other").With("file", one.path)
}

// secretFile is a file, a pipe or standard output that takes secrets.
type secretFile struct {
	io.Writer
	place *outfile.Place // nil for standard output
	sync  func() error
	close func() error
}

// openSecret creates a file for secrets that only its owner can read, or opens a pipe. An existing file is refused. - is
// standard output.
func (a *app) openSecret(flag, path string) (*secretFile, error) {
	if path == standardStream {
		return a.secretStream(), nil
	}
	place, err := outfile.Locate(path)
	if err != nil {
		return nil, writeError(flag, path, err)
	}
	if place.Is(a.stdout) {
		place.Close()
		return a.secretStream(), nil
	}
	if place.IsPipe() {
		f, err := place.Device()
		if err != nil {
			place.Close()
			return nil, writeError(flag, path, err)
		}
		return &secretFile{f, place, func() error { return nil }, f.Close}, nil
	}
	f, err := place.Create(0o600)
	if err != nil {
		place.Close()
		return nil, writeError(flag, path, err)
	}
	return &secretFile{f, place, f.Sync, func() error { return errors.Join(f.Sync(), f.Close(), place.Sync()) }}, nil
}

func (a *app) secretStream() *secretFile {
	nothing := func() error { return nil }
	return &secretFile{interruptibleWriter{a.ctx, a.stdout}, nil, nothing, nothing}
}

// end closes the file, and deletes it unless keep is set.
func (s *secretFile) end(keep bool) error {
	err := s.close()
	if keep {
		return err
	}
	return errors.Join(err, s.remove())
}

// remove deletes the file.
func (s *secretFile) remove() error {
	if s.place == nil || s.place.IsDevice() {
		return nil
	}
	return s.place.Remove()
}

package cmdutil

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
)

// NoTable annotates a command that prints no record in the table format.
const NoTable = "no table"

// usedFile is a file that a command uses, with the flag that names it.
type usedFile struct {
	flag, path string
	read       bool
	stdout     bool
	place      *outfile.Place // nil for standard output
}

// checkFiles refuses two outputs, or an input and an output, that are the same file, before any work is done.
func checkFiles(env *Env, cmd *cobra.Command) error {
	var list []usedFile
	prints := cmd.Annotations[NoTable] == "" || !env.forPeople()
	defer func() {
		for _, u := range list {
			if u.place != nil {
				u.place.Close()
			}
		}
	}()
	add := func(flag, path, use string) error {
		u := usedFile{flag: flag, path: path, read: use == cliflag.FileRead}
		switch {
		case path == cliflag.StandardStream && use == cliflag.FileKept:
			return fault.New(fault.Validation, "%s cannot be %s: the next run reads it again", flag, cliflag.StandardStream)
		case path == cliflag.StandardStream && (u.read || use == cliflag.FileField):
			return nil // standard input, or a field of the record
		case path == cliflag.StandardStream:
			u.stdout = true
		default:
			var err error
			u.place, err = outfile.Locate(path)
			if _, invalid := errors.AsType[*fault.Error](err); invalid && !u.read {
				return err
			}
			if err != nil {
				return nil //nolint:nilerr // opening it reports the error
			}
			u.stdout = u.place.Is(env.Stdout)
			if u.stdout && use == cliflag.FileField {
				u.place.Close()
				return cmd.Flags().Lookup(strings.TrimPrefix(flag, "--")).Value.(*cliflag.StrictValue).Value.Set(cliflag.StandardStream)
			}
		}
		if !u.stdout || use != cliflag.FileRecord || prints {
			list = append(list, u)
		}
		return nil
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		use := f.Annotations[cliflag.FileUse]
		if len(use) == 0 || use[0] == cliflag.FileFolder || err != nil {
			return
		}
		for _, path := range cliflag.ValuesOf(cmd, f.Name) {
			err = errors.Join(err, add("--"+f.Name, path, use[0]))
			for _, suffix := range use[1:] {
				if path != cliflag.StandardStream {
					err = errors.Join(err, add("--"+f.Name, path+suffix, use[0]))
				}
			}
		}
	})
	if err != nil {
		return fault.From(err)
	}
	if args := cmd.Flags().Args(); cmd.Annotations[cliflag.FileUse] != "" && len(args) > 0 {
		_ = add(cmd.Annotations[cliflag.FileUse], args[0], cliflag.FileRead)
	}
	if len(env.Output.files.ListValue) == 0 && prints {
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

// collision returns the error for two uses of the same file.
func collision(one, other usedFile) error {
	switch {
	case one.read && other.read:
		return nil
	case one.stdout && other.stdout && one.flag == other.flag:
		return fault.New(fault.Usage, "%s names standard output twice", one.flag).WithHint("name it once")
	case one.stdout && other.stdout:
		return fault.New(fault.Usage, "%s and %s both go to standard output", one.flag, other.flag).
			WithHint("name a file for one of them, such as --output-file F for the record")
	case one.stdout || other.stdout || !one.place.IsSame(other.place):
		return nil
	}
	if one.flag == other.flag {
		return fault.New(fault.Usage, "%s names the same file twice: %s and %s", one.flag, one.path, other.path).
			WithHint("name each file once").With("file", one.path)
	}
	return fault.New(fault.Usage, "%s and %s name the same file, %s", one.flag, other.flag, one.path).
		WithHint("use different files; one would overwrite the other").With("file", one.path)
}

// secretFile is a file, a pipe or standard output that secrets are written to.
type secretFile struct {
	io.Writer
	place *outfile.Place // nil for standard output
	Sync  func() error
	Close func() error
}

// OpenSecretFile creates a file for secrets that only its owner can read, or opens a pipe. An existing file is refused.
// - is standard output.
func OpenSecretFile(env *Env, flag, path string) (*secretFile, error) {
	if path == cliflag.StandardStream {
		return secretStream(env), nil
	}
	place, err := outfile.Locate(path)
	if err != nil {
		return nil, WriteError(flag, path, err)
	}
	if place.Is(env.Stdout) {
		place.Close()
		return secretStream(env), nil
	}
	if place.IsPipe() {
		f, err := place.Device()
		if err != nil {
			place.Close()
			return nil, WriteError(flag, path, err)
		}
		return &secretFile{f, place, func() error { return nil }, f.Close}, nil
	}
	f, err := place.Create(0o600)
	if err != nil {
		place.Close()
		return nil, WriteError(flag, path, err)
	}
	return &secretFile{f, place, f.Sync, func() error { return errors.Join(f.Sync(), f.Close(), place.Sync()) }}, nil
}

func secretStream(env *Env) *secretFile {
	noop := func() error { return nil }
	return &secretFile{InterruptibleWriter{env.Context, env.Stdout}, nil, noop, noop}
}

// Remove deletes the file.
func (s *secretFile) Remove() error {
	if s.place == nil || s.place.IsDevice() {
		return nil
	}
	return s.place.Remove()
}

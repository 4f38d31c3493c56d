package cmdutil

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
)

// FirstLine reads a secret from the next line of standard input.
func (env *Env) FirstLine() (string, error) {
	in, resume := env.Input()
	defer resume()
	if env.secrets == nil {
		env.secrets = bufio.NewReader(io.LimitReader(in, maxPasswordInput))
	}
	text, err := env.secrets.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), err
}

// maxPasswordInput is the number of bytes read for a password; the longest valid one has 72.
const maxPasswordInput = 4096

// KeepSecret writes a new secret to the file of a flag, runs the change that makes it valid, and removes the file if
// nothing was changed: a secret that cannot be written changes nothing. A secret in a record that goes to a file is
// written beside that file, until the record is. On standard output the record follows the change, so that a full disk can
// lose the secret. A dry run only checks that the file does not exist.
func KeepSecret(env *Env, l *audit.Ledger, flag, path, text string, change func() error) error {
	spare := path == "" || path == cliflag.StandardStream
	if spare {
		if env.Printer.File == "" && outfile.IsBroken(env.Stdout) {
			return output.StandardOutputFault(syscall.EPIPE)
		}
		if env.Printer.File == "" || outfile.IsDevice(env.Printer.File) {
			return change()
		}
		flag, path = "--output-file", env.Printer.File+".secret"
	}
	if l.DryRun {
		if err := refuseExisting(flag, path); err != nil {
			return err
		}
		return change()
	}
	undo, err := storeSecret(env, flag, path, text)
	if err != nil {
		return err
	}
	err = change()
	switch {
	case err != nil && len(l.Entries()) == 0 && !audit.OutcomeUnknown(err):
		undo()
	case spare:
		env.spare = &spareSecret{path, undo}
	}
	return err
}

// spareSecret is a secret in a file of its own, in case that its record cannot be written.
type spareSecret struct {
	path   string
	remove func()
}

// printed returns the error of printing the record of a change that is committed.
func (env *Env) printed(err error) error {
	isLost := err != nil && env.Renew != "" && env.spare == nil
	if isLost {
		err = errors.New(fault.From(err).Message) // also EPIPE counts
	}
	err = AfterCommit(err)
	switch {
	case isLost:
		err = fault.New(fault.IO, "%s", err).WithHint("the secret that was not printed is lost; make another: %s", env.Renew)
	case env.spare != nil && err == nil:
		env.spare.remove()
	case env.spare != nil:
		err = fault.From(err).WithHint("the secret is in %s", env.spare.path)
	}
	return err
}

// refuseExisting returns an error if the file for a secret already exists.
func refuseExisting(flag, path string) error {
	place, err := outfile.Locate(path)
	if err != nil {
		return WriteError(flag, path, err)
	}
	defer place.Close()
	if place.Exists() && !place.IsPipe() {
		return WriteError(flag, path, fs.ErrExist)
	}
	return nil
}

// storeSecret writes a secret to a new file with mode 0600; undo removes the file.
func storeSecret(env *Env, flag, path, text string) (undo func(), err error) {
	f, err := OpenSecretFile(env, flag, path)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(f, text+"\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, WriteError(flag, path, errors.Join(err, f.Remove()))
	}
	return func() { _ = f.Remove() }, nil
}

// WriteError returns the error of a flag whose file cannot be written.
func WriteError(flag, path string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		f.Message = flag + ": " + f.Message
		return f
	}
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Validation, "%s: %s already exists", flag, path).WithHint("name a new file; existing files are not overwritten")
	}
	return fault.New(fault.FileCode(err), "%s: cannot write %s: %s", flag, path, fault.Reason(err))
}

// printsID reports whether the output format is id.
func printsID(env *Env, cmd *cobra.Command) bool {
	c, err := env.LoadConfig(cmd)
	return err == nil && c.Output == string(output.ID) && output.FormatOf(env.Output.files.String()) == "" && env.Output.JQ == ""
}

package cmdutil

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
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

// StoreSecret writes a secret to a new file with mode 0600; undo removes the file.
func StoreSecret(env *Env, flag, path, text string) (undo func(), err error) {
	f, err := OpenSecretFile(env, flag, path)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(f, text+"\n"); err != nil {
		return nil, WriteError(flag, path, errors.Join(err, f.end(false)))
	}
	if err := f.Close(); err != nil {
		return nil, WriteError(flag, path, err)
	}
	return func() { _ = f.remove() }, nil
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
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fault.New(fault.FileCode(err), "%s: cannot write %s: %s", flag, path, err)
}

// printsID reports whether the output format is id.
func printsID(env *Env, cmd *cobra.Command) bool {
	c, err := env.LoadConfig(cmd)
	return err == nil && c.Output == string(output.ID) && output.FormatOf(env.Output.file) == "" && env.Output.JQ == ""
}

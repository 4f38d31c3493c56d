package cmdutil

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// Terminal returns the terminal of standard input. It is not ok if --no-input is set, or standard input or standard
// error is not a terminal.
func (env *Env) Terminal() (fd int, ok bool) {
	in, isFile := env.Stdin.(*os.File)
	errOut, isErrFile := env.Stderr.(*os.File)
	if env.Global.NoInput || !isFile || !isErrFile {
		return 0, false
	}
	return int(in.Fd()), term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(errOut.Fd()))
}

// maxYes is the largest number of rows that y confirms. For more rows, the number must be typed.
const maxYes = 100

// Confirm asks whether to make a change of a number of rows (default: no). The question names the database and the
// profile. It returns nil if the answer is yes or --yes is set. Without a terminal it returns an error.
func (env *Env) Confirm(ctx context.Context, question string, rows int) error {
	if env.Config != nil && env.Config.Protected {
		env.Note("profile %s is protected", env.Config.Profile)
	}
	if env.Global.Yes {
		return nil
	}
	fd, ok := env.Terminal()
	if !ok {
		return fault.New(fault.ConfirmationRequired, "%s: needs a confirmation", question).
			WithHint("nothing was changed; add --yes to confirm")
	}
	want := []string{"y", "yes"}
	how := "[y/N] "
	if rows > maxYes {
		want = []string{strconv.Itoa(rows), output.Thousands(int64(rows))}
		how = "Type " + want[0] + " to confirm: "
	}
	question = output.Sanitize(question) + env.promptContext() + "? " + how
	_, _ = io.WriteString(env.Stderr, env.TerminalOf(env.Stderr).Message(question))
	answer, err := env.ReadLine(ctx, fd)
	if err == nil && !slices.Contains(want, strings.ToLower(answer)) {
		err = cancelled()
	}
	return err
}

func cancelled() error {
	return fault.New(fault.ConfirmationRequired, "cancelled").WithHint("nothing was changed")
}

// ReadLine reads an answer from the terminal, without spaces around it. The end of the input cancels the command.
func (env *Env) ReadLine(ctx context.Context, fd int) (string, error) {
	line, err := env.Interruptible(ctx, fd, func() (string, error) { return bufio.NewReader(env.Stdin).ReadString('\n') })
	if errors.Is(err, io.EOF) {
		err = cancelled()
	}
	return strings.TrimSpace(line), err
}

// Ask asks for a value on the terminal until check accepts it. An empty answer means fallback.
func (env *Env) Ask(ctx context.Context, fd int, question, fallback string, check func(answer string) error) error {
	if fallback != "" {
		question += " [" + fallback + "]"
	}
	for {
		env.Prompt(question + ": ")
		answer, err := env.ReadLine(ctx, fd)
		if err != nil {
			return err
		}
		if err = check(cmp.Or(answer, fallback)); !fault.Is(err, fault.Validation) {
			return err
		}
		env.Printf("%s", fault.From(err).Message)
	}
}

// AskMissing asks on a terminal for the required flags that are missing, and then for the optional ones. check returns
// the error of a field that has just been set.
func (env *Env) AskMissing(cmd *cobra.Command, check func(field string) error, optional ...string) (asked bool, err error) {
	missing := cliflag.Missing(cmd)
	fd, ok := env.Terminal()
	if len(missing) == 0 || !ok {
		return false, nil
	}
	for i, name := range append(missing, optional...) {
		f := cmd.Flags().Lookup(name)
		isRequired := i < len(missing)
		if f.Changed && !isRequired {
			continue
		}
		question := strings.ReplaceAll(name, "-", " ")
		if !isRequired && f.DefValue == "" {
			question += " (optional)"
		}
		err := env.Ask(cmd.Context(), fd, question, f.DefValue, func(answer string) error {
			if answer == "" && isRequired {
				return fault.New(fault.Validation, "it is required")
			}
			if err := cliflag.Replace(cmd, f, answer); err != nil {
				return err
			}
			return check(strings.ReplaceAll(name, "-", "_"))
		})
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// promptContext returns the part of a question that names the database and the profile in its color: " (db1:5432/mgmt,
// profile prod)".
func (env *Env) promptContext() string {
	var parts []string
	if env.ServerAddr != "" {
		parts = append(parts, output.Sanitize(env.ServerAddr))
	}
	if env.Config != nil && env.Config.Profile != "" {
		t := env.TerminalOf(env.Stderr)
		parts = append(parts, "profile "+t.Named(env.Config.Color, output.Sanitize(env.Config.Profile)))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// ReadHidden prompts for a secret without echo.
func (env *Env) ReadHidden(ctx context.Context, fd int, prompt string) (string, error) {
	env.Prompt(prompt)
	secret, err := env.Interruptible(ctx, fd, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	_, _ = io.WriteString(env.Stderr, "\n")
	return secret, err
}

// Prompt writes a prompt to standard error without adding a newline.
func (env *Env) Prompt(prompt string) {
	_, _ = io.WriteString(env.Stderr, env.TerminalOf(env.Stderr).Message(output.Sanitize(prompt)))
}

// Interruptible waits for read to return or ctx to end. In the second case it restores the state of the terminal.
// The command's deadline is paused while it waits.
func (env *Env) Interruptible(ctx context.Context, fd int, read func() (string, error)) (string, error) {
	env.Deadline.Pause()
	defer env.Deadline.Resume()
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	select {
	case got := <-async(read):
		return got.value, got.err
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}

// AfterCommit returns the error of printing a record after a commit. It says that the change was made. EPIPE is
// ignored.
func AfterCommit(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	f := fault.From(err)
	return fault.New(f.Code, "the change was made, but its record cannot be printed: %s", f.Message).Because(err)
}

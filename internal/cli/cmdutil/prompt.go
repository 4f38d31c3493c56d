package cmdutil

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/term"

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
	_, _ = io.WriteString(env.Stderr, output.Sanitize(question)+env.promptContext()+"? "+how)
	answer, err := env.Interruptible(ctx, fd, func() (string, error) {
		return bufio.NewReader(env.Stdin).ReadString('\n')
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if slices.Contains(want, strings.ToLower(strings.TrimSpace(answer))) {
		return nil
	}
	return fault.New(fault.ConfirmationRequired, "cancelled").WithHint("nothing was changed")
}

// promptContext returns the part of a question that names the database and the profile in its color: " (db1:5432/mgmt,
// profile prod)".
func (env *Env) promptContext() string {
	var parts []string
	if env.AskedOn != "" {
		parts = append(parts, output.Sanitize(env.AskedOn))
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
	env.Prompt("\n")
	return secret, err
}

// Prompt writes a prompt to standard error without adding a newline.
func (env *Env) Prompt(prompt string) {
	text, lineEnd := strings.CutSuffix(prompt, "\n")
	text = output.Sanitize(text)
	if lineEnd {
		text += "\n"
	}
	_, _ = io.WriteString(env.Stderr, text)
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
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := read()
		done <- answer{text, err}
	}()
	select {
	case got := <-done:
		return got.text, got.err
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

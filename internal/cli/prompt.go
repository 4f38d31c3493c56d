package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// terminal returns the terminal of standard input. It is not ok if --no-input is set, or standard input or standard
// error is not a terminal.
func (a *app) terminal() (fd int, ok bool) {
	in, isFile := a.stdin.(*os.File)
	errOut, isErrFile := a.stderr.(*os.File)
	if a.global.noInput || !isFile || !isErrFile {
		return 0, false
	}
	return int(in.Fd()), term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(errOut.Fd()))
}

// confirm asks a yes-or-no question (default: no) that names the database and the profile. It returns nil if the answer
// is yes or --yes is set. Without a terminal it returns an error.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.global.yes {
		return nil
	}
	fd, ok := a.terminal()
	if !ok {
		return fault.New(fault.ConfirmationRequired, "%s: needs a confirmation", question).
			WithHint("nothing was changed; add --yes to confirm")
	}
	a.prompt(question + a.askedAbout() + "? [y/N] ")
	answer, err := a.interruptible(ctx, fd, func() (string, error) {
		return bufio.NewReader(a.stdin).ReadString('\n')
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fault.New(fault.ConfirmationRequired, "cancelled").WithHint("nothing was changed")
}

// askedAbout returns the part of a question that names the database and the profile: " (db1:5432/mgmt, profile prod)".
func (a *app) askedAbout() string {
	var parts []string
	if a.askedOn != "" {
		parts = append(parts, a.askedOn)
	}
	if a.cfg != nil && a.cfg.Profile != "" {
		parts = append(parts, "profile "+a.cfg.Profile)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// readHidden prompts for a secret without echo.
func (a *app) readHidden(ctx context.Context, fd int, prompt string) (string, error) {
	a.prompt(prompt)
	secret, err := a.interruptible(ctx, fd, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	a.prompt("\n")
	return secret, err
}

// prompt writes a prompt to standard error without adding a newline.
func (a *app) prompt(prompt string) {
	text, lineEnd := strings.CutSuffix(prompt, "\n")
	text = output.Sanitize(text)
	if lineEnd {
		text += "\n"
	}
	_, _ = io.WriteString(a.stderr, text)
}

// interruptible waits for read to return or ctx to end. In the second case it restores the state of the terminal.
// The command's deadline is paused while it waits.
func (a *app) interruptible(ctx context.Context, fd int, read func() (string, error)) (string, error) {
	a.clock.pause()
	defer a.clock.resume()
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

// afterCommit rewrites an output error so that it says that the change was made. EPIPE is ignored.
func afterCommit(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	f := fault.From(err)
	return fault.New(f.Code, "the change was made, but its record cannot be printed: %s", f.Message).Because(err)
}

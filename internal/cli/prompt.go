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

// terminal returns standard input's terminal, if a person can be asked: standard input and standard
// error are terminals, and --no-input was not given.
func (a *app) terminal() (fd int, ok bool) {
	in, isFile := a.stdin.(*os.File)
	errOut, isErrFile := a.stderr.(*os.File)
	if a.global.noInput || !isFile || !isErrFile {
		return 0, false
	}
	return int(in.Fd()), term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(errOut.Fd()))
}

// confirm asks a yes-or-no question about the database and the profile in use, with no as the default. --yes answers
// it. Without a terminal it is refused.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.global.yes {
		return nil
	}
	fd, ok := a.terminal()
	if !ok {
		return fault.New(fault.ConfirmationRequired, "%s: needs a confirmation", question).
			WithHint("nothing was changed; add --yes to go ahead without being asked")
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

// askedAbout is the part of a question that names the database and the profile: " (db1:5432/mgmt, profile prod)".
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

// hidden asks for a secret without echo.
func (a *app) readHidden(ctx context.Context, fd int, prompt string) (string, error) {
	a.prompt(prompt)
	secret, err := a.interruptible(ctx, fd, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	a.prompt("\n")
	return secret, err
}

// ask writes a prompt to standard error, without a line end of its own.
func (a *app) prompt(prompt string) {
	text, lineEnd := strings.CutSuffix(prompt, "\n")
	text = output.Sanitize(text)
	if lineEnd {
		text += "\n"
	}
	_, _ = io.WriteString(a.stderr, text)
}

// interruptible waits for a person's answer, or for a signal, after which the terminal is as it was.
// While it waits, the time that a command may take does not run.
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

// committed turns an output error that came after a commit into words that say so. A reader that went
// away is nobody's error then: the work is done.
func afterCommit(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	f := fault.From(err)
	return fault.New(f.Code, "the change was made, but its record cannot be printed: %s", f.Message).Because(err)
}

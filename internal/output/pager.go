package output

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// Pager shows output on a terminal through a program such as less. What fits the screen is written to it directly.
type Pager struct {
	Context  context.Context // ends the program
	Terminal *os.File
	Plain    io.Writer // writes to the terminal without the program
	Command  string    // for a shell
	Height   int       // of the terminal, in lines
	Begin    func()    // called before the program starts; may be nil

	held  []byte         // until it does not fit the screen
	pipe  io.WriteCloser // to the program, once it runs
	ended chan struct{}  // closed when the program has ended
	used  bool
}

// interrupts is the channel of NotifyInterrupts.
var interrupts chan<- os.Signal

// NotifyInterrupts relays interrupts to c, except while a pager runs: they are meant for it then.
func NotifyInterrupts(c chan<- os.Signal) {
	interrupts = c
	signal.Notify(c, os.Interrupt)
}

// PagerCommand returns the command of the pager: PAGER, or less. It is empty if PAGER is, or names cat, or the program
// is not installed.
func PagerCommand() string {
	command, isSet := os.LookupEnv("PAGER")
	if !isSet {
		command = "less -FRSX"
	}
	words := strings.Fields(command)
	if len(words) == 0 || words[0] == "cat" {
		return ""
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return ""
	}
	return command
}

// Used reports whether output went to the program. A broken pipe then means that the reader has seen enough.
func (p *Pager) Used() bool { return p != nil && p.used }

func (p *Pager) Write(b []byte) (int, error) {
	if p.pipe == nil {
		p.held = append(p.held, b...)
		if bytes.Count(p.held, []byte("\n")) < p.Height {
			return len(b), nil
		}
		if err := p.start(); err != nil {
			return 0, err
		}
		held := p.held
		p.held = nil
		_, err := p.pipe.Write(held)
		return len(b), err
	}
	return p.pipe.Write(b)
}

func (p *Pager) start() error {
	if err := context.Cause(p.Context); err != nil {
		return err
	}
	if p.Begin != nil {
		p.Begin()
	}
	in, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", "exec "+p.Command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, p.Terminal, os.Stderr
	if _, isSet := os.LookupEnv("LESS"); !isSet {
		cmd.Env = append(os.Environ(), "LESS=FRSX")
	}
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		return errors.Join(err, pipe.Close())
	}
	// The system drops ignored interrupts. One that we receive could be handled late, after the program has ended. The
	// program would inherit this if it came first.
	signal.Ignore(os.Interrupt)
	p.pipe, p.used, p.ended = pipe, true, make(chan struct{})
	stop := context.AfterFunc(p.Context, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = pipe.Close()
	})
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
		stop()
		if interrupts == nil || p.Context.Err() != nil {
			signal.Reset(os.Interrupt)
		} else {
			signal.Notify(interrupts, os.Interrupt)
		}
	}()
	return nil
}

// Close writes what fits the screen, or waits until the reader leaves the program.
func (p *Pager) Close() error {
	if p.pipe == nil {
		_, err := p.Plain.Write(p.held)
		p.held = nil
		return err
	}
	_ = p.pipe.Close()
	<-p.ended
	p.pipe = nil
	return nil
}

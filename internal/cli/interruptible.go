package cli

import (
	"bytes"
	"context"
	"io"
	"time"
)

// Whoever is at the other end of a pipe may stop reading, or never write, for as long as he likes. A
// signal ends the waiting for him; what his end holds up is left behind for the process's end.

// lastWrite is how long a write may still take after a signal.
const lastWrite = 500 * time.Millisecond

// interruptibleWriter is standard output that a signal ends the waiting for.
type interruptibleWriter struct {
	ctx context.Context
	w   io.Writer
}

func (i interruptibleWriter) Write(b []byte) (int, error) {
	text := bytes.Clone(b) // the caller may go on with his before the write has ended
	done := begin(func() (int, error) { return i.w.Write(text) })
	select {
	case r := <-done:
		return r.n, r.err
	case <-i.ctx.Done():
	}
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(lastWrite):
		return 0, context.Cause(i.ctx)
	}
}

// interruptibleReader is standard input that a signal ends the waiting for.
type interruptibleReader struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptibleReader) Read(b []byte) (int, error) {
	text := make([]byte, len(b))
	select {
	case r := <-begin(func() (int, error) { return i.r.Read(text) }):
		return copy(b, text[:r.n]), r.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}

type transfer struct {
	n   int
	err error
}

// begin runs a read or a write on the side.
func begin(do func() (int, error)) <-chan transfer {
	done := make(chan transfer, 1)
	go func() {
		n, err := do()
		done <- transfer{n, err}
	}()
	return done
}

// input is standard input to be read to its end, however long that takes: the time that a command may
// take stands still until resume is called.
func (a *app) input() (r io.Reader, resume func()) {
	a.clock.pause()
	return interruptibleReader{a.ctx, a.stdin}, a.clock.resume
}

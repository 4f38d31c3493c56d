package cmdutil

import (
	"bytes"
	"context"
	"io"
	"time"
)

// Reads and writes on pipes can block forever. These wrappers return when the context is cancelled, and leave a blocked
// call behind until the process ends.

// writeGrace is how long a write may still take after a signal.
const writeGrace = 500 * time.Millisecond

// InterruptibleWriter is a writer for standard output whose Write returns soon after a signal.
type InterruptibleWriter struct {
	Context context.Context
	Writer  io.Writer
}

func (i InterruptibleWriter) Write(b []byte) (int, error) {
	text := bytes.Clone(b) // the caller may reuse b before the write has ended
	done := async(func() (int, error) { return i.Writer.Write(text) })
	select {
	case r := <-done:
		return r.n, r.err
	case <-i.Context.Done():
	}
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(writeGrace):
		return 0, context.Cause(i.Context)
	}
}

// interruptibleReader is a reader for standard input whose Read returns on a signal.
type interruptibleReader struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptibleReader) Read(b []byte) (int, error) {
	text := make([]byte, len(b))
	select {
	case r := <-async(func() (int, error) { return i.r.Read(text) }):
		return copy(b, text[:r.n]), r.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}

// ioResult is the result of a read or a write.
type ioResult struct {
	n   int
	err error
}

// async runs a read or a write in a goroutine.
func async(do func() (int, error)) <-chan ioResult {
	done := make(chan ioResult, 1)
	go func() {
		n, err := do()
		done <- ioResult{n, err}
	}()
	return done
}

// Input returns standard input, to be read to its end. The deadline is paused until resume is called.
func (env *Env) Input() (r io.Reader, resume func()) {
	env.Deadline.Pause()
	return interruptibleReader{env.Context, env.Stdin}, env.Deadline.Resume
}

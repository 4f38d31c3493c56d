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
		return r.value, r.err
	case <-i.Context.Done():
	}
	select {
	case r := <-done:
		return r.value, r.err
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
		return copy(b, text[:r.value]), r.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}

// result is what a function returned.
type result[T any] struct {
	value T
	err   error
}

// async runs a function in a goroutine.
func async[T any](do func() (T, error)) <-chan result[T] {
	done := make(chan result[T], 1)
	go func() {
		value, err := do()
		done <- result[T]{value, err}
	}()
	return done
}

// Input returns standard input, to be read to its end. The deadline is paused until resume is called.
func (env *Env) Input() (r io.Reader, resume func()) {
	env.Deadline.Pause()
	return interruptibleReader{env.Context, env.Stdin}, env.Deadline.Resume
}

package output

import (
	"io"
	"sync/atomic"
)

// aside writes in a goroutine of its own, so that compressing does not hold up whoever makes the rows. An
// error of its writer comes back from a later Write, or from end.
type asyncWriter struct {
	full, free chan []byte
	current    []byte
	done       chan struct{}
	closed       bool        // full is closed
	abandoned       atomic.Bool // what is on its way need not be written
	failed     atomic.Pointer[error]
}

// asideBuffers is how many buffers are on their way at most: one is filled while one is written, and the
// rest evens out their speeds.
const asyncBuffers = 4

func newAsyncWriter(w io.Writer) *asyncWriter {
	a := &asyncWriter{full: make(chan []byte, asyncBuffers), free: make(chan []byte, asyncBuffers), done: make(chan struct{})}
	for range asyncBuffers {
		a.free <- make([]byte, 0, bufferSize)
	}
	a.current = <-a.free
	go func() {
		defer close(a.done)
		for b := range a.full {
			if a.failed.Load() == nil && !a.abandoned.Load() {
				if _, err := w.Write(b); err != nil {
					a.failed.Store(&err)
				}
			}
			a.free <- b[:0] // also after a failure, so that nobody waits for ever
		}
	}()
	return a
}

func (a *asyncWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if err := a.failed.Load(); err != nil {
			return n, *err
		}
		room := min(cap(a.current)-len(a.current), len(b))
		a.current = append(a.current, b[:room]...)
		b, n = b[room:], n+room
		if len(a.current) == cap(a.current) {
			a.full <- a.current
			a.current = <-a.free
		}
	}
	return n, nil
}

// end waits until everything is written.
func (a *asyncWriter) end() error {
	a.full <- a.current
	a.closed = true
	close(a.full)
	<-a.done
	if err := a.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// leave gives up: what is not written yet never will be. It does not wait, since a pipe that nobody reads
// would make it wait for ever.
func (a *asyncWriter) abandon() {
	a.abandoned.Store(true)
	if !a.closed {
		a.closed = true
		close(a.full)
	}
}

package output

import (
	"io"
	"sync/atomic"
)

// asyncWriter writes in a goroutine, so that compression does not block the encoder. A later Write or end
// returns the errors of its writer.
type asyncWriter struct {
	full, free chan []byte
	current    []byte
	done       chan struct{}
	closed     bool        // full is closed
	abandoned  atomic.Bool // buffers need not be written
	failed     atomic.Pointer[error]
}

// asyncBuffers is the number of buffers: one is filled, one is written, and the rest evens out the speeds.
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
			a.free <- b[:0] // also after a failure, so that Write does not block
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

// end waits until all buffers are written.
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

// abandon discards the remaining buffers. It does not wait, because writing to a pipe without a reader
// can block forever.
func (a *asyncWriter) abandon() {
	a.abandoned.Store(true)
	if !a.closed {
		a.closed = true
		close(a.full)
	}
}

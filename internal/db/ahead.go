package db

import (
	"context"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ahead is rows on their way from the goroutine that reads them to the one that handles them. In one goroutine
// an export makes the server wait while a row is written, and then waits for the server. The rows are packed
// into one of two buffers, which change hands when whoever handles them has done with the other: so neither
// waits for the other row by row, and both together hold no more than a buffer each.
type ahead struct {
	mu     sync.Mutex
	room   sync.Cond // rows were taken, or nobody will take any more
	packed []byte    // what nobody has taken yet
	hungry bool      // the next row is waited for, however little it is
	left   bool      // nobody takes any more
	ended  bool      // no row comes any more
	err    error     // why, once ended

	some chan struct{} // there is something to be taken; holds one
	done chan struct{} // closed when the reading goroutine has ended
}

const (
	// aheadBuffer is how much is read ahead, in bytes: a millisecond or so of either side's work, which evens
	// out what holds one of them up.
	aheadBuffer = 256 << 10
	// aheadBatch is how much is worth waking somebody for.
	aheadBatch = aheadBuffer / 2
	// aheadWait is how long rows that are less than that are waited with.
	aheadWait = 20 * time.Millisecond
)

// readAhead reads rows, of which the first is at hand, in a goroutine of its own, and closes them.
func readAhead(rows pgx.Rows) *ahead {
	a := &ahead{some: make(chan struct{}, 1), done: make(chan struct{})}
	a.room.L = &a.mu
	go func() {
		defer close(a.done)
		for a.put(rows.RawValues()) && rows.Next() {
		}
		rows.Close()
		a.end(rows.Err())
	}()
	return a
}

// put adds a row, once there is room for it; false when nobody wants it.
func (a *ahead) put(values [][]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.packed) >= aheadBuffer && !a.left {
		a.room.Wait()
	}
	a.packed = pack(a.packed, values)
	if a.hungry || len(a.packed) >= aheadBatch {
		a.tell()
	}
	return !a.left
}

// end says that no more rows come.
func (a *ahead) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.err = true, err
	a.tell()
}

// tell wakes whoever waits for rows.
func (a *ahead) tell() {
	select {
	case a.some <- struct{}{}:
	default:
	}
}

// take waits for rows and returns them packed, with the buffer used taken in return; none when there are no
// more, for the reason that is returned with them.
func (a *ahead) take(used []byte) ([]byte, error) {
	timer := time.NewTimer(aheadWait)
	defer timer.Stop()
	for {
		a.mu.Lock()
		if n := len(a.packed); n >= aheadBatch || a.ended || a.hungry && n > 0 {
			packed := a.packed
			a.packed, a.hungry = used[:0], false
			a.room.Signal()
			defer a.mu.Unlock()
			if len(packed) > 0 {
				return packed, nil
			}
			return nil, a.err
		}
		a.mu.Unlock()
		select {
		case <-a.some:
		case <-timer.C:
			a.mu.Lock()
			a.hungry = true
			a.mu.Unlock()
		}
	}
}

// leave gives up, whatever is left, and waits for the end of the reading; whoever calls it has cancelled
// the query.
func (a *ahead) leave() {
	a.mu.Lock()
	a.left = true
	a.room.Signal()
	a.mu.Unlock()
	<-a.done
}

// each calls row for each row, until it fails or ctx ends.
func (a *ahead) each(ctx context.Context, columns int, row func(values [][]byte) error) error {
	values := make([][]byte, columns)
	var buffer []byte
	for {
		packed, err := a.take(buffer)
		if len(packed) == 0 || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err // what was read before counts no more
		}
		for rest := packed; len(rest) > 0; {
			rest = unpack(rest, values)
			if err := row(values); err != nil {
				return err
			}
		}
		if buffer = packed; cap(buffer) > 2*aheadBuffer {
			buffer = nil // a huge row's
		}
	}
}

// absent is the length of NULL.
const absent = math.MaxUint32

// pack appends a row: of each value its length and its bytes.
func pack(b []byte, values [][]byte) []byte {
	for _, v := range values {
		if v == nil {
			b = binary.NativeEndian.AppendUint32(b, absent)
			continue
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// unpack takes the first row apart, and returns what is behind it.
func unpack(b []byte, values [][]byte) []byte {
	for i := range values {
		n := binary.NativeEndian.Uint32(b)
		b = b[4:]
		if n == absent {
			values[i] = nil
			continue
		}
		values[i], b = b[:n:n], b[n:]
	}
	return b
}

package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// sent is what a server sends: rows, of which each reuses the memory of the one before, then an error or none.
type sent struct {
	pgx.Rows
	rows   int
	value  func(i int) []byte
	err    error
	ctx    context.Context // its end makes the reading fail, where there is one
	block  bool            // after the rows, until ctx ends
	at     atomic.Int64
	closed atomic.Bool
	memory [2][]byte
}

func (s *sent) Next() bool {
	i := int(s.at.Add(1)) - 1
	if s.ctx != nil && s.ctx.Err() != nil {
		s.err = s.ctx.Err()
		return false
	}
	if i < s.rows {
		s.memory[0] = binary.BigEndian.AppendUint64(s.memory[0][:0], uint64(i))
		s.memory[1] = nil
		if s.value != nil {
			s.memory[1] = s.value(i)
		}
		return true
	}
	if s.block {
		<-s.ctx.Done()
		s.err = s.ctx.Err()
	}
	return false
}

func (s *sent) RawValues() [][]byte { return s.memory[:] }
func (s *sent) Err() error          { return s.err }
func (s *sent) Close()              { s.closed.Store(true) }

// follow reads s ahead and returns how many rows came in order before the error.
func follow(ctx context.Context, t *testing.T, s *sent, cancel func(), row func(i int, values [][]byte) error) (int, error) {
	t.Helper()
	if !s.Next() {
		t.Fatal("no first row")
	}
	n := 0
	err := func() error {
		a := readAhead(s)
		defer a.leave()
		defer cancel()
		return a.each(ctx, 2, func(values [][]byte) error {
			if got := binary.BigEndian.Uint64(values[0]); got != uint64(n) {
				t.Fatalf("row %d came in place of %d", got, n)
			}
			if row != nil {
				if err := row(n, values); err != nil {
					return err
				}
			}
			n++
			return nil
		})
	}()
	if !s.closed.Load() {
		t.Error("the rows are still open")
	}
	return n, err
}

func nothing() {}

func TestRowsReadAheadComeWholeAndInOrder(t *testing.T) {
	t.Parallel()
	text := func(i int) []byte {
		switch i % 3 {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		return bytes.Repeat([]byte{byte(i)}, i%500)
	}
	const rows = 50_000
	n, err := follow(t.Context(), t, &sent{rows: rows, value: text}, nothing, func(i int, values [][]byte) error {
		want := text(i)
		if !bytes.Equal(values[1], want) || (values[1] == nil) != (want == nil) {
			t.Fatalf("row %d is %q, not %q", i, values[1], want)
		}
		return nil
	})
	if n != rows || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestRowsBeforeAnErrorOfTheServerCome(t *testing.T) {
	t.Parallel()
	gone := errors.New("terminating connection due to administrator command")
	n, err := follow(t.Context(), t, &sent{rows: 30_000, err: gone}, nothing, nil)
	if n != 30_000 || !errors.Is(err, gone) {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestAnErrorOfWhoeverHandlesRowsEndsTheReading(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	ctx, cancel := context.WithCancel(t.Context())
	s := &sent{rows: 1 << 40, ctx: ctx, value: func(int) []byte { return make([]byte, 1000) }}
	n, err := follow(t.Context(), t, s, cancel, func(i int, _ [][]byte) error {
		if i == 700 {
			return full
		}
		return nil
	})
	if n != 700 || !errors.Is(err, full) {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestAnEndFromOutsideDropsWhatWasReadAhead(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &sent{rows: 1 << 40, ctx: ctx}
	n, err := follow(ctx, t, s, cancel, func(i int, _ [][]byte) error {
		if i == 100_000 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n > 100_000+aheadBuffer/16 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestAFewRowsAreNotWaitedWithUntilThereAreMore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &sent{rows: 3, ctx: ctx, block: true}
	n, err := follow(ctx, t, s, cancel, func(i int, _ [][]byte) error {
		if i == 2 {
			cancel() // or else the server would keep quiet for ever
		}
		return nil
	})
	if n != 3 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestReadingAheadIsBounded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const size = 100_000
	s := &sent{rows: 1000, ctx: ctx, value: func(int) []byte { return make([]byte, size) }}
	n, err := follow(ctx, t, s, cancel, func(i int, _ [][]byte) error {
		for range 20 {
			runtime.Gosched()
		}
		if i%100 == 0 {
			time.Sleep(5 * time.Millisecond) // so that the reading gets as far as it may
		}
		if far := int(s.at.Load()) - i; far > 2*(aheadBuffer/size+2) {
			t.Fatalf("%d rows are read ahead", far)
		}
		return nil
	})
	if n != 1000 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestARowLargerThanTheBufferPasses(t *testing.T) {
	t.Parallel()
	huge := bytes.Repeat([]byte("가"), 4*aheadBuffer)
	n, err := follow(t.Context(), t, &sent{rows: 9, value: func(i int) []byte {
		if i == 4 {
			return huge
		}
		return []byte("x")
	}}, nothing, func(i int, values [][]byte) error {
		if i == 4 && !bytes.Equal(values[1], huge) {
			t.Errorf("%d bytes of %d", len(values[1]), len(huge))
		}
		return nil
	})
	if n != 9 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestAPanicOfWhoeverHandlesRowsEndsTheReading(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &sent{rows: 1 << 40, ctx: ctx}
	defer func() {
		if recover() == nil || !s.closed.Load() {
			t.Error("the rows are still open")
		}
	}()
	_, _ = follow(t.Context(), t, s, cancel, func(int, [][]byte) error { panic("no value of the column's type") })
}

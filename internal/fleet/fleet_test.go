package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestRowsComeInTheOrderOfThePlaces(t *testing.T) {
	places := make([]int, 200)
	for i := range places {
		places[i] = i
	}
	var now, most atomic.Int64
	bad := errors.New("bad")
	var got, want []string
	for _, i := range places {
		for j := range i % 3 {
			want = append(want, fmt.Sprint(i, " ", j))
		}
		if i%7 == 0 {
			want = append(want, fmt.Sprint(i, " failed"))
		}
	}
	for e := range Run(t.Context(), places, 8, func(_ context.Context, i int, emit func(int) error) error {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		time.Sleep(time.Duration((i*37)%5) * time.Millisecond)
		for j := range i % 3 {
			if err := emit(j); err != nil {
				return err
			}
		}
		if i%7 == 0 {
			return bad
		}
		return nil
	}) {
		switch {
		case !e.Done:
			got = append(got, fmt.Sprint(e.Place, " ", e.Row))
		case e.Err != nil:
			got = append(got, fmt.Sprint(e.Place, " failed"))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n := most.Load(); n > 8 || n < 2 {
		t.Errorf("%d ran at once, want up to 8", n)
	}
}

// A slow place does not block the others: they are finished when its turn is over.
func TestASlowPlaceHoldsUpNobody(t *testing.T) {
	release := make(chan struct{})
	var others atomic.Int64
	go func() {
		for others.Load() < 49 {
			time.Sleep(time.Millisecond)
		}
		close(release)
	}()
	n := 0
	for e := range Run(t.Context(), make([]int, 50), 4, func() func(context.Context, int, func(int) error) error {
		var first atomic.Bool
		return func(ctx context.Context, _ int, emit func(int) error) error {
			if first.CompareAndSwap(false, true) {
				select {
				case <-release:
				case <-time.After(10 * time.Second):
					return errors.New("the others were blocked")
				}
			} else {
				others.Add(1)
			}
			return emit(1)
		}
	}()) {
		if e.Err != nil {
			t.Error(e.Err)
		}
		if !e.Done {
			n++
		}
	}
	if n != 50 {
		t.Errorf("%d rows", n)
	}
}

// The number of held rows is bounded, however many there are.
func TestMemoryIsBounded(t *testing.T) {
	const each = 300 * maxAhead
	var out, in atomic.Int64
	var most int64
	for e := range Run(t.Context(), make([]int, 5), 5, func(_ context.Context, _ int, emit func(int) error) error {
		for range each {
			if err := emit(1); err != nil {
				return err
			}
			in.Add(1)
		}
		return nil
	}) {
		if !e.Done {
			most = max(most, in.Load()-out.Add(1))
		}
	}
	if out.Load() != 5*each {
		t.Errorf("%d rows, want %d", out.Load(), 5*each)
	}
	if most > 6*maxAhead {
		t.Errorf("%d rows were held, want about %d", most, 5*maxAhead)
	}
}

func TestWhoStopsListeningEndsTheWork(t *testing.T) {
	var working atomic.Int64
	for range Run(t.Context(), make([]int, 100), 4, func(ctx context.Context, _ int, emit func(int) error) error {
		working.Add(1)
		defer working.Add(-1)
		for {
			if err := emit(1); err != nil {
				return err
			}
		}
	}) {
		break
	}
	if n := working.Load(); n != 0 {
		t.Errorf("%d are still running", n)
	}
}

func TestACancelledRunSaysSoOfEveryPlace(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	for e := range Run(ctx, make([]int, 20), 3, func(ctx context.Context, _ int, _ func(int) error) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}) {
		if e.Done && errors.Is(e.Err, context.Canceled) {
			n++
		}
	}
	if n != 20 {
		t.Errorf("%d of 20 report the cancellation", n)
	}
}

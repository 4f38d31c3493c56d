// Package fleet runs the same work in many places concurrently and returns the results in the order of the places. It
// does not depend on databases or tenants.
package fleet

import (
	"context"
	"iter"
	"sync"
)

// Event is a row from one place or, with Done, the end of its work.
type Event[R any] struct {
	Place int // index of the place
	Row   R
	Done  bool
	Err   error // the error of a Done event, or nil
}

// maxHeld limits the rows held for places whose turn has not come. It bounds memory, not the number of rows: places
// that are ahead wait.
const maxHeld = 20000

// Run runs work in every place, in up to parallel places at once, and yields the rows of the first place, then its
// end, then those of the second, and so on. A slow place only delays the output; other places continue until maxHeld
// rows are waiting. work must return when its context ends. If the caller stops iterating, all work has ended before
// Run returns.
func Run[P, R any](ctx context.Context, places []P, parallel int, work func(ctx context.Context, place P, emit func(R) error) error) iter.Seq[Event[R]] {
	return func(yield func(Event[R]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		f := &queues[R]{lanes: make([]lane[R], len(places))}
		f.changed.L = &f.mu
		var workers sync.WaitGroup
		defer workers.Wait()
		defer cancel()
		defer context.AfterFunc(ctx, f.wake)()
		next := make(chan int)
		for range min(max(parallel, 1), len(places)) {
			workers.Go(func() {
				for i := range next {
					err := ctx.Err()
					if err == nil {
						err = work(ctx, places[i], func(row R) error { return f.put(ctx, i, row) })
					}
					f.end(i, err)
				}
			})
		}
		workers.Go(func() {
			defer close(next)
			for i := range places {
				next <- i // every place gets an event, even after a cancellation
			}
		})
		for i := range places {
			for {
				rows, done, err := f.take(i)
				for _, row := range rows {
					if !yield(Event[R]{Place: i, Row: row}) {
						return
					}
				}
				if !done {
					continue
				}
				if !yield(Event[R]{Place: i, Done: true, Err: err}) {
					return
				}
				break
			}
		}
	}
}

// lane holds the rows of one place that have not been yielded.
type lane[R any] struct {
	rows []R
	done bool
	err  error
}

type queues[R any] struct {
	mu      sync.Mutex
	changed sync.Cond
	lanes   []lane[R]
	head    int // the place whose rows are being yielded
	held    int // rows in all lanes
}

func (f *queues[R]) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

// put adds a row once there is room. The current place always has room, to avoid a deadlock.
func (f *queues[R]) put(ctx context.Context, i int, row R) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ctx.Err() == nil && f.held >= maxHeld && (i != f.head || len(f.lanes[i].rows) > 0) {
		f.changed.Wait()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.lanes[i].rows = append(f.lanes[i].rows, row)
	if f.held++; i == f.head && len(f.lanes[i].rows) == 1 {
		f.changed.Broadcast()
	}
	return nil
}

func (f *queues[R]) end(i int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lanes[i].done, f.lanes[i].err = true, err
	f.changed.Broadcast()
}

// take waits for rows of a place, or its end, and removes them.
func (f *queues[R]) take(i int) (rows []R, done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head != i {
		f.head = i
		f.changed.Broadcast()
	}
	l := &f.lanes[i]
	for len(l.rows) == 0 && !l.done {
		f.changed.Wait()
	}
	rows, l.rows = l.rows, nil
	f.held -= len(rows)
	f.changed.Broadcast()
	return rows, l.done, l.err
}

// Package fleet does the same work in many places at once, and hands on what comes of it in the order of the places.
// It knows neither databases nor tenants.
package fleet

import (
	"context"
	"iter"
	"sync"
)

// Event is a row that the work in one place brought forth or, with Done, its end.
type Event[R any] struct {
	Place int // among the places
	Row   R
	Done  bool
	Err   error // of the end; nil where the work went well
}

// maxHeld is how many rows are held back for places whose turn has not come. It bounds memory, not what a place may
// bring forth: whoever is ahead waits.
const maxHeld = 20000

// Run works in every place, in at most parallel of them at once, and yields the rows of the first place, then its
// end, then those of the second, whichever was ready first. A place that fails or takes its time holds up nobody's
// work, only the handing on, until maxHeld rows wait behind it. Work has to end when its context does. Who stops
// listening ends all work before Run returns.
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
				next <- i // workers take every place, if only to say that it is too late
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

// lane is what one place has brought forth and nobody has taken yet.
type lane[R any] struct {
	rows []R
	done bool
	err  error
}

type queues[R any] struct {
	mu      sync.Mutex
	changed sync.Cond
	lanes   []lane[R]
	head    int // the place whose turn it is
	held    int // rows of all lanes
}

func (f *queues[R]) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

// put adds a row, once there is room. The place whose turn it is always gets some, or nobody's turn would come.
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

// take waits for rows of a place, or its end, and takes them.
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

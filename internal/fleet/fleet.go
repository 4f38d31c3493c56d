// Package fleet runs the same work in many places concurrently and returns the results in the order of the places. It
// does not depend on databases or tenants.
package fleet

import (
	"context"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Event is a row from one place or, with Done, the end of its work.
type Event[R any] struct {
	Place int // index of the place
	Row   R
	Done  bool
	Err   error // the error of a Done event, or nil
}

// maxAhead is the number of rows that a place may be ahead of its turn. It bounds memory, not the number of rows:
// places that are further ahead wait.
const maxAhead = 100

// Run runs work in every place, in up to parallel places at once, and yields the rows of the first place, then its
// end, then those of the second, and so on. A slow place only delays the output; others run until they are maxAhead rows
// ahead. work must return when its context ends. If the caller stops iterating, all work has ended before Run returns.
func Run[P, R any](ctx context.Context, places []P, parallel int, work func(ctx context.Context, place P, emit func(R) error) error) iter.Seq[Event[R]] {
	return func(yield func(Event[R]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		lanes := make(chan *lane[R], len(places))
		var starter sync.WaitGroup
		defer starter.Wait()
		defer cancel()
		starter.Go(func() {
			defer close(lanes)
			var workers errgroup.Group
			workers.SetLimit(max(parallel, 1))
			for _, place := range places { // every place gets an event, even after a cancellation
				l := &lane[R]{rows: make(chan R, maxAhead)}
				lanes <- l
				workers.Go(func() error {
					defer close(l.rows)
					if l.err = ctx.Err(); l.err == nil {
						l.err = work(ctx, place, func(row R) error { return l.put(ctx, row) })
					}
					return nil
				})
			}
			_ = workers.Wait() // each lane has its own error
		})
		i := 0
		for l := range lanes {
			for row := range l.rows {
				if !yield(Event[R]{Place: i, Row: row}) {
					return
				}
			}
			if !yield(Event[R]{Place: i, Done: true, Err: l.err}) {
				return
			}
			i++
		}
	}
}

// lane holds the rows of one place that have not been yielded.
type lane[R any] struct {
	rows chan R
	err  error // valid once rows is closed
}

func (l *lane[R]) put(ctx context.Context, row R) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.rows <- row:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

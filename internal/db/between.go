package db

import "time"

// Between adds the predicates that a column's time is from since on and before until; a zero time is no bound.
func (w *Where) Between(column string, since, until time.Time) {
	if !since.IsZero() {
		w.Bind(column+" >= @since::timestamptz", "since", since)
	}
	if !until.IsZero() {
		w.Bind(column+" < @until::timestamptz", "until", until)
	}
}

package auth

import (
	"testing"
	"time"
)

// A refused login takes a multiple of span, however long the work took.
func TestRemaining(t *testing.T) {
	t.Parallel()
	const span = 2 * time.Second
	for elapsed, total := range map[time.Duration]time.Duration{
		0: span, 3 * time.Millisecond: span, 143 * time.Millisecond: span, 1407 * time.Millisecond: span,
		span + time.Millisecond: 2 * span, 5600 * time.Millisecond: 3 * span,
	} {
		if got := elapsed + remaining(elapsed, span); got != total {
			t.Errorf("%s of work: %s, want %s", elapsed, got, total)
		}
	}
	if got := remaining(time.Second, 0); got != 0 {
		t.Errorf("without a span: %s", got)
	}
}

package output

import (
	"context"
	"io"
	"time"
)

// Updates writes a line at each tick, until ctx ends or stop is called: on a terminal always the same one, which is cleared
// at the end. line returns its text, or "" for none.
func Updates(ctx context.Context, w io.Writer, t Terminal, tick time.Duration, line func(context.Context) string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	overwrite := func(text string) { _, _ = io.WriteString(w, t.Overwrite(text)) }
	go func() {
		defer close(ended)
		ticks := time.NewTicker(tick)
		defer ticks.Stop()
		for shown := false; ; {
			select {
			case <-ctx.Done():
				if shown {
					overwrite("")
				}
				return
			case <-ticks.C:
			}
			switch text := Sanitize(line(ctx)); {
			case text == "":
			case t.IsTTY:
				overwrite(text)
				shown = true
			default:
				_, _ = io.WriteString(w, t.Message(text)+"\n")
			}
		}
	}()
	return func() { cancel(); <-ended }
}

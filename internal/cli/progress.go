package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
)

// How often progress is told: to a person in one line that changes, to a log in lines of its own.
const (
	progressTick = 200 * time.Millisecond
	progressLog  = 10 * time.Second
)

// progress tells on standard error how an export gets on, against the planner's estimate, until the
// returned function is called. It says nothing when asked to be quiet, where rows come to a terminal
// anyhow, and to logs in whose place an error would be one document.
func (x *export) progress(ctx context.Context, r db.Reader, q db.Query, w *db.IdleTimer) (stop func()) {
	term := output.DetectTerminal(x.stderr, x.getenv)
	shown := output.DetectTerminal(x.stdout, x.getenv).IsTTY && x.print.File == ""
	if x.global.quiet || shown || !term.IsTTY && isStructured(x.errorFormat()) {
		return func() {}
	}
	about := ""
	if n, err := q.Estimate(ctx, r); err == nil {
		about = " of about " + output.Thousands(n) + " (the planner's estimate)"
	}
	every := progressLog
	if term.IsTTY {
		every = progressTick
	}
	began, tick := time.Now(), time.NewTicker(every)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer tick.Stop()
		said := false
		for {
			select {
			case <-end:
				if said && term.IsTTY {
					_, _ = io.WriteString(x.stderr, "\r\x1b[K")
				}
				return
			case <-tick.C:
				n := w.Rows()
				line := fmt.Sprintf("%s rows%s, %s a second", output.Thousands(n), about, output.Thousands(int64(float64(n)/time.Since(began).Seconds())))
				if term.IsTTY {
					_, _ = fmt.Fprintf(x.stderr, "\r%s\x1b[K", line)
				} else {
					x.printf("%s", line)
				}
				said = true
			}
		}
	}()
	return func() { close(end); <-ended }
}

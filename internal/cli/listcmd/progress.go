package listcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
)

// Intervals of progress lines: on a terminal, where one line is updated, and in a log.
const (
	progressTick = 200 * time.Millisecond
	progressLog  = 10 * time.Second
)

// progress prints the number of exported rows and the planner's estimate to standard error until stop is called. It
// prints nothing with --quiet, if the rows go to a terminal, or, in a log, if errors are a single document. An error has
// aborted the transaction.
func (x *export) progress(ctx context.Context, r db.Reader, q db.Query, w *db.IdleTimer) (stop func(), err error) {
	term := x.TerminalOf(x.Stderr)
	shown := x.TerminalOf(x.Stdout).IsTTY && x.Printer.File == ""
	if x.Global.Quiet || shown || !term.IsTTY && cmdutil.IsStructured(x.ErrorFormat()) {
		return func() {}, nil
	}
	rows, err := q.Estimate(ctx, r)
	if err != nil {
		return nil, err
	}
	estimate := " of about " + output.Thousands(rows) + " (the planner's estimate)"
	interval := progressLog
	if term.IsTTY {
		interval = progressTick
	}
	began, tick := time.Now(), time.NewTicker(interval)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer tick.Stop()
		printed := false
		for {
			select {
			case <-end:
				if printed && term.IsTTY {
					x.Overwrite("")
				}
				return
			case <-tick.C:
				n := w.Rows()
				if n == 0 && term.IsTTY { // the wait for the first row has its own line
					continue
				}
				line := fmt.Sprintf("%s rows%s, %s a second", output.Thousands(n), estimate, output.Thousands(int64(float64(n)/time.Since(began).Seconds())))
				if term.IsTTY {
					x.Overwrite(line)
				} else {
					x.Printf("%s", line)
				}
				printed = true
			}
		}
	}()
	return func() { close(end); <-ended }, nil
}

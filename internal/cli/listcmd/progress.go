package listcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
)

// progress shows the number of exported rows and the planner's estimate until stop is called, unless the rows go to a
// terminal. An error has aborted the transaction.
func (x *export) progress(ctx context.Context, r db.Reader, q db.Query, w *db.IdleTimer) (stop func(), err error) {
	if x.TerminalOf(x.Stdout).IsTTY && x.Printer.File == "" || !x.ShowsProgress() {
		return func() {}, nil
	}
	rows, err := q.Estimate(ctx, r)
	if err != nil {
		return nil, err
	}
	estimate := " of about " + output.Thousands(rows) + " (the planner's estimate)"
	isTTY, began := x.TerminalOf(x.Stderr).IsTTY, time.Now()
	return x.Progress(func() string {
		n := w.Rows()
		if n == 0 && isTTY { // the wait for the first row has its own line
			return ""
		}
		return fmt.Sprintf("%s rows%s, %s a second", output.Thousands(n), estimate, output.Thousands(int64(float64(n)/time.Since(began).Seconds())))
	}), nil
}

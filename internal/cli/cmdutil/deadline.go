package cmdutil

import (
	"context"
	"errors"
	"time"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Deadline limits the time of a one-off command. The server's own time-outs end its statements first, with a better
// message, unless the network drops them. The timer is paused during prompts, and stopped for good once a stream
// begins, which has an idle time-out instead.
type Deadline struct {
	timer   *time.Timer
	left    time.Duration
	since   time.Time
	expired error
	ctx     context.Context
}

// start starts the timer. A timeout of 0 means no limit.
func (d *Deadline) start(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	d.ctx = ctx
	if timeout > 0 {
		d.expired = fault.New(fault.Database, "the database did not answer within %s", timeout).
			WithHint("nothing was changed; raise --timeout if the database is slow")
		d.left, d.since = timeout+timeout/10, time.Now()
		d.timer = time.AfterFunc(d.left, func() { cancel(d.expired) })
	}
	return ctx, func() { d.Stop(); cancel(nil) }
}

// Pause stops the timer until Resume.
func (d *Deadline) Pause() {
	if d.timer != nil && d.timer.Stop() {
		d.left -= time.Since(d.since)
	}
}

// Resume restarts the timer with the time that was left at Pause.
func (d *Deadline) Resume() {
	if d.timer != nil {
		d.since = time.Now()
		d.timer.Reset(d.left)
	}
}

// Stop removes the limit.
func (d *Deadline) Stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// Done removes the limit after a commit. Later errors must not be replaced by the time-out, which says that nothing was
// changed.
func (d *Deadline) Done() {
	d.Stop()
	d.expired = nil
}

// Err returns the time-out in place of the errors that it caused, unless they say that something was or may have
// been changed.
func (d *Deadline) Err(err error) error {
	if err != nil && !audit.OutcomeUnknown(err) && !fault.Is(err, fault.Validation) && d.expired != nil && errors.Is(context.Cause(d.ctx), d.expired) {
		return d.expired
	}
	return err
}

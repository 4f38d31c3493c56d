package cmdutil

import (
	"context"
	"errors"
	"time"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Deadline limits the time of a one-off command. The server's own time-outs end its statements first, with a better
// message, unless the network drops them. The clock is paused during prompts, and stopped for good once a stream begins,
// which has an idle time-out instead.
type Deadline struct {
	timer   *time.Timer
	left    time.Duration
	since   time.Time
	expired error
	ctx     context.Context
}

// start starts the time. A timeout of 0 means no limit.
func (c *Deadline) start(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.ctx = ctx
	if timeout > 0 {
		c.expired = fault.New(fault.Database, "the database did not answer within %s", timeout).
			WithHint("nothing was changed; raise --timeout if the database is slow")
		c.left, c.since = timeout+timeout/10, time.Now()
		c.timer = time.AfterFunc(c.left, func() { cancel(c.expired) })
	}
	return ctx, func() { c.Stop(); cancel(nil) }
}

// Pause stops the time until Resume.
func (c *Deadline) Pause() {
	if c.timer != nil && c.timer.Stop() {
		c.left -= time.Since(c.since)
	}
}

// Resume continues the time after Pause.
func (c *Deadline) Resume() {
	if c.timer != nil {
		c.since = time.Now()
		c.timer.Reset(c.left)
	}
}

// Stop ends the limit.
func (c *Deadline) Stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Done ends the limit after a commit: from then on an error must not be replaced by the time-out, which says that
// nothing was changed.
func (c *Deadline) Done() {
	c.Stop()
	c.expired = nil
}

// Err returns the time-out in place of the errors that it caused, unless they say that something was or may have
// been changed.
func (c *Deadline) Err(err error) error {
	if err != nil && !audit.OutcomeUnknown(err) && !fault.Is(err, fault.Validation) && c.expired != nil && errors.Is(context.Cause(c.ctx), c.expired) {
		return c.expired
	}
	return err
}

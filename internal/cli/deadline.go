package cli

import (
	"context"
	"errors"
	"time"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// clock limits the time of a one-off command. The server's own time-outs end its statements first, with a better
// message, unless the network drops them. The clock is paused during prompts, and stopped for good once a stream begins,
// which has an idle time-out instead.
type clock struct {
	timer   *time.Timer
	left    time.Duration
	since   time.Time
	expired error
	ctx     context.Context
}

// start starts the clock. A timeout of 0 means no limit.
func (c *clock) start(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.ctx = ctx
	if timeout > 0 {
		c.expired = fault.New(fault.Database, "the database did not answer within %s", timeout).
			WithHint("nothing was changed; raise --timeout if the database is slow")
		c.left, c.since = timeout+timeout/10, time.Now()
		c.timer = time.AfterFunc(c.left, func() { cancel(c.expired) })
	}
	return ctx, func() { c.stop(); cancel(nil) }
}

// pause stops the clock until resume.
func (c *clock) pause() {
	if c.timer != nil && c.timer.Stop() {
		c.left -= time.Since(c.since)
	}
}

func (c *clock) resume() {
	if c.timer != nil {
		c.since = time.Now()
		c.timer.Reset(c.left)
	}
}

func (c *clock) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// done stops the clock after a commit: from then on an error must not be replaced by the time-out, which says that
// nothing was changed.
func (c *clock) done() {
	c.stop()
	c.expired = nil
}

// verdict returns the time-out in place of the errors that it caused, unless they say that something was or may have
// been changed.
func (c *clock) verdict(err error) error {
	if err != nil && !audit.OutcomeUnknown(err) && !fault.Is(err, fault.Validation) && c.expired != nil && errors.Is(context.Cause(c.ctx), c.expired) {
		return c.expired
	}
	return err
}

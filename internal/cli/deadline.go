package cli

import (
	"context"
	"errors"
	"time"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// clock bounds how long a one-off command may take on our side: the server's own time-outs end its
// statements first, with a better message, unless the network swallows them. It stands still while a
// person is asked, and stops for good once a stream begins, which has an idle time-out instead.
type clock struct {
	timer   *time.Timer
	left    time.Duration
	since   time.Time
	expired error
	ctx     context.Context
}

// start lets the clock run; 0 means without end.
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

// done ends the clock after a commit: nothing that comes later can be undone by running out of time,
// nor may a time-out that says so stand in for its errors.
func (c *clock) done() {
	c.stop()
	c.expired = nil
}

// verdict returns the time-out in place of the errors that it led to, unless they say that something was, or may have
// been, changed.
func (c *clock) verdict(err error) error {
	if err != nil && !audit.OutcomeUnknown(err) && !fault.Is(err, fault.Validation) && c.expired != nil && errors.Is(context.Cause(c.ctx), c.expired) {
		return c.expired
	}
	return err
}

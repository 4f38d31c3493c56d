package cmdutil

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// waitTick is how long a statement takes before a person is told, and the time between two updates.
const waitTick = time.Second

// Tell prints what is used, with --verbose.
func (env *Env) Tell(format string, args ...any) {
	if env.Global.Verbose && !env.Global.Quiet {
		env.Printf(format, args...)
	}
}

// watcher returns what watches the statements of a connection, or nil if nothing is told about them.
func (env *Env) watcher() db.Watcher {
	if env.Global.Quiet || !env.Global.Verbose && !env.showsWaits() {
		return nil
	}
	return watcher{env}
}

// showsWaits reports whether standard error is a terminal on which a line can be updated.
func (env *Env) showsWaits() bool {
	return !env.Global.Quiet && env.Getenv("TERM") != "dumb" && env.TerminalOf(env.Stderr).IsTTY
}

// watcher tells what statements do: with --verbose when they end, and on a terminal while they take long.
type watcher struct{ env *Env }

// Began implements db.Watcher.
func (w watcher) Began(s *db.Statement) (ended func(rows int64, err error)) {
	began := time.Now()
	stop := w.env.waiting(func(ctx context.Context) string {
		if holder := s.Blocker(ctx); holder != "" {
			return "waiting for a lock held by " + holder
		}
		return "waiting for the database"
	})
	s.BeforeRows(stop)
	return func(rows int64, err error) {
		stop()
		result := fault.Plural(int(rows), "row")
		if err != nil {
			result = "failed"
		}
		w.env.Tell("%s: %s in %s", s.Purpose, result, time.Since(began).Round(100*time.Microsecond))
	}
}

// waiting shows on a terminal what a person waits for, once it takes long, until stop is called.
func (env *Env) waiting(what func(context.Context) string) (stop func()) {
	if !env.showsWaits() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(env.Context)
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(waitTick)
		defer tick.Stop()
		for shown := false; ; shown = true {
			select {
			case <-ctx.Done():
				if shown {
					env.Overwrite("")
				}
				return
			case <-tick.C:
				env.Overwrite(fmt.Sprintf("%s … %ds", output.Sanitize(what(ctx)), int(time.Since(began).Seconds())))
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// Overwrite replaces the current line of the terminal on standard error.
func (env *Env) Overwrite(line string) {
	_, _ = io.WriteString(env.Stderr, env.TerminalOf(env.Stderr).Overwrite(line))
}

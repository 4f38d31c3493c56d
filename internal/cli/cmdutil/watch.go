package cmdutil

import (
	"context"
	"fmt"
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
	began := time.Now()
	return output.Updates(env.Context, env.Stderr, env.TerminalOf(env.Stderr), waitTick, func(ctx context.Context) string {
		return fmt.Sprintf("%s … %ds", what(ctx), int(time.Since(began).Seconds()))
	})
}

// Intervals of progress: on a terminal, where one line is updated, and in a log.
const (
	progressTick = 200 * time.Millisecond
	progressLog  = 10 * time.Second
)

// ShowsProgress reports whether Progress shows anything: not with --quiet, nor in a log whose errors are one document.
func (env *Env) ShowsProgress() bool {
	return !env.Global.Quiet && (env.showsWaits() || !IsStructured(env.ErrorFormat()))
}

// Progress shows a line with the progress of a long command until stop is called.
func (env *Env) Progress(line func() string) (stop func()) {
	if !env.ShowsProgress() {
		return func() {}
	}
	t, tick := env.TerminalOf(env.Stderr), progressTick
	if t.IsTTY = env.showsWaits(); !t.IsTTY {
		tick = progressLog
	}
	return output.Updates(env.Context, env.Stderr, t, tick, func(context.Context) string { return line() })
}

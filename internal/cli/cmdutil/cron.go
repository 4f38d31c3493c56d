package cmdutil

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// cronFlags are the flags of commands that jobs run.
type cronFlags struct {
	lock, metrics, logFormat string
	lockWait                 time.Duration
	failIfEmpty, ifChanged   bool
	retries                  int
}

// bindCron adds the flags for jobs to lists, exports and overdue.
func bindCron(env *Env, cmd *cobra.Command) {
	f := cmd.Flags()
	if f.Lookup("output-file") == nil || f.Lookup("all") == nil && cmd.Name() != "export" && cmd.Name() != "overdue" {
		return
	}
	files := f.Lookup("output-file")
	files.Value = &env.Output.files
	files.Usage += "; may be repeated"
	f.StringVar(&env.cron.lock, "lock", "", "run only if no other run holds the lock of this `name` in the database")
	f.DurationVar(&env.cron.lockWait, "lock-wait", 0, "how long to wait for the lock")
	f.BoolVar(&env.cron.failIfEmpty, "fail-if-empty", false, "exit 9 without rows, and write no file")
	f.BoolVar(&env.cron.ifChanged, "if-changed", false, "leave --output-file as it is if its bytes would be the same")
	f.IntVar(&env.cron.retries, "retries", 0, "how often to try again after the database failed")
	f.StringVar(&env.cron.metrics, "metrics-file", "", "write the outcome to `file` in Prometheus text format")
	f.StringVar(&env.cron.logFormat, "log-format", "", "write errors and notes as log lines: text or json")
	names := []string{"lock", "lock-wait", "fail-if-empty", "if-changed", "retries", "metrics-file", "log-format"}
	cliflag.MarkFlags(f, cliflag.Shaping, names...)
	cliflag.MarkFlags(f, cliflag.Printing, names...)
	cliflag.ExplainIn(f, "cron", names...)
	cliflag.MarkFile(cmd, "metrics-file", cliflag.FileWritten)
	cliflag.CompleteFlag(cmd, "log-format", "text", "json")
}

// check refuses flags that need others, and values out of range.
func (c cronFlags) check(toFile bool) error {
	var p fault.Problems
	if c.retries < 0 || c.retries > maxRetries {
		p.Add("retries", "%d is out of range; use 0 to %d", c.retries, maxRetries)
	}
	if c.logFormat != "" && c.logFormat != "text" && c.logFormat != "json" {
		p.Add("log_format", "%q is not one of text, json", c.logFormat)
	}
	switch {
	case p.Err() != nil:
		return p.Err()
	case c.lockWait != 0 && c.lock == "":
		return fault.New(fault.Usage, "--lock-wait needs --lock")
	case c.ifChanged && !toFile:
		return fault.New(fault.Usage, "--if-changed needs --output-file")
	}
	return nil
}

const maxRetries = 100

// RetryPause is the pause before the first retry; each later one is twice as long, up to maxRetryPause. Tests shorten
// it.
var RetryPause = time.Second

const maxRetryPause = time.Minute

// retried runs fn again, as often as --retries says, while the database fails before any row was printed. A change
// whose outcome is unknown is not repeated.
func (env *Env) retried(ctx context.Context, fn func(context.Context) error) error {
	pause := RetryPause
	for try := 0; ; try++ {
		err := fn(ctx)
		if err == nil || try == env.cron.retries || !db.IsTransient(err) || audit.OutcomeUnknown(err) || env.Printer.HasPrinted() {
			return err
		}
		env.Close()
		wait := pause/2 + rand.N(pause) //nolint:gosec // jitter is not a secret
		env.Note("attempt %d of %d failed: %s; trying again in %s", try+1, env.cron.retries+1, fault.From(db.Translate(err)).Message, wait.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		pause = min(2*pause, maxRetryPause)
	}
}

// locked runs fn while holding the lock of --lock. The lock is freed with the transaction that holds it, so a run that
// dies does not keep it.
func (env *Env) locked(ctx context.Context, cmd *cobra.Command, fn func(context.Context) error) error {
	if env.cron.lock == "" {
		return fn(ctx)
	}
	o, err := env.Target(ctx, cmd, "manager")
	if err != nil {
		return err
	}
	d, err := env.Open(ctx, o)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("cxgctl lock " + env.cron.lock))
	key := int64(binary.BigEndian.Uint64(sum[:])) //nolint:gosec // any 64 bits make a key
	return d.Hold(ctx, func(r db.Reader) error {
		for start := time.Now(); ; {
			var taken bool
			if err := r.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, key).Scan(&taken); err != nil {
				return err
			}
			if taken {
				return fn(ctx)
			}
			if time.Since(start) >= env.cron.lockWait {
				return env.lockedBy(ctx, r, key)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(min(200*time.Millisecond, env.cron.lockWait)):
			}
		}
	})
}

const lockHolder = `
SELECT l.pid, coalesce(a.application_name, ''), a.xact_start
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.classid::bigint << 32 | l.objid::bigint = $1`

// lockedBy returns the error for a lock that another run holds.
func (env *Env) lockedBy(ctx context.Context, r db.Reader, key int64) error {
	f := fault.New(fault.Busy, "another run holds the lock %q", env.cron.lock).WithHint("nothing was done; --lock-wait 10m waits for it").With("lock", env.cron.lock)
	var pid int
	var application string
	var since *time.Time
	if err := r.QueryRow(ctx, lockHolder, key).Scan(&pid, &application, &since); err != nil {
		return f // the holder has just finished
	}
	f.Message += fmt.Sprintf(": %s, server process %d", application, pid)
	if since != nil {
		f.Message += ", since " + since.UTC().Format(time.RFC3339)
	}
	return f
}

// logger returns the logger of --log-format, or nil.
func (env *Env) logger() *slog.Logger {
	utc := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.String(a.Key, a.Value.Time().UTC().Format(time.RFC3339))
		}
		return a
	}
	options := &slog.HandlerOptions{ReplaceAttr: utc}
	var h slog.Handler
	switch env.cron.logFormat {
	case "text":
		h = slog.NewTextHandler(env.Stderr, options)
	case "json":
		h = slog.NewJSONHandler(env.Stderr, options)
	default:
		return nil
	}
	l := slog.New(h)
	if env.Config != nil {
		l = l.With("profile", env.Config.Profile)
	}
	if env.ServerAddr != "" {
		l = l.With("host", env.ServerAddr)
	}
	return l
}

// LogError writes an error as a log line with --log-format. It returns false without it.
func (env *Env) LogError(cmd *cobra.Command, f *fault.Error) bool {
	l := env.logger()
	if l == nil {
		return false
	}
	l = l.With("command", strings.TrimPrefix(cmd.CommandPath(), "cxgctl "), "code", string(f.Code))
	if f.Hint != "" {
		l = l.With("hint", output.Sanitize(f.Hint))
	}
	l.Error(output.Sanitize(f.Message))
	return true
}

// WriteMetrics writes the outcome of a run to the file of --metrics-file, unless another flag names that file too.
func (env *Env) WriteMetrics(cmd *cobra.Command, status int) error {
	file := env.cron.metrics
	if file == "" || checkFiles(env, cmd) != nil {
		return nil //nolint:nilerr // the run has reported it
	}
	m := output.Metrics{
		Command:  strings.TrimPrefix(cmd.CommandPath(), "cxgctl "),
		Started:  env.Started,
		ExitCode: status,
	}
	if env.Printer != nil {
		m.Rows, m.Bytes = env.Printer.Printed()
	}
	if env.Config != nil {
		m.Profile = env.Config.Profile
	}
	return m.Write(file, env.Stdout)
}

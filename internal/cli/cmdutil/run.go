package cmdutil

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/output"
)

// RunAnonymous wraps a command that runs without an operator, or before the operator is known.
func RunAnonymous(env *Env, fn func(ctx context.Context, cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		ctx, cancel := env.Deadline.start(ctx, env.Config.Timeout)
		defer cancel()
		return env.Deadline.Err(fn(ctx, cmd))
	})
}

// ErrorFormat returns the output format of errors. It scans the raw arguments, because the error may have
// occurred before the flags were parsed.
func (env *Env) ErrorFormat() output.Format {
	value := env.Getenv("CXGCTL_OUTPUT")
	if env.Config != nil {
		value = env.Config.Output
	}
	for i, arg := range env.Args {
		if arg == "--" {
			break
		}
		switch {
		case arg == "--json":
			value = "json"
		case (arg == "-o" || arg == "--output") && i+1 < len(env.Args):
			value = env.Args[i+1]
		case strings.HasPrefix(arg, "--output="):
			value = strings.TrimPrefix(arg, "--output=")
		case strings.HasPrefix(arg, "-o") && len(arg) > 2:
			value = strings.TrimPrefix(arg[2:], "=")
		}
	}
	if f, err := output.ParseFormat(value); err == nil {
		return f
	}
	return output.Table
}

// Wrap marks the command as running, which distinguishes its errors from usage errors of cobra.
func (env *Env) Wrap(fn func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		env.Running = true
		return fn(cmd.Context(), cmd, args)
	}
}

// RunRead returns a RunE for a command that reads the platform's data as the operator.
func RunRead(env *Env, fn func(ctx context.Context, s *Session, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return RunUnfiltered(env, func(ctx context.Context, s *Session, cmd *cobra.Command, args []string) error {
		return fn(ctx, s.filtered(), cmd, args)
	})
}

// RunUnfiltered returns a RunE for a command that changes or verifies data: row policies do not filter what it reads.
func RunUnfiltered(env *Env, fn func(ctx context.Context, s *Session, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return env.Wrap(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		if err := refuseUnrecorded(env, cmd); err != nil {
			return err
		}
		return env.retried(ctx, func(ctx context.Context) error {
			return env.locked(ctx, cmd, func(ctx context.Context) error { return runOnce(ctx, env, cmd, args, fn) })
		})
	})
}

// runOnce opens a session and runs the command in it.
func runOnce(
	ctx context.Context, env *Env, cmd *cobra.Command, args []string, fn func(context.Context, *Session, *cobra.Command, []string) error,
) error {
	ctx, cancel := env.Deadline.start(ctx, env.Config.Timeout)
	defer cancel()
	s, err := OpenSession(ctx, env, cmd, args...)
	if err == nil {
		s, err = enterTenant(ctx, env, cmd, s)
	}
	if err == nil {
		env.ServerAddr = s.DB.Addr()
		if err = s.requireSeparable(); err != nil {
			recordBlocked(ctx, env, s.Manager(), cmd, env.SpecOf(cmd).intent(""), err)
		}
	}
	if err == nil {
		env.names = namesOf(ctx, s.Manager())
		env.Printer.Usernames = func(ids []string) map[string]string { return env.names(Users.Name, ids) }
		err = fn(ctx, s, cmd, args)
	}
	return env.Deadline.Err(err)
}

// Package cli implements the commands. A command binds its flags to a domain type, runs one verb, prints the
// result and maps errors to exit codes. Each noun has a package of its own.
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// brokenPipe is the exit code after EPIPE on standard output: 128 + SIGPIPE, as shells report it.
const brokenPipe = 141

// Main runs one command and returns the process's exit code. A cancelled ctx whose cause is a
// *fault.Error ends the command with that code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	env := &cmdutil.Env{Context: ctx, Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr, Getenv: os.Getenv, Started: time.Now()}
	return run(env, newRoot(env))
}

// run runs the command that the arguments name, and returns the exit code.
func run(env *cmdutil.Env, root *cobra.Command) (status int) {
	var cmd *cobra.Command
	defer func() { status = writeMetrics(env, cmd, status) }()
	// Go exits with 2 after a panic, which is our code for usage errors.
	defer func() {
		if r := recover(); r != nil {
			if env.Global.Verbose {
				env.Printf("%s", debug.Stack())
			}
			f := fault.New(fault.Internal, "bug in cxgctl: %v", r).WithHint("run the command again with --verbose and report the output")
			output.WriteError(env.Stderr, env.ErrorFormat(), f, output.Terminal{})
			status = fault.Status(f)
		}
	}()
	if env.IsCompleting() { // what a TAB prints besides words would disturb the command line
		env.Stdin, env.Stderr = strings.NewReader(""), io.Discard
	}
	help := &errorWriter{Writer: env.Stdout}
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(help)
	root.SetErr(env.Stderr)
	var err error
	cmd, err = root.ExecuteContextC(env.Context)
	env.Close()
	if help.err != nil && (err == nil || errors.Is(err, help.err)) {
		err = output.StandardOutputFault(help.err)
	}
	if err == nil {
		for _, n := range env.Notes {
			env.Printf("%s", n)
		}
		return 0
	}
	if cause := context.Cause(env.Context); cause != nil && !fault.Is(err, fault.PartialFailure) {
		// An interrupted call can return any error. Report the signal instead, unless the error has the
		// signal's code already: it may add that the change was made.
		if f, ok := errors.AsType[*fault.Error](cause); ok && !fault.Is(err, f.Code) {
			err = f
		}
	}
	f := toFault(env, cmd, err)
	nameFlagOfCharacter(env, f)
	nameFlagsOfFields(cmd, f)
	quiet := env.Global.Quiet || !env.Running && slices.ContainsFunc(env.Args, isQuiet) // flags after an unknown one are not parsed
	if quiet && !cmdutil.IsStructured(env.ErrorFormat()) {
		f.Hint = "" // one line in the mail of a job
	}
	// EPIPE on a database connection is reported as an error.
	if errors.Is(err, syscall.EPIPE) && f.Code != fault.Database {
		if env.HasPaged() {
			return 0
		}
		return brokenPipe
	}
	if !env.LogError(cmd, f) {
		output.WriteError(env.Stderr, env.ErrorFormat(), f, env.TerminalOf(env.Stderr))
	}
	if env.Global.Verbose {
		explain(env, f)
	}
	return fault.Status(f)
}

// writeMetrics writes the file of --metrics-file and returns the exit code.
func writeMetrics(env *cmdutil.Env, cmd *cobra.Command, status int) int {
	if cmd == nil {
		return status
	}
	err := env.WriteMetrics(cmd, status)
	if err == nil {
		return status
	}
	output.WriteError(env.Stderr, env.ErrorFormat(), err, env.TerminalOf(env.Stderr))
	return cmp.Or(status, fault.Status(err))
}

// nameFlagsOfFields makes the message call each field by the flag that set it.
func nameFlagsOfFields(cmd *cobra.Command, f *fault.Error) {
	f.NameFields(func(field string) string {
		if flag := cliflag.OfField(cmd.Flags(), field); flag != nil {
			return "--" + flag.Name
		}
		return field
	})
}

// nameFlagOfCharacter prefixes an error about a forbidden character with the flag whose value contains it.
func nameFlagOfCharacter(env *cmdutil.Env, f *fault.Error) {
	character, ok := f.Detail["character"].(string)
	if !ok || character == "" {
		return
	}
	flag := ""
	for _, arg := range env.Args {
		name, value, assigned := strings.Cut(arg, "=")
		if strings.HasPrefix(arg, "--") {
			flag = name
			arg = value
			if !assigned {
				continue
			}
		}
		if flag != "" && strings.Contains(arg, character) {
			f.Message = flag + ": " + f.Message
			f.With("field", strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
			return
		}
	}
}

// errorWriter keeps the first write error. Cobra ignores errors when it prints help and completions.
type errorWriter struct {
	io.Writer
	err error
}

func (r *errorWriter) Write(b []byte) (int, error) {
	n, err := r.Writer.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// toFault converts err to a *fault.Error. Errors that cobra returns before a command runs are usage errors.
func toFault(env *cmdutil.Env, cmd *cobra.Command, err error) *fault.Error {
	if env.Running {
		return fault.From(db.Translate(err))
	}
	return usageError(cmd, env.Args, err)
}

func isQuiet(arg string) bool { return arg == "-q" || arg == "--quiet" }

// explain prints the SQLSTATE and the duration for --verbose. It omits the server's DETAIL, which can quote
// whole rows including password hashes.
func explain(env *cmdutil.Env, f *fault.Error) {
	if state, constraint := db.State(f); state != "" {
		env.Printf("SQLSTATE %s %s", state, constraint)
	}
	env.Printf("after %s", time.Since(env.Started).Round(time.Millisecond))
}

// WithSignals returns a context for Main that the first signal ends. A second one ends the program immediately.
func WithSignals() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	// Report a closed pipe as an error of Write, instead of ending a command between a change and its report.
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(signals, syscall.SIGTERM)
	output.NotifyInterrupts(signals)
	if !signal.Ignored(syscall.SIGHUP) { // ignored under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		s := <-signals
		signal.Stop(signals)
		cancel(stopped(s))
	}()
	return ctx
}

// stopped returns the cause with which a signal ends the context.
func stopped(s os.Signal) error {
	switch s {
	case syscall.SIGTERM:
		return fault.New(fault.Terminated, "terminated")
	case syscall.SIGHUP:
		return fault.New(fault.HungUp, "hung up")
	}
	return fault.New(fault.Interrupted, "interrupted")
}

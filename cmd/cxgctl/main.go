// Command cxgctl administers the CXG platform's databases.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/cli"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	// Report a closed pipe as an error of Write, instead of ending a command between a change and its report.
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // ignored under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		s := <-signals
		signal.Stop(signals) // a second signal ends the program immediately
		cancel(cli.Stopped(s))
	}()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

package cli

import (
	"sync"
	_ "unsafe" // for go:linkname

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// Cobra keeps the completion functions of flags in a map that nothing empties, and with them the command tree of every
// run in this process: a megabyte each.

//go:linkname flagCompletions github.com/spf13/cobra.flagCompletionFunctions
var flagCompletions map[*pflag.Flag]cobra.CompletionFunc

//go:linkname flagCompletionMutex github.com/spf13/cobra.flagCompletionMutex
var flagCompletionMutex *sync.RWMutex

// runAndForget runs a command in this process, and then lets go of its command tree.
func runAndForget(env *cmdutil.Env) int {
	root := newRoot(env)
	defer forget(root)
	return run(env, root)
}

func forget(cmd *cobra.Command) {
	flagCompletionMutex.Lock()
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) { delete(flagCompletions, f) })
	}
	flagCompletionMutex.Unlock()
	for _, child := range cmd.Commands() {
		forget(child)
	}
}

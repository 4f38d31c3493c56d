package cli

import (
	"sync"
	_ "unsafe" // for go:linkname

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Cobra keeps the completion functions of flags in a map that nothing empties, and with them the command tree of every
// run in this process: a megabyte each.

//go:linkname flagCompletions github.com/spf13/cobra.flagCompletionFunctions
var flagCompletions map[*pflag.Flag]cobra.CompletionFunc

//go:linkname flagCompletionMutex github.com/spf13/cobra.flagCompletionMutex
var flagCompletionMutex *sync.RWMutex

// forgetCompletions lets go of the command trees. No command may be running.
func forgetCompletions() {
	flagCompletionMutex.Lock()
	defer flagCompletionMutex.Unlock()
	clear(flagCompletions)
}

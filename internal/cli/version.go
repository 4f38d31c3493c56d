package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// The linker sets these (-X) in builds of the Makefile. Date is the commit's, in RFC 3339.
var (
	Version string
	Commit  string
	Date    string
)

// version returns Version, else the version of the module, else devel.
func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// versionLine returns the output of version and --version, such as
// "cxgctl v1.2.0 (commit 1a2b3c4, 2026-11-28T16:00:00Z) linux/amd64 go1.26.0".
func versionLine() string {
	built := ""
	if Commit != "" {
		built = fmt.Sprintf(" (commit %s, %s)", Commit, Date)
	}
	return fmt.Sprintf("cxgctl %s%s %s/%s %s\n", version(), built, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		RunE: a.wrap(func(context.Context, *cobra.Command, []string) error {
			_, err := io.WriteString(a.stdout, versionLine())
			return err
		}),
	}
}

func (a *app) completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(a.stdout, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(a.stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(a.stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.stdout) },
	}
	var children []*cobra.Command
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		children = append(children, &cobra.Command{
			Use: shell, Short: "Print the completion script for " + shell, Args: exactly(),
			RunE: a.wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error { return shells[shell](cmd.Root()) }),
		})
	}
	cmd := a.group("completion", "Print a completion script for a shell", children...)
	cmd.Example = "  source <(cxgctl completion bash)\n  cxgctl completion zsh > \"${fpath[1]}/_cxgctl\""
	return cmd
}

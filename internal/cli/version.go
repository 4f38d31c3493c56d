package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is set by the linker (-X) in builds of the Makefile.
var Version = ""

// version is this program's version: the linker's, else the module's, else devel.
func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		RunE: a.run(func(context.Context, *cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "cxgctl %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
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
	var children []child
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		children = append(children, child{shell, func() *cobra.Command {
			return &cobra.Command{
				Use: shell, Short: "Print the completion script for " + shell, Args: exactly(),
				RunE: a.run(func(_ context.Context, cmd *cobra.Command, _ []string) error { return shells[shell](cmd.Root()) }),
			}
		}})
	}
	cmd := a.group("completion", "Print a completion script for a shell", children...)
	cmd.Example = "  source <(cxgctl completion bash)\n  cxgctl completion zsh > \"${fpath[1]}/_cxgctl\""
	return cmd
}

package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		RunE: a.wrap(func(context.Context, *cobra.Command, []string) error {
			_, err := io.WriteString(a.stdout, buildinfo.Line())
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

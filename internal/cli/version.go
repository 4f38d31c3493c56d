package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

func newVersion(env *cmdutil.Env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cmdutil.ExactArgs(),
		RunE: env.Wrap(func(context.Context, *cobra.Command, []string) error {
			_, err := io.WriteString(env.Stdout, buildinfo.Line())
			return err
		}),
	}
}

func newCompletion(env *cmdutil.Env) *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(env.Stdout, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(env.Stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(env.Stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(env.Stdout) },
	}
	var children []*cobra.Command
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		children = append(children, &cobra.Command{
			Use: shell, Short: "Print the completion script for " + shell, Args: cmdutil.ExactArgs(),
			RunE: env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error { return shells[shell](cmd.Root()) }),
		})
	}
	cmd := cmdutil.Group("completion", "Print a completion script for a shell", children...)
	cmd.Example = "  source <(cxgctl completion bash)\n  cxgctl completion zsh > \"${fpath[1]}/_cxgctl\""
	return cmd
}

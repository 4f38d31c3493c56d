package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/output"
)

func newVersion(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Long: "With its commit, date, platform and Go version.", Args: cmdutil.ExactArgs(), Example: "  cxgctl version\n  cxgctl version -o json"}
	cmd.RunE = env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if cmd.Flags().NFlag() == 0 { // works with a configuration that cannot be read, too
			_, err := io.WriteString(env.Stdout, buildinfo.Line())
			return err
		}
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		return output.One(env.Printer, output.View{Name: "versions", ID: "version"}, buildinfo.Current())
	})
	return cmdutil.AddOutputFlags[buildinfo.Build](env, cmd)
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
			Use: shell, Short: "Print the completion script for " + shell, Args: cmdutil.ExactArgs(), Example: "  cxgctl completion " + shell,
			RunE: env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error { return shells[shell](cmd.Root()) }),
		})
	}
	cmd := cmdutil.Group("completion", "Print a completion script for a shell", children...)
	cmd.Example = "  source <(cxgctl completion bash)\n  cxgctl completion zsh > \"${fpath[1]}/_cxgctl\""
	return cmd
}

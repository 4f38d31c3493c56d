package cli

import (
	"context"
	_ "embed"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/output"
)

func newVersion(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Long: "With its commit, date, platform and Go version.", Args: cmdutil.ExactArgs(), Example: "  cxgctl version\n  cxgctl version -o json"}
	cmd.RunE = env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if cmd.Flags().NFlag() == 0 { // works with a configuration that cannot be read, too
			_, err := io.WriteString(cmd.OutOrStdout(), buildinfo.Line())
			return err
		}
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		return output.One(env.Printer, output.View{Name: "versions", ID: "version"}, buildinfo.Current())
	})
	return cmdutil.AddOutputFlags[buildinfo.Build](env, cmd)
}

// bashCompletion is our own script for bash, since cobra's needs the package bash-completion and escapes the commas of
// lists.
//
//go:embed completion.bash
var bashCompletion string

func newCompletion(env *cmdutil.Env) *cobra.Command {
	shells := map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(_ *cobra.Command, w io.Writer) error {
			_, err := io.WriteString(w, bashCompletion)
			return err
		},
		"zsh":        (*cobra.Command).GenZshCompletion,
		"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
	}
	plain := false
	var children []*cobra.Command
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		child := &cobra.Command{
			Use: shell, Short: "Print the completion script for " + shell, Args: cmdutil.ExactArgs(), Example: "  cxgctl completion " + shell,
			RunE: env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
				var script strings.Builder
				if err := shells[shell](cmd.Root(), &script); err != nil {
					return err
				}
				request := cobra.ShellCompRequestCmd
				if plain {
					request = cobra.ShellCompNoDescRequestCmd
				}
				_, err := io.WriteString(cmd.OutOrStdout(), strings.ReplaceAll(script.String(), cobra.ShellCompRequestCmd+" ", request+" "))
				return err
			}),
		}
		child.Flags().BoolVar(&plain, "no-descriptions", false, "complete without descriptions")
		children = append(children, child)
	}
	cmd := cmdutil.Group("completion", "Print a completion script for a shell", children...)
	cmd.Example = "  source <(cxgctl completion bash)\n  cxgctl completion zsh > \"${fpath[1]}/_cxgctl\"\n  cxgctl completion fish | source"
	return cmd
}

package config

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/fault"
)

func newEdit(env *cmdutil.Env) *cobra.Command {
	return cliflag.Exits(&cobra.Command{
		Use: "edit", Short: "Edit the configuration file in $VISUAL or $EDITOR", Args: cmdutil.ExactArgs(),
		Long: "Opens a copy, which replaces the file only if it has no errors. The file keeps its mode. With an error, a\n" +
			"terminal is asked whether to go on editing.",
		Example: "  cxgctl config edit\n  EDITOR='code --wait' cxgctl config edit",
		RunE: env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			e, err := editing(env, cmd)
			if err != nil {
				return err
			}
			copied, err := os.CreateTemp("", "cxgctl-*.yaml") // of mode 0600
			if err != nil {
				return fault.New(fault.FileCode(err), "cannot make a copy to edit: %s", fault.Reason(err)).Because(err)
			}
			defer func() { _ = os.Remove(copied.Name()) }()
			_, err = copied.Write(e.Text)
			if err = errors.Join(err, copied.Close()); err != nil {
				return fault.New(fault.FileCode(err), "cannot make a copy to edit: %s", fault.Reason(err)).Because(err)
			}
			return edit(ctx, env, e, copied.Name())
		}),
	}, "4")
}

// edit runs the editor on the copy until it has no errors or the user gives up, and replaces the file.
func edit(ctx context.Context, env *cmdutil.Env, e config.Editing, copied string) error {
	editor := cmp.Or(env.Getenv("VISUAL"), env.Getenv("EDITOR"), "vi")
	for {
		// A shell splits the command into words, as git does: EDITOR='code --wait'.
		command := exec.Command("sh", "-c", editor+` "$@"`, "sh", copied)
		command.Stdin, command.Stdout, command.Stderr = env.Stdin, env.Stdout, env.Stderr
		if err := command.Run(); err != nil {
			return fault.New(fault.Validation, "editor %q failed: %s", editor, err).Because(err).
				WithHint("the file is unchanged; set VISUAL or EDITOR to another editor")
		}
		text, err := os.ReadFile(copied)
		if err != nil {
			return fault.New(fault.FileCode(err), "cannot read the edited copy: %s", fault.Reason(err)).Because(err)
		}
		if bytes.Equal(text, e.Text) {
			env.Note("configuration %s is unchanged", e.Path)
			return nil
		}
		wrong := e.Check(copied, text)
		if wrong == nil {
			if err := e.Replace(text); err != nil {
				return err
			}
			env.Note("changed %s", e.Path)
			return nil
		}
		again, err := goOn(ctx, env, fault.From(wrong))
		if err != nil {
			return err
		}
		if !again {
			f := fault.From(e.Check(e.Path, text))
			return f.WithHint("%s", strings.TrimSuffix("the file is unchanged; "+f.Hint, "; "))
		}
	}
}

// goOn shows what is wrong and asks whether to go on editing. Without a terminal it returns false.
func goOn(ctx context.Context, env *cmdutil.Env, wrong *fault.Error) (bool, error) {
	fd, ok := env.Terminal()
	if !ok {
		return false, nil
	}
	env.Printf("%s", wrong.Message)
	env.Prompt("Go on editing? [Y/n] ")
	answer, err := env.ReadLine(ctx, fd)
	if fault.Is(err, fault.ConfirmationRequired) {
		return false, nil
	}
	return !strings.HasPrefix(strings.ToLower(answer), "n"), err
}

package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/output"
)

func (a *app) configCommand() *cobra.Command {
	return a.group("config", "Show and create the configuration",
		a.configView(), a.configPath(), a.configInit())
}

func (a *app) configView() *cobra.Command {
	cmd := &cobra.Command{Use: "view", Short: "Show the settings in force and where they come from", Args: exactly()}
	cmd.RunE = a.wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if err := a.printer(cmd); err != nil {
			return err
		}
		return printWhole(a, output.View{ID: "key"}, config.View(*a.cfg))
	})
	return addOutputFlags[config.Setting](a, cmd)
}

func (a *app) configPath() *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "Show which configuration file is read", Args: exactly(),
		RunE: a.wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			used, searched := config.Path(a.configFlags(cmd), a.getenv, dir)
			for _, c := range searched {
				a.note("%s (%s): %s", c.Path, c.Origin, c.State)
			}
			if used == "" {
				a.note("no configuration file found; cxgctl config init writes one")
				return nil
			}
			_, err = fmt.Fprintln(a.stdout, output.Sanitize(used))
			return err
		}),
	}
}

func (a *app) configInit() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Write a commented configuration file to start from", Args: exactly(),
		RunE: a.wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			path := config.InitPath(a.configFlags(cmd), a.getenv, dir)
			if err := config.Init(path); err != nil {
				return err
			}
			a.note("wrote %s", path)
			_, err = fmt.Fprintln(a.stdout, output.Sanitize(path))
			return err
		}),
	}
}

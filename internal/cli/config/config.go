// Package config implements the config commands.
package config

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
)

// NewCommand returns the commands about the configuration.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("config", "Show and change the configuration",
		newView(env), newPath(env), newInit(env), newEdit(env), newProfiles(env), newUseProfile(env))
}

func newView(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "view", Short: "Show the settings in force and where they come from", Long: "Secrets are never shown. Each setting names its source: a flag, a variable, the profile with the line in the file, or the default.", Example: "  cxgctl config view\n  cxgctl config view --profile prod -o json", Args: cmdutil.ExactArgs()}
	cmd.RunE = env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		c := env.Config
		list := config.View(*c)
		urls := map[string]string{
			"manager_database_url": c.ManagerURL, "tenants_database_url": c.TenantsURL, "replica_database_url": c.ReplicaURL,
			"direct_database_url": c.DirectURL, "direct_tenants_database_url": c.DirectTenantsURL,
		}
		for i, s := range list {
			if where := (db.Options{URL: urls[s.Key]}).Addrs(); s.Source != "" && urls[s.Key] != "" && where != "" {
				list[i].Value = where
			}
		}
		return cmdutil.PrintWhole(env, output.View{ID: "key"}, list)
	})
	return cmdutil.AddOutputFlags[config.Setting](env, cmd)
}

func newPath(env *cmdutil.Env) *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "Show which configuration file is read", Long: "Lists on standard error where it looks, in order, and prints the file that is used.", Example: "  cxgctl config path", Args: cmdutil.ExactArgs(),
		RunE: env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			used, searched := config.Path(env.ConfigFlags(cmd), env.Getenv, dir)
			for _, c := range searched {
				env.Note("%s (%s): %s", c.Path, c.Origin, c.State)
			}
			if used == "" {
				env.Note("no configuration file found; cxgctl config init writes one")
				return nil
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), output.Sanitize(used))
			return err
		}),
	}
}

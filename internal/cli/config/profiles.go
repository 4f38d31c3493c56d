package config

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
)

type profile struct {
	Name      string  `json:"name"`
	Current   bool    `json:"current"`
	Database  *string `json:"manager_database"` // its servers and name
	Operator  *string `json:"operator"`
	Protected bool    `json:"protected"`
}

func newProfiles(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "profiles", Short: "List the profiles of the configuration file", Args: cmdutil.ExactArgs(),
		Long:    "The current profile is the one that commands use now: that of --profile, of CXGCTL_PROFILE, or the file's.",
		Example: "  cxgctl config profiles\n  cxgctl config profiles -o id",
	}
	cmd.RunE = env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		names, err := config.Profiles(env.ConfigFlags(cmd), env.Getenv, dir)
		if err != nil {
			return err
		}
		inFile := func(name string) string { // settings of the environment hide those of the file
			if strings.HasPrefix(name, "XDG_") || name == "HOME" || name == "CXGCTL_CONFIG" {
				return env.Getenv(name)
			}
			return ""
		}
		list := []profile{}
		for _, name := range names {
			c, err := config.Load(config.Flags{ConfigFile: env.Config.File, Profile: name}, inFile, dir)
			if err != nil {
				return err
			}
			p := profile{Name: name, Current: name == env.Config.Profile, Protected: c.Protected}
			if c.Operator != "" {
				p.Operator = &c.Operator
			}
			if where := "dev database"; c.Embedded {
				p.Database = &where
			} else if where = (db.Options{URL: c.ManagerURL}).Addrs(); c.ManagerURL != "" && where != "" {
				p.Database = &where
			}
			list = append(list, p)
		}
		return cmdutil.PrintWhole(env, output.View{Name: "profiles", ID: "name"}, list)
	})
	return cmdutil.AddOutputFlags[profile](env, cmd)
}

func newUseProfile(env *cmdutil.Env) *cobra.Command {
	return cliflag.Exits(&cobra.Command{
		Use: "use-profile NAME", Short: "Make a profile the default", Args: cmdutil.ExactArgs("NAME"),
		Long:              "Changes the line \"profile: …\" of the configuration file, and nothing else in it.",
		Example:           "  cxgctl config use-profile prod",
		ValidArgsFunction: env.CompleteProfiles,
		RunE: env.Wrap(func(_ context.Context, cmd *cobra.Command, args []string) error {
			e, err := editing(env, cmd)
			if err != nil {
				return err
			}
			if err := e.UseProfile(args[0]); err != nil {
				return err
			}
			env.Note("profile %s is the default in %s", args[0], e.Path)
			if other := env.Getenv("CXGCTL_PROFILE"); other != "" && other != args[0] {
				env.Note("CXGCTL_PROFILE still names profile %s", other)
			}
			return nil
		}),
	}, "3", "4")
}

// editing returns the configuration file for a change.
func editing(env *cmdutil.Env, cmd *cobra.Command) (config.Editing, error) {
	dir, err := os.Getwd()
	if err != nil {
		return config.Editing{}, err
	}
	return config.Edit(env.ConfigFlags(cmd), env.Getenv, dir)
}

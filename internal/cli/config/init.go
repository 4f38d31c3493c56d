package config

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// testTimeout is how long config init waits for a database.
const testTimeout = 10 * time.Second

func newInit(env *cmdutil.Env) *cobra.Command {
	return cliflag.Exits(&cobra.Command{
		Use: "init", Short: "Write a commented configuration file to start from", Args: cmdutil.ExactArgs(),
		Long: "On a terminal, asks for the address of the database, the operator and the time zone, and tests the\n" +
			"connection. Otherwise the file is for the dev database. Only you can read it.",
		Example: "  cxgctl config init\n  cxgctl config init --config ~/.config/cxgctl/config.yaml",
		RunE: env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			flags := env.ConfigFlags(cmd)
			path := config.InitPath(flags, env.Getenv, dir)
			if err := config.CanInit(path); err != nil {
				return err
			}
			answers, err := ask(ctx, env)
			if err != nil {
				return err
			}
			if err := config.Init(path, answers); err != nil {
				return err
			}
			env.Note("wrote %s", path)
			flags.ConfigFile, flags.Changed = "", func(string) bool { return false }
			used, searched := config.Path(flags, env.Getenv, dir)
			switch {
			case used == path:
				env.Note("cxgctl reads it from now on")
			case slices.ContainsFunc(searched, func(c config.Candidate) bool { return c.Path == path }):
				env.Note("warning: cxgctl reads %s instead; see cxgctl config path", used)
			default:
				env.Note("cxgctl reads it with --config %s, or where CXGCTL_CONFIG names it", fault.Word(path))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), output.Sanitize(path))
			return err
		}),
	}, "4", "8")
}

// ask asks for the settings on a terminal. Without one, they are those of the dev database.
func ask(ctx context.Context, env *cmdutil.Env) (config.Answers, error) {
	a := config.Answers{Profile: env.Global.Profile}
	fd, ok := env.Terminal()
	if !ok {
		return a, nil
	}
	err := env.Ask(ctx, fd, "manager database, such as postgres://cxgctl@db1/mgmt (ENTER for a dev database)", "", func(answer string) error {
		a.ManagerURL = answer
		if answer == "" {
			return nil
		}
		url, err := config.Check("manager_database_url", answer)
		if err != nil {
			return err
		}
		return test(ctx, env, fd, url)
	})
	if err != nil {
		return a, err
	}
	operator := "admin"
	if a.ManagerURL != "" {
		operator = cmdutil.OSUser(os.Getuid())
	}
	err = env.Ask(ctx, fd, "operator, the username under which changes are recorded", operator, func(answer string) error {
		if a.Operator, err = config.Check("operator", answer); err != nil {
			return err
		}
		var p fault.Problems
		users.CheckUsername(&p, "operator", a.Operator)
		return p.Err()
	})
	if err != nil {
		return a, err
	}
	err = env.Ask(ctx, fd, "time zone", "UTC", func(answer string) error {
		a.TimeZone, err = config.Check("timezone", answer)
		return err
	})
	return a, err
}

// test connects to the database. If that fails, it asks whether to keep the address; the answer no is a
// VALIDATION_ERROR.
func test(ctx context.Context, env *cmdutil.Env, fd int, url string) error {
	d, err := env.Open(ctx, db.Options{Name: "manager", From: "the answer", URL: url, Timeout: testTimeout})
	if err == nil {
		env.Printf("connected to %s, PostgreSQL %s", d.Addr(), d.Version())
		return nil
	}
	f := fault.From(db.Translate(err))
	env.Printf("%s", f.Message)
	if ctx.Err() != nil {
		return err
	}
	env.Prompt("Keep this address? [y/N] ")
	answer, err := env.ReadLine(ctx, fd)
	if err == nil && !strings.HasPrefix(strings.ToLower(answer), "y") {
		err = fault.New(fault.Validation, "try another address")
	}
	return err
}

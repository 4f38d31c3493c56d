// Package dev implements the dev commands: a PostgreSQL server with demo data.
package dev

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/seed"
)

// devServer is the record of the dev commands.
type devServer struct {
	Running   bool     `json:"running"`
	Version   *string  `json:"version"`
	PID       *int     `json:"pid" table:"whole"`
	StartedAt *db.Time `json:"started_at"`
	Databases []string `json:"databases"`
	Folder    string   `json:"folder"`
	Socket    *string  `json:"socket"`
	Port      *int     `json:"port" table:"whole"` // null: the server listens only on its socket
	LogFile   string   `json:"log_file"`
}

func printDev(env *cmdutil.Env, s devdb.Status) error {
	r := devServer{
		Running: s.Running, Version: present(s.Version), PID: present(s.PID), Databases: s.Databases,
		Folder: s.Dir, Socket: present(s.SocketDir), LogFile: s.LogFile,
	}
	if !s.StartedAt.IsZero() {
		at := db.At(s.StartedAt.Truncate(time.Second))
		r.StartedAt = &at
	}
	return output.One(env.Printer, output.View{ID: "folder"}, r)
}

// present returns a pointer to v, or nil for the zero value.
func present[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// NewCommand returns the commands about the dev database.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	return cliflag.Exits(cmdutil.Group("dev", "Run a local PostgreSQL with demo data, to try things out",
		newUp(env), newStatus(env), newDown(env), newReset(env)), "8", "75")
}

// devOperator is the operator in the demo data.
const devOperator = "admin"

// The sizes that dev up loads by default.
const (
	devUsers    = 1000
	devInvoices = 5000
)

func newUp(env *cmdutil.Env) *cobra.Command {
	var size seed.Size
	cmd := &cobra.Command{
		Use: "up", Short: "Start the dev database, migrate it and load demo data, as far as needed", Long: "It is a PostgreSQL of your own with made-up users, invoices and tenants, reached by a unix socket. Commands use it where the profile says embedded: true.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl dev up\n  cxgctl dev up --users 1000000 --invoices 2000000",
	}
	cmd.RunE = env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		if size.Users < 0 || size.Invoices < 0 {
			return fault.New(fault.Validation, "--users and --invoices cannot be negative")
		}
		s, err := devdb.Up(ctx, env.DevOptions())
		if err != nil {
			return err
		}
		for _, which := range migrate.Databases {
			cfg, err := db.Config(db.Options{Name: string(which), URL: s.DSN(cmdutil.DevName(string(which)))})
			if err != nil {
				return err
			}
			if _, err := migrate.Up(ctx, cfg, which); err != nil {
				return err
			}
		}
		loaded, err := seed.Load(ctx, s.DSN(cmdutil.DevName("manager")), s.DSN(cmdutil.DevName("tenants")), size)
		asked := cmd.Flags().Changed("users") || cmd.Flags().Changed("invoices")
		if fault.Is(err, fault.Conflict) && !asked {
			err = nil // any size will do
		}
		if err != nil {
			return err
		}
		if loaded {
			env.Note("loaded %s users and %s invoices; the operator is %s, every password is %s",
				output.Thousands(int64(size.Users)), output.Thousands(int64(size.Invoices)), devOperator, seed.Password)
		}
		env.QuietRecord()
		return printDev(env, s)
	})
	cmd.Flags().IntVar(&size.Users, "users", devUsers, "number of users in the demo data")
	cmd.Flags().IntVar(&size.Invoices, "invoices", devInvoices, "number of invoices in the demo data")
	cliflag.Exits(cmd, "4")
	return cmdutil.AddOutputFlags[devServer](env, cmd)
}

func newStatus(env *cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether the dev database is running, and where", Example: "  cxgctl dev status\n  cxgctl dev status -o json --jq .data.socket", Args: cmdutil.ExactArgs(),
		Long: `Show whether the dev database is running, and where.

Exits 0 when it runs and 3 when it does not, as pg_ctl status does. The record is printed in both cases; port is null,
because the server listens only on its socket.`,
	}
	cmd.RunE = env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		s, err := devdb.Inspect(env.DevOptions())
		if err != nil {
			return err
		}
		if err := printDev(env, s); err != nil || s.Running {
			return err
		}
		return fault.New(fault.NotFound, "the dev database is not running").WithHint("start it: cxgctl dev up").With("folder", s.Dir)
	})
	cliflag.Exits(cmd, "3")
	return cmdutil.AddOutputFlags[devServer](env, cmd)
}

func newDown(env *cmdutil.Env) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop the dev database and keep its data", Long: "Any command that uses the dev database starts it again.", Example: "  cxgctl dev down", Args: cmdutil.ExactArgs(),
		RunE: env.Wrap(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := devdb.Down(ctx, env.DevOptions()); err != nil {
				return err
			}
			env.Note("the dev database is stopped")
			return nil
		}),
	}
}

func newReset(env *cmdutil.Env) *cobra.Command {
	return cliflag.Exits(&cobra.Command{
		Use: "reset", Short: "Stop the dev database and delete it with all its data", Long: "Only databases that cxgctl dev up created are deleted.", Example: "  cxgctl dev reset --yes", Args: cmdutil.ExactArgs(),
		RunE: env.Wrap(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			dir := devdb.DefaultDir(env.Getenv)
			if err := env.Confirm(ctx, "remove the dev database in "+dir, 1); err != nil {
				return err
			}
			if err := devdb.Reset(ctx, env.DevOptions()); err != nil {
				return err
			}
			env.Note("removed the dev database in %s", dir)
			return nil
		}),
	}, "10")
}

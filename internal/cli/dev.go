package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

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
	PID       *int     `json:"pid"`
	StartedAt *db.Time `json:"started_at"`
	Databases []string `json:"databases"`
	Folder    string   `json:"folder"`
	Socket    *string  `json:"socket"`
	Port      *int     `json:"port"` // null if the server listens only on its socket
	LogFile   string   `json:"log_file"`
}

func (a *app) printDev(s devdb.Status) error {
	r := devServer{
		Running: s.Running, Version: present(s.Version), PID: present(s.PID), Databases: s.Databases,
		Folder: s.Dir, Socket: present(s.SocketDir), Port: present(s.Port), LogFile: s.LogFile,
	}
	if !s.StartedAt.IsZero() {
		at := db.At(s.StartedAt.Truncate(time.Second))
		r.StartedAt = &at
	}
	return output.One(a.print, output.View{ID: "folder"}, r)
}

// present returns a pointer to v, or nil for the zero value.
func present[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func (a *app) devCommand() *cobra.Command {
	return a.group("dev", "Run a local PostgreSQL with demo data, to try things out",
		a.devUp(), a.devStatus(), a.devDown(), a.devReset())
}

func (a *app) devOptions() devdb.Options { return devdb.Options{Getenv: a.getenv} }

// devOperator is the operator in the demo data.
const devOperator = "admin"

// The sizes that dev up loads by default.
const (
	devUsers    = 1000
	devInvoices = 5000
)

func (a *app) devUp() *cobra.Command {
	var size seed.Size
	var port int
	cmd := &cobra.Command{
		Use: "up", Short: "Start the dev database, migrate it and load demo data, as far as needed", Args: exactly(),
		Example: "  cxgctl dev up\n  cxgctl dev up --users 1000000 --invoices 2000000",
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if err := a.printer(cmd); err != nil {
			return err
		}
		if size.Users < 0 || size.Invoices < 0 {
			return fault.New(fault.Validation, "--users and --invoices cannot be negative")
		}
		o := a.devOptions()
		o.Port = port
		s, err := devdb.Up(ctx, o)
		if err != nil {
			return err
		}
		for _, which := range migrate.Databases {
			cfg, err := db.Config(db.Options{Name: string(which), URL: s.DSN(devName(string(which)))})
			if err != nil {
				return err
			}
			if _, err := migrate.Up(ctx, cfg, which); err != nil {
				return err
			}
		}
		loaded, err := seed.Load(ctx, s.DSN(devName("manager")), s.DSN(devName("tenants")), size)
		asked := cmd.Flags().Changed("users") || cmd.Flags().Changed("invoices")
		if fault.Is(err, fault.Conflict) && !asked {
			err = nil // any size will do
		}
		if err != nil {
			return err
		}
		if loaded {
			a.note("loaded %s users and %s invoices; the operator is %s, every password is %s",
				output.Thousands(int64(size.Users)), output.Thousands(int64(size.Invoices)), devOperator, seed.Password)
		}
		return a.printDev(s)
	})
	cmd.Flags().IntVar(&size.Users, "users", devUsers, "number of users in the demo data")
	cmd.Flags().IntVar(&size.Invoices, "invoices", devInvoices, "number of invoices in the demo data")
	cmd.Flags().IntVar(&port, "port", 0, "also listen on this TCP `port` of 127.0.0.1, with a password")
	return addOutputFlags[devServer](a, cmd)
}

func (a *app) devStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether the dev database is running, and where", Args: exactly(),
		Long: `Show whether the dev database is running, and where.

Exits 0 when it runs and 3 when it does not, as pg_ctl status does. The record is printed in both cases; port is null
unless dev up was given --port.`,
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if err := a.printer(cmd); err != nil {
			return err
		}
		s, err := devdb.Inspect(ctx, a.devOptions())
		if err != nil {
			return err
		}
		if err := a.printDev(s); err != nil || s.Running {
			return err
		}
		return fault.New(fault.NotFound, "the dev database is not running").WithHint("start it: cxgctl dev up").With("folder", s.Dir)
	})
	return addOutputFlags[devServer](a, cmd)
}

func (a *app) devDown() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop the dev database and keep its data", Args: exactly(),
		RunE: a.wrap(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := devdb.Down(ctx, a.devOptions()); err != nil {
				return err
			}
			a.note("the dev database is stopped")
			return nil
		}),
	}
}

func (a *app) devReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Stop the dev database and delete it with all its data", Args: exactly(),
		RunE: a.wrap(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			dir := devdb.DefaultDir(a.getenv)
			if err := a.confirm(ctx, "remove the dev database in "+dir); err != nil {
				return err
			}
			if err := devdb.Reset(ctx, a.devOptions()); err != nil {
				return err
			}
			a.note("removed the dev database in %s", dir)
			return nil
		}),
	}
}

// devName returns the name of one of the platform's databases on the dev server.
func devName(which string) string {
	if which == "tenants" {
		return "tnnt"
	}
	return "mgmt"
}

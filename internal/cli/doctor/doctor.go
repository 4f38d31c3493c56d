// Package doctor implements cxgctl doctor, which checks the configuration and the databases.
package doctor

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/tenantdb"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/doctor"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// NewCommand returns cxgctl doctor.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	var f tenantdb.DatabaseFlags
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check the configuration, the connections and the data, and suggest fixes", Args: cmdutil.ExactArgs(),
		Long: "doctor checks the configuration, the connections, the servers and the tables that commands depend on,\n" +
			"and searches all rows for defects that no constraint prevents: a million users and two million invoices\n" +
			"take some seconds. It also tests the features that cxgctl needs of a server or a pooler, in transactions that\n" +
			"are rolled back; one user's row may be locked for a moment. It changes nothing and needs no operator.\n\n" +
			"It exits with 0 if all is well, with 9 if it found something, and with 8 if it could not look. It prints what it\n" +
			"found, and then counts the checks that passed; -o wide and the other formats list every check.",
		Example: "  cxgctl doctor\n  cxgctl doctor -o json --jq '.data.items[] | select(.remedy != \"\") | .remedy'",
	}
	cmd.RunE = env.Wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if tenantdb.AreNamed(env) {
			return doctorInTenants(ctx, env, cmd, &f)
		}
		which, err := f.Databases()
		if err != nil {
			return err
		}
		_, unread := env.LoadConfig(cmd)
		if unread != nil {
			if _, err := output.ParseFormat(env.Output.Format); err != nil && env.Output.Format != "" {
				return unread // without a format the report cannot be printed
			}
			// reported as a finding
			env.Config = &config.Config{Settings: config.Settings{Output: string(env.ErrorFormat())}}
		}
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		in := toExamine(env, unread)
		if unread == nil {
			findTargets(ctx, env, cmd, &in, which, f.Database != "")
		} else {
			for _, w := range which {
				in.Targets = append(in.Targets, doctor.Target{Database: w})
			}
		}
		in.Names = unread == nil && mayNameUsers(ctx, env, cmd)
		results, verdict := doctor.Run(ctx, in)
		if results == nil {
			return verdict
		}
		lines := make([]line, len(results))
		for i, r := range results {
			lines[i] = line{r.Target, r.Check, r.Finding}
		}
		view := output.View{Wide: []string{"check", "target", "status", "found", "remedy"}, ID: "check"}
		if err := printReport(env, view, results, lines, verdict); err != nil {
			return err
		}
		return verdict
	})
	f.Bind(cmd)
	cliflag.Exits(cmd, "8", "9")
	return tenantdb.BindOutput[doctor.Result, tenantResult](env, cmd)
}

// mayNameUsers reports whether the report may name users: only to an operator with USER_LIST, and then it is recorded
// as a read. Otherwise the report has their ids.
func mayNameUsers(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command) bool {
	s, err := env.OpenManager(ctx, cmd)
	if err != nil {
		return false // the report has the reason
	}
	p, err := cmdutil.OperatorCredential(env, s)
	if err != nil {
		return false
	}
	err = cmdutil.Identify(ctx, env, s, p, schema.AuditTables...)
	if err != nil || s.Identity.Require(nil, "USER_LIST") != nil {
		return false
	}
	l, err := cmdutil.ReadingLedger(ctx, env, s, cmd)
	return err == nil && l != nil && cmdutil.LogRead(ctx, l, cmd, s.ReadSubject(users.Kind.Name, uuid.Nil), 0) == nil
}

// toExamine returns what doctor checks besides the databases.
func toExamine(env *cmdutil.Env, unread error) doctor.Input {
	in := doctor.Input{
		Client: "cxgctl " + buildinfo.Version(), LockFor: env.Config.Auth.LockFor,
		Config: doctor.Config{Profile: env.Config.Profile, Err: unread},
	}
	if filepath.IsAbs(env.Config.File) { // else it is standard input
		in.Config.File = env.Config.File
	}
	for _, f := range []doctor.File{
		{Name: "password_file", Path: env.Config.PasswordFile},
		{Name: "CXGCTL_TOKEN_FILE", Path: env.Config.TokenFile},
		{Name: "auth.jwt_secret_file", Path: env.Config.Auth.JWTSecret},
	} {
		if f.Path != "" {
			f.Err = config.CheckSecret(f.Name, f.Path, env.Getenv("CREDENTIALS_DIRECTORY"))
			in.Secrets = append(in.Secrets, f)
		}
	}
	passfile := env.Getenv("PGPASSFILE")
	if passfile == "" && env.Getenv("HOME") != "" {
		passfile = filepath.Join(env.Getenv("HOME"), ".pgpass")
	}
	if _, err := os.Stat(passfile); err == nil {
		in.Secrets = append(in.Secrets, doctor.File{Name: ".pgpass", Path: passfile, Err: db.CheckPassfile(passfile)})
	}
	return in
}

// findTargets adds the databases, the dev database and the operator to in. asked reports whether a flag named a
// database.
func findTargets(ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, in *doctor.Input, which []migrate.Database, asked bool) {
	dev := false
	for _, w := range which {
		name := string(w)
		url, source := env.Config.ManagerURL, env.Config.Sources["manager_database_url"]
		if w == migrate.Tenants {
			url, source = env.Config.TenantsURL, env.Config.Sources["tenants_database_url"]
		}
		t := doctor.Target{Database: w, Source: source, Required: asked || w == migrate.Manager}
		fromDev := url == "" && env.Config.Embedded
		switch {
		case w == migrate.Tenants && env.Config.EachTenantItsOwn():
			t.Absent = "each tenant has its own database; check them with --tenant or --all-tenants"
		case url == "" && !fromDev && !t.Required:
			t.Absent = "not configured"
		default:
			t.Options, t.Err = env.Target(ctx, cmd, name)
			t.Direct = w == migrate.Manager && env.Config.DirectURL != "" || w == migrate.Tenants && env.Config.DirectTenantsURL != ""
		}
		if fromDev {
			dev, t.Source = true, "dev database"
		}
		if w == migrate.Manager && env.Config.ReplicaURL != "" {
			t.Replica = new(cmdutil.ReplicaOptions(env, cmd.CommandPath()))
		}
		in.Targets = append(in.Targets, t)
	}
	if dev {
		s, err := devdb.Inspect(env.DevOptions())
		in.Dev = &doctor.Dev{Folder: s.Dir, Version: s.Version, LogFile: s.LogFile, Running: s.Running, PID: s.PID, Err: err}
	}
	in.Operator = doctor.Operator{
		Name: env.Config.Operator, Source: env.Config.Sources["operator"],
		Accept: func(ctx context.Context, r db.Reader) error {
			return auth.Claim(ctx, r, env.Config.Operator, time.Now())
		},
	}
}

package cli

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/doctor"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

func (a *app) doctorCommand() *cobra.Command {
	var f migrateFlags
	var compat bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check the configuration, the connections and the data, and suggest fixes", Args: exactly(),
		Long: "doctor checks the configuration, the connections, the servers and the tables that commands depend on,\n" +
			"and searches all rows for defects that no constraint prevents: a million users and two million invoices\n" +
			"take some seconds. It changes nothing, locks nothing and needs no operator. It exits with 0 if all is well,\n" +
			"with 9 if it found something, and with 8 if it could not look.\n\n" +
			"--compat instead tests the features that cxgctl needs of a server, be it PostgreSQL, a compatible server, or\n" +
			"either behind a pooler: by reading, and in transactions that are rolled back, for which the role needs the\n" +
			"rights to make changes. One row may be locked for a moment.",
		Example: "  cxgctl doctor\n  cxgctl doctor -o json --jq '.data.items[] | select(.remedy != \"\") | .remedy'",
	}
	cmd.RunE = a.wrap(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		if a.namesTenants() {
			return a.doctorInTenants(ctx, cmd, &f)
		}
		which, err := f.databases()
		if err != nil {
			return err
		}
		_, unread := a.config(cmd)
		if unread != nil {
			if _, err := output.ParseFormat(a.out.format); err != nil && a.out.format != "" {
				return unread // without a format the report cannot be printed
			}
			// reported as a finding
			a.cfg = &config.Config{Output: string(a.errorFormat())}
		}
		if err := a.printer(cmd); err != nil {
			return err
		}
		in := a.toExamine(unread)
		in.Compat = compat
		if unread == nil {
			a.findTargets(ctx, cmd, &in, which, f.database != "")
		} else {
			for _, w := range which {
				in.Targets = append(in.Targets, doctor.Target{Database: w})
			}
		}
		in.Names = unread == nil && !compat && a.mayNameUsers(ctx, cmd)
		results, verdict := doctor.Run(ctx, in)
		if results == nil {
			return verdict
		}
		if err := a.printFindings(results); err != nil {
			return err
		}
		return verdict
	})
	f.bind(cmd)
	cmd.Flags().BoolVar(&compat, "compat", false, "test the server features that cxgctl needs, and show what fails without each")
	return bindTenantOutput[doctor.Result, tenantResult](a, cmd)
}

// mayNameUsers reports whether the report may name users: only to an operator with USER_LIST, and then it is recorded
// as a read. Otherwise the report has their ids.
func (a *app) mayNameUsers(ctx context.Context, cmd *cobra.Command) bool {
	s, err := a.reach(ctx, cmd)
	if err != nil {
		return false // the report has the reason
	}
	p, err := a.credential(s)
	if err != nil {
		return false
	}
	s.who, s.cat, err = auth.Identify(ctx, s.db, p, schema.AuditTables, time.Now())
	if err != nil || s.who.Require(nil, "USER_LIST") != nil {
		return false
	}
	s.by = s.who.Operator
	l, err := a.readingLedger(ctx, s, cmd)
	return err == nil && l != nil && logRead(ctx, l, cmd, s.about(users.Kind.Name, uuid.Nil), 0) == nil
}

// printFindings prints the report. A table on a terminal is truncated to the line, so the full findings follow it.
func (a *app) printFindings(results []doctor.Result) error {
	view := output.View{Table: []string{"check", "target", "status", "found", "remedy"}, ID: "check"}
	cut := a.print.Terminal.IsTTY && a.print.Format == output.Table
	if cut {
		view.Table = view.Table[:4]
	}
	if err := printWhole(a, view, results); err != nil || !cut {
		return err
	}
	for _, r := range results {
		if r.Bad() {
			a.note("%s %s, %s: %s", r.Status, r.Check, r.Target, r.Found)
		}
		if r.Bad() && r.Remedy != "" {
			a.note("     remedy: %s", r.Remedy)
		}
	}
	return nil
}

// toExamine returns what doctor checks besides the databases.
func (a *app) toExamine(unread error) doctor.Input {
	in := doctor.Input{
		Client: "cxgctl " + buildinfo.Version(), LockFor: a.cfg.LockFor,
		Config: doctor.Config{Profile: a.cfg.Profile, Err: unread},
	}
	if filepath.IsAbs(a.cfg.File) { // else it is standard input
		in.Config.File = a.cfg.File
	}
	for _, f := range []doctor.File{
		{Name: "password_file", Path: a.cfg.PasswordFile},
		{Name: "CXGCTL_TOKEN_FILE", Path: a.cfg.TokenFile},
		{Name: "auth.jwt_secret_file", Path: a.cfg.JWTSecret},
	} {
		if f.Path != "" {
			f.Err = config.CheckSecret(f.Name, f.Path, a.getenv("CREDENTIALS_DIRECTORY"))
			in.Secrets = append(in.Secrets, f)
		}
	}
	passfile := a.getenv("PGPASSFILE")
	if passfile == "" && a.getenv("HOME") != "" {
		passfile = filepath.Join(a.getenv("HOME"), ".pgpass")
	}
	if _, err := os.Stat(passfile); err == nil {
		in.Secrets = append(in.Secrets, doctor.File{Name: ".pgpass", Path: passfile, Err: db.CheckPassfile(passfile)})
	}
	return in
}

// findTargets adds the databases, the dev database and the operator to in. asked reports whether a flag named a
// database.
func (a *app) findTargets(ctx context.Context, cmd *cobra.Command, in *doctor.Input, which []migrate.Database, asked bool) {
	dev := false
	for _, w := range which {
		name := string(w)
		url, source := a.cfg.ManagerURL, a.cfg.Sources["manager_database_url"]
		if w == migrate.Tenants {
			url, source = a.cfg.TenantsURL, a.cfg.Sources["tenants_database_url"]
		}
		t := doctor.Target{Database: w, Source: source, Required: asked || w == migrate.Manager}
		fromDev := url == "" && a.cfg.Embedded
		switch {
		case w == migrate.Tenants && a.cfg.EachTenantItsOwn():
			t.Absent = "each tenant has its own database; check them with --tenant or --all-tenants"
		case url == "" && !fromDev && !t.Required:
			t.Absent = "not configured"
		default:
			reach, err := a.database(ctx, cmd, name)
			t.Options, t.Err = reach.options(name), err
			t.Direct = w == migrate.Manager && a.cfg.DirectURL != "" || w == migrate.Tenants && a.cfg.DirectTenantsURL != ""
		}
		if fromDev {
			dev, t.Source = true, "dev database"
		}
		if w == migrate.Manager && a.cfg.ReplicaURL != "" {
			if o, err := a.replicaOptions(); err == nil { // else connecting reports it
				t.Replica = &o
			}
		}
		in.Targets = append(in.Targets, t)
	}
	if dev {
		s, err := devdb.Inspect(ctx, a.devOptions())
		in.Dev = &doctor.Dev{Folder: s.Dir, Version: s.Version, LogFile: s.LogFile, Running: s.Running, PID: s.PID, Err: err}
	}
	in.Operator = doctor.Operator{
		Name: a.cfg.Operator, Source: a.cfg.Sources["operator"],
		Accept: func(ctx context.Context, r db.Reader) error { return auth.Claim(ctx, r, a.cfg.Operator, time.Now()) },
	}
}

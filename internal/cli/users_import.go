package cli

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

// importFlags are those of users import.
type importFlags struct {
	changeFlags
	format, encoding, onConflict string
	rename                       []string
	restore, atomic              bool
	noPasswords, generate        bool
	passwordsOut, errors, bcrypt string
	maxErrors                    int
	status                       bool
	undo                         string
}

// importReport is users import's record: what was done, and each row that failed.
type importReport struct {
	users.Report
	Seconds float64         `json:"elapsed_seconds"`
	Errors  []users.Failure `json:"errors"`
}

func (a *app) usersImport() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: "import FILE|-", Short: "Create or update users from a file, each row once", Args: cobra.ArbitraryArgs,
		Long: "Reads csv, tsv, jsonl or json (.gz and .zst too) whose columns are the record's fields, and password,\n" +
			"password_hash, sso_subject, tenant, tenant_role, roles. A row that fails is reported with its line, and the\n" +
			"others go ahead. Running the same command again goes on where it stopped: no row is applied twice.\n\n" +
			"Fields: " + strings.Join(users.ImportFields, ", "),
		Example: "  cxgctl users import new.csv --dry-run\n" +
			"  cxgctl users import new.csv --generate-passwords --passwords-out passwords.csv --errors failed.csv\n" +
			"  cxgctl users import staff.csv --encoding cp949 --map '이름=full_name' --on-conflict update\n" +
			"  cxgctl users import --status new.csv\n  cxgctl users import --undo 0192…",
	}
	cmd.RunE = a.changing(&f.changeFlags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		if f.undo != "" {
			if err := exactly()(cmd, args); err != nil {
				return err
			}
			op, err := uuid.Parse(f.undo)
			if err != nil {
				return fault.New(fault.Validation, "--undo %q is no operation's id", f.undo).WithHint("cxgctl users import prints it at its end")
			}
			if err := w.who.Permit("USER_DELETE", nil); err != nil {
				return err
			}
			return a.undoImport(ctx, w, op)
		}
		if err := exactly("FILE")(cmd, args); err != nil {
			return err
		}
		in, resume := a.input()
		file, err := intake.Open(args[0], in)
		resume()
		if err != nil {
			return err
		}
		defer file.Close()
		if f.status {
			return a.importStatus(ctx, w, file)
		}
		return a.importUsers(ctx, w, file, f)
	})
	fs := cmd.Flags()
	fs.StringVar(&f.format, "format", "", "csv, tsv, jsonl or json (default: by the file's ending)")
	fs.StringVar(&f.encoding, "encoding", "", "the file's encoding: utf-8, utf-16, cp949, … (default utf-8)")
	fs.StringArrayVar(&f.rename, "map", nil, "a column of another name, as `HEADER=FIELD`; HEADER=- leaves it out")
	fs.StringVar(&f.onConflict, "on-conflict", users.ConflictFail, "a row whose username, e-mail or id is taken: fail, skip or update")
	fs.BoolVar(&f.restore, "restore", false, "with --on-conflict update: bring deleted users back")
	fs.BoolVar(&f.noPasswords, "no-passwords", false, "accounts without a password")
	fs.BoolVar(&f.generate, "generate-passwords", false, "make a password up for each row; a new one is due at the first login")
	fs.StringVar(&f.passwordsOut, "passwords-out", "", "the `file` for the made-up passwords (0600)")
	fs.StringVar(&f.bcrypt, "bcrypt", "fast", "fast hashes four passwords at once on each core; reference uses golang.org/x/crypto")
	fs.StringVar(&f.errors, "errors", "", "write the rows that failed to `file` (0600), to be mended and imported")
	fs.IntVar(&f.maxErrors, "max-errors", 0, "stop once `n` rows have failed (default: never)")
	fs.BoolVar(&f.atomic, "atomic", false, "all rows in one transaction, or none; so do --expect and --max-affected")
	fs.BoolVar(&f.status, "status", false, "say how far the import of FILE is")
	fs.StringVar(&f.undo, "undo", "", "delete the users that the run `OP` created, unless somebody has changed them since")
	must(cmd.RegisterFlagCompletionFunc("format", complete(formatNames()...)))
	must(cmd.RegisterFlagCompletionFunc("on-conflict", complete(users.Conflicts...)))
	must(cmd.RegisterFlagCompletionFunc("bcrypt", complete("fast", "reference")))
	cmd.MarkFlagsMutuallyExclusive("no-passwords", "generate-passwords")
	cmd.MarkFlagsMutuallyExclusive("status", "undo")
	f.bindBatch(cmd)
	needs(cmd, "USER_CREATE")
	records[importReport](a, cmd)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch {
		case f.status:
			return output.CheckColumns[users.ImportStatus](a.out.columns)
		case f.undo != "":
			return output.CheckColumns[users.Undone](a.out.columns)
		}
		return output.CheckColumns[importReport](a.out.columns)
	}
	return cmd
}

func formatNames() []string {
	names := make([]string, len(intake.Formats))
	for i, x := range intake.Formats {
		names[i] = string(x)
	}
	return names
}

// options turns the flags into what the import wants, or says what is wrong with them.
func (f importFlags) options() (users.ImportOptions, error) {
	o := users.ImportOptions{
		Read:       intake.Options{Format: intake.Format(f.format), Encoding: f.encoding},
		OnConflict: f.onConflict, Restore: f.restore, NoPasswords: f.noPasswords,
		Atomic: f.atomic, MaxErrors: f.maxErrors,
	}
	var p fault.Problems
	switch f.onConflict {
	case users.ConflictFail, users.ConflictSkip, users.ConflictUpdate:
	default:
		p.Add("on-conflict", "%q is refused, it is one of %s", f.onConflict, strings.Join(users.Conflicts, ", "))
	}
	if f.bcrypt != "fast" && f.bcrypt != "reference" {
		p.Add("bcrypt", "%q is refused, it is fast or reference", f.bcrypt)
	}
	if f.maxErrors < 0 {
		p.Add("max-errors", "%d is refused, it counts rows", f.maxErrors)
	}
	if err := p.Err(); err != nil {
		return o, err
	}
	switch {
	case f.restore && f.onConflict != users.ConflictUpdate:
		return o, fault.New(fault.Usage, "--restore goes with --on-conflict update")
	case f.generate != (f.passwordsOut != ""):
		return o, fault.New(fault.Usage, "--generate-passwords and --passwords-out go together").
			WithHint("a made-up password that is written nowhere helps nobody")
	}
	var err error
	o.Read.Map, err = intake.ParseMap(f.rename, users.ImportFields)
	return o, err
}

// importUsers runs the import and reports.
func (a *app) importUsers(ctx context.Context, w *writer, file *intake.File, f importFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	if w.Guard.Expect != nil || w.Guard.MaxAffected != nil {
		o.Atomic = true // what was committed could not be rolled back
	}
	t, err := w.users()
	if err != nil {
		return err
	}
	if o.Hash, err = hasher(f.bcrypt); err != nil {
		return err
	}
	if f.generate {
		passwords, err := openPasswords(f.passwordsOut, w.DryRun)
		if err != nil {
			return err
		}
		defer passwords.Close()
		o.Passwords = passwords
	}
	failures, err := a.openFailures(file, f, o)
	if err != nil {
		return err
	}
	o.Failed, o.Columns = failures.add, w.mayImport(f)
	if a.cfg.Protected && !w.DryRun { // a file is looked at by --dry-run, not as a difference before the question
		a.printf("profile %s is protected", a.cfg.Profile)
		if err := a.confirm(ctx, "import users from "+file.Name); err != nil {
			return err
		}
	}
	a.clock.stop() // a file takes as long as it is
	meter := a.newMeter(file)
	o.Progress = func(r users.Report) { meter.report(r) }
	report, err := t.Import(ctx, w.Ledger, w.cat, file, o)
	meter.end()
	if kept := failures.close(err == nil); err == nil {
		err = kept
	}
	if err != nil {
		if n := report.Created + report.Updated; n > 0 && !o.Atomic {
			a.note("%s applied before that; the same command goes on from there", plural(int(n), "row"))
		}
		return err
	}
	return a.printImport(report, failures, f)
}

// mayImport says what else than new users an operator must be allowed, for what the file holds.
func (w *writer) mayImport(f importFlags) func(has func(string) bool) error {
	return func(has func(string) bool) error {
		for _, x := range []struct {
			wanted bool
			code   string
		}{
			{f.onConflict == users.ConflictUpdate, "USER_UPDATE"},
			{has("tenant"), "TENANT_UPDATE"},
			{has("roles"), "PERMISSION_MANAGE"},
		} {
			if !x.wanted {
				continue
			}
			if err := w.who.Permit(x.code, nil); err != nil {
				return err
			}
		}
		return nil
	}
}

// printImport ends an import: a summary for people, the report as a record where one is asked for.
func (a *app) printImport(r users.Report, failures *failures, f importFlags) error {
	what := ""
	if r.DryRun {
		what = "dry run, nothing was changed: "
	}
	if r.Before > 0 {
		a.note("%s applied by earlier runs", plural(int(r.Before), "row"))
	}
	a.note("%s%s created, %s updated, %s unchanged, %s skipped, %s failed in %s (operation %s)", what,
		output.Thousands(r.Created), output.Thousands(r.Updated), output.Thousands(r.Same), output.Thousands(r.Skipped), output.Thousands(r.Failed),
		elapsed(r.Elapsed), r.OpID)
	if a.print.Format != output.Table && a.print.Format != output.Wide || a.print.File != "" {
		err := output.One(a.print, output.View{ID: "op_id"}, importReport{r, r.Elapsed.Seconds(), failures.list})
		if err = committed(err); err != nil {
			return err
		}
	}
	if r.Failed == 0 {
		return nil
	}
	rest := "the rest is done"
	switch {
	case r.DryRun:
		rest = "nothing was changed"
	case r.Created+r.Updated+r.Same+r.Skipped+r.Before == 0:
		rest = "nothing was changed"
	case r.Stopped:
		rest = "stopped there; what came before is done"
	}
	fail := fault.New(fault.PartialFailure, "%s of %s failed; %s", output.Thousands(r.Failed), plural(int(r.Rows), "row"), rest).
		With("failed", r.Failed).With("op_id", r.OpID.String())
	if f.errors == "" {
		return fail.WithHint("--errors F writes the rows that fail to a file, which imports again once they are mended")
	}
	return fail.WithHint("mend %s, and import that", f.errors)
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/users"
)

// usersImportFlags are those of users import.
type usersImportFlags struct {
	importFlags
	restore, noPasswords, generate bool
	variant                        bool
	passwordsOut                   string
}

func (a *app) usersImport() *cobra.Command {
	var f usersImportFlags
	cmd := a.importCommand(&cobra.Command{
		Short: "Create or update users from a file, each row once",
		Long: "Reads csv, tsv, jsonl, json or xlsx (.gz and .zst too) whose columns are the record's fields, and password,\n" +
			"password_hash, sso_subject, tenant, tenant_role, roles. A row that fails is reported with its line, and the\n" +
			"others go ahead. Running the same command again goes on where it stopped: no row is applied twice.\n\n" +
			"tenant is a tenant's code or id, whose member the user becomes; tenant_role is the role of that membership, any\n" +
			"text. roles are codes of platform roles with ; , or a space between, as in A;B: one of scope TENANT counts in the\n" +
			"row's tenant, one of scope GLOBAL everywhere.\n\n" +
			"Fields: " + strings.Join(users.ImportFields, ", "),
		Example: "  cxgctl users import new.csv --dry-run\n" +
			"  cxgctl users import new.csv --generate-passwords --passwords-out passwords.csv --errors failed.csv\n" +
			"  cxgctl users import staff.csv --encoding cp949 --map '이름=full_name' --on-conflict update\n" +
			"  cxgctl users import --status new.csv\n  cxgctl users import --undo new.csv",
	}, &f.importFlags, importNoun{
		resource: users.Kind.Name, fields: users.ImportFields, conflicts: users.Conflicts, claims: "username, e-mail or id", undoes: "USER_DELETE",
		reading: func(o importer.Options) rowreader.Options {
			return users.ImportOptions{Options: o, OfTenant: len(a.tenant.refs) > 0}.Reading()
		},
		begin: func(w *writer, o importer.Options) (importRun, error) { return f.begin(a, w, o) },
		undo: func(ctx context.Context, w *writer, ops []uuid.UUID) (importer.Undone, error) {
			t, err := users.NewTable(w.cat)
			if err != nil {
				return importer.Undone{}, err
			}
			links := map[string]audit.Reverser{}
			for _, noun := range []string{"member", "role"} {
				if r, err := reversers[noun](w.cat); err == nil { // without the table no import made any
					links[noun] = r
				}
			}
			return t.UndoImport(ctx, w.Ledger, w.cat, ops, links, w.mayReverse)
		},
	})
	fs := cmd.Flags()
	fs.BoolVar(&f.restore, "restore", false, "with --on-conflict update: bring deleted users back")
	fs.BoolVar(&f.variant, "allow-variant", false, "create users whose username or e-mail differs from another's in case or Unicode form only")
	fs.BoolVar(&f.noPasswords, "no-passwords", false, "accounts without a password")
	fs.BoolVar(&f.generate, "generate-passwords", false, "make a password up for each row; a new one is due at the first login")
	markFlags(fs, recorded, "restore", "no-passwords", "generate-passwords")
	fs.StringVar(&f.passwordsOut, "passwords-out", "", "the `file` for the made-up passwords (0600)")
	names(cmd, "passwords-out", fileWritten)
	cmd.MarkFlagsMutuallyExclusive("no-passwords", "generate-passwords")
	a.specify(cmd, Spec{
		Permission: "USER_CREATE", Optional: []string{"USER_UPDATE", "USER_DELETE", "TENANT_UPDATE", "PERMISSION_MANAGE"}, Audit: always,
		Tables: slices.Concat(users.ImportTables, importer.Tables),
	})
	return cmd
}

// slowHashes is how many passwords are worth a note that hashing takes its time.
const slowHashes = 250

// begin makes ready what users need beyond every import: how passwords are hashed, and where those that are
// made up go.
func (f *usersImportFlags) begin(a *app, w *writer, o importer.Options) (importRun, error) {
	run := importRun{end: func() {}}
	switch {
	case f.restore && o.OnConflict != importer.Update:
		return run, fault.New(fault.Usage, "--restore goes with --on-conflict update")
	case f.generate != (f.passwordsOut != ""):
		return run, fault.New(fault.Usage, "--generate-passwords and --passwords-out go together").
			WithHint("a made-up password that is written nowhere helps nobody")
	}
	t, err := w.users()
	if err != nil {
		return run, err
	}
	mine := users.ImportOptions{
		OfTenant: w.place != nil, Restore: f.restore, NoPasswords: f.noPasswords, AllowVariant: f.variant, Need: w.require,
		Hash: func(ctx context.Context, passwords []string) ([]string, error) {
			return password.HashAll(ctx, passwords, hashCost)
		},
	}
	if f.generate {
		passwords, err := openPasswords(a, f.passwordsOut, w.DryRun)
		if err != nil {
			return run, err
		}
		mine.Passwords, run.end = passwords, passwords.Close
	}
	run.slow = func(s rowreader.Survey) string {
		n := s.Filled["password"]
		if f.generate {
			n = s.Rows - s.Filled["password_hash"]
		}
		if n < slowHashes {
			return ""
		}
		return fmt.Sprintf("%s passwords are hashed, which takes minutes; an interrupted import goes on with the same command", output.Thousands(n))
	}
	run.do = func(ctx context.Context, file *rowreader.File, o importer.Options) (importer.Report, error) {
		mine.Options = o
		return t.Import(ctx, w.Ledger, w.cat, file, mine)
	}
	return run, nil
}

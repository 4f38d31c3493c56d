package user

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/importcmd"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/password"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

type usersImportFlags struct {
	importcmd.Flags
	restore, noPasswords, generate bool
	variant                        bool
	passwordsOut                   string

	deactivate bool // users that the file does not name
	memberOf   string
	types      []string
}

func newImport(env *cmdutil.Env) *cobra.Command {
	var f usersImportFlags
	cmd := importcmd.Complete(env, &cobra.Command{
		Short: "Create or update users from a file, each row once",
		Long: "Create or update users from a csv, tsv, jsonl, json or xlsx file (.gz and .zst too). Its columns are the fields of\n" +
			"the record, and password, password_hash, sso_subject, tenant, tenant_role and roles. Failed rows are reported with\n" +
			"their line, and the others are applied. Running the same command again continues where it stopped: no row is\n" +
			"applied twice.\n\n" +
			"tenant is the code or id of a tenant that the user joins. tenant_role is the role of that membership, as free text.\n" +
			"roles are codes of platform roles, separated by ; , or a space, as in A;B. A role of scope TENANT applies in the\n" +
			"row's tenant, a role of scope GLOBAL everywhere.\n\n" +
			"Fields: " + strings.Join(users.ImportFields, ", "),
		Example: "  cxgctl users import new.csv --dry-run\n" +
			"  cxgctl users import new.csv --generate-passwords --passwords-out passwords.csv --errors failed.csv\n" +
			"  cxgctl users import staff.csv --encoding cp949 --map '이름=full_name' --on-conflict update\n" +
			"  cxgctl users import --status new.csv\n  cxgctl users import --undo new.csv",
	}, &f.Flags, importcmd.Spec{
		Resource: users.Resource, Fields: users.ImportFields, Conflicts: users.Conflicts, UniqueKeys: "username, e-mail or id",
		ReadOptions: func(o importer.Options) rowreader.Options {
			return users.ImportOptions{Options: o, OfTenant: len(env.Tenants.Refs) > 0}.Reading()
		},
		Begin: func(w *cmdutil.Writer, o importer.Options) (importcmd.Run, error) { return f.begin(env, w, o) },
		Undo: func(ctx context.Context, w *cmdutil.Writer, ops []uuid.UUID) (importer.Undone, error) {
			t, err := users.NewTable(w.Catalog)
			if err != nil {
				return importer.Undone{}, err
			}
			linked := []audit.Resource{tenants.MemberResource, roles.Resource}
			links := map[string]audit.Reverser{}
			for _, r := range linked {
				if t, err := r.Open(w.Catalog); err == nil { // without the table an import cannot have created any
					links[r.Name] = t
				}
			}
			return t.UndoImport(ctx, w.Ledger, w.Catalog, ops, links, w.MayReverse(append(linked, users.Resource)...))
		},
	})
	fs := cmd.Flags()
	fs.BoolVar(&f.restore, "restore", false, "with --on-conflict update: restore deleted users")
	fs.BoolVar(&f.variant, "allow-variant", false, "accept a username or e-mail that differs from another user's only in case or Unicode form")
	fs.BoolVar(&f.deactivate, "deactivate-missing", false, "set users INACTIVE whom FILE does not name, of --member-of, --user-type or --tenant, up to --max-affected changes in all")
	fs.StringVar(&f.memberOf, "member-of", "", "with --deactivate-missing: only members of this `tenant`, by id or code")
	fs.StringSliceVar(&f.types, "user-type", nil, "with --deactivate-missing: only users of these `types`: MASTER, TENANT, SYSTEM")
	cliflag.MarkFlags(fs, cliflag.Recorded, "deactivate-missing", "member-of", "user-type")
	cliflag.MarkTables(fs, "member-of", tenants.MemberResource.Tables...)
	cliflag.CompleteFlag(cmd, "user-type", users.Types...)
	cmdutil.Tenants.CompleteFlag(env, cmd, "member-of")
	for _, other := range []string{"undo", "status"} {
		cmd.MarkFlagsMutuallyExclusive("deactivate-missing", other)
	}
	fs.BoolVar(&f.noPasswords, "no-passwords", false, "create accounts without a password")
	fs.BoolVar(&f.generate, "generate-passwords", false, "generate a password for each row, to be changed at the first login")
	cliflag.MarkFlags(fs, cliflag.Recorded, "restore", "no-passwords", "generate-passwords")
	fs.StringVar(&f.passwordsOut, "passwords-out", "", "write the generated passwords to `file` (0600)")
	cliflag.MarkFile(cmd, "passwords-out", cliflag.FileWritten)
	cmd.MarkFlagsMutuallyExclusive("no-passwords", "generate-passwords")
	env.Specify(cmd, cmdutil.Spec{
		Permission: "USER_CREATE", Resource: users.Kind.Name, Optional: []string{"USER_UPDATE", "USER_DELETE", "TENANT_UPDATE", "PERMISSION_MANAGE"}, Audit: cmdutil.Always,
		Tables: slices.Concat(users.ImportTables, importer.Tables),
	})
	return cmd
}

// missing returns what --deactivate-missing asks for, or nil without the flag. Its scope and the most changes have to
// be given, because a file that is too short would close accounts that are in use.
func (f *usersImportFlags) missing(w *cmdutil.Writer) (*users.Missing, error) {
	scoped := f.memberOf != "" || len(f.types) > 0
	var p fault.Problems
	types := p.Choices("user_type", f.types, users.Types)
	switch {
	case p.Err() != nil:
		return nil, p.Err()
	case scoped && !f.deactivate:
		return nil, fault.New(fault.Usage, "--member-of and --user-type need --deactivate-missing")
	case !f.deactivate:
		return nil, nil
	case scoped && w.Tenant != nil:
		return nil, fault.New(fault.Usage, "--member-of and --user-type cannot be used with --tenant, which is the scope")
	case !scoped && w.Tenant == nil:
		return nil, fault.New(fault.Usage, "--deactivate-missing: whom may it deactivate?").
			WithHint("add --member-of TENANT, --user-type TYPE, or --tenant for the users of a tenant's database")
	case w.Guard.MaxAffected == nil && w.Guard.Expect == nil:
		return nil, fault.New(fault.Usage, "--deactivate-missing needs --max-affected").
			WithHint("it is the most rows that the import may create, update and deactivate; --dry-run counts them")
	}
	return &users.Missing{Types: types}, nil
}

// slowHashes is the number of passwords from which a note about the duration is printed.
const slowHashes = 250

// begin prepares the parts of an import that are specific to users: hashing and generating passwords.
func (f *usersImportFlags) begin(env *cmdutil.Env, w *cmdutil.Writer, o importer.Options) (importcmd.Run, error) {
	run := importcmd.Run{Close: func() {}}
	switch {
	case f.restore && o.OnConflict != importer.Update:
		return run, fault.New(fault.Usage, "--restore requires --on-conflict update")
	case f.generate != (f.passwordsOut != ""):
		return run, fault.New(fault.Usage, "--generate-passwords and --passwords-out must be used together").
			WithHint("add --passwords-out F, or use --no-passwords")
	}
	missing, err := f.missing(w)
	if err != nil {
		return run, err
	}
	t, err := w.Users()
	if err != nil {
		return run, err
	}
	options := users.ImportOptions{
		OfTenant: w.Tenant != nil, Restore: f.restore, NoPasswords: f.noPasswords, AllowVariant: f.variant, Need: w.Require,
		NameHolders: cmdutil.NamesHolders(env, w.Session),
		Hash: func(ctx context.Context, passwords []string) ([]string, error) {
			return password.HashAll(ctx, passwords, cmdutil.HashCost)
		},
	}
	if f.generate {
		passwords, err := openPasswords(env, f.passwordsOut, w.DryRun)
		if err != nil {
			return run, err
		}
		options.Passwords, run.Close = passwords, passwords.Close
	}
	run.SlowNote = func(s rowreader.Survey) string {
		n := s.Filled["password"]
		if f.generate {
			n = s.Rows - s.Filled["password_hash"]
		}
		if n < slowHashes {
			return ""
		}
		return fmt.Sprintf("hashing %s passwords takes minutes; to continue after an interruption, run the same command again", output.Thousands(n))
	}
	run.Import = func(ctx context.Context, file *rowreader.File, o importer.Options) (importer.Report, error) {
		options.Options, options.Missing = o, missing
		if f.memberOf != "" {
			var err error
			if missing.MemberOf, err = memberPredicate(ctx, w.Session, f.memberOf); err != nil {
				return importer.Report{}, err
			}
		}
		return t.Import(ctx, w.Ledger, w.Catalog, file, options)
	}
	return run, nil
}

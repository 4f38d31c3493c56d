package user

import (
	"cmp"
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

func newExport(env *cmdutil.Env) *cobra.Command {
	var f filterFlags
	var hashes bool
	cmd := &cobra.Command{
		Use: "export", Short: "Write users to a file that users import reads back", Long: "All fields are exported, as text that an import reads without loss. Password hashes are left out unless --with-hashes asks for them.",
		Example: "  cxgctl users export --output-file users.csv.gz\n  cxgctl users export --status ACTIVE -o jsonl | cxgctl --profile test users import - --format jsonl --no-passwords\n  cxgctl users export --output-file staff.xlsx",
	}
	cmd.Args = listcmd.ExportArgs("users")
	cliflag.Annotate(cmd, cmdutil.FormatAnnotation, string(output.CSV))
	cmd.RunE = cmdutil.RunRead(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, _ []string) error {
		t, err := s.Users()
		if err != nil {
			return err
		}
		filter := f.filter()
		filter.Sort = []string{"created_at"}
		env.Printer.Secret = hashes
		if hashes {
			manager := s.Manager()
			l, err := audit.Open(ctx, manager.PrimaryDB(), manager.Catalog, s.Operator, env.Origin(cmd))
			if err != nil {
				return err
			}
			gate, err := cmdutil.AuthorizeLedger(env, manager, l, cmd)
			if err != nil {
				return err
			}
			_ = gate.Require(auth.SuperAdmin) // RecordHashes returns the error
			if err := users.RecordHashes(ctx, l); err != nil {
				return err
			}
		}
		q, err := t.ExportQuery(filter, hashes)
		if err != nil {
			return err
		}
		s = cmdutil.WithReplica(ctx, env, s, cmd)
		recordRead, err := cmdutil.LogFullRead(ctx, env, s, cmd)
		if err != nil {
			return err
		}
		if hashes {
			return exportUsers(env, recordRead, db.Stream[users.WithHash](ctx, s.DB, s.IdleTimeout, q))
		}
		return exportUsers(env, recordRead, db.Stream[users.Exported](ctx, s.DB, s.IdleTimeout, q))
	})
	f.Bind(cmd)
	listcmd.AcceptAll(cmd)
	cmdutil.BindReplica(cmd)
	cmdutil.BindReveal(env, cmd)
	cliflag.BindDeleted(cmd, &f.IncludeDeleted, "users")
	cmd.Flags().BoolVar(&hashes, "with-hashes", false, "include the password hashes as password_hash; requires SUPER_ADMIN and is audited")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "with-hashes")
	env.Specify(cmd, cmdutil.Spec{Permission: "USER_LIST", Resource: users.Kind.Name, Optional: []string{auth.SuperAdmin}, Audit: cmdutil.Always})
	return cmdutil.AddOutputFlags[users.WithHash](env, cmd)
}

func exportUsers[T any](env *cmdutil.Env, recordRead func(int64) error, seq iter.Seq2[T, error]) error {
	env.Deadline.Stop() // streams have an idle timeout instead
	n, err := output.Stream(env.Printer, output.View{Name: "users"}, seq)
	err = cmp.Or(err, recordRead(n))
	if err == nil {
		env.Note("%s exported", fault.Plural(int(n), "user"))
	}
	return err
}

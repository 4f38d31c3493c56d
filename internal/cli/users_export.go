package cli

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/users"
)

func (a *app) usersExport() *cobra.Command {
	var f userFilter
	var hashes bool
	cmd := &cobra.Command{
		Use: "export", Short: "Write users to a file that users import reads back", Args: exactly(),
		Example: "  cxgctl users export --output-file users.csv.gz\n  cxgctl users export --status ACTIVE -o jsonl | cxgctl --profile test users import - --format jsonl --no-passwords",
	}
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, _ []string) error {
		t, err := s.users()
		if err != nil {
			return err
		}
		if a.out.format == "" && a.out.jq == "" && output.FormatOf(a.print.File) == "" {
			a.print.Format = output.CSV
		}
		filter := f.filter()
		filter.Sort = []string{"created_at"}
		a.print.Secret = hashes
		if hashes {
			home := s.manager()
			l, err := audit.Open(ctx, home.primaryDB(), home.cat, s.by, a.origin(cmd))
			if err != nil {
				return err
			}
			gate, err := a.gate(home, l, cmd)
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
		s = a.withReplica(ctx, s, cmd)
		leave, err := a.logFullRead(ctx, s, cmd, users.Kind.Name)
		if err != nil {
			return err
		}
		if hashes {
			return exportUsers(a, leave, db.Stream[users.WithHash](ctx, s.db, s.idle, q))
		}
		return exportUsers(a, leave, db.Stream[users.Exported](ctx, s.db, s.idle, q))
	})
	f.bind(cmd)
	bindMaxLag(cmd)
	a.bindReveal(cmd)
	cmd.Flags().BoolVar(&f.IncludeDeleted, "include-deleted", false, "include deleted users")
	cmd.Flags().BoolVar(&hashes, "with-hashes", false, "include the password hashes as password_hash; requires SUPER_ADMIN and is audited")
	markFlags(cmd.Flags(), recorded, "include-deleted", "with-hashes")
	a.specify(cmd, Spec{Permission: "USER_LIST", Optional: []string{auth.SuperAdmin}, Audit: always})
	return addOutputFlags[users.WithHash](a, cmd)
}

func exportUsers[T any](a *app, leave func(int64) error, seq iter.Seq2[T, error]) error {
	a.clock.stop() // streams have an idle timeout instead
	n, err := output.Stream(a.print, output.View{}, seq)
	if failed := leave(n); err == nil {
		err = failed
	}
	if err == nil {
		a.note("%s exported", plural(int(n), "user"))
	}
	return err
}

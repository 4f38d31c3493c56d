package audit

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// pruned is the record of audit prune.
type pruned struct {
	OpID    uuid.UUID `json:"op_id"`
	Before  db.Time   `json:"before"`
	Rows    int64     `json:"rows"`
	Archive string    `json:"archive"`
	SHA256  string    `json:"sha256"`
}

var prunedView = output.View{
	Table: []string{"before", "rows", "archive", "sha256"}, Wide: []string{"op_id", "before", "rows", "archive", "sha256"}, ID: "op_id",
}

func newPrune(env *cmdutil.Env) *cobra.Command {
	var flags cmdutil.ChangeFlags
	var before cliflag.TimeValue
	var p seal.Pruning
	cmd := &cobra.Command{
		Use: "prune --before TIME --archive FILE --key FILE", Short: "Move old audit rows to an archive", Args: cmdutil.ExactArgs(),
		Long: `Move old audit rows to an archive.

Rows older than --before go, with their seals, to a new file of JSON lines, compressed with gzip or zstd according to
its name, and are deleted from the log. A record signed with the private key (see audit keygen) states which rows were
moved and the hash of the archive; it is an audit row, sealed like any other. audit verify continues from there, and
compares the archives given to it with the records. Rows without a seal stay: cxgctl audit seal seals them.

The command deletes rows of the audit log, so its database role must own the tables.`,
		Example: "  cxgctl audit prune --before 2y --archive /mnt/worm/audit/2024.jsonl.zst --key /etc/cxgctl/audit.key --dry-run",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"before", "archive", "key"} {
			if !cmd.Flags().Changed(name) {
				return fault.New(fault.Usage, "--%s is missing", name).WithHint("see: cxgctl audit prune --help")
			}
		}
		p.Before = before.Time()
		plan, err := seal.PlanPrune(ctx, w.DB, w.Catalog, p)
		if err != nil {
			return err
		}
		if plan.Unsealed > 0 {
			env.Note("%s from before that time without a seal would stay; cxgctl audit seal seals them", fault.Plural(int(plan.Unsealed), "row"))
		}
		r := seal.PruneRecord{Before: db.At(p.Before), Rows: plan.Rows}
		switch {
		case flags.DryRun:
			env.Note("dry run: %s would be pruned, nothing was changed", fault.Plural(int(r.Rows), "audit row"))
		case plan.Rows > 0:
			if err := env.Confirm(ctx, "delete "+fault.Plural(int(r.Rows), "audit row")+" from before "+r.Before.String()+", archived in "+p.Archive, int(r.Rows)); err != nil {
				return err
			}
			env.Deadline.Stop()
			if r, err = audit.Prune(ctx, w.Ledger, plan); err != nil {
				return err
			}
			env.Note("%s pruned", fault.Plural(int(r.Rows), "audit row"))
		default:
			env.Note("no sealed audit row is older than that; nothing was changed")
		}
		return cmdutil.AfterCommit(output.One(env.Printer, prunedView, pruned{w.Op(), r.Before, r.Rows, p.Archive, r.ArchiveSHA256}))
	})
	cmd.Flags().Var(&before, "before", "move rows older than this `time`: RFC 3339, a date, or an age such as 2y")
	cmd.Flags().StringVar(&p.Archive, "archive", "", "new `file` for the rows, .jsonl.gz or .jsonl.zst")
	cmd.Flags().StringVar(&p.Key, "key", "", "`file` with the private key, from audit keygen")
	cliflag.MarkFile(cmd, "archive", cliflag.FileWritten)
	cliflag.MarkFile(cmd, "key", cliflag.FileRead, ".pub")
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "SYSTEM_MANAGE", Resource: "audit", Audit: cmdutil.Always, Action: audit.Delete})
	return cmdutil.AddOutputFlags[pruned](env, cmd)
}

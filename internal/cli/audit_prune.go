package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
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

func (a *app) auditPrune() *cobra.Command {
	var flags changeFlags
	var before timeFlag
	var p seal.Pruning
	cmd := &cobra.Command{
		Use: "prune --before TIME --archive FILE --key FILE", Short: "Move old audit rows to an archive", Args: exactly(),
		Long: `Move old audit rows to an archive.

Rows older than --before go, with their seals, to a new file of JSON lines, compressed with gzip or zstd according to
its name, and are deleted from the log. A record signed with the private key (see audit keygen) states which rows were
moved and the hash of the archive; it is an audit row, sealed like any other. audit verify continues from there, and
compares the archives given to it with the records. Rows without a seal stay: cxgctl audit seal seals them.

The command deletes rows of the audit log, so its database role must own the tables.`,
		Example: "  cxgctl audit prune --before 2y --archive /mnt/worm/audit/2024.jsonl.zst --key /etc/cxgctl/audit.key --dry-run",
	}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"before", "archive", "key"} {
			if !cmd.Flags().Changed(name) {
				return fault.New(fault.Usage, "--%s is missing", name).WithHint("see: cxgctl audit prune --help")
			}
		}
		p.Before = before.Time()
		plan, err := seal.PlanPrune(ctx, w.db, w.cat, p)
		if err != nil {
			return err
		}
		if plan.Unsealed > 0 {
			a.note("%s from before that time without a seal would stay; cxgctl audit seal seals them", plural(int(plan.Unsealed), "row"))
		}
		r := seal.PruneRecord{Before: db.At(p.Before), Rows: plan.Rows}
		switch {
		case flags.dryRun:
			a.note("dry run: %s would be pruned, nothing was changed", plural(int(r.Rows), "audit row"))
		case plan.Rows > 0:
			if a.cfg.Protected {
				a.printf("profile %s is protected", a.cfg.Profile)
			}
			if err := a.confirm(ctx, "delete "+plural(int(r.Rows), "audit row")+" from before "+r.Before.String()+", archived in "+p.Archive); err != nil {
				return err
			}
			a.clock.stop()
			if r, err = audit.Prune(ctx, w.Ledger, plan); err != nil {
				return err
			}
			a.note("%s pruned", plural(int(r.Rows), "audit row"))
		default:
			a.note("no sealed audit row is older than that; nothing was changed")
		}
		return afterCommit(output.One(a.print, prunedView, pruned{w.Op(), r.Before, r.Rows, p.Archive, r.ArchiveSHA256}))
	})
	cmd.Flags().Var(&before, "before", "move rows older than this `time`: RFC 3339, a date, or an age such as 2y")
	cmd.Flags().StringVar(&p.Archive, "archive", "", "new `file` for the rows, .jsonl.gz or .jsonl.zst")
	cmd.Flags().StringVar(&p.Key, "key", "", "`file` with the private key, from audit keygen")
	names(cmd, "archive", fileWritten)
	names(cmd, "key", fileRead, ".pub")
	flags.bind(cmd)
	a.specify(cmd, Spec{Permission: "SYSTEM_MANAGE", Audit: always, Action: audit.Delete})
	return addOutputFlags[pruned](a, cmd)
}

package invoice

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/importcmd"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

func newImport(env *cmdutil.Env) *cobra.Command {
	var f importcmd.Flags
	cmd := importcmd.Complete(env, &cobra.Command{
		Short: "Create invoices from a file, each row once",
		Long: "Reads csv, tsv, jsonl, json or xlsx (.gz and .zst too). The columns are the fields of the record; tenant, a REF, and\n" +
			"subscription are accepted too, like the flags of invoices create. The rules are those of create: the total is\n" +
			"computed, and a given total must be exact. A status other than PENDING also needs the permission INVOICE_UPDATE, and\n" +
			"PAID needs paid_at and payment_method. A row that fails is reported with its line, and the other rows are imported.\n" +
			"Running the same command again continues where it stopped: no row is applied twice. Existing invoices are never\n" +
			"changed: --on-conflict fails or skips such rows.\n\n" +
			"Fields: " + strings.Join(invoices.ImportFields, ", "),
		Example: "  cxgctl invoices import november.csv --dry-run\n" +
			"  cxgctl invoices import november.csv --errors failed.csv\n" +
			"  cxgctl invoices import ledger.jsonl.gz --on-conflict skip --reason 'taken over from SAP'\n" +
			"  cxgctl invoices import --status november.csv\n  cxgctl invoices import --undo november.csv",
	}, &f, importcmd.Spec{
		Resource: invoices.Resource, Fields: invoices.ImportFields, Conflicts: invoices.Conflicts, UniqueKeys: "invoice_no or id",
		ReadOptions: func(o importer.Options) rowreader.Options { return invoices.ImportOptions{Options: o}.Reading() },
		Begin: func(w *cmdutil.Writer, _ importer.Options) (importcmd.Run, error) {
			t, err := invoices.NewTable(w.Catalog)
			return importcmd.Run{Close: func() {}, Import: func(ctx context.Context, file *rowreader.File, o importer.Options) (importer.Report, error) {
				return t.Import(ctx, w.Ledger, file, invoices.ImportOptions{Options: o, Need: w.Require})
			}}, err
		},
		Undo: func(ctx context.Context, w *cmdutil.Writer, ops []uuid.UUID) (importer.Undone, error) {
			t, err := invoices.NewTable(w.Catalog)
			if err != nil {
				return importer.Undone{}, err
			}
			return t.UndoImport(ctx, w.Ledger, ops, w.MayReverse(invoices.Resource))
		},
	})
	env.Specify(cmd, cmdutil.Spec{
		Permission: "INVOICE_CREATE", Resource: invoices.Kind.Name, Optional: []string{"INVOICE_UPDATE", "INVOICE_DELETE"}, Audit: cmdutil.Always,
		Tables: slices.Concat(cmdutil.Invoices.Tables, []string{schema.Subscriptions}, importer.Tables),
	})
	return cmd
}

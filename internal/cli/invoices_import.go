package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

func (a *app) invoicesImport() *cobra.Command {
	var f importFlags
	cmd := a.importCommand(&cobra.Command{
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
	}, &f, importNoun{
		resource: invoices.Kind.Name, fields: invoices.ImportFields, conflicts: invoices.Conflicts, claims: "invoice_no or id", undoes: "INVOICE_DELETE",
		reading: func(o importer.Options) rowreader.Options { return invoices.ImportOptions{Options: o}.Reading() },
		begin: func(w *writer, _ importer.Options) (importRun, error) {
			t, err := invoices.NewTable(w.cat)
			return importRun{end: func() {}, do: func(ctx context.Context, file *rowreader.File, o importer.Options) (importer.Report, error) {
				return t.Import(ctx, w.Ledger, file, invoices.ImportOptions{Options: o, Need: w.require})
			}}, err
		},
		undo: func(ctx context.Context, w *writer, ops []uuid.UUID) (importer.Undone, error) {
			t, err := invoices.NewTable(w.cat)
			if err != nil {
				return importer.Undone{}, err
			}
			return t.UndoImport(ctx, w.Ledger, ops, w.mayReverse)
		},
	})
	a.specify(cmd, Spec{
		Permission: "INVOICE_CREATE", Optional: []string{"INVOICE_UPDATE", "INVOICE_DELETE"}, Audit: always,
		Tables: slices.Concat(invoiceNoun.tables, []string{schema.Subscriptions}, importer.Tables),
	})
	return cmd
}

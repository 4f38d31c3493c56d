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
		Long: "Reads csv, tsv, jsonl or json (.gz and .zst too) whose columns are the record's fields; the tenant, a REF, and the\n" +
			"subscription may be called so, as invoices create does. Each row is held to what create holds an invoice to: the\n" +
			"total is computed, and one that is given must be exact. A row whose status is not PENDING needs the permission\n" +
			"INVOICE_UPDATE too, and one that is PAID a paid_at and a payment_method. A row that fails is reported with its line,\n" +
			"and the others go ahead. Running the same command again goes on where it stopped: no row is applied twice.\n" +
			"Invoices that are there are never changed: --on-conflict fails such rows, or skips them.\n\n" +
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

package invoices

import (
	"context"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// Conflicts lists the values of ImportOptions.OnConflict, for help and completion. The unique keys of a row are its
// number and id. Imports never update invoices; the commands for that see the current values first.
var Conflicts = []string{importer.Fail, importer.Skip}

// importCommand is the command that imports invoices, for hints.
const importCommand = "cxgctl invoices import"

// ImportOptions control an import of invoices.
type ImportOptions struct {
	importer.Options
	Need func(codes ...string) error // checks the permission that a row with a status other than PENDING requires
}

// importSpec is one run of Import.
type importSpec struct {
	importer.Basic[Invoice, *incoming]
	t    *Table
	need func(codes ...string) error
}

// Import creates invoices from a file. See importer.Run. Rows follow the rules of Create; in addition they can have a
// status, a payment, a deletion and timestamps.
func (t *Table) Import(ctx context.Context, l *audit.Ledger, f *rowreader.File, o ImportOptions) (importer.Report, error) {
	if err := t.Shape.RequireColumns(fields.Stored().Names()); err != nil {
		return importer.Report{}, err
	}
	source, err := importer.Open(f, o.Reading(), t.Shape)
	if err != nil {
		return importer.Report{}, err
	}
	if err := checkHeader(source); err != nil {
		return importer.Report{}, err
	}
	return importer.Run(ctx, l, t.cat, source, &importSpec{t: t, need: o.Need}, importer.Target[Invoice, *incoming]{
		Table: t.Table, Command: importCommand, Fields: fields, Holders: t.ByRef, Holder: func(i Invoice) string { return i.ID.String() },
	}, o.Options)
}

// UndoImport soft-deletes the invoices that import runs created. See importer.Undo.
func (t *Table) UndoImport(ctx context.Context, l *audit.Ledger, ops []uuid.UUID, may func(string, audit.Action) error) (importer.Undone, error) {
	return importer.Undo(ctx, l, t.cat, importer.Undoing[Invoice]{
		Table: t.Table, Fields: append(fields.Stored().Names(), "deleted"), Command: importCommand, May: may,
	}, ops)
}

// UniqueKeys appends the unique keys of a row to list.
func (*importSpec) UniqueKeys(in *incoming, list []importer.UniqueKey) []importer.UniqueKey {
	if in.New.ID != uuid.Nil {
		list = append(list, importer.UniqueKey{Field: "id", Value: in.New.ID.String()})
	}
	return append(list, importer.UniqueKey{Field: "invoice_no", Value: in.New.InvoiceNo})
}

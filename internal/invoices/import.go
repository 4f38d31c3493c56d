package invoices

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
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
	t    *Table
	need func(codes ...string) error
	skip bool
}

// Import creates invoices from a file. See importer.Run. Rows follow the rules of Create; in addition they can have a
// status, a payment, a deletion and timestamps.
func (t *Table) Import(ctx context.Context, l *audit.Ledger, f *rowreader.File, o ImportOptions) (importer.Report, error) {
	im := &importSpec{t: t, need: o.Need, skip: o.OnConflict == importer.Skip}
	if err := t.shape.RequireColumns(columnNames()); err != nil {
		return importer.Report{}, err
	}
	source, err := importer.Open(f, o.Reading(), t.shape)
	if err != nil {
		return importer.Report{}, err
	}
	if err := checkHeader(source); err != nil {
		return importer.Report{}, err
	}
	return importer.Run(ctx, l, t.cat, source, importer.Spec[*incoming]{
		Resource: Kind.Name, Command: importCommand,
		Read: im.read, Claims: claims,
		Resolve: im.resolve, Conflicts: im.conflicts, Defaults: born, Stored: im.readBack, AfterInsert: finish,
		Table: t.shape.Name, Columns: t.copyColumns(),
	}, o.Options)
}

// UndoImport soft-deletes the invoices that import runs created. See importer.Undo.
func (t *Table) UndoImport(ctx context.Context, l *audit.Ledger, ops []uuid.UUID, may func(string, audit.Action) error) (importer.Undone, error) {
	gone, err := t.SetDeleted(true)
	if err != nil {
		return importer.Undone{}, err
	}
	return importer.Undo(ctx, l, t.cat, importer.Undoing[Invoice]{
		Table: t.rows(), Delete: gone, Fields: columnNames(), Command: importCommand, May: may,
	}, ops)
}

// columnNames returns the record's fields that are columns of the invoices table.
func columnNames() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// claims appends the unique keys of a row to list.
func claims(in *incoming, list []importer.UniqueKey) []importer.UniqueKey {
	if in.invoice.ID != uuid.Nil {
		list = append(list, importer.UniqueKey{Field: "id", Value: in.invoice.ID.String()})
	}
	return append(list, importer.UniqueKey{Field: "invoice_no", Value: in.invoice.InvoiceNo})
}

const findTaken = `
SELECT i.id, i.invoice_no, NOT {live} AS deleted
  FROM {table} i
 WHERE i.id = ANY (@ids::uuid[]) OR i.invoice_no = ANY (@numbers::text[])
 ORDER BY i.id`

// holder is an invoice that has a unique value of a row.
type holder struct {
	ID        uuid.UUID `db:"id"`
	InvoiceNo string    `db:"invoice_no"`
	Deleted   bool      `db:"deleted"`
}

// conflicts looks for invoices that hold a unique value of the rows, and fails or skips those rows. It returns how
// many there are.
func (im *importSpec) conflicts(ctx context.Context, tx *audit.Tx, rows []*incoming) (int, error) {
	var ids []uuid.UUID
	numbers := make([]string, len(rows))
	for k, in := range rows {
		if numbers[k] = in.invoice.InvoiceNo; in.invoice.ID != uuid.Nil {
			ids = append(ids, in.invoice.ID)
		}
	}
	found, err := db.Collect[holder](ctx, tx, im.t.sql(findTaken), pgx.NamedArgs{"ids": ids, "numbers": numbers})
	if err != nil {
		return 0, err
	}
	byID, byNumber := make(map[uuid.UUID]*holder, len(found)), make(map[string]*holder, len(found))
	for k := range found {
		byID[found[k].ID], byNumber[found[k].InvoiceNo] = &found[k], &found[k]
	}
	decided := 0
	for _, in := range rows {
		number, id := byNumber[in.invoice.InvoiceNo], byID[in.invoice.ID]
		if in.Outcome != importer.Pending || number == nil && id == nil {
			continue
		}
		decided++
		if im.skip {
			in.Outcome = importer.Skipped
			continue
		}
		in.takenBy(number, id)
	}
	return decided, nil
}

// takenBy fails a row with every value that is taken, and with the first holder.
func (in *incoming) takenBy(number, id *holder) {
	var parts []string
	field, value, first := "invoice_no", in.invoice.InvoiceNo, number
	if number != nil {
		parts = append(parts, fmt.Sprintf("invoice_no %q is taken by %s", number.InvoiceNo, number.ID))
	} else {
		field, value, first = "id", in.invoice.ID.String(), id
	}
	if id != nil && id != number {
		parts = append(parts, fmt.Sprintf("id %s is taken by invoice %q", id.ID, id.InvoiceNo))
	}
	f := fault.New(fault.AlreadyExists, "%s", strings.Join(parts, "; "))
	f.Kind = fmt.Sprint("taken", field, len(parts), first.Deleted)
	if first.Deleted {
		f.WithHint("that invoice is deleted; restore it with: cxgctl invoices restore %s", first.ID)
	}
	in.Fail(field, value, f, &first.ID)
}

// born sets the defaults of a new invoice that come from the transaction, unless the file has values.
func born(in *incoming, at time.Time, by *uuid.UUID) error {
	i := &in.invoice
	if i.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		i.ID = id
	}
	if i.CreatedAt == nil || in.bornNow {
		now := db.At(at)
		i.CreatedAt, in.bornNow = &now, true
	}
	if i.CreatedBy == nil {
		i.CreatedBy = by
	}
	return nil
}

// readBack reads back inserted invoices. A trigger may have skipped, moved or rewritten some.
func (im *importSpec) readBack(ctx context.Context, tx pgx.Tx, rows []*incoming) error {
	ids := make([]uuid.UUID, len(rows))
	for k, in := range rows {
		ids[k] = in.invoice.ID
	}
	found, err := db.Collect[Invoice](ctx, tx, im.t.sql("SELECT {columns} FROM {table} i {tenant} WHERE i.id = ANY ($1::uuid[])"), ids)
	if err != nil {
		return err
	}
	now := make(map[uuid.UUID]*Invoice, len(found))
	for k := range found {
		now[found[k].ID] = &found[k]
	}
	var refused error
	for _, in := range rows {
		if in.stored = now[in.invoice.ID]; in.stored != nil {
			continue
		}
		if refused == nil {
			refused = db.NotStored(ctx, tx, im.t.shape.Name, db.Insert, "kept the row from being stored")
		}
		in.Fail("invoice_no", in.invoice.InvoiceNo, refused, nil)
	}
	return nil
}

// finish returns the changes that record the new invoices.
func finish(_ context.Context, _ *audit.Tx, rows []*incoming) ([]audit.Change, error) {
	list := make([]audit.Change, 0, len(rows))
	for _, in := range rows {
		if in.Outcome == importer.Created {
			i := in.stored
			list = append(list, audit.Change{
				Subject: audit.Subject{Resource: Kind.Name, ID: i.ID, Name: i.InvoiceNo, TenantID: i.TenantID},
				Action:  audit.Create, After: i,
			})
		}
	}
	return list, nil
}

// copyColumns returns the columns of a new invoice.
func (t *Table) copyColumns() []importer.Column[*incoming] {
	col := importer.Col[*incoming]
	list := []importer.Column[*incoming]{
		col("id", func(in *incoming) any { return importer.ID(&in.invoice.ID) }),
		col("status", func(in *incoming) any { return importer.Text(in.invoice.Status) }),
		col("paid_at", func(in *incoming) any { return in.invoice.PaidAt }),
		col("created_at", func(in *incoming) any { return in.invoice.CreatedAt }),
		col("created_by", func(in *incoming) any { return importer.ID(in.invoice.CreatedBy) }),
		col("updated_at", func(in *incoming) any { return in.invoice.UpdatedAt }),
		col("updated_by", func(in *incoming) any { return importer.ID(in.invoice.UpdatedBy) }),
	}
	for _, c := range written {
		list = append(list, col(c.name, func(in *incoming) any { return c.copied(&in.invoice) }))
	}
	for _, f := range schema.LiveValues() {
		whenDeleted := f[1] == "false"
		list = append(list, col(f[0], func(in *incoming) any { return in.invoice.Deleted == whenDeleted }))
	}
	return importer.Existing(t.shape, list)
}

// copied returns the column's value in a type that COPY encodes directly.
func (c column) copied(i *Invoice) any {
	switch v := c.value(i).(type) {
	case string:
		return v
	case *string:
		return importer.Text(v)
	case *uuid.UUID:
		return importer.ID(v)
	default:
		return v
	}
}

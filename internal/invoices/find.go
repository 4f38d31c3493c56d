package invoices

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// By says what a REF may be; the zero value means either.
type By string

// The ways to name an invoice.
const (
	ByAny By = ""
	ByID  By = "id"
	ByNo  By = "invoice_no"
)

// ParseBy reads --by.
func ParseBy(s string) (By, error) {
	switch b := By(strings.ToLower(s)); b {
	case ByAny, ByID, ByNo:
		return b, nil
	}
	return "", fault.New(fault.Usage, "--by %q is refused, it is id or invoice_no", s)
}

// Each REF is looked up through the two unique indexes; an OR over columns would scan the table.
const findByRef = `
SELECT r.n, {columns}
  FROM unnest(@refs::text[], @ids::uuid[]) WITH ORDINALITY AS r(ref, id, n)
 CROSS JOIN LATERAL (
       SELECT m.id FROM {table} m WHERE m.id = r.id AND @by IN ('', 'id')
        UNION
       SELECT m.id FROM {table} m WHERE m.invoice_no = r.ref AND @by IN ('', 'invoice_no')) AS f
  JOIN {table} i ON i.id = f.id
  {tenant}
 ORDER BY r.n, i.id`

// Found is what one REF led to: an invoice, or the reason why not.
type Found struct {
	Ref     string
	Invoice Invoice
	Err     error
}

// Find looks up every REF, in order. A REF that fits no row, only a deleted one (unless deleted is
// set), or two rows has an error; the others have their invoice.
func (t *Table) Find(ctx context.Context, r db.Reader, refs []string, by By, deleted bool) ([]Found, error) {
	ids := make([]*uuid.UUID, len(refs))
	for i, ref := range refs {
		if id, err := uuid.Parse(ref); err == nil && len(ref) == 36 {
			ids[i] = &id
		}
	}
	type match struct {
		N int64 `db:"n"`
		Invoice
	}
	rows, err := db.Collect[match](ctx, r, t.sql(findByRef), pgx.NamedArgs{"refs": refs, "ids": ids, "by": string(by)})
	if err != nil {
		return nil, err
	}
	matches := make([][]Invoice, len(refs))
	for _, m := range rows {
		matches[m.N-1] = append(matches[m.N-1], m.Invoice)
	}
	found := make([]Found, len(refs))
	for i, ref := range refs {
		found[i] = pick(ref, matches[i], deleted)
	}
	return found, nil
}

// FindOne looks up a single REF.
func (t *Table) FindOne(ctx context.Context, r db.Reader, ref string, by By, deleted bool) (Invoice, error) {
	found, err := t.Find(ctx, r, []string{ref}, by, deleted)
	if err != nil {
		return Invoice{}, err
	}
	return found[0].Invoice, found[0].Err
}

// kindOf guesses which field a REF was meant to be, for the detail of an error.
func kindOf(ref string) string {
	if _, err := uuid.Parse(ref); err == nil {
		return string(ByID)
	}
	return string(ByNo)
}

func pick(ref string, matches []Invoice, deleted bool) Found {
	f := Found{Ref: ref}
	var fit []Invoice
	for _, m := range matches {
		if !m.Deleted || deleted {
			fit = append(fit, m)
		}
	}
	switch {
	case len(fit) == 1:
		f.Invoice = fit[0]
	case len(fit) > 1:
		names := make([]string, len(fit))
		ids := make([]string, len(fit))
		for i, m := range fit {
			names[i] = "invoice " + m.InvoiceNo + " (" + m.ID.String() + ")"
			ids[i] = m.ID.String()
		}
		f.Err = fault.New(fault.Validation, "%q fits more than one invoice: %s", ref, strings.Join(names, " and ")).
			WithHint("say which with --by id or --by invoice_no").With("ref", ref).With("ids", ids)
	default:
		nf := fault.New(fault.NotFound, "invoice %q not found", ref).With(kindOf(ref), ref)
		if len(matches) > 0 {
			nf.WithHint("a deleted invoice of that name exists; see it with --include-deleted")
		}
		f.Err = nf
	}
	return f
}

// The range lets the index begin at the first number that may fit. In most collations LIKE alone gives it
// no range at all.
const completeNumbers = `
SELECT i.invoice_no FROM {table} i
 WHERE i.invoice_no >= @from AND i.invoice_no LIKE @prefix AND {live}
 ORDER BY i.invoice_no LIMIT 100`

// Numbers returns up to 100 invoice numbers that begin with the prefix, for completion.
func (t *Table) Numbers(ctx context.Context, r db.Reader, prefix string) ([]string, error) {
	rows, err := r.Query(ctx, t.sql(completeNumbers), pgx.NamedArgs{"from": prefix, "prefix": db.LikePrefix(prefix)})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

package importer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// run is one run of an import.
type run[T any, R Item[T]] struct {
	Options
	spec       Spec[T, R]
	target     Target[T, R]
	columns    []Column[R]
	insertion  schema.RowInsert   // of columns
	born       schema.FieldsOf[T] // the id, the time and the creator of a new record
	ledger     *audit.Ledger
	source     *Input
	lease      *lease
	report     Report
	look       bool // look for conflicts before inserting, because the previous batch had some
	told       bool // the audit row for failed rows is written
	savepoints int  // of this attempt
	sharded    bool // Citus distributes the table
}

// batchRows is the number of rows per transaction: few enough that a crash costs little, locks are short and two batches
// need little memory, many enough to amortize the transaction and to be copied (schema.InsertMost).
const batchRows = 1250

// slowRows is the number of Slow rows in a batch, because preparing one takes long.
const slowRows = 32

// batch is a group of rows that commit together.
type batch[R any] struct {
	rows     []R
	slow     int
	recorded bool // recorded as applied, in the transaction that changed rows
}

// Run imports a file, in transactions of many rows. A row that fails is reported and the others are applied. Applied
// rows are recorded, so importing the same file again continues where it stopped and applies no row twice. Failed
// rows share one audit row with their number.
func Run[T any, R Item[T]](ctx context.Context, l *audit.Ledger, cat schema.Catalog, s *Input, spec Spec[T, R], target Target[T, R], o Options,
) (Report, error) {
	began := time.Now()
	r := &run[T, R]{
		Options: o, spec: spec, target: target, columns: target.columns(), born: target.Fields.Named("id", "created_at", "created_by"), ledger: l, source: s, look: o.OnConflict != Fail,
		report: Report{File: s.file.Name, SHA256: s.file.SumText(), OpID: l.Op(), DryRun: l.DryRun, Deactivated: []string{}},
	}
	r.insertion = target.Shape.InsertRows(expressions(r.columns))
	l.DiscardEntries = true
	var err error
	if r.lease, err = newLease(cat, l, s.file, target.Database, target.Noun.Name, target.Command, o.Again); err != nil {
		return Report{}, err
	}
	if err := r.lease.take(ctx); err != nil {
		return r.report, err
	}
	r.report.Last = r.lease.last
	if o.Atomic {
		err = r.atomic(ctx)
	} else {
		err = r.stream(ctx)
	}
	if r.report.Failed > 0 && !r.told && err == nil { // an aborted run has its own audit row
		l.RecordFailure(ctx, r.intent(), r.someFailed())
	}
	r.report.Elapsed = time.Since(began)
	err = cmp.Or(err, r.lease.release(ctx, err == nil && !r.report.Stopped, r.report))
	return r.report, err
}

func (r *run[T, R]) intent() audit.Intent {
	return audit.Intent{Subject: audit.Subject{Resource: r.target.Noun.Name, Name: r.source.file.Name}, Action: audit.Create}
}

// someFailed returns the error with the number of failed rows, for the audit row.
func (r *run[T, R]) someFailed() error {
	rest := ""
	if r.Atomic {
		rest = ", so nothing was changed"
	}
	return fault.New(fault.PartialFailure, "%d of %s failed%s", r.report.Failed, fault.Plural(r.report.Rows, "row"), rest)
}

// stream applies the file batch by batch. Reading and preparing run one batch ahead of the transactions. Rows that
// may duplicate an earlier one come last, once that is certain.
func (r *run[T, R]) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan *batch[R])
	var readErr error
	go func() {
		defer close(batches)
		readErr = r.produce(ctx, func(b *batch[R]) error {
			select {
			case batches <- b:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	var err error
	for b := range batches {
		if err != nil {
			continue // drain until the reader stops
		}
		if err = r.write(ctx, b); err == nil && r.stop() {
			err = errStopped
		}
		if err != nil {
			cancel()
		}
	}
	cancel()
	switch {
	case errors.Is(err, errStopped):
		r.report.Stopped = true
		return nil
	case err != nil:
		return err
	}
	return readErr
}

var errStopped = errors.New("stopped after too many errors")

func (r *run[T, R]) stop() bool { return r.MaxErrors > 0 && r.report.Failed >= int64(r.MaxErrors) }

// produce reads the file's rows into batches. A row with a unique value of an earlier row fails.
func (r *run[T, R]) produce(ctx context.Context, yield func(*batch[R]) error) error {
	b := &batch[R]{}
	flush := func() error {
		if len(b.rows) == 0 {
			return nil
		}
		if err := r.prepare(ctx, b); err != nil {
			return err
		}
		full := b
		b = &batch[R]{}
		return yield(full)
	}
	seen := newSeen()
	err := r.source.each(ctx, func(raw rowreader.Row, ordinal int64) error {
		row := Row{Raw: raw, Ordinal: ordinal, Done: r.lease.done(raw.Line)}
		if raw.Err != nil {
			err := fault.New(fault.Validation, "%s", raw.Err)
			err.Kind = raw.Err.Message
			row.Fail(raw.Err.Field, "", err, nil)
		}
		in := r.spec.Parse(row, &Fields{src: r.source, row: raw})
		if base := in.Base(); base.Failure == nil {
			seen.list = r.spec.UniqueKeys(in, seen.list[:0])
			seen.check(&base.Row, seen.list)
		}
		b.rows = append(b.rows, in)
		if r.spec.IsSlow(in) {
			b.slow++
		}
		if len(b.rows) < batchRows && b.slow < slowRows {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// prepare does the work of a batch that needs no transaction.
func (r *run[T, R]) prepare(ctx context.Context, b *batch[R]) error {
	var fit []R
	for _, in := range b.rows {
		row := in.Base()
		if row.unfit = row.Failure != nil; !row.unfit && !row.Done {
			fit = append(fit, in)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return r.spec.Prepare(ctx, fit)
}

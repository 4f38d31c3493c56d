package users

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The values of ImportOptions.OnConflict: what happens to a row whose username, e-mail or id is taken.
const (
	ConflictFail   = "fail"   // it fails, and names field and holder
	ConflictSkip   = "skip"   // it is read over
	ConflictUpdate = "update" // the user of that username, or id, gets the values that the row names
)

// Conflicts lists them, for help and completion.
var Conflicts = []string{ConflictFail, ConflictSkip, ConflictUpdate}

// ImportOptions say how a file is imported.
type ImportOptions struct {
	Read        intake.Options // but for what Reading sets
	OnConflict  string         // "" is ConflictFail
	Restore     bool           // ConflictUpdate brings deleted users back
	NoPasswords bool           // accounts without one
	Atomic      bool           // all rows or none, in one transaction
	MaxErrors   int            // stop once so many rows have failed; 0 never does
	Passwords   PasswordFile   // where made-up passwords go; nil makes none up
	Hash        Hasher

	Columns  func(has func(field string) bool) error // refuses a file for the columns that it has; nil refuses none
	Failed   func(Failure, intake.Row) error         // told of each row that failed, in the order of lines within a batch
	Progress func(Report)                            // told after every batch
}

// Hasher hashes passwords on all cores, in order.
type Hasher func(ctx context.Context, passwords []string) ([]string, error)

// PasswordFile keeps the passwords that an import makes up, so that no account is left with one that
// nobody knows.
type PasswordFile interface {
	Known(username string) string                  // made up by an earlier run that did not come to its end; or ""
	Store(usernames []string, made []string) error // on disk when it returns
}

// Failure is why a row was not applied.
type Failure struct {
	Line    int64      `json:"line"` // where the row begins; in json the number of the object
	Field   string     `json:"field"`
	Value   string     `json:"value"` // never a password
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Holder  *uuid.UUID `json:"holder"` // the user who has the value already
}

// Report is what an import did. Rows counts those that were read.
type Report struct {
	File    string        `json:"file"`
	SHA256  string        `json:"sha256"`
	OpID    uuid.UUID     `json:"op_id"`
	DryRun  bool          `json:"dry_run"`
	Rows    int64         `json:"rows"`
	Before  int64         `json:"applied_before"` // by earlier runs of the same file
	Created int64         `json:"created"`
	Updated int64         `json:"updated"`
	Same    int64         `json:"unchanged"`
	Skipped int64         `json:"skipped"`
	Failed  int64         `json:"failed"`
	Elapsed time.Duration `json:"-"`
	Stopped bool          `json:"stopped"` // by --max-errors
}

// importer is one run of Import.
type importer struct {
	ImportOptions
	t       *Table
	cat     schema.Catalog
	ledger  *audit.Ledger
	file    *intake.File
	reader  *rowReader
	lease   *lease
	copy    []copyColumn
	update  []updateColumn
	tenancy *tenancy
	report  Report
	hashed  map[int64]hashedPassword // by the row's ordinal, where the file is read twice
	look    bool                     // for conflicts before a batch is inserted: the one before had some
}

// batchRows is how many rows one transaction takes. Few enough that a crash costs little and a lock is
// held for a moment, many enough that what a transaction costs does not count.
const batchRows = 2000

// hashedRows is how many passwords are hashed for one, which takes seconds.
const hashedRows = 128

// batch is rows that commit together.
type batch struct {
	rows      []*incoming
	passwords int // to hash
}

// Import reads a file of users and makes them, in transactions of many rows. A row that fails is
// reported, and the others go ahead. What a run has applied is on record beside the rows, so that
// running the same file again goes on where it stopped and applies no row twice.
func (t *Table) Import(ctx context.Context, l *audit.Ledger, cat schema.Catalog, f *intake.File, o ImportOptions) (Report, error) {
	began := time.Now()
	im, err := t.importer(ctx, l, cat, f, o)
	if err != nil {
		return Report{}, err
	}
	if err := im.lease.take(ctx); err != nil {
		return im.report, err
	}
	if o.Atomic {
		err = im.whole(ctx)
	} else {
		err = im.stream(ctx)
	}
	im.report.Elapsed = time.Since(began)
	finished := err == nil && im.report.Failed == 0 && !im.report.Stopped
	im.lease.release(ctx, finished, im.report)
	return im.report, err
}

func (t *Table) importer(ctx context.Context, l *audit.Ledger, cat schema.Catalog, f *intake.File, o ImportOptions) (*importer, error) {
	if o.OnConflict == "" {
		o.OnConflict = ConflictFail
	}
	im := &importer{
		ImportOptions: o, t: t, cat: cat, ledger: l, file: f,
		report: Report{File: f.Name, SHA256: f.SumText(), OpID: l.Op(), DryRun: l.DryRun},
		look:   o.OnConflict == ConflictUpdate,
	}
	l.Brief = true
	var err error
	if im.lease, err = t.newLease(cat, l, f); err != nil {
		return nil, err
	}
	defaults, err := t.defaults(ctx, l.Reader())
	if err != nil {
		return nil, err
	}
	if im.reader, err = newRowReader(t, f, o, defaults); err != nil {
		return nil, err
	}
	if err := t.importable(o, im.reader); err != nil {
		return nil, err
	}
	im.copy = t.copyColumns()
	im.update = t.updateColumns(im.reader.has)
	if o.Columns != nil {
		if err := o.Columns(im.reader.has); err != nil {
			return nil, err
		}
	}
	im.tenancy = newTenancy(cat, im.reader.has)
	return im, nil
}

// stream applies the file batch by batch. Reading and hashing run ahead of the transactions by one
// batch; rows that may repeat an earlier one of the file come last, once that is known for certain.
func (im *importer) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan *batch)
	var readErr error
	go func() {
		defer close(batches)
		readErr = im.produce(ctx, func(b *batch) error {
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
			continue // until the reader has noticed
		}
		if err = im.write(ctx, b); err == nil && im.stop() {
			err = errStopped
		}
		if err != nil {
			cancel()
		}
	}
	cancel()
	switch {
	case errors.Is(err, errStopped):
		im.report.Stopped = true
		return nil
	case err != nil:
		return err
	}
	return readErr
}

var errStopped = errors.New("stopped after too many errors")

func (im *importer) stop() bool { return im.MaxErrors > 0 && im.report.Failed >= int64(im.MaxErrors) }

// produce reads the file's rows into batches: first all that repeat nothing, then those that might.
func (im *importer) produce(ctx context.Context, yield func(*batch) error) error {
	d := newDuplicates(im.file.Size)
	if err := im.pass(ctx, yield, d.putOff); err != nil {
		return err
	}
	if len(d.deferred) == 0 {
		return nil
	}
	if err := im.reader.each(ctx, im.lease.done, d.resolve); err != nil {
		return err
	}
	return im.pass(ctx, yield, d.judge)
}

// pass reads the file once. choose says whether a valid row belongs to this pass, and may fail it.
func (im *importer) pass(ctx context.Context, yield func(*batch) error, choose func(*incoming) bool) error {
	b := &batch{}
	flush := func() error {
		if len(b.rows) == 0 {
			return nil
		}
		if err := im.hash(ctx, b); err != nil {
			return err
		}
		full := b
		b = &batch{}
		return yield(full)
	}
	err := im.reader.each(ctx, im.lease.done, func(in *incoming) error {
		if !choose(in) {
			return nil
		}
		b.rows = append(b.rows, in)
		if in.password != "" || im.Passwords != nil {
			b.passwords++
		}
		if len(b.rows) < batchRows && (b.passwords < hashedRows || im.ledger.DryRun) {
			return nil
		}
		return flush()
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return flush()
}

// hash hashes the passwords of a batch, and makes up those that are to be. A dry run has checked them,
// and needs no hash.
func (im *importer) hash(ctx context.Context, b *batch) error {
	var plain []string
	var of []*incoming
	for _, in := range b.rows {
		if in.unfit = in.failure != nil; in.unfit || in.done {
			continue
		}
		if was, ok := im.hashed[in.ordinal]; ok {
			in.hash, in.password, in.madeUp = was.hash, was.password, was.madeUp
			continue
		}
		if err := im.makeUp(in); err != nil {
			return err
		}
		if in.password != "" {
			plain, of = append(plain, in.password), append(of, in)
		}
	}
	if len(plain) == 0 {
		return nil
	}
	if im.ledger.DryRun {
		for _, in := range of {
			in.hash, in.password = dryHash, ""
		}
		return nil
	}
	hashes, err := im.Hash(ctx, plain)
	if err != nil {
		return err
	}
	for i, in := range of {
		in.hash = hashes[i]
		if !in.madeUp {
			in.password = ""
		}
		if im.hashed != nil {
			im.hashed[in.ordinal] = hashedPassword{in.hash, in.password, in.madeUp}
		}
	}
	return nil
}

// hashedPassword is what became of a row's password.
type hashedPassword struct {
	hash, password string // the latter only where it was made up
	madeUp         bool
}

// dryHash stands in for a hash in a transaction that is rolled back.
const dryHash = "$2b$12$dry.run.dry.run.dry.run.dry.run.dry.run.dry.run.dry.run"

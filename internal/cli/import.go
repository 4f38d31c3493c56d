package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// importFlags are the flags of every import.
type importFlags struct {
	changeFlags
	format, encoding, onConflict, errors string
	delimiter                            string
	rename                               []string
	atomic, status, again                bool
	maxErrors                            int
	undo                                 string
}

// importNoun is what the import command needs to know about a noun.
type importNoun struct {
	resource  string   // its name in audit rows: user
	fields    []string // the valid headers
	conflicts []string // the values of --on-conflict
	claims    string   // the unique keys, for help
	undoes    string   // the permission that --undo also needs

	reading func(importer.Options) rowreader.Options
	begin   func(w *writer, o importer.Options) (importRun, error)
	undo    func(ctx context.Context, w *writer, ops []uuid.UUID) (importer.Undone, error)
}

// importRun is an import that is ready to read a file.
type importRun struct {
	do   func(context.Context, *rowreader.File, importer.Options) (importer.Report, error)
	end  func()
	slow func(rowreader.Survey) string // returns a note on what will take long, or ""; may be nil
}

// importReport is the record of an import: its counts, and the first rows that failed.
type importReport struct {
	importer.Report
	Seconds float64            `json:"elapsed_seconds"`
	Errors  []importer.Failure `json:"errors"` // at most reportedFailures
}

// importCommand completes cmd, which has its texts and its own flags, as the import of a noun.
func (a *app) importCommand(cmd *cobra.Command, f *importFlags, n importNoun) *cobra.Command {
	cmd.Use, cmd.Args = "import FILE|-", cobra.ArbitraryArgs
	cmd.RunE = a.runWrite(&f.changeFlags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		if f.undo != "" {
			if len(args) > 0 {
				return fault.New(fault.Usage, "--undo takes the file or the operation as its value, and no other argument").
					WithHint("to undo the import of that file: cxgctl %ss import --undo %s", n.resource, args[0])
			}
			return a.undoImport(ctx, w, f.undo, n)
		}
		if err := exactly("FILE")(cmd, args); err != nil {
			return err
		}
		in, resume := a.input()
		file, err := rowreader.Open(args[0], in)
		resume()
		if err != nil {
			return err
		}
		defer file.Close()
		if f.status {
			return a.importStatus(ctx, w, file, n)
		}
		return a.importFile(ctx, w, file, f, n)
	})
	fs := cmd.Flags()
	fs.StringVar(&f.format, "format", "", "csv, tsv, jsonl, json or xlsx (default: by the file's extension, else by its content)")
	fs.StringVar(&f.delimiter, "delimiter", "", "`character` between the fields of csv, or tab (default: detected)")
	fs.StringVar(&f.encoding, "encoding", "", "the file's encoding: utf-8, utf-16, cp949, … (default utf-8)")
	fs.StringArrayVar(&f.rename, "map", nil, "map a column to a field, as `HEADER=FIELD`; HEADER=- ignores the column")
	fs.StringVar(&f.onConflict, "on-conflict", importer.Fail, "how to treat a row whose "+n.claims+" is taken: "+listed(n.conflicts, "or"))
	fs.StringVar(&f.errors, "errors", "", "write the rows that failed to `file` (0600), to be fixed and imported again")
	names(cmd, "errors", fileWritten)
	fs.IntVar(&f.maxErrors, "max-errors", 0, "stop after `n` failed rows (default: never)")
	fs.BoolVar(&f.atomic, "atomic", false, "import all rows in one transaction, or none; implied by --expect and --max-affected")
	fs.BoolVar(&f.again, "again", false, "apply the whole file again, including rows that earlier runs applied")
	fs.BoolVar(&f.status, "status", false, "show the progress of importing FILE, and its operations")
	fs.StringVar(&f.undo, "undo", "", "undo everything that all runs of `FILE|OP` created and changed, except rows changed since")
	markFlags(fs, recorded, "format", "encoding", "on-conflict", "max-errors", "atomic", "status", "undo")
	must(cmd.RegisterFlagCompletionFunc("format", complete(formatNames()...)))
	must(cmd.RegisterFlagCompletionFunc("on-conflict", complete(n.conflicts...)))
	cmd.MarkFlagsMutuallyExclusive("status", "undo", "again")
	f.bindBatch(cmd)
	annotate(cmd, fileUse, "FILE")
	annotate(cmd, emptyTable, "yes")
	return a.bindOutput(cmd, func(columns []string) error {
		switch {
		case f.status:
			return output.CheckColumns[importer.Status](columns)
		case f.undo != "":
			return output.CheckColumns[importer.Undone](columns)
		}
		return output.CheckColumns[importReport](columns)
	})
}

func formatNames() []string {
	names := make([]string, len(rowreader.Formats))
	for i, x := range rowreader.Formats {
		names[i] = string(x)
	}
	return names
}

// listed joins words in English.
func listed(words []string, and string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + and + " " + words[last]
}

// options converts the flags into the options of the import.
func (f *importFlags) options(n importNoun) (importer.Options, error) {
	o := importer.Options{
		Read:       rowreader.Options{Format: rowreader.Format(f.format), Encoding: f.encoding},
		OnConflict: f.onConflict, Atomic: f.atomic, MaxErrors: f.maxErrors, Again: f.again,
	}
	var p fault.Problems
	if !slices.Contains(n.conflicts, f.onConflict) {
		p.Add("on-conflict", "%q is not one of %s", f.onConflict, strings.Join(n.conflicts, ", "))
	}
	if f.maxErrors < 0 {
		p.Add("max-errors", "%d is out of range; use 0 or more", f.maxErrors)
	}
	if err := p.Err(); err != nil {
		return o, err
	}
	var err error
	if o.Read.Delimiter, err = rowreader.ParseDelimiter(f.delimiter); err != nil {
		return o, err
	}
	o.Read.Map, err = rowreader.ParseMap(f.rename, n.fields)
	return o, err
}

// importGC is GOGC during an import.
const importGC = 25

// importFile runs the import and prints the report.
func (a *app) importFile(ctx context.Context, w *writer, file *rowreader.File, f *importFlags, n importNoun) error {
	o, err := f.options(n)
	if err != nil {
		return err
	}
	if w.Guard.Expect != nil || w.Guard.MaxAffected != nil {
		o.Atomic = true // committed batches could not be rolled back
	}
	run, err := n.begin(w, o)
	if fault.Is(err, fault.PermissionDenied) {
		w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: n.resource, Name: file.Name}, Action: w.action}, err)
	}
	if err != nil {
		return err
	}
	defer run.end()
	survey, err := file.Survey(ctx, n.reading(o))
	if err != nil {
		return err
	}
	failures, err := a.openFailures(file, f, n.reading(o))
	if err != nil {
		return err
	}
	o.Failed = failures.add
	if run.slow != nil && !w.DryRun {
		if words := run.slow(survey); words != "" {
			a.note("%s", words)
		}
	}
	if a.cfg.Protected && !w.DryRun { // --dry-run shows the difference; the prompt does not
		a.printf("profile %s is protected", a.cfg.Profile)
		if err := a.confirm(ctx, "import "+n.resource+"s from "+file.Name); err != nil {
			return err
		}
	}
	a.clock.stop() // large files take long
	// Most of the heap holds no pointers, so frequent collections cost little, and a million rows need less than 64 MB.
	defer debug.SetGCPercent(debug.SetGCPercent(importGC))
	meter := a.newMeter(survey.Rows)
	o.Progress = meter.report
	report, err := run.do(ctx, file, o)
	meter.end()
	if kept := failures.close(err == nil); err == nil {
		err = kept
	}
	failures.tell()
	if err != nil {
		return brokenOff(ctx, err, report, o, n)
	}
	a.noteEnded(w.Ledger)
	return a.printImport(report, failures, f.errors)
}

// brokenOff returns the error of an import that ended early, with its operation and how to continue.
func brokenOff(ctx context.Context, err error, r importer.Report, o importer.Options, n importNoun) error {
	if cause, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
		err = cause
	}
	applied := r.Created + r.Updated + r.Unchanged
	if r.DryRun || o.Atomic || applied == 0 && !fault.Is(err, fault.Interrupted) && !fault.Is(err, fault.Terminated) && !fault.Is(err, fault.HungUp) {
		return err
	}
	f := *fault.From(err)
	f.Detail = maps.Clone(f.Detail)
	hint := fmt.Sprintf("%s applied by operation %s; run the same command again to continue, or undo with: cxgctl %ss import --undo %s",
		plural(int(applied), "row"), r.OpID, n.resource, r.OpID)
	if f.Hint != "" {
		hint = f.Hint + "; " + hint
	}
	return f.With("op_id", r.OpID.String()).With("applied", applied).WithHint("%s", hint)
}

// noteAltered notes which values were stored differently from the file.
func (a *app) noteAltered(r importer.Report) {
	stored := "stored"
	if r.DryRun {
		stored = "would be stored"
	}
	order := func(x, y importer.Alteration) int {
		return cmp.Or(cmp.Compare(x.Field, y.Field), cmp.Compare(x.How, y.How))
	}
	for _, how := range slices.SortedFunc(maps.Keys(r.Altered), order) {
		a.note("%s: %s %s %s", how.Field, plural(int(r.Altered[how]), "row"), stored, how.How)
	}
}

// printImport prints a summary of the import, and the report as a record except as a table.
func (a *app) printImport(r importer.Report, failures *failures, errorFile string) error {
	switch {
	case r.AppliedEarlier > 0 && r.AppliedEarlier == r.Rows && r.Last != nil:
		by := ""
		if r.Last.Operator != nil {
			by = " by " + *r.Last.Operator
		}
		a.note("all %s rows were applied on %s%s (operation %s); --again applies the file again",
			output.Thousands(r.Rows), r.Last.At.Instant.UTC().Format(time.DateOnly), by, r.Last.OpID)
	case r.AppliedEarlier > 0:
		a.note("%s applied by earlier runs", plural(int(r.AppliedEarlier), "row"))
	}
	a.noteAltered(r)
	counts := "%s created, %s updated, %s unchanged, %s skipped, %s failed in %s (operation %s)"
	if r.DryRun {
		counts = "dry run, nothing was changed: %s would be created, %s would be updated, %s unchanged, %s skipped, %s would fail in %s (operation %s)"
	}
	a.note(counts, output.Thousands(r.Created), output.Thousands(r.Updated), output.Thousands(r.Unchanged), output.Thousands(r.Skipped),
		output.Thousands(r.Failed), elapsed(r.Elapsed), r.OpID)
	if a.print.Format != output.Table && a.print.Format != output.Wide || a.print.File != "" {
		err := output.One(a.print, output.View{ID: "op_id"}, importReport{r, r.Elapsed.Seconds(), failures.list})
		if err = afterCommit(err); err != nil {
			return err
		}
	}
	if r.Failed == 0 {
		return nil
	}
	rest := "the rest is done"
	switch {
	case r.DryRun:
		rest = "nothing was changed"
	case r.Created+r.Updated+r.Unchanged+r.Skipped+r.AppliedEarlier == 0:
		rest = "nothing was changed"
	case r.Stopped:
		rest = "stopped there; the rows before are done"
	}
	failed := "failed"
	if r.DryRun {
		failed = "would fail"
	}
	fail := fault.New(fault.PartialFailure, "%s of %s %s; %s", output.Thousands(r.Failed), plural(int(r.Rows), "row"), failed, rest).
		With("failed", r.Failed).With("op_id", r.OpID.String())
	if errorFile == "" {
		return fail.WithHint("--errors F writes the rows that fail to a file, to be fixed and imported again")
	}
	if r.DryRun || r.Created+r.Updated+r.Unchanged+r.Skipped+r.AppliedEarlier == 0 { // the rows that did not fail are not applied yet either
		return fail.WithHint("fix the file and import it again; %s lists the rows to fix and why", errorFile)
	}
	return fail.WithHint("fix the rows in %s and import that file", errorFile)
}

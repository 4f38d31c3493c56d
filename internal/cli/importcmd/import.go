// Package importcmd implements the import command of any noun.
package importcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// Flags are the flags of every import.
type Flags struct {
	cmdutil.ChangeFlags
	format, encoding, onConflict, errors string
	delimiter                            string
	rename                               []string
	atomic, status, again                bool
	maxErrors                            int
	undo                                 string
}

// Spec is what the import command needs to know about a noun.
type Spec struct {
	Resource   audit.Resource // --undo also needs its permissions for Delete
	Fields     []string       // the valid headers
	Conflicts  []string       // the values of --on-conflict
	UniqueKeys string         // the unique keys, for help

	ReadOptions func(importer.Options) rowreader.Options
	Begin       func(w *cmdutil.Writer, o importer.Options) (Run, error)
	Undo        func(ctx context.Context, w *cmdutil.Writer, ops []uuid.UUID) (importer.Undone, error)
}

// Run is an import that is ready to read a file.
type Run struct {
	Import   func(context.Context, *rowreader.File, importer.Options) (importer.Report, error)
	Close    func()
	SlowNote func(rowreader.Survey) string // returns a note on what will take long, or ""; may be nil
}

// Report is the record of an import: its counts, and the first rows that failed.
type Report struct {
	importer.Report
	Seconds float64            `json:"elapsed_seconds"`
	Errors  []importer.Failure `json:"errors"` // at most ReportedFailures
}

// Complete adds to cmd, which has its texts and its own flags, everything that imports of all nouns share.
func Complete(env *cmdutil.Env, cmd *cobra.Command, f *Flags, n Spec) *cobra.Command {
	cmd.Use, cmd.Args = "import FILE|-", cobra.ArbitraryArgs
	cmd.RunE = cmdutil.RunWrite(env, &f.ChangeFlags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		if f.undo != "" {
			if len(args) > 0 {
				return fault.New(fault.Usage, "--undo takes the file or the operation as its value, and no other argument").
					WithHint("to undo the import of that file: cxgctl %ss import --undo %s", n.Resource.Name, args[0])
			}
			return undoImport(ctx, env, w, f.undo, n)
		}
		if err := cmdutil.ExactArgs("FILE")(cmd, args); err != nil {
			return err
		}
		in, resume := env.Input()
		file, err := rowreader.Open(args[0], in)
		resume()
		if err != nil {
			return err
		}
		defer file.Close()
		if f.status {
			return importStatus(ctx, env, w, file, n)
		}
		return importFile(ctx, env, w, file, f, n)
	})
	fs := cmd.Flags()
	fs.StringVar(&f.format, "format", "", "csv, tsv, jsonl, json or xlsx (default: by the file's extension, else by its content)")
	fs.StringVar(&f.delimiter, "delimiter", "", "`character` between the fields of csv, or tab (default: detected)")
	fs.StringVar(&f.encoding, "encoding", "", "the file's encoding: utf-8, utf-16, cp949, … (default utf-8)")
	fs.StringArrayVar(&f.rename, "map", nil, "map a column to a field, as `HEADER=FIELD`; HEADER=- ignores the column")
	fs.StringVar(&f.onConflict, "on-conflict", importer.Fail, "how to treat a row whose "+n.UniqueKeys+" is taken: "+fault.Join(n.Conflicts, "or"))
	fs.StringVar(&f.errors, "errors", "", "write the rows that failed to `file` (0600), to be fixed and imported again")
	cliflag.MarkFile(cmd, "errors", cliflag.FileWritten)
	fs.IntVar(&f.maxErrors, "max-errors", 0, "stop after `n` failed rows (default: never)")
	fs.BoolVar(&f.atomic, "atomic", false, "import all rows in one transaction, or none; implied by --expect and --max-affected")
	fs.BoolVar(&f.again, "again", false, "apply the whole file again, including rows that earlier runs applied")
	fs.BoolVar(&f.status, "status", false, "show the progress of importing FILE, and its operations")
	fs.StringVar(&f.undo, "undo", "", "undo everything that all runs of `FILE|OP` created and changed, except rows changed since")
	cliflag.MarkFlags(fs, cliflag.Recorded, "format", "encoding", "on-conflict", "max-errors", "atomic", "status", "undo")
	cliflag.CompleteFlag(cmd, "format", rowreader.Formats...)
	cliflag.CompleteFlag(cmd, "on-conflict", n.Conflicts...)
	cliflag.CompleteFlag(cmd, "encoding", "cp949", "euc-kr", "shift_jis", "utf-16", "utf-8", "windows-1252")
	cliflag.CompleteFlag(cmd, "delimiter", "tab")
	cliflag.CompleteFlagWith(cmd, "undo", cliflag.Files)
	cliflag.CompleteFlagWith(cmd, "map", completeMap(n.Fields))
	cmd.ValidArgsFunction = cliflag.CompleteArgs(cliflag.Files)
	cmd.MarkFlagsMutuallyExclusive("status", "undo", "again")
	f.BindBatch(cmd)
	cliflag.Annotate(cmd, cliflag.FileUse, "FILE")
	cliflag.Annotate(cmd, cmdutil.NoTable, "yes")
	cliflag.Exits(cmd, "9", "75")
	return cmdutil.BindOutput(env, cmd, func(columns []string) error {
		switch {
		case f.status:
			return output.CheckColumns[importer.Status](columns)
		case f.undo != "":
			return output.CheckColumns[importer.Undone](columns)
		}
		return output.CheckColumns[Report](columns)
	})
}

// completeMap completes HEADER=FIELD with the headers in the first line of the file to import, and the fields.
func completeMap(fields []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var words []string
		if header, _, named := strings.Cut(typed, "="); named {
			for _, f := range slices.Concat(fields, []string{"-"}) {
				words = append(words, header+"="+f)
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		if len(args) > 0 {
			for _, header := range rowreader.Headers(args[0]) {
				words = append(words, header+"=")
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// options converts the flags into the options of the import.
func (f *Flags) options(n Spec) (importer.Options, error) {
	o := importer.Options{
		Read:       rowreader.Options{Format: rowreader.Format(f.format), Encoding: f.encoding},
		OnConflict: f.onConflict, Atomic: f.atomic, MaxErrors: f.maxErrors, Again: f.again,
	}
	var p fault.Problems
	if !slices.Contains(n.Conflicts, f.onConflict) {
		p.Add("on_conflict", "%q is not one of %s", f.onConflict, strings.Join(n.Conflicts, ", "))
	}
	if f.maxErrors < 0 {
		p.Add("max_errors", "%d is out of range; use 0 or more", f.maxErrors)
	}
	if err := p.Err(); err != nil {
		return o, err
	}
	var err error
	if o.Read.Delimiter, err = rowreader.ParseDelimiter(f.delimiter); err != nil {
		return o, err
	}
	o.Read.Map, err = rowreader.ParseMap(f.rename, n.Fields)
	return o, err
}

// GCPercent is GOGC during an import. Tests that run imports in parallel set it to their own: the last import to end
// would leave what the one before had set.
var GCPercent = 60

// importFile runs the import and prints the report.
func importFile(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, file *rowreader.File, f *Flags, n Spec) error {
	o, err := f.options(n)
	if err != nil {
		return err
	}
	if w.Guard.Expect != nil || w.Guard.MaxAffected != nil {
		o.Atomic = true // a committed batch cannot be rolled back
	}
	run, err := n.Begin(w, o)
	if fault.Is(err, fault.PermissionDenied) {
		return cmdutil.FailedOn(ctx, w, file.Name, err)
	}
	if err != nil {
		return err
	}
	defer run.Close()
	survey, err := file.Survey(ctx, n.ReadOptions(o))
	if err != nil {
		return err
	}
	failures, err := openFailures(env, file, f, n.ReadOptions(o))
	if err != nil {
		return err
	}
	o.Failed = failures.add
	if run.SlowNote != nil && !w.DryRun {
		if note := run.SlowNote(survey); note != "" {
			env.Note("%s", note)
		}
	}
	if env.Config.Protected && !w.DryRun { // unlike in other commands, the prompt does not show the difference
		if err := env.Confirm(ctx, "import "+n.Resource.Name+"s from "+file.Name, int(survey.Rows)); err != nil {
			return err
		}
	}
	env.Deadline.Stop() // large files take long
	// A hundred thousand rows need less than 64 MB.
	defer debug.SetGCPercent(debug.SetGCPercent(GCPercent))
	var stop func()
	o.Progress, stop = showProgress(env, survey.Rows)
	var report importer.Report
	work := func() error {
		var err error
		report, err = run.Import(ctx, file, o)
		stop()
		return err
	}
	var printErr error
	if env.Printer.Format == output.ID {
		printErr, err = printIDs(env, &o, work)
	} else {
		err = work()
	}
	err = cmp.Or(err, failures.close(err == nil))
	failures.print()
	if err != nil {
		return interruptedError(ctx, err, report, o, n)
	}
	cmdutil.NoteEnded(env, w.Ledger)
	undo := ""
	if w.Tenant == nil {
		undo = "cxgctl " + n.Resource.Name + "s import --undo"
	}
	return printImport(env, report, failures, f.errors, undo, printErr)
}

// imported is a record of an import for -o id.
type imported struct {
	ID uuid.UUID `json:"id"`
}

// printIDs runs an import and prints the ids of the records that it creates and changes, batch by batch. An import that
// fails half-way has printed the ids so far. If they cannot be printed, the import goes on, and printErr is the error.
func printIDs(env *cmdutil.Env, o *importer.Options, work func() error) (printErr, err error) {
	env.Printer.Columns = nil // they name fields of the report
	ran, n := false, 0
	_, printErr = output.Stream(env.Printer, output.View{}, func(yield func(imported, error) bool) {
		open := true
		o.Applied = func(id uuid.UUID) {
			n++
			open = open && yield(imported{id}, nil)
		}
		ran = true
		if err = work(); err != nil && n == 0 {
			yield(imported{}, err) // writes no file
		}
	})
	if !ran {
		return nil, printErr // nothing was done
	}
	return printErr, err
}

// interruptedError returns the error of an import that ended early, with its operation and how to continue.
func interruptedError(ctx context.Context, err error, r importer.Report, o importer.Options, n Spec) error {
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
		fault.Plural(int(applied), "row"), r.OpID, n.Resource.Name, r.OpID)
	if f.Hint != "" {
		hint = f.Hint + "; " + hint
	}
	return f.With("op_id", r.OpID.String()).With("applied", applied).WithHint("%s", hint)
}

// noteAltered notes which values were stored differently from the file.
func noteAltered(env *cmdutil.Env, r importer.Report) {
	stored := "stored"
	if r.DryRun {
		stored = "would be stored"
	}
	order := func(x, y importer.Alteration) int {
		return cmp.Or(cmp.Compare(x.Field, y.Field), cmp.Compare(x.How, y.How))
	}
	for _, how := range slices.SortedFunc(maps.Keys(r.Altered), order) {
		env.Note("%s: %s %s %s", how.Field, fault.Plural(int(r.Altered[how]), "row"), stored, how.How)
	}
}

// noteDeactivated notes the records that the file does not name: by name in a dry run, else how many.
func noteDeactivated(env *cmdutil.Env, r importer.Report) {
	switch {
	case len(r.Deactivated) == 0:
	case r.DryRun:
		env.Note("%s would be deactivated: %s", output.Thousands(int64(len(r.Deactivated))), strings.Join(r.Deactivated, ", "))
	default:
		env.Note("%s deactivated", output.Thousands(int64(len(r.Deactivated))))
	}
}

// printImport prints a summary of the import, and the report as a record except as a table. undo is the command that
// undoes it, without the operation, or "". printErr is the error of printing ids.
func printImport(env *cmdutil.Env, r importer.Report, failures *failures, errorFile, undo string, printErr error) error {
	switch {
	case r.AppliedEarlier > 0 && r.AppliedEarlier == r.Rows && r.Last != nil:
		by := ""
		if r.Last.Operator != nil {
			by = " by " + *r.Last.Operator
		}
		all := "the only row was"
		if r.Rows > 1 {
			all = "all " + fault.Plural(r.Rows, "row") + " were"
		}
		env.Note("%s applied on %s%s (operation %s); --again applies the file again",
			all, env.Day(r.Last.At.Instant), by, r.Last.OpID)
	case r.AppliedEarlier > 0:
		env.Note("%s applied by earlier runs", fault.Plural(int(r.AppliedEarlier), "row"))
	}
	noteAltered(env, r)
	counts := "%s created, %s updated, %s unchanged, %s skipped, %s failed in %s"
	switch {
	case r.DryRun:
		counts = "dry run, nothing was changed: %s would be created, %s would be updated, %s unchanged, %s skipped, %s would fail in %s"
	case undo != "" && r.Created+r.Updated > 0 && env.Printer.Terminal.IsTTY:
		counts += " (undo: " + undo + " " + r.OpID.String() + ")"
	default:
		counts += " (operation " + r.OpID.String() + ")"
	}
	env.Note(counts, output.Thousands(r.Created), output.Thousands(r.Updated), output.Thousands(r.Unchanged), output.Thousands(r.Skipped),
		output.Thousands(r.Failed), elapsed(r.Elapsed))
	noteDeactivated(env, r)
	if f := env.Printer.Format; f != output.ID && (f != output.Table && f != output.Wide || env.Printer.File != "") {
		printErr = output.One(env.Printer, output.View{}, Report{r, r.Elapsed.Seconds(), failures.list})
	}
	if err := cmdutil.AfterCommit(printErr); err != nil {
		return fault.From(err).WithHint("see what was done: cxgctl audit list --op %s", r.OpID)
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
		rest = "the import stopped there; the earlier rows are done"
	}
	failed := "failed"
	if r.DryRun {
		failed = "would fail"
	}
	fail := fault.New(fault.PartialFailure, "%s of %s %s; %s", output.Thousands(r.Failed), fault.Plural(int(r.Rows), "row"), failed, rest).
		With("failed", r.Failed).With("op_id", r.OpID.String())
	if errorFile == "" {
		return fail.WithHint("--errors F writes the rows that fail to a file, to be fixed and imported again")
	}
	if r.DryRun || r.Created+r.Updated+r.Unchanged+r.Skipped+r.AppliedEarlier == 0 { // the other rows have not been applied either
		return fail.WithHint("fix the file and import it again; %s lists the rows to fix and why", errorFile)
	}
	return fail.WithHint("fix the rows in %s and import that file", errorFile)
}

package listcmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
)

// exportFlags are the flags of a list for scheduled exports: increments and manifests.
type exportFlags struct {
	ChangedSince    cliflag.TimeValue
	state, manifest string
	overwrite       bool
}

func (x *exportFlags) bindIncrements(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&x.ChangedSince, "changed-since", "only rows created or changed since this `time`, by their own timestamps")
	f.StringVar(&x.state, "state", "", "with --all: only rows created or changed since the last run with this `file`, which is then updated; goes by transactions, so late commits are not missed")
	f.StringVar(&x.manifest, "manifest", "", "with --all and --output-file: write rows, bytes, SHA-256, snapshot time and filter to `file` afterwards")
	f.BoolVar(&x.overwrite, "overwrite", false, "with --state: replace an --output-file that is not empty and may hold the last increment")
	cliflag.MarkFlags(f, cliflag.Shaping, "state", "manifest", "overwrite")
	cliflag.ExplainIn(f, "exports", "changed-since", "state", "manifest", "overwrite")
	cliflag.MarkFile(cmd, "state", cliflag.FileKept, ".lock")
	cliflag.MarkFile(cmd, "manifest", cliflag.FileWritten)
	cmd.MarkFlagsMutuallyExclusive("state", "changed-since")
}

// ExportArgs refuses arguments of an export command. A single one is probably the file to write.
func ExportArgs(nouns string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return fault.New(fault.Usage, "cxgctl %s export: unexpected argument %q", nouns, args[0]).
				WithHint("write to a file with: --output-file %s", fault.Word(args[0]))
		}
		return cmdutil.ExactArgs()(cmd, args)
	}
}

// check refuses flags that need others, and an increment that would replace a file with rows.
func (x *exportFlags) check(all bool, files []output.Target) error {
	switch {
	case x.state != "" && !all:
		return fault.New(fault.Usage, "--state needs --all").WithHint("an increment is always exported as a whole")
	case x.manifest != "" && (!all || len(files) == 0):
		return fault.New(fault.Usage, "--manifest needs --all and --output-file").WithHint("the manifest describes that file")
	case x.overwrite && x.state == "":
		return fault.New(fault.Usage, "--overwrite needs --state")
	}
	for i, f := range files {
		base := filepath.Base(f.File)
		if x.manifest != "" && slices.ContainsFunc(files[:i], func(g output.Target) bool { return filepath.Base(g.File) == base }) {
			return fault.New(fault.Usage, "--manifest: two files are named %s", base).WithHint("use different names; exports verify looks for both beside the manifest")
		}
		if x.state != "" && !x.overwrite && isNonEmpty(f.File) {
			return fault.New(fault.Usage, "--output-file %s is not empty, and this increment would replace it", f.File).
				WithHint("use a new file for each run, such as 'changes-{time}.jsonl', or add --overwrite").With("file", f.File)
		}
	}
	return nil
}

// isNonEmpty reports whether a file exists and is not empty.
func isNonEmpty(file string) bool {
	place, err := outfile.Locate(file)
	if err != nil {
		return false // opening it reports the error
	}
	defer place.Close()
	return !place.IsEmpty()
}

// selectedBy returns the flags that select rows, with their values as they were given.
func selectedBy(cmd *cobra.Command) map[string]string {
	filter := map[string]string{}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && !cliflag.Shaping.Has(f) && !cliflag.Printing.Has(f) {
			filter[f.Name] = f.Value.String()
		}
	})
	return filter
}

// fingerprint returns a short hash of a selection.
func fingerprint(filter map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(filter)) {
		_, _ = fmt.Fprintf(h, "%q=%q\n", name, filter[name]) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// export is one run of a list with --all.
type export struct {
	*cmdutil.Env
	flags   *exportFlags
	command string
	filter  map[string]string
	state   *stateFile // nil without --state
	since   db.Increment
	server  string

	watermark time.Time
	mark      db.Mark
}

// exportAll prints all rows of a list, as binary rows if possible. selection is its query without an increment. Once the
// file is in place, it writes the manifest and then the state, so that the state never covers rows that were not delivered.
func exportAll[T any](
	ctx context.Context, env *cmdutil.Env, cmd *cobra.Command, v output.View, s *cmdutil.Session, selection db.ListQuery[T], open Open[T],
	flags *exportFlags,
) error {
	x := &export{Env: env, flags: flags, command: cmd.CommandPath()[len("cxgctl "):], filter: selectedBy(cmd)}
	if err := x.prepare(ctx, s, selection.Table); err != nil {
		return err
	}
	defer x.state.unlock()
	columns, err := output.Columns[T](env.Printer, v)
	if err != nil {
		return err
	}
	if x.since.After != nil {
		if selection, err = open(ctx, s, x.since); err != nil {
			return err
		}
	}
	q, binary, err := selection.Export(columns)
	if err == nil && !binary {
		q, err = selection.All()
	}
	if err != nil {
		return err
	}
	record := func(int64) error { return nil }
	if env.SpecOf(cmd).Audit == cmdutil.WhenReading || env.Reveal {
		if record, err = cmdutil.LogFullRead(ctx, env, s, cmd); err != nil {
			return err
		}
	}
	env.Deadline.Stop()         // a stream has an idle time-out instead
	env.Printer.Usernames = nil // the connection is busy

	var n int64
	if binary {
		n, err = output.Export[T](env.Printer, v, snapshotRows(ctx, x, s, selection.Table, q, q.Rows))
	} else {
		n, err = output.Stream(env.Printer, v, snapshotRows(ctx, x, s, selection.Table, q, func(ctx context.Context, r db.Reader) iter.Seq2[T, error] {
			return db.Records[T](ctx, r, q)
		}))
	}
	err = cmp.Or(err, record(n))
	if err == nil {
		err = x.writeState(n)
	}
	if err == nil && len(x.Printer.Files()) > 0 {
		x.Note("%s exported", fault.Plural(int(n), strings.TrimSuffix(v.Name, "s")))
	}
	return err
}

// snapshotRows yields the rows of q as read returns them, with progress. It sets x.mark to the mark of their snapshot.
func snapshotRows[R any](
	ctx context.Context, x *export, s *cmdutil.Session, table string, q db.Query, read func(context.Context, db.Reader) iter.Seq2[R, error],
) iter.Seq2[R, error] {
	return db.Export(ctx, s.DB, s.IdleTimeout, func(ctx context.Context, r db.Reader, w *db.IdleTimer) iter.Seq2[R, error] {
		return func(yield func(R, error) bool) {
			var stop func()
			var err error
			if x.mark, err = x.markOf(ctx, r, table); err == nil {
				stop, err = x.progress(ctx, r, q, w)
			}
			if err != nil {
				var none R
				yield(none, err)
				return
			}
			defer stop()
			read(ctx, r)(yield)
		}
	})
}

// prepare locks the state file and reads where the last run ended.
func (x *export) prepare(ctx context.Context, s *cmdutil.Session, table string) (err error) {
	x.since.Since = x.flags.ChangedSince.Time()
	if x.flags.manifest != "" {
		x.Printer.HashFiles()
		if x.watermark, err = db.Watermark(ctx, s.DB); err != nil {
			return err
		}
	}
	if x.flags.state == "" {
		return nil
	}
	if x.state, err = lockState(x.flags.state); err != nil {
		return err
	}
	last, err := x.state.read(x.command, x.filter, x.shape())
	if err == nil {
		x.server, err = db.Server(ctx, s.DB)
	}
	reached, rewritten := false, false
	if err == nil && last != nil {
		reached, err = last.Reaches(ctx, s.DB, x.server)
	}
	if err == nil && reached {
		rewritten, err = last.Rewritten(ctx, s.DB, table)
	}
	switch {
	case err != nil:
		x.state.unlock()
	case rewritten:
		x.Note("the table %s was rewritten since the last run, so all its rows look new: exporting everything", table)
	case reached:
		x.since.After = last
	case last != nil:
		x.Note("the server was restored, failed over or replaced since the last run: exporting everything")
	}
	return err
}

// shape returns the formats of the output files. It is nil for standard output, whose format may vary between runs.
func (x *export) shape() *outputShape {
	var formats []string
	for _, f := range x.Printer.Files() {
		formats = append(formats, string(f.Format))
	}
	if len(formats) == 0 {
		return nil
	}
	slices.Sort(formats)
	return &outputShape{strings.Join(formats, ","), strings.Join(x.Printer.Columns, ","), x.Printer.JQ}
}

// markOf returns the mark of the export's snapshot.
func (x *export) markOf(ctx context.Context, r db.Reader, table string) (db.Mark, error) {
	if x.state == nil && x.flags.manifest == "" {
		return db.Mark{}, nil
	}
	return db.MarkOf(ctx, r, x.server, table, x.state != nil)
}

// manifest is what --manifest writes.
type manifest struct {
	Command       string            `json:"command"`
	Filter        map[string]string `json:"filter"`
	*ExportedFile                   // the only file, or nil
	Files         []ExportedFile    `json:"files,omitempty"` // several files
	SnapshotAt    db.Time           `json:"snapshot_at"`
	Watermark     db.Time           `json:"watermark"` // for the next --changed-since; overlaps, see db.Watermark
	Since         *db.Time          `json:"since"`     // the snapshot that the increment starts from; null without one
	Version       string            `json:"version"`
}

// ExportedFile is a file of a manifest.
type ExportedFile struct {
	File   string        `json:"file"` // its name, without folders
	Format output.Format `json:"format"`
	Rows   int64         `json:"rows"`
	Bytes  int64         `json:"bytes"`
	SHA256 string        `json:"sha256"` // of the file, after compression
}

// writeState writes the manifest and then the state. The output file must be in place.
func (x *export) writeState(n int64) error {
	if x.flags.manifest != "" {
		m := manifest{
			Command:    x.command,
			Filter:     x.filter,
			SnapshotAt: db.At(x.mark.At),
			Watermark:  db.At(x.watermark),
			Version:    buildinfo.Version(),
		}
		for _, f := range x.Printer.Files() {
			m.Files = append(m.Files, ExportedFile{filepath.Base(f.File), f.Format, n, f.Digest.Bytes, hex.EncodeToString(f.Digest.Sum(nil))})
		}
		if len(m.Files) == 1 {
			m.ExportedFile, m.Files = &m.Files[0], nil
		}
		if x.since.After != nil {
			at := db.At(x.since.After.At)
			m.Since = &at
		}
		if err := x.writeManifest(m); err != nil {
			return err
		}
	}
	if x.state == nil {
		return nil
	}
	return x.state.write(x.command, x.filter, x.shape(), x.mark)
}

// writeManifest writes the manifest to its file, or to standard output, which the rows do not use.
func (x *export) writeManifest(m manifest) error {
	if x.flags.manifest != cliflag.StandardStream {
		return writeJSON(x.flags.manifest, m)
	}
	b, err := document(m)
	if err == nil {
		_, err = x.Stdout.Write(b)
	}
	return err
}

// writeJSON writes v to a file as an indented JSON document.
func writeJSON(file string, v any) error {
	b, err := document(v)
	if err != nil {
		return err
	}
	return output.WriteFile(file, b)
}

func document(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

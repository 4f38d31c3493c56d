package audit

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

var verdictView = output.View{
	Table: []string{"ok", "seals", "head_seq", "chain", "checkpoints", "unsealed", "oldest_unsealed"},
	Wide: []string{
		"ok", "seals", "head_seq", "chain", "checkpoints", "archives", "unsealed", "oldest_unsealed", "bad", "first_bad", "first_bad_seq",
		"problem", "pruned",
	},
	ID: "first_bad",
}

func newVerify(env *cmdutil.Env) *cobra.Command {
	var v seal.Verification
	var dir, key string
	var archives []string
	cmd := &cobra.Command{
		Use: "verify", Short: "Verify that no sealed audit row was changed, deleted or inserted", Args: cmdutil.ExactArgs(),
		Long: `Verify that no sealed audit row was changed, deleted or inserted.

Each seal is compared with its row, with the seal before it, and with the checkpoints in --checkpoints. The exit code is
0 if nothing is wrong and 9 otherwise: then the first bad row's id goes to standard output. Rows of other software that
have no seal yet are counted; audit seal seals them. A row without a seal that claims to come from cxgctl is wrong.

The columns status, deleted, is_deleted, updated_at and updated_by may change. Other columns of the table may be added
or dropped, or get another type that holds their values. Rows that audit prune removed are accounted for by its signed
record; --archive compares their archives with it.`,
		Example: "  cxgctl audit verify --checkpoints /mnt/worm/cxgctl\n  cxgctl audit verify --archive /mnt/worm/audit --key audit.key.pub\n" +
			"  cxgctl audit verify --since 1000000 -o json",
	}
	cmd.RunE = cmdutil.RunUnfiltered(env, func(ctx context.Context, s *cmdutil.Session, cmd *cobra.Command, _ []string) error {
		switch {
		case cmd.Flags().Changed("key") && dir == "" && len(archives) == 0:
			return fault.New(fault.Usage, "--key needs checkpoints or archives to verify").
				WithHint("add --checkpoints DIR or --archive FILE")
		case v.Since < 0:
			return fault.New(fault.Validation, "--since %d is out of range; seals are numbered from 1", v.Since)
		}
		var err error
		if v.Keys, err = seal.ReadKeys(dir, key); err != nil {
			return err
		}
		if dir != "" {
			if v.Checkpoints, err = seal.ReadCheckpoints(dir, v.Keys); err != nil {
				return err
			}
		}
		for _, path := range archives {
			files, folder, err := seal.FindArchives(path)
			if err != nil {
				return err
			}
			v.Archives, v.AllArchives = append(v.Archives, files...), v.AllArchives || folder
		}
		env.Deadline.Stop() // takes as long as there are rows
		verdict, err := seal.Verify(ctx, s.DB, s.Catalog, v)
		if err != nil {
			return err
		}
		return printVerdict(env, verdict)
	})
	cmd.Flags().Int64Var(&v.Since, "since", 0, "start at this `seal` and trust the one before it")
	cmd.Flags().StringVar(&dir, "checkpoints", "", "compare with the checkpoints in this `folder`")
	cmd.Flags().StringVar(&key, "key", "", "`file` with the public key to trust (default: those beside the checkpoints)")
	cmd.Flags().StringSliceVar(&archives, "archive", nil, "compare with archives of audit prune: a `file`, or a folder with all of them")
	cliflag.MarkFile(cmd, "key", cliflag.FileRead)
	cliflag.MarkFile(cmd, "checkpoints", cliflag.FileFolder)
	cliflag.MarkFile(cmd, "archive", cliflag.FileRead)
	env.Specify(cmd, cmdutil.Spec{Permission: "AUDIT_READ", Resource: "audit", Tables: schema.AuditTables})
	cliflag.Exits(cmd, "9")
	return cmdutil.AddOutputFlags[seal.Verdict](env, cmd)
}

// printVerdict prints the verdict. If something is wrong, tables and ids show the first bad row's id only.
func printVerdict(env *cmdutil.Env, v seal.Verdict) error {
	forPeople := env.Printer.Format == output.Table || env.Printer.Format == output.Wide
	for _, n := range v.Notes {
		env.Note("%s", n)
	}
	if v.OK {
		if v.Unsealed > 0 {
			env.Note("%s %s no seal yet, the oldest from %s; cxgctl audit seal seals them", fault.Plural(int(v.Unsealed), "row"), pluralVerb(int(v.Unsealed), "has", "have"), v.OldestUnsealed)
		}
		if env.Printer.Format == output.ID { // without a bad row
			return nil
		}
		return output.One(env.Printer, verdictView, v)
	}
	if forPeople {
		env.Printer.Format = output.ID
	}
	if !forPeople || v.FirstBad != nil {
		if err := output.One(env.Printer, verdictView, v); err != nil {
			return err
		}
	}
	f := fault.New(fault.PartialFailure, "the audit log was tampered with: %s", *v.Problem).With("bad", v.Bad)
	switch {
	case v.FirstBad != nil && v.FirstBadSeq != nil:
		f.WithHint("%s found; the first is audit row %s, seal %d", fault.Plural(int(v.Bad), "problem"), v.FirstBad, *v.FirstBadSeq)
	case v.FirstBad != nil:
		f.WithHint("%s found; the first is audit row %s", fault.Plural(int(v.Bad), "problem"), v.FirstBad)
	}
	return f
}

func pluralVerb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

var sealedView = output.View{Table: []string{"sealed"}, Wide: []string{"sealed"}, ID: "sealed"}

func newSeal(env *cmdutil.Env) *cobra.Command {
	var dry bool
	var batch int
	cmd := &cobra.Command{
		Use: "seal", Short: "Seal audit rows that other software wrote; made for cron", Args: cmdutil.ExactArgs(),
		Long: `Seal audit rows that other software wrote; made for cron.

cxgctl seals its own changes in the same transaction. This command seals the rows of other software; each change seals a
few of them too. From then on audit verify detects if one is changed or deleted. A row that cannot be read, such as JSON
nested too deeply, is skipped and named, and the exit code is 9.`,
		Example: "  */5 * * * * cxgctl audit seal --quiet",
	}
	cmd.RunE = cmdutil.RunUnfiltered(env, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command, _ []string) error {
		if batch < 1 || batch > 100_000 {
			return fault.New(fault.Validation, "--batch %d is out of range; use 1 to 100000", batch)
		}
		env.Deadline.Stop() // the server's time-outs apply to each batch
		done, err := audit.Seal(ctx, s.DB, s.Catalog, batch, dry)
		if err != nil {
			return err
		}
		if dry {
			env.Note("dry run: %s would be sealed, nothing was changed", fault.Plural(int(done.Sealed), "row"))
		} else {
			env.QuietRecord()
		}
		if err := output.One(env.Printer, sealedView, done); err != nil || len(done.Skipped) == 0 {
			return err
		}
		return skippedRows(done)
	})
	cmd.Flags().BoolVar(&dry, "dry-run", false, "count the rows that would be sealed without sealing them")
	cmd.Flags().IntVar(&batch, "batch", 5000, "`rows` to seal in one transaction")
	env.Specify(cmd, cmdutil.Spec{Permission: "AUDIT_READ", Resource: "audit", Tables: schema.AuditTables})
	return cmdutil.AddOutputFlags[audit.Sealed](env, cmd)
}

// skippedRows returns the error for rows that could not be sealed.
func skippedRows(done audit.Sealed) error {
	const most = 10
	names := make([]string, min(len(done.Skipped), most))
	for i := range names {
		names[i] = done.Skipped[i].ID.String() + " (" + done.Skipped[i].Reason + ")"
	}
	if more := len(done.Skipped) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fault.New(fault.PartialFailure, "%s could not be sealed: %s", fault.Plural(len(done.Skipped), "row"), strings.Join(names, ", ")).
		WithHint("the rest is sealed; other software wrote these rows").With("skipped", done.Skipped)
}

// checkpoint is the record of audit checkpoint.
type checkpoint struct {
	File  string `json:"file"`
	Seals int64  `json:"seals"`
}

var checkpointView = output.View{Table: []string{"file", "seals"}, Wide: []string{"file", "seals"}, ID: "file"}

func newCheckpoint(env *cmdutil.Env) *cobra.Command {
	var key, out string
	cmd := &cobra.Command{
		Use: "checkpoint --key FILE --out DIR", Short: "Write a signed checkpoint of the audit chain", Args: cmdutil.ExactArgs(),
		Long: `Write a signed checkpoint of the audit chain.

Keep the folder on storage that database administrators cannot modify. audit verify --checkpoints then detects if the
log was resealed or truncated before the last checkpoint.`,
		Example: "  0 * * * * cxgctl audit checkpoint --key /etc/cxgctl/audit.key --out /mnt/worm/cxgctl",
	}
	cmd.RunE = cmdutil.RunUnfiltered(env, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command, _ []string) error {
		c, file, err := seal.WriteCheckpoint(ctx, s.DB, s.Catalog, key, out, time.Now())
		if err != nil {
			return err
		}
		env.QuietRecord()
		return output.One(env.Printer, checkpointView, checkpoint{file, c.Size})
	})
	cmd.Flags().StringVar(&key, "key", "", "`file` with the private key, from audit keygen")
	cmd.Flags().StringVar(&out, "out", "", "`folder` to write to")
	cliflag.MarkFile(cmd, "key", cliflag.FileRead, ".pub")
	cliflag.MarkFile(cmd, "out", cliflag.FileFolder)
	cliflag.Require(cmd, "key", "out")
	env.Specify(cmd, cmdutil.Spec{Permission: "AUDIT_READ", Resource: "audit", Tables: schema.AuditTables})
	return cmdutil.AddOutputFlags[checkpoint](env, cmd)
}

// keypair is the record of audit keygen. It never holds the private key.
type keypair struct {
	File       string `json:"file"`
	PublicFile string `json:"public_file"`
	PublicKey  string `json:"public_key"`
}

var keypairView = output.View{
	Table: []string{"file", "public_file", "public_key"}, Wide: []string{"file", "public_file", "public_key"}, ID: "public_key",
}

// printKeys prints a new private key to standard output. The public key goes to --output-file if given, else to a note.
func printKeys(env *cmdutil.Env) error {
	private, public, err := seal.NewKeys()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(cmdutil.InterruptibleWriter{Context: env.Context, Writer: env.Stdout}, private+"\n"); err != nil {
		return err
	}
	if env.Printer.File == "" {
		env.Note("public key: %s", public)
		return nil
	}
	return output.One(env.Printer, keypairView, keypair{cliflag.StandardStream, cliflag.StandardStream, public})
}

func newKeygen(env *cmdutil.Env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "keygen --out FILE", Short: "Generate a key pair for checkpoints and archives", Long: "The private key signs, the public key FILE.pub verifies. Keep the private key where those who can change the database cannot read it.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl audit keygen --out /etc/cxgctl/audit.key",
	}
	cmd.RunE = env.Wrap(func(_ context.Context, cmd *cobra.Command, _ []string) error {
		if err := env.SetPrinter(cmd); err != nil {
			return err
		}
		if out == "" {
			return fault.New(fault.Usage, "--out is missing").WithHint("see: cxgctl audit keygen --help")
		}
		if out == cliflag.StandardStream {
			return printKeys(env)
		}
		public, err := seal.Keygen(out)
		if err != nil {
			return err
		}
		return output.One(env.Printer, keypairView, keypair{out, out + ".pub", public})
	})
	cmd.Flags().StringVar(&out, "out", "", "new `file` for the private key, or - for standard output; the public key goes to FILE.pub")
	cliflag.MarkFile(cmd, "out", cliflag.FileWritten, ".pub")
	cliflag.Exits(cmd, "4")
	env.Specify(cmd, cmdutil.Spec{Permission: cmdutil.NoOperator})
	return cmdutil.BindOutput(env, cmd, func(columns []string) error {
		if out == cliflag.StandardStream { // the private key is printed instead of the record
			cliflag.Annotate(cmd, cmdutil.NoTable, "yes")
		}
		return output.CheckColumns[keypair](columns)
	})
}

package seal

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Pruning moves old rows of the log and their seals to an archive. The table keeps the number, leaf and chain hash of
// each seal, so the chain and its checkpoints remain verifiable; the canonical form is replaced by the id of the
// operation that pruned. An audit row of that operation, sealed like any other, is the prune record: it identifies the
// seals that lost their rows and the archive, and is signed. Prune records are never pruned themselves.

// prunedVersion is the version of a seal whose row has been pruned.
const prunedVersion = 0

// PruneRecord is the content of a prune record.
type PruneRecord struct {
	Before        db.Time `json:"before"`
	Rows          int64   `json:"rows"`
	Seals         string  `json:"seals_sha256"` // over the seals' numbers in order, eight bytes each
	Archive       string  `json:"archive"`      // file name
	ArchiveSHA256 string  `json:"archive_sha256"`
	Signature     string  `json:"signature"` // signed note over the other fields and the operation
}

// text returns the signed text.
func (r PruneRecord) text(op uuid.UUID) string {
	return fmt.Sprintf("cxgctl audit prune v1\n%s\n%s\n%d\n%s\n%s\n", op, r.Before, r.Rows, r.Seals, r.ArchiveSHA256)
}

// sealNumbers returns the hash of the seals' numbers.
func sealNumbers(seqs []int64) string {
	h := sha256.New()
	for _, n := range seqs {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Pruning says what to prune.
type Pruning struct {
	Before  time.Time
	Archive string // a new file, with a name in .gz or .zst
	Key     string // file with the private key
}

// archived is a line of an archive.
type archived struct {
	Seq      int64           `json:"seq"`
	AuditID  uuid.UUID       `json:"audit_id"`
	Ver      int             `json:"ver"`
	Origin   string          `json:"origin"`
	SealedAt db.Time         `json:"sealed_at"`
	Canon    []byte          `json:"canon"`
	Leaf     []byte          `json:"leaf"`
	Chain    []byte          `json:"chain"`
	Row      json.RawMessage `json:"row"`
}

// The rows to prune are older than $2, with a seal in the chain up to $1, which was the head's number when the command
// began. Prune records are excluded.
const (
	toPrune = `
       s.seq BETWEEN 1 AND $1 AND s.ver > 0 AND l.created_at < $2
   AND NOT coalesce(l.extra_data->>'resource' = 'audit' AND l.extra_data->'after'->>'archive_sha256' IS NOT NULL, false)`
	countPrune = `SELECT count(*) FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id WHERE` + toPrune
	readPrune  = `
SELECT s.seq, s.audit_id, s.ver, s.origin, s.sealed_at, s.canon, s.leaf, s.chain, true, {fields}, to_jsonb(l)::text
  FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id
 WHERE` + toPrune + `
 ORDER BY s.seq FOR UPDATE OF l`
	stripSeals = `
UPDATE cxg_audit.seal s SET ver = 0, canon = $3 FROM audt.audit_logs l WHERE l.id = s.audit_id AND` + toPrune
	deleteRows = `
DELETE FROM audt.audit_logs l USING cxg_audit.seal s WHERE s.audit_id = l.id AND s.ver = 0 AND s.canon = $1`
)

// PrunePlan is a checked pruning with its row counts.
type PrunePlan struct {
	Pruning
	Rows     int64 // rows to prune
	Unsealed int64 // older rows that stay because they are not sealed

	sealer *Sealer
	signer note.Signer
	head   int64 // number of the last seal considered
}

// PlanPrune checks the prerequisites of a pruning and counts its rows. An archive that exists is a
// RESOURCE_ALREADY_EXISTS; a database without seals, or without the column extra_data, is a DATABASE_ERROR.
func PlanPrune(ctx context.Context, r db.Reader, cat schema.Catalog, p Pruning) (PrunePlan, error) {
	plan := PrunePlan{Pruning: p, sealer: New(cat)}
	switch {
	case plan.sealer == nil:
		return plan, NoSeals()
	case !plan.sealer.hasExtraData:
		return plan, cat[schema.AuditLogs].RequireColumns([]string{"extra_data"})
	case !strings.HasSuffix(p.Archive, ".gz") && !strings.HasSuffix(p.Archive, ".zst"):
		return plan, fault.New(fault.Validation, "--archive %s: the name must end in .jsonl.gz or .jsonl.zst", p.Archive)
	}
	if _, err := os.Lstat(p.Archive); err == nil {
		return plan, fault.New(fault.AlreadyExists, "%s exists", p.Archive).WithHint("the file was not changed; choose another name").With("file", p.Archive)
	}
	var err error
	if plan.signer, err = readSigner(p.Key); err != nil {
		return plan, err
	}
	if err := r.QueryRow(ctx, `SELECT coalesce(max(h.seq), 0) FROM cxg_audit.head h`).Scan(&plan.head); err != nil {
		return plan, err
	}
	if err := r.QueryRow(ctx, countPrune, plan.head, p.Before).Scan(&plan.Rows); err != nil {
		return plan, err
	}
	err = r.QueryRow(ctx, plan.sealer.unsealedRows("count(*)", true)+" AND l.created_at < $1", p.Before).Scan(&plan.Unsealed)
	return plan, err
}

// Archive is the file that a plan's rows are moved to. It gets its name in Move.
type Archive struct {
	plan   PrunePlan
	file   *os.File
	linked bool
}

// NewArchive creates a temporary file beside the plan's archive. The caller must call Close.
func NewArchive(p PrunePlan) (*Archive, error) {
	file, err := os.CreateTemp(filepath.Dir(p.Archive), "."+filepath.Base(p.Archive)+".*")
	if err != nil {
		return nil, unwritable(p.Archive, err)
	}
	return &Archive{plan: p, file: file}, nil
}

// Close removes the temporary file. The archive is a hard link to it and remains.
func (a *Archive) Close() error { return errors.Join(a.file.Close(), os.Remove(a.file.Name())) }

// Remove removes the archive after a transaction that was rolled back, so that the rows are still in the log.
func (a *Archive) Remove() error {
	if !a.linked {
		return nil
	}
	a.linked = false
	return os.Remove(a.plan.Archive)
}

// Move writes the plan's rows and their seals to the archive and deletes the rows. It returns the prune record, signed
// for the operation op, which the transaction must log; without rows to prune, Rows is 0 and nothing is to be logged. A
// repeated transaction calls Move again. A row that does not match its seal is a PARTIAL_FAILURE.
func (a *Archive) Move(ctx context.Context, tx pgx.Tx, op uuid.UUID) (PruneRecord, error) {
	p := a.plan
	r := PruneRecord{Before: db.At(p.Before), Archive: filepath.Base(p.Archive)}
	if err := a.Remove(); err != nil {
		return r, err
	}
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
		return r, err
	}
	seqs, sum, err := p.sealer.archive(ctx, tx, a.file, p.head, p.Pruning)
	if err != nil || len(seqs) == 0 {
		return r, err
	}
	r.Rows, r.Seals, r.ArchiveSHA256 = int64(len(seqs)), sealNumbers(seqs), sum
	signed, err := note.Sign(&note.Note{Text: r.text(op)}, p.signer)
	if err != nil {
		return r, err
	}
	r.Signature = string(signed)
	stripped, err := tx.Exec(ctx, stripSeals, p.head, p.Before, op[:])
	if err != nil {
		return r, err
	}
	deleted, err := tx.Exec(ctx, deleteRows, op[:])
	if err != nil {
		return r, err
	}
	if stripped.RowsAffected() != r.Rows || deleted.RowsAffected() != r.Rows {
		return r, fault.New(fault.Database, "archived %s, but deleted %d of them", fault.Plural(r.Rows, "row"), deleted.RowsAffected()).
			WithHint("nothing was changed; look for a trigger or rule on audt.audit_logs or cxg_audit.seal")
	}
	if err := linkArchive(a.file.Name(), p.Archive); err != nil {
		return r, err
	}
	a.linked = true
	return r, nil
}

// linkArchive gives the archive its name, unless a file of that name exists, and syncs the directory.
func linkArchive(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return unwritable(to, err)
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return unwritable(to, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func unwritable(file string, err error) error {
	return fault.New(fault.FileCode(err), "%s cannot be written: %s", file, fault.Reason(err)).Because(err)
}

// archive writes the rows to prune and their seals to the file. It returns the seals' numbers and the file's hash. If a
// row does not match its seal, it returns an error.
func (s *Sealer) archive(ctx context.Context, tx pgx.Tx, file *os.File, head int64, p Pruning) (seqs []int64, sum string, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, "", unwritable(p.Archive, err)
	}
	if err := file.Truncate(0); err != nil {
		return nil, "", unwritable(p.Archive, err)
	}
	hash := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(file, hash), 1<<16)
	var compressed io.WriteCloser = gzip.NewWriter(buffered)
	if strings.HasSuffix(p.Archive, ".zst") {
		if compressed, err = zstd.NewWriter(buffered); err != nil {
			return nil, "", err
		}
	}
	u, err := newDecompressor()
	if err != nil {
		return nil, "", err
	}
	defer u.close()
	x := &verifier{Sealer: s, dropped: map[string]bool{}}
	w := &walker{verifier: x, decompressor: u}
	rows, err := tx.Query(ctx, s.expand(readPrune), db.Described, sealFormats(s.fields, pgx.TextFormatCode), head, p.Before)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	lines := json.NewEncoder(compressed)
	lines.SetEscapeHTML(false)
	for rows.Next() {
		v := rows.RawValues()
		seq := int64(binary.BigEndian.Uint64(v[0]))
		w.prev = nil
		if err := w.check(seq, v, rows); err != nil {
			return nil, "", err
		}
		if x.bad > 0 {
			return nil, "", fault.New(fault.PartialFailure, "audit row %s does not match its seal: %s", x.first.id, x.first.what).
				WithHint("nothing was pruned; see the problems with: cxgctl audit verify").With("id", x.first.id.String())
		}
		line := archived{
			Seq: seq, AuditID: uuid.UUID(v[1]), Ver: int(binary.BigEndian.Uint16(v[2])), Origin: string(v[3]),
			SealedAt: db.At(time.UnixMicro(unixMicros(int64(binary.BigEndian.Uint64(v[4]))))),
			Canon:    v[5], Leaf: v[6], Chain: v[7], Row: v[len(v)-1],
		}
		if err := lines.Encode(line); err != nil {
			return nil, "", unwritable(p.Archive, err)
		}
		seqs = append(seqs, seq)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if err := errors.Join(compressed.Close(), buffered.Flush(), file.Sync()); err != nil {
		return nil, "", unwritable(p.Archive, err)
	}
	return seqs, hex.EncodeToString(hash.Sum(nil)), nil
}

// prunedBy is what verify finds of a prune operation.
type prunedBy struct {
	seqs    []int64 // seals that refer to it
	records []pruneFound
}

// pruneFound is a prune record in the chain.
type pruneFound struct {
	id  uuid.UUID
	seq int64
	PruneRecord
}

// prunedBy returns the entry of an operation. The caller must hold x.mu.
func (x *verifier) prunedBy(op uuid.UUID) *prunedBy {
	if x.pruned[op] == nil {
		x.pruned[op] = &prunedBy{}
	}
	return x.pruned[op]
}

const readPruneRecords = `
SELECT l.id, s.seq, (l.extra_data->>'op_id')::uuid, l.extra_data->'after'
  FROM cxg_audit.head h
  JOIN cxg_audit.seal s ON s.seq BETWEEN 1 AND h.seq AND s.origin = 'cli' AND s.ver > 0
  JOIN audt.audit_logs l ON l.id = s.audit_id
 WHERE l.extra_data->>'resource' = 'audit' AND l.extra_data->'after'->>'archive_sha256' IS NOT NULL AND {claims}
 ORDER BY s.seq`

// prunes compares the seals without rows with the prune records, and these with their archives.
func (x *verifier) prunes(ctx context.Context, out *Verdict) error {
	if x.hasExtraData {
		rows, err := x.db.Query(ctx, x.expand(readPruneRecords))
		if err != nil {
			return err
		}
		var f pruneFound
		var op uuid.UUID
		var doc []byte
		_, err = pgx.ForEachRow(rows, []any{&f.id, &f.seq, &op, &doc}, func() error {
			found := f
			if err := json.Unmarshal(doc, &found.PruneRecord); err != nil {
				x.report(checkPrune, problem{f.seq, f.id, "the prune record cannot be read"})
				return nil //nolint:nilerr // reported as a problem
			}
			x.prunedBy(op).records = append(x.prunedBy(op).records, found)
			return nil
		})
		if err != nil {
			return err
		}
	}
	unsigned := 0
	for _, op := range slices.SortedFunc(maps.Keys(x.pruned), func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) }) {
		p := x.pruned[op]
		slices.Sort(p.seqs)
		out.Pruned += int64(len(p.seqs))
		if len(p.records) != 1 {
			if len(p.seqs) > 0 {
				x.report(checkPrune, problem{seq: p.seqs[0], what: "missing without a prune record: " + fault.Plural(len(p.seqs), "row")})
			}
			continue
		}
		r := p.records[0]
		if x.v.Since <= 1 && (int64(len(p.seqs)) != r.Rows || sealNumbers(p.seqs) != r.Seals) {
			x.report(checkPrune, problem{r.seq, r.id, fmt.Sprintf("the prune record covers %s, but %s, or different ones, lack their rows", fault.Plural(r.Rows, "row"), fault.Plural(len(p.seqs), "seal"))})
		}
		unsigned += x.signature(op, r)
	}
	if unsigned > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("the signatures of %d prune records were not checked: add --key FILE.pub", unsigned))
	}
	return x.archives(out)
}

// signature checks a prune record's signature. It returns 1 if Keys is empty.
func (x *verifier) signature(op uuid.UUID, r pruneFound) int {
	bad := problem{r.seq, r.id, "the prune record is not signed by a trusted key"}
	if len(x.v.Keys) == 0 {
		if !strings.HasPrefix(r.Signature, r.text(op)) {
			x.report(checkPrune, bad)
		}
		return 1
	}
	if n, err := note.Open([]byte(r.Signature), note.VerifierList(x.v.Keys...)); err != nil || n.Text != r.text(op) {
		x.report(checkPrune, bad)
	}
	return 0
}

// archives compares archives with the prune records that contain their hash.
func (x *verifier) archives(out *Verdict) error {
	known := map[string]pruneFound{}
	for _, p := range x.pruned {
		for _, r := range p.records {
			known[r.ArchiveSHA256] = r
		}
	}
	for _, name := range x.v.Archives {
		sum, err := hashArchive(name)
		if err != nil {
			return err
		}
		r, ok := known[sum]
		switch {
		case ok && archivedNumbers(name) != r.Seals:
			x.report(checkPrune, problem{r.seq, r.id, fmt.Sprintf("the archive %s does not contain the rows of its prune record", name)})
		case !ok && !x.v.AllArchives: // a folder may contain other files
			x.report(checkPrune, problem{what: fmt.Sprintf("the archive %s was changed: its hash is not in any prune record", name)})
		}
		if ok {
			out.Archives++
			delete(known, sum)
		}
	}
	for _, sum := range slices.Sorted(maps.Keys(known)) {
		r := known[sum]
		missing := fmt.Sprintf("the archive %s of %s before %s", r.Archive, fault.Plural(r.Rows, "row"), r.Before)
		switch {
		case x.v.AllArchives:
			x.report(checkPrune, problem{r.seq, r.id, missing + " is missing"})
		case len(x.v.Archives) == 0:
			out.Notes = append(out.Notes, missing+" was not checked: add --archive with the file or its folder")
		}
	}
	return nil
}

func hashArchive(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", unreadableArchive(name, err)
	}
	defer file.Close() //nolint:errcheck // read only
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", unreadableArchive(name, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func unreadableArchive(name string, err error) error {
	return fault.New(fault.FileCode(err), "the archive %s cannot be read: %s", name, fault.Reason(err)).Because(err)
}

// archivedNumbers returns the hash of the seals' numbers in an archive, "" if the archive cannot be read. It is called
// only for archives whose hash is in a prune record, so the content is trusted.
func archivedNumbers(name string) string {
	file, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // read only
	var lines io.Reader
	if strings.HasSuffix(name, ".zst") {
		z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return ""
		}
		defer z.Close()
		lines = z
	} else if lines, err = gzip.NewReader(file); err != nil {
		return ""
	}
	var seqs []int64
	for d := json.NewDecoder(lines); ; {
		var line struct {
			Seq int64 `json:"seq"`
		}
		switch err := d.Decode(&line); {
		case errors.Is(err, io.EOF):
			return sealNumbers(seqs)
		case err != nil:
			return ""
		}
		seqs = append(seqs, line.Seq)
	}
}

// FindArchives returns the archives at a path: the file itself, or those in the folder.
func FindArchives(path string) (files []string, folder bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, fault.New(fault.FileCode(err), "--archive %s cannot be read: %s", path, fault.Reason(err)).Because(err)
	}
	if !info.IsDir() {
		return []string{path}, false, nil
	}
	for _, pattern := range []string{"*.gz", "*.zst"} {
		found, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil {
			return nil, true, err
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return files, true, nil
}

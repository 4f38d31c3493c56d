package seal

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Checkpoint is a signed record of the chain's length and hash. Keep it where writers of the log cannot change it.
// It is a signed note (golang.org/x/mod/sumdb/note, Ed25519) of four lines: the header, the number of seals, the
// chain's hash in base64 and the time.
type Checkpoint struct {
	Size  int64
	Chain []byte
	Time  db.Time
}

const checkpointHeader = "cxgctl audit checkpoint v1"

// keyName is the key name in signatures.
const keyName = "cxgctl-audit"

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s\n", checkpointHeader, c.Size, base64.StdEncoding.EncodeToString(c.Chain), c.Time)
}

// parseCheckpoint parses the text of a note. It accepts only the exact form that text writes.
func parseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	malformed := errors.New("it is not a checkpoint of an audit log")
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[0] != checkpointHeader || lines[4] != "" {
		return c, malformed
	}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 {
		return c, malformed
	}
	if c.Chain, err = base64.StdEncoding.DecodeString(lines[2]); err != nil {
		return c, malformed
	}
	if err = c.Time.UnmarshalText([]byte(lines[3])); err != nil || c.text() != text {
		return c, malformed
	}
	return c, nil
}

// Keygen generates a key pair. The private key goes to a new file with mode 0600, the public key to the same name with
// .pub appended. Existing files are not overwritten.
func Keygen(file string) (public string, err error) {
	private, public, err := NewKeys()
	if err != nil {
		return "", err
	}
	if err := writeNew(file, private+"\n", 0o600); err != nil {
		return "", err
	}
	if err := writeNew(file+".pub", public+"\n", 0o644); err != nil {
		return "", errors.Join(err, os.Remove(file))
	}
	return public, nil
}

// NewKeys generates a key pair.
func NewKeys() (private, public string, err error) { return note.GenerateKey(rand.Reader, keyName) }

// writeNew creates a file and syncs it to disk. It fails if the file exists.
func writeNew(file, text string, mode os.FileMode) error {
	place, err := outfile.Locate(file)
	var f *os.File
	if err == nil {
		defer place.Close()
		f, err = place.Create(mode)
	}
	switch {
	case errors.Is(err, os.ErrExist):
		return fault.New(fault.AlreadyExists, "%s exists", file).WithHint("the file was not changed; choose another name").With("file", file)
	case fault.Is(err, fault.Validation):
		return err
	case err != nil:
		return fault.New(fault.FileCode(err), "%s cannot be written: %s", file, fault.Reason(err)).Because(err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fault.New(fault.FileCode(err), "%s cannot be written: %s", file, fault.Reason(err)).Because(errors.Join(err, place.Remove()))
	}
	return place.Sync()
}

// readSigner reads a private key. It refuses a key file that others can read.
func readSigner(file string) (note.Signer, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return nil, fault.New(fault.FileCode(err), "the key %s cannot be read: %s", file, fault.Reason(err)).
			WithHint("create one with: cxgctl audit keygen --out %s", file).Because(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Validation, "the key %s must be a regular file that only its owner can read", file).WithHint("chmod 600 %s", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.FileCode(err), "the key %s cannot be read: %s", file, fault.Reason(err)).Because(err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil { // err may quote the key
		return nil, fault.New(fault.Validation, "%s does not contain a private key", file).WithHint("create one with: cxgctl audit keygen --out FILE")
	}
	return s, nil
}

const readEnd = `SELECT h.seq, h.chain FROM cxg_audit.head h WHERE h.id = 1`

// WriteCheckpoint signs the current end of the chain with the private key in keyFile and writes it to a new file in
// dir. It returns the file's path. The public key is copied next to it for verification.
func WriteCheckpoint(ctx context.Context, r db.Reader, cat schema.Catalog, keyFile, dir string, now time.Time) (Checkpoint, string, error) {
	c := Checkpoint{Time: db.At(now)}
	if New(cat) == nil {
		return c, "", NoSeals()
	}
	signer, err := readSigner(keyFile)
	if err != nil {
		return c, "", err
	}
	public, err := os.ReadFile(keyFile + ".pub")
	if err != nil {
		return c, "", fault.New(fault.FileCode(err), "the public key %s.pub cannot be read: %s", keyFile, fault.Reason(err)).Because(err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(public)))
	if err != nil || verifier.KeyHash() != signer.KeyHash() {
		return c, "", fault.New(fault.FileCode(err), "the public key %s.pub does not match %s", keyFile, keyFile)
	}
	if err := r.QueryRow(ctx, readEnd).Scan(&c.Size, &c.Chain); err != nil && !errors.Is(err, pgx.ErrNoRows) { // nothing is sealed yet
		return c, "", err
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, signer)
	if err != nil {
		return c, "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, "", unwritable(dir, err)
	}
	pub := filepath.Join(dir, fmt.Sprintf("%s-%08x.pub", keyName, signer.KeyHash()))
	if err := writeNew(pub, string(public), 0o644); err != nil && !fault.Is(err, fault.AlreadyExists) {
		return c, "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("checkpoint-%012d-%s.txt", c.Size, now.UTC().Format("20060102T150405.000000Z")))
	return c, file, writeNew(file, string(signed), 0o444)
}

// ReadKeys reads the trusted public keys: the one in keyFile or, if that is "", all in the folder dir.
func ReadKeys(dir, keyFile string) ([]note.Verifier, error) {
	var keys []string
	switch {
	case keyFile != "":
		keys = []string{keyFile}
	case dir != "":
		var err error
		if keys, err = filepath.Glob(filepath.Join(dir, "*.pub")); err != nil {
			return nil, err
		}
	}
	var known []note.Verifier
	for _, k := range keys {
		text, err := os.ReadFile(k)
		if err != nil {
			return nil, fault.New(fault.FileCode(err), "the public key %s cannot be read: %s", k, fault.Reason(err)).Because(err)
		}
		v, err := note.NewVerifier(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fault.New(fault.Validation, "%s does not contain a public key", k)
		}
		known = append(known, v)
	}
	return known, nil
}

// ReadCheckpoints reads all checkpoints in a folder, sorted by size. A checkpoint that is not signed by any of the keys
// is a VALIDATION_ERROR, and so is a folder without checkpoints.
func ReadCheckpoints(dir string, known []note.Verifier) ([]Checkpoint, error) {
	files, err := filepath.Glob(filepath.Join(dir, "checkpoint-*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fault.New(fault.Validation, "no checkpoint found in %s", dir).
			WithHint("create one with: cxgctl audit checkpoint --key FILE --out %s", dir)
	}
	list := make([]Checkpoint, len(files))
	for i, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, fault.New(fault.FileCode(err), "the checkpoint %s cannot be read: %s", f, fault.Reason(err)).Because(err)
		}
		if list[i], err = openCheckpoint(text, note.VerifierList(known...)); err != nil {
			return nil, fault.New(fault.Validation, "the checkpoint %s cannot be trusted: %s", f, err).With("file", f).
				WithHint("if it is signed by another key, add --key FILE.pub")
		}
	}
	slices.SortStableFunc(list, func(a, b Checkpoint) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), a.Time.Instant.Compare(b.Time.Instant))
	})
	return list, nil
}

// openCheckpoint verifies the signature of a note and parses it.
func openCheckpoint(text []byte, known note.Verifiers) (Checkpoint, error) {
	n, err := note.Open(text, known)
	if err != nil {
		return Checkpoint{}, errors.New("it is not signed by a trusted key")
	}
	return parseCheckpoint(n.Text)
}

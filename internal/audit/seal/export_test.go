package seal

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

const (
	CheckGap        = checkGap
	CheckRow        = checkRow
	CheckCanon      = checkCanon
	CheckLeaf       = checkLeaf
	CheckChain      = checkChain
	CheckHead       = checkHead
	CheckCheckpoint = checkCheckpoint
	CheckSize       = checkSize
	CheckForged     = checkForged
	CheckOutside    = checkOutside
	CheckPrune      = checkPrune
)

var (
	LifeCycle     = lifeCycle
	VerifyWithout = verify
)

// ReadSealOf returns the statement of Mismatches.
func (s *Sealer) ReadSealOf() string { return s.expand(readSealOf) }

// SealAfter seals rows again, as an attacker would, after the seal with this number and chain hash.
func (s *Sealer) SealAfter(ctx context.Context, tx *db.Write, seq int64, chain []byte, ids []uuid.UUID) error {
	seals, err := s.readBack(ctx, tx, ids, time.Now().UTC().Truncate(time.Microsecond))
	if err != nil {
		return err
	}
	last, err := s.append(ctx, tx, head{seq: seq, chain: chain, swept: position{at: time.Now()}}, seals)
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, last).Close()
}

func (s *Sealer) readBack(ctx context.Context, tx *db.Write, ids []uuid.UUID, at time.Time) ([]Link, error) {
	batch := &pgx.Batch{}
	r := s.queueRead(batch, ids, at)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	seals, _, err := r.result(ctx, tx, ids, at)
	return seals, err
}

// CanonOf returns a row's compressed canonical form and leaf.
func (s *Sealer) CanonOf(ctx context.Context, tx *db.Write, id uuid.UUID, at time.Time) (canon, leaf []byte, err error) {
	seals, err := s.readBack(ctx, tx, []uuid.UUID{id}, at)
	if err != nil {
		return nil, nil, err
	}
	return seals[0].canon, seals[0].leaf[:], nil
}

// Version1 returns the columns of the first seal as version 1 had them, which also covered the life-cycle columns.
func Version1(ctx context.Context, d *db.DB, cat schema.Catalog, id uuid.UUID, at time.Time) (canon, leaf, chain []byte, err error) {
	old := *New(cat)
	old.fields = nil
	for _, c := range cat[schema.AuditLogs].Columns {
		old.fields = append(old.fields, fieldOf(c))
	}
	slices.SortFunc(old.fields, func(a, b sealedField) int { return strings.Compare(a.name, b.name) })
	rows, err := d.Query(ctx, "SELECT l.id, "+selectList(old.fields)+" FROM audt.audit_logs l WHERE l.id = $1", id)
	if err != nil {
		return nil, nil, nil, err
	}
	seals, _, err := old.prepare(rows, originCLI, at)
	if err != nil {
		return nil, nil, nil, err
	}
	form, err := Decompress(seals[0].canon, 1<<20)
	if err != nil {
		return nil, nil, nil, err
	}
	form[0] = 1
	first := leafOf(form)
	link := chainOf(make([]byte, len(first)), first[:])
	return Compress(form), first[:], link[:], nil
}

// Compress returns the compressed form of canon.
func Compress(canon []byte) []byte { return encoder().EncodeAll(canon, nil) }

// Decompress returns the uncompressed form, of at most limit bytes.
func Decompress(stored []byte, limit int) ([]byte, error) {
	u, err := newDecompressor()
	if err != nil {
		return nil, err
	}
	defer u.close()
	return u.decompress(stored, limit)
}

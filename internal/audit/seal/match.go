package seal

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
)

// A seal is valid if it is linked to its neighbors in the chain; the first and the last one have only one. Numbers
// within the chain are all taken, so an attacker who can only insert cannot add a seal there. LIMIT 1 forces index
// lookups: with statistics from before an import, the planner would scan the whole log for each row.
const readSealOf = `
SELECT s.seq, s.audit_id, s.ver, s.origin, s.sealed_at, s.canon, s.leaf, s.chain, true, {fields},
       p.chain, n.leaf, coalesce(n.chain, h.chain), n.seq IS NULL AND s.seq = h.seq
  FROM cxg_audit.head h
 CROSS JOIN unnest($1::uuid[]) AS wanted (id)
  JOIN LATERAL (SELECT x.* FROM cxg_audit.seal x WHERE x.audit_id = wanted.id LIMIT 1) s ON s.seq BETWEEN 1 AND h.seq
  JOIN LATERAL (SELECT x.* FROM audt.audit_logs x WHERE x.id = wanted.id LIMIT 1) l ON true
  LEFT JOIN LATERAL (SELECT x.chain FROM cxg_audit.seal x WHERE x.seq = s.seq - 1 LIMIT 1) p ON true
  LEFT JOIN LATERAL (SELECT x.seq, x.leaf, x.chain FROM cxg_audit.seal x WHERE x.seq = s.seq + 1 LIMIT 1) n ON n.seq <= h.seq
 WHERE h.id = 1 AND s.origin = 'cli'`

// Mismatches returns those of the audit rows that do not have a valid seal of cxgctl or do not match it, in the order
// of ids.
func (s *Sealer) Mismatches(ctx context.Context, r db.Reader, ids []uuid.UUID) ([]uuid.UUID, error) {
	if s == nil || len(ids) == 0 {
		return nil, nil
	}
	u, err := newDecompressor()
	if err != nil {
		return nil, err
	}
	defer u.close()
	x := &verifier{Sealer: s, dropped: map[string]bool{}}
	w := &walker{verifier: x, decompressor: u}
	valid := make(map[uuid.UUID]bool, len(ids))
	rows, err := r.Query(ctx, s.expand(readSealOf), db.Described, sealFormats(s.fields, 1, 1, 1, 1), ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v := rows.RawValues()
		neighbors := v[len(v)-4:]
		seq := int64(binary.BigEndian.Uint64(v[0]))
		w.prev = slices.Clone(neighbors[0])
		if seq == 1 {
			w.prev = make([]byte, 32)
		}
		x.bad = 0
		if err := w.check(seq, v, rows); err != nil {
			return nil, err
		}
		linked := seq == 1 || neighbors[0] != nil
		if chain := v[7]; neighbors[3][0] == 1 {
			linked = linked && bytes.Equal(chain, neighbors[2])
		} else {
			next := chainOf(chain, neighbors[1])
			linked = linked && neighbors[1] != nil && bytes.Equal(next[:], neighbors[2])
		}
		valid[uuid.UUID(v[1])] = x.bad == 0 && linked
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool { return valid[id] }), nil
}

package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
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

// Sealed reports whether the database has seals. Without them, an undo trusts the log.
func (g *Log) Sealed() bool { return g.sealer != nil }

// Check refuses an undo of audit rows that are not sealed by cxgctl or do not match their seals.
func (g *Log) Check(ctx context.Context, r db.Reader, u Undoing) error {
	var ids []uuid.UUID
	for _, rows := range u.rows {
		for _, row := range rows {
			ids = append(ids, row.Undoes...)
		}
	}
	return g.checkSeals(ctx, r, ids)
}

// checkSeals refuses audit rows unless each has a valid seal of origin cli and matches it.
func (g *Log) checkSeals(ctx context.Context, r db.Reader, ids []uuid.UUID) error {
	if g.sealer == nil || len(ids) == 0 {
		return nil
	}
	u, err := newDecompressor()
	if err != nil {
		return err
	}
	defer u.close()
	x := &verifier{sealer: g.sealer, dropped: map[string]bool{}, pruned: map[uuid.UUID]*prunedBy{}}
	w := &walker{verifier: x, canonicalizer: canonicalizer{fields: g.sealer.fields}, decompressor: u}
	sound := make(map[uuid.UUID]bool, len(ids))
	rows, err := r.Query(ctx, g.sealer.expand(readSealOf), sealFormats(g.sealer.fields, 1, 1, 1, 1), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		v := rows.RawValues()
		beside := v[len(v)-4:]
		seq := int64(binary.BigEndian.Uint64(v[0]))
		w.prev = slices.Clone(beside[0])
		if seq == 1 {
			w.prev = make([]byte, 32)
		}
		x.bad = 0
		if err := w.check(seq, v, rows); err != nil {
			return err
		}
		linked := seq == 1 || beside[0] != nil
		if chain := v[7]; beside[3][0] == 1 {
			linked = linked && bytes.Equal(chain, beside[2])
		} else {
			next := link(chain, beside[1])
			linked = linked && beside[1] != nil && bytes.Equal(next[:], beside[2])
		}
		sound[uuid.UUID(v[1])] = x.bad == 0 && linked
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		if !sound[id] {
			return fault.New(fault.Validation, "audit row %s cannot be undone: it does not match a seal of cxgctl", id).
				WithHint("nothing was changed; see the problem with: cxgctl audit verify").With("id", id.String())
		}
	}
	return nil
}

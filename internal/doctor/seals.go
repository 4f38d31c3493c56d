package doctor

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// sealTables hold the seals of the audit log.
var sealTables = []string{schema.SealHead, schema.Seals}

// Privileges are checked by name before rows are read: a closed schema is a finding, not an error.
const (
	readSealRights = `
SELECT has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(h.oid, 'SELECT, INSERT, UPDATE'), has_table_privilege(s.oid, 'SELECT, INSERT')
  FROM pg_namespace n
  JOIN pg_class h ON h.relnamespace = n.oid AND h.relname = 'head'
  JOIN pg_class s ON s.relnamespace = n.oid AND s.relname = 'seal'
 WHERE n.nspname = 'cxg_audit'`

	readSealState = `
SELECT coalesce(h.seq, 0), coalesce((SELECT max(s.seq) FROM cxg_audit.seal s), 0),
       (SELECT max(s.sealed_at) FROM (SELECT s.sealed_at FROM cxg_audit.seal s ORDER BY s.seq DESC LIMIT 1) s)
  FROM (SELECT) AS one LEFT JOIN cxg_audit.head h ON h.id = 1`
)

// auditSeals checks that audit rows are sealed. Without the tables changes still work, but tampering with the log goes
// unnoticed.
func auditSeals(ctx context.Context, s *subject) (Finding, error) {
	switch {
	case s.catalog[schema.AuditLogs] == nil:
		return skipped("the audit log does not exist"), nil
	case s.catalog[schema.SealHead] == nil || s.catalog[schema.Seals] == nil:
		return wrong(Warn, "audit rows are not sealed, because %s are missing: tampering with the log goes unnoticed", strings.Join(sealTables, " and ")).of(sealTables).
			remedied("cxgctl migrate up --database %s", migrate.Manager), nil
	}
	var usage, head, seals bool
	if err := s.db.QueryRow(ctx, readSealRights).Scan(&usage, &head, &seals); err != nil {
		return Finding{}, err
	}
	if !usage || !head || !seals {
		to := " TO " + pgx.Identifier{s.session.User}.Sanitize()
		return wrong(Fail, "every change is refused, because %s may not seal its audit row", s.session.User).
			remedied("GRANT USAGE ON SCHEMA cxg_audit%[1]s; GRANT SELECT, INSERT, UPDATE ON cxg_audit.head%[1]s; GRANT SELECT, INSERT ON cxg_audit.seal%[1]s", to), nil
	}
	var seq, last int64
	var at *db.Time
	if err := s.db.QueryRow(ctx, readSealState).Scan(&seq, &last, &at); err != nil {
		return Finding{}, err
	}
	switch {
	case seq != last:
		return wrong(Fail, "the chain of seals ends at %d, but its head is %d: the log was tampered with", last, seq).
			remedied("find the first bad row with cxgctl audit verify"), nil
	case at == nil:
		return fine("audit rows are sealed from the next change on"), nil
	}
	are := " are"
	if last == 1 {
		are = " is"
	}
	return fine("%s sealed, the last %s", fault.Plural(last, "audit row")+are, at.Instant.UTC().Format(time.RFC3339)), nil
}

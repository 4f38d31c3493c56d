package audit

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The values of action and result that the log's CHECKs allow.
var (
	Actions = []string{"CREATE", "READ", "UPDATE", "DELETE", "EXECUTE", "LOGIN", "LOGOUT"}
	Results = []string{"SUCCESS", "FAILURE", "BLOCKED"}
)

// Kinds are the values that the resource column's CHECK allows.
var Kinds = []string{"TABLE", "API_ENDPOINT", "FILE", "CONFIGURATION", "USER_ACCOUNT", "TENANT_SETTINGS"}

// Log reads the audit log of a database.
type Log struct {
	shape   *schema.Table
	exprs   map[string]string // SQL expression of each field
	columns string
	kind    string       // SQL expression of the resource column: USER_ACCOUNT, TABLE, …
	sealer  *seal.Sealer // nil if the database has no seals
}

// fields are the fields of Entry, in order. %s in expr is replaced by the first of the columns that the table has, or
// by the field in extra_data, where the writer puts values without a column.
var fields = []struct {
	name, kind string
	columns    []string
	expr       string
}{
	{"id", "uuid", []string{"id"}, "%s"},
	{"created_at", "timestamptz", []string{"created_at"}, "%s"},
	{"operator_id", "uuid", []string{"user_id"}, "coalesce(%s, (l.extra_data->>'operator_id')::uuid)"},
	{"operator", "text", nil, "coalesce(l.extra_data->>'operator', o.username)"},
	{"event_type", "text", []string{"event_type"}, "%s"},
	{"event_category", "text", []string{"event_category"}, "%s"},
	{"action", "text", []string{"action_performed", "action"}, "%s"},
	{"resource", "text", []string{"resource", "resource_type", "target_entity"}, "coalesce(l.extra_data->>'resource', %s)"},
	{"resource_id", "text", []string{"resource_id", "target_id"}, "%s::text"},
	{"tenant_id", "uuid", []string{"tenant_id"}, "coalesce(%s, (l.extra_data->>'tenant_id')::uuid)"},
	{"result", "text", []string{"result"}, "%s"},
	{"failure_reason", "text", []string{"failure_reason"}, "%s"},
	{"risk_level", "text", []string{"risk_level"}, "%s"},
	{"description", "text", []string{"description"}, "%s"},
	{"op_id", "text", nil, "l.extra_data->>'op_id'"},
	{"reason", "text", nil, "l.extra_data->>'reason'"},
	{"ticket", "text", nil, "l.extra_data->>'ticket'"},
	{"source_ip", "text", []string{"source_ip", "ip_address"}, "%s"},
	{"user_agent", "text", []string{"user_agent"}, "%s"},
	{"before", "jsonb", nil, "l.extra_data->'before'"},
	{"after", "jsonb", nil, "l.extra_data->'after'"},
	{"seal_seq", "bigint", nil, sealSeq},
}

// sealSeq is the sequence number of a row's seal.
const sealSeq = "(SELECT s.seq FROM cxg_audit.seal s WHERE s.audit_id = l.id)"

// NewLog returns the manager database's audit log; a database without one gives a DATABASE_ERROR.
func NewLog(cat schema.Catalog) (*Log, error) {
	t, err := cat.Table(schema.AuditLogs)
	if err != nil {
		return nil, err
	}
	g := &Log{shape: t, exprs: map[string]string{}, sealer: seal.New(cat)}
	list := make([]string, len(fields))
	for i, f := range fields {
		from := "(l.extra_data->>'" + f.name + "')::" + f.kind
		for _, c := range slices.Backward(f.columns) {
			switch {
			case c == "ip_address" && t.Has(c):
				from = "host(l.ip_address)"
			case t.Has(c):
				from = "l." + c
			}
		}
		expr := strings.ReplaceAll(f.expr, "%s", from)
		if expr == sealSeq && cat[schema.Seals] == nil {
			expr = "NULL"
		}
		if !t.Has("extra_data") && strings.Contains(expr, "extra_data") {
			expr = "NULL"
		}
		g.exprs[f.name] = expr
		list[i] = "(" + expr + ")::" + f.kind + " AS " + f.name
	}
	g.columns = strings.Join(list, ", ")
	switch column := t.FirstOf("resource", "resource_type"); column {
	case "":
		g.kind = g.exprs["resource"]
	default:
		g.kind = "l." + column
	}
	return g, nil
}

// BeforeDeletion returns an SQL expression for the value, as text, of a row's field before its last deletion. alias is
// the row's table alias. The expression is NULL if the log lacks the value or the audit row is not sealed.
func (g *Log) BeforeDeletion(alias, field string) string {
	if !g.shape.Has("extra_data") {
		return "NULL::text"
	}
	sealed := ""
	if g.exprs["seal_seq"] != "NULL" {
		sealed = " AND EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id AND s.origin = 'cli')"
	}
	return "(SELECT l.extra_data->'before'->>'" + field + "' FROM audt.audit_logs l WHERE " + g.exprs["resource_id"] + " = " + alias + ".id::text AND " +
		g.exprs["action"] + " = 'DELETE' AND " + g.exprs["result"] + " = 'SUCCESS'" + sealed + " ORDER BY l.created_at DESC, l.id DESC LIMIT 1)"
}

// Origins returns the origins of the rows' seals: cli if sealed on writing, foreign if sealed later.
func (g *Log) Origins(ctx context.Context, r db.Reader, entries []Entry) (map[uuid.UUID]string, error) {
	origins := map[uuid.UUID]string{}
	if g.sealer == nil {
		return origins, nil
	}
	rows, err := r.Query(ctx, `SELECT s.audit_id, s.origin FROM cxg_audit.seal s WHERE s.audit_id = ANY ($1)`, idsOf(entries))
	if err != nil {
		return nil, err
	}
	var id uuid.UUID
	var origin string
	_, err = pgx.ForEachRow(rows, []any{&id, &origin}, func() error {
		origins[id] = origin
		return nil
	})
	return origins, err
}

// ByIDs returns the audit rows with the given ids, and all rows of the operations with these ids. operation reports
// whether an id was an operation's. An unknown id is a RESOURCE_NOT_FOUND.
func (g *Log) ByIDs(ctx context.Context, d *db.DB, idle time.Duration, ids []uuid.UUID) (list []Entry, operation bool, err error) {
	const byIDs = `
SELECT {columns} FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id WHERE l.id = ANY (@ids::uuid[])`
	rows, err := db.Collect[Entry](ctx, d, strings.ReplaceAll(byIDs, "{columns}", g.columns), pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, false, err
	}
	for _, id := range ids {
		if slices.ContainsFunc(rows, func(e Entry) bool { return e.ID == id }) {
			continue
		}
		of, err := g.All(ctx, d, idle, Filter{Op: id.String()})
		if err != nil {
			return nil, false, err
		}
		if len(of) == 0 {
			return nil, false, fault.New(fault.NotFound, "audit row %s not found", id).
				WithHint("list rows and operations with: cxgctl audit list -o wide").With("id", id.String())
		}
		rows, operation = append(rows, of...), true
	}
	slices.SortFunc(rows, func(a, b Entry) int {
		if a.CreatedAt == nil || b.CreatedAt == nil || a.CreatedAt.Instant.Equal(b.CreatedAt.Instant) {
			return bytes.Compare(b.ID[:], a.ID[:])
		}
		return b.CreatedAt.Instant.Compare(a.CreatedAt.Instant)
	})
	return slices.CompactFunc(rows, func(a, b Entry) bool { return a.ID == b.ID }), operation, nil
}

// Done returns up to limit entries of an operation that created or changed rows, newest first, with ids below before;
// use uuid.Max to start. An entry without a valid seal is a VALIDATION_ERROR.
func (g *Log) Done(ctx context.Context, r db.Reader, op, before uuid.UUID, limit int) ([]Entry, error) {
	sql := "SELECT " + g.columns + `
  FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id
 WHERE l.extra_data ->> 'op_id' IS NOT NULL AND ` + g.exprs["op_id"] + ` = @op AND l.id < @before
   AND ` + g.exprs["action"] + ` IN ('CREATE', 'UPDATE') AND ` + g.exprs["result"] + ` = 'SUCCESS'
 ORDER BY l.id DESC LIMIT @limit`
	rows, err := db.Collect[Entry](ctx, r, sql, pgx.NamedArgs{"op": op.String(), "before": before, "limit": limit})
	if err != nil {
		return nil, err
	}
	return rows, g.checkSeals(ctx, r, idsOf(rows))
}

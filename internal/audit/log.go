package audit

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Filter selects rows of the audit log; the zero value selects all.
type Filter struct {
	Operator   string // a username or a user's id
	Resource   string // a noun (user, invoice), or a value of the column (USER_ACCOUNT, TABLE)
	ResourceID string
	Action     string
	Result     string
	Op         string
	Since      time.Time // inclusive
	Until      time.Time // exclusive
}

// Log is the audit log as it stands in one database.
type Log struct {
	shape *schema.Table
	holes *strings.Replacer
}

// fields are Entry's fields as they are read. The names of columns and of fields differ, so every
// expression is spelled out; a column that this database lacks reads as NULL.
var fields = []struct{ name, column, expr, kind string }{
	{"id", "id", "l.id", "uuid"},
	{"created_at", "created_at", "l.created_at", "timestamptz"},
	{"operator_id", "user_id", "l.user_id", "uuid"},
	{"operator", "extra_data", "coalesce(l.extra_data->>'operator', o.username)", "text"},
	{"event_type", "event_type", "l.event_type", "text"},
	{"event_category", "event_category", "l.event_category", "text"},
	{"action", "action_performed", "l.action_performed", "text"},
	{"resource", "resource", "coalesce(l.extra_data->>'resource', l.resource)", "text"},
	{"resource_id", "resource_id", "l.resource_id", "text"},
	{"tenant_id", "tenant_id", "l.tenant_id", "uuid"},
	{"result", "result", "l.result", "text"},
	{"failure_reason", "failure_reason", "l.failure_reason", "text"},
	{"risk_level", "risk_level", "l.risk_level", "text"},
	{"description", "description", "l.description", "text"},
	{"op_id", "extra_data", "l.extra_data->>'op_id'", "text"},
	{"reason", "extra_data", "l.extra_data->>'reason'", "text"},
	{"ticket", "extra_data", "l.extra_data->>'ticket'", "text"},
	{"source_ip", "source_ip", "l.source_ip", "text"},
	{"user_agent", "user_agent", "l.user_agent", "text"},
	{"before", "extra_data", "l.extra_data->'before'", "jsonb"},
	{"after", "extra_data", "l.extra_data->'after'", "jsonb"},
	{"seal_seq", "", "", "bigint"},
}

// LogIn returns the manager database's audit log; a database without one gives a DATABASE_ERROR.
func LogIn(cat schema.Catalog) (*Log, error) {
	t, err := cat.Table(schema.AuditLogs)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(fields))
	for i, f := range fields {
		expr := f.expr
		if !t.Has(f.column) {
			expr = "NULL::" + f.kind
		}
		list[i] = expr + " AS " + f.name
	}
	return &Log{shape: t, holes: strings.NewReplacer("{columns}", strings.Join(list, ", "))}, nil
}

const (
	listEntries = `
SELECT {columns}
  FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id
 WHERE `
	countEntries = `SELECT count(*) FROM audt.audit_logs l WHERE `
	newestFirst  = ` ORDER BY l.created_at DESC, l.id DESC`
)

// where turns the filter into predicates that the indexes of the audit log serve.
func (f Filter) where() (db.Where, error) {
	var w db.Where
	var p fault.Problems
	if f.Operator != "" {
		if id, err := uuid.Parse(f.Operator); err == nil {
			w.Bind("l.user_id = @operator", "operator", id)
		} else {
			w.Bind("l.user_id IN (SELECT u.id FROM idam.users u WHERE u.username = @operator)", "operator", f.Operator)
		}
	}
	switch {
	case f.Resource == "":
	case f.Resource == strings.ToUpper(f.Resource):
		w.Bind("l.resource = @resource", "resource", f.Resource)
	default:
		w.Bind("l.extra_data->>'resource' = @resource", "resource", strings.ToLower(f.Resource))
	}
	if f.ResourceID != "" {
		w.Bind("l.resource_id = @resource_id", "resource_id", f.ResourceID)
	}
	if f.Action != "" {
		w.Bind("l.action_performed = @action", "action", strings.ToUpper(f.Action))
	}
	if f.Result != "" {
		w.Bind("l.result = @result", "result", strings.ToUpper(f.Result))
	}
	if f.Op != "" {
		if _, err := uuid.Parse(f.Op); err != nil {
			p.Add("op", "%q is no operation id", f.Op)
		}
		w.Bind("l.extra_data->>'op_id' = @op", "op", strings.ToLower(f.Op))
	}
	if !f.Since.IsZero() {
		w.Bind("l.created_at >= @since", "since", f.Since)
	}
	if !f.Until.IsZero() {
		w.Bind("l.created_at < @until", "until", f.Until)
	}
	return w, p.Err()
}

// List returns one page of the log, newest first.
func (g *Log) List(ctx context.Context, r db.Reader, f Filter, p db.Paging) (db.Page[Entry], error) {
	var page db.Page[Entry]
	w, err := f.where()
	if err != nil {
		return page, err
	}
	var problems fault.Problems
	p.Check(&problems)
	if err := problems.Err(); err != nil {
		return page, err
	}
	if err := r.QueryRow(ctx, countEntries+w.String(), w.Args).Scan(&page.Total); err != nil {
		return page, err
	}
	page.Items, err = db.Collect[Entry](ctx, r, g.holes.Replace(listEntries)+w.String()+newestFirst+" LIMIT @limit OFFSET @offset", p.Args(w.Args))
	return page, err
}

// All yields every row of the log that the filter selects, from one snapshot, newest first; idle is
// how long it waits for the next row.
func (g *Log) All(ctx context.Context, d *db.DB, idle time.Duration, f Filter) (iter.Seq2[Entry, error], error) {
	w, err := f.where()
	if err != nil {
		return nil, err
	}
	return db.Stream[Entry](ctx, d, idle, g.holes.Replace(listEntries)+w.String()+newestFirst, w.Args), nil
}

// Get returns one row of the log.
func (g *Log) Get(ctx context.Context, r db.Reader, id uuid.UUID) (Entry, error) {
	rows, err := db.Collect[Entry](ctx, r, g.holes.Replace(listEntries)+"l.id = @id", pgx.NamedArgs{"id": id})
	if err != nil {
		return Entry{}, err
	}
	if len(rows) == 0 {
		return Entry{}, fault.New(fault.NotFound, "audit row %s not found", id).With("id", id.String())
	}
	return rows[0], nil
}

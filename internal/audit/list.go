package audit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Filter selects rows of the audit log; the zero value selects all.
type Filter struct {
	Operator   string   // a username or a user's id
	Resource   string   // a noun (user, invoice) or a value of the column (USER_ACCOUNT, TABLE)
	Nouns      []string // the valid nouns of Resource
	ResourceID string
	Actions    []string
	Results    []string
	Ticket     string
	ReasonLike string // literal text within the reason
	Op         string
	Since      time.Time // inclusive
	Until      time.Time // exclusive
	Changed    db.Increment
}

// operatorID returns the id of the operator with an id or username; pgx.ErrNoRows if the name is unknown. The id is
// looked up first so that an index over user_id returns the rows in order.
func operatorID(ctx context.Context, r db.Reader, ref string) (uuid.UUID, error) {
	if id, err := uuid.Parse(ref); err == nil {
		return id, nil
	}
	var id uuid.UUID
	err := r.QueryRow(ctx, "SELECT u.id FROM idam.users u WHERE u.username = $1", ref).Scan(&id)
	return id, err
}

// checkActor refuses a name that does not occur in the log, because such a filter cannot match.
func (g *Log) checkActor(ctx context.Context, r db.Reader, name string) error {
	var known bool
	err := r.QueryRow(ctx, "SELECT EXISTS (SELECT FROM audt.audit_logs l WHERE l.user_id IS NULL AND l.extra_data->>'operator' = $1)",
		name).Scan(&known)
	if err != nil || known {
		return err
	}
	missing := fault.New(fault.NotFound, "user %q not found", name).With("actor", name)
	var operators []string
	err = r.QueryRow(ctx, "SELECT array_agg(u.username) FROM idam.users u WHERE u.user_type IN ('MASTER', 'SYSTEM')").Scan(&operators)
	if near := validate.Near(name, operators); err == nil && near != "" {
		return missing.WithHint("did you mean %s", near)
	}
	return missing.WithHint("search: cxgctl users list --search %s", fault.Word(name))
}

// where translates the filter into predicates that the indexes of the log support. It adds problems of the filter to p.
func (g *Log) where(ctx context.Context, r db.Reader, f Filter, p *fault.Problems) (db.Where, error) {
	var w db.Where
	g.shape.Changed(&w, "l", f.Changed)
	if f.Operator != "" {
		id, err := operatorID(ctx, r, f.Operator)
		switch {
		case errors.Is(err, pgx.ErrNoRows): // a refused name or an OS user
			if err := g.checkActor(ctx, r, f.Operator); err != nil {
				return w, err
			}
			w.Bind("l.user_id IS NULL AND l.extra_data->>'operator' = @operator", "operator", f.Operator)
		case err != nil:
			return w, err
		default:
			w.Bind("l.user_id = @operator", "operator", id)
		}
	}
	switch {
	case f.Resource == "":
	case !slices.Contains(Kinds, f.Resource) && !slices.Contains(f.Nouns, strings.ToLower(f.Resource)):
		p.Add("resource", "%q is not a noun of the audit log; the nouns are %s", f.Resource, strings.Join(f.Nouns, ", "))
	case f.Resource == strings.ToUpper(f.Resource):
		w.Bind(g.kind+" = @resource", "resource", f.Resource)
	default:
		w.Bind("l.extra_data->>'resource' = @resource", "resource", strings.ToLower(f.Resource))
	}
	if f.ResourceID != "" {
		w.Bind(g.exprs["resource_id"]+" = @resource_id", "resource_id", f.ResourceID)
	}
	w.AnyOf(g.exprs["action"], "action", "text", p.Choices("action", f.Actions, Actions)) // an index returns the rows of one by time
	w.AnyOf(g.exprs["result"], "result", "text", p.Choices("result", f.Results, Results))
	if f.Ticket != "" {
		w.Bind(g.exprs["ticket"]+" = @ticket", "ticket", f.Ticket)
	}
	if f.ReasonLike != "" {
		w.Bind(g.exprs["reason"]+" ILIKE @reason_like", "reason_like", db.LikeSubstring(f.ReasonLike))
	}
	if f.Op != "" {
		if _, err := uuid.Parse(f.Op); err != nil {
			p.Add("op", "%q is not an operation id", f.Op)
		}
		// The ids come from a subquery, because the planner estimates that an operation has 0.5% of all rows and would
		// scan the log in order of time: 13 s for an old operation in a million rows.
		w.Bind("l.id = ANY (ARRAY(SELECT x.id FROM audt.audit_logs x WHERE x.extra_data->>'op_id' = @op))", "op", strings.ToLower(f.Op))
	}
	w.Between("l.created_at", f.Since, f.Until)
	return w, nil
}

// newestFirst is the order of the log.
var newestFirst = db.Order{
	{Sort: db.Sort{Expr: "l.created_at", Type: "timestamptz", NotNull: true}, Desc: true},
	{Sort: db.Sort{Expr: "l.id", Type: "uuid", NotNull: true}, Desc: true},
}

const (
	listEntries  = `SELECT {columns} FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id WHERE {where} ORDER BY {order}`
	countEntries = `SELECT count(*) FROM audt.audit_logs l WHERE {where}`
)

// Matching returns a query for the rows that the filter selects, newest first.
func (g *Log) Matching(ctx context.Context, r db.Reader, f Filter) (db.ListQuery[Entry], error) {
	var problems fault.Problems
	w, err := g.where(ctx, r, f, &problems)
	binary := map[string]string{}
	for _, f := range fields {
		binary[f.name] = "(" + g.exprs[f.name] + ")::" + f.kind
	}
	return db.ListQuery[Entry]{
		Problems: problems, ID: func(e Entry) uuid.UUID { return e.ID }, Binary: binary,
		SQL: listEntries, Count: countEntries, Columns: g.columns, Table: schema.AuditLogs, Key: "l.id", Where: w, Order: newestFirst,
	}, err
}

// All returns all rows that the filter selects, newest first.
func (g *Log) All(ctx context.Context, d *db.DB, idle time.Duration, f Filter) ([]Entry, error) {
	s, err := g.Matching(ctx, d, f)
	if err != nil {
		return nil, err
	}
	q, err := s.All()
	if err != nil {
		return nil, err
	}
	return db.CollectWhere(ctx, d, idle, q, func(Entry) bool { return true })
}

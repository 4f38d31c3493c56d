package audit

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// writer builds audit rows and inserts them in either form of the table: the design's, or the one that the backend's
// ORM expects (cxg-databases.md). Values that the table lacks a column for, or whose column refuses them, go to
// extra_data under the field's name.
type writer struct {
	table     *schema.Table
	rules     schema.Rules
	by        Operator
	op        uuid.UUID
	from      Origin
	userAgent string
	columns   [][2]string // column names and their expressions
	insertion schema.RowInsert
	server    *server            // server values for COPY; lazy
	common    []byte             // encoded part of extra_data common to all rows; lazy
	limits    map[string]int     // maximum length in characters, by column
	dangling  map[uuid.UUID]bool // by tenant id: whether the tenant is known not to exist
}

func newWriter(t *schema.Table, rules schema.Rules, by Operator, from Origin, op uuid.UUID) *writer {
	// The client's address and session_user are computed by the server, so that the client cannot spoof them.
	columns := [][2]string{
		{"id", "@id"},
		{"created_at", "@created_at"},
		{"created_by", "@created_by"},
		{"user_id", "@user_id"},
		{"tenant_id", "@tenant_id"},
		{"event_type", "@event_type"},
		{"event_category", "@event_category"},
		{"description", "@description"},
		{"source_ip", "host(inet_client_addr())"},
		{"user_agent", "@user_agent"},
		{"resource", "@resource"},
		{"resource_type", "@resource_type"}, // Gx
		{"resource_id", "@resource_id"},
		{"action_performed", "@action_performed"},
		{"result", "@result"},
		{"failure_reason", "@failure_reason"},
		{"risk_level", "@risk_level"},
		{"extra_data", "@extra_data::jsonb || jsonb_build_object('session_user', session_user)"},
		{"status", "'ACTIVE'"},
		{"deleted", "false"},
		{"is_deleted", "false"},
		// only in the ORM's form, which lacks source_ip and requires an address
		{"action", "@action"},
		{"target_entity", "@target_entity"},
		{"target_id", "@target_id"},
		{"request_path", "@request_path"},
		{"request_method", "'CLI'"},
		{"ip_address", "coalesce(inet_client_addr(), '127.0.0.1')"},
	}
	limits := map[string]int{}
	for _, c := range t.Columns {
		if n := c.MaxLength(); n > 0 {
			limits[c.Name] = n
		}
	}
	return &writer{
		limits: limits, table: t, rules: rules, by: by, op: op, from: from, columns: columns, insertion: t.InsertRows(columns),
		userAgent: "cxgctl/" + from.Version + " (" + from.OSUser + "@" + from.Host + ")",
	}
}

// Filled lists the columns, in either form, that are never NULL in rows of an operator's change. Other columns can be
// NULL, for example source_ip over a unix socket.
var Filled = []string{
	"id", "created_at", "created_by", "user_id", "event_type", "event_category", "description", "user_agent",
	"resource", "resource_type", "resource_id", "action_performed", "result", "risk_level", "extra_data", "status", "deleted", "is_deleted",
	"action", "target_entity", "target_id", "request_path", "request_method", "ip_address",
}

// extra is the part of extra_data that is common to all rows of a command.
type extra struct {
	Tool       string `json:"tool"`
	OpID       string `json:"op_id"`
	Operator   string `json:"operator,omitempty"`
	AuthMethod string `json:"auth_method"`
	Claimed    string `json:"claimed,omitempty"`
	ProofID    string `json:"proof_id,omitempty"` // id of the session or key, never its secret
	Origin
}

// document returns a row's extra_data, with the fields moved there. The common part is encoded once.
func (w *writer) document(e Entry, moved map[string]any) ([]byte, error) {
	if w.common == nil {
		var err error
		doc := extra{
			Tool: "cxgctl", OpID: w.op.String(), Operator: w.by.Name, AuthMethod: w.by.AuthMethod, Claimed: w.by.Claimed, Origin: w.from,
		}
		if w.by.Proof != uuid.Nil {
			doc.ProofID = w.by.Proof.String()
		}
		w.common, err = json.Marshal(doc)
		if err != nil {
			return nil, err
		}
	}
	noun, err := json.Marshal(*e.Resource)
	if err != nil {
		return nil, err
	}
	doc := make([]byte, 0, len(w.common)+len(e.Before)+len(e.After)+128)
	doc = append(append(doc, w.common[:len(w.common)-1]...), `,"resource":`...)
	doc = append(doc, noun...)
	for _, image := range []struct {
		name string
		json json.RawMessage
	}{{"before", e.Before}, {"after", e.After}} {
		if len(image.json) > 0 {
			doc = append(append(append(doc, `,"`...), image.name...), `":`...)
			doc = append(doc, image.json...)
		}
	}
	if len(e.undoes) > 0 {
		moved["undoes"] = e.undoes
	}
	if e.reconciled != "" {
		moved["reconciled_by"] = e.reconciled
	}
	if len(moved) == 0 {
		return append(doc, '}'), nil
	}
	rest, err := json.Marshal(moved)
	if err != nil {
		return nil, err
	}
	return append(append(doc, ','), rest[1:]...), nil
}

// resourceColumn maps a noun to a value that the resource column's CHECK allows. The noun itself goes to extra_data.
func resourceColumn(noun string) string {
	switch noun {
	case "user", "session", "key", "role", "login":
		return "USER_ACCOUNT"
	}
	return "TABLE"
}

// queue queues the statement that inserts the rows, or writes them by COPY if they are many.
func (w *writer) queue(ctx context.Context, tx pgx.Tx, batch *stagedBatch, entries []Entry) error {
	if err := w.findDangling(ctx, tx, entries); err != nil {
		return err
	}
	if len(entries) > schema.InsertMost {
		return w.copy(ctx, tx, entries)
	}
	row := make([]any, len(w.insertion.Names))
	rows, err := w.insertion.Rows(len(entries), func(i int) ([]any, error) {
		values, err := w.args(entries[i])
		for j, name := range w.insertion.Names {
			row[j] = values[name]
		}
		return row, err
	})
	if err != nil {
		return err
	}
	n := batch.Len()
	batch.Queue(w.insertion.SQL, rows)
	batch.stage(n, errNotWritten)
	return nil
}

func idsOf(entries []Entry) []uuid.UUID {
	ids := make([]uuid.UUID, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids
}

// findDangling determines which of the entries' tenants do not exist. Sessions, grants and logins refer to tenants
// without a foreign key and so outlive them, but the log's column may have one. Without the privilege to read tenants,
// all their ids go to extra_data.
func (w *writer) findDangling(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	if w.rules.References["tenant_id"] != schema.Tenants || !w.table.Has("tenant_id") {
		return nil
	}
	var ids []uuid.UUID
	for _, e := range entries {
		if e.TenantID == nil {
			continue
		}
		if _, known := w.dangling[*e.TenantID]; !known && !slices.Contains(ids, *e.TenantID) {
			ids = append(ids, *e.TenantID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var found []uuid.UUID
	err := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) (err error) {
		found, err = db.CollectAs(ctx, save, pgx.RowTo[uuid.UUID], `SELECT t.id FROM tnnt.tenants t WHERE t.id = ANY ($1::uuid[])`, ids)
		return err
	})
	if state, _ := db.State(err); err != nil && state != db.InsufficientRights {
		return err
	}
	if w.dangling == nil {
		w.dangling = map[uuid.UUID]bool{}
	}
	for _, id := range ids {
		w.dangling[id] = !slices.Contains(found, id)
	}
	return nil
}

// args returns the values of a row, each fitted to its column.
func (w *writer) args(e Entry) (pgx.NamedArgs, error) {
	moved := map[string]any{} // fields that go to extra_data instead
	args := pgx.NamedArgs{
		"id": e.ID, "created_at": e.CreatedAt, "created_by": e.OperatorID,
		"user_id":    w.reference("user_id", "operator_id", schema.Users, e.OperatorID, moved),
		"tenant_id":  w.reference("tenant_id", "tenant_id", schema.Tenants, e.TenantID, moved),
		"user_agent": w.clip("user_agent", e.UserAgent), "target_entity": e.Resource, "target_id": e.ResourceID,
		"resource_id": w.clip("resource_id", e.ResourceID), "request_path": w.clip("request_path", &w.from.Command),
		"action": e.Action, "description": w.text("description", "description", e.Description, moved),
		"failure_reason": w.text("failure_reason", "failure_reason", e.FailureReason, moved),
		"resource":       w.first("resource", resourceColumn(*e.Resource), "TABLE"),
		"resource_type":  w.first("resource_type", resourceColumn(*e.Resource), "TABLE"),
	}
	for _, f := range []struct {
		column, field string
		value         *string
		instead       []string // the closest values, if the CHECK lacks this one
	}{
		{"event_type", "event_type", e.EventType, []string{"API_CALL", "DATA_ACCESS"}},
		{"event_category", "event_category", e.EventCategory, []string{"DATA_MODIFICATION", "SYSTEM_CHANGE"}},
		{"action_performed", "action", e.Action, []string{"UPDATE"}},
		{"result", "result", e.Result, []string{"FAILURE"}},
		{"risk_level", "risk_level", e.RiskLevel, []string{"HIGH"}},
	} {
		value := w.first(f.column, append([]string{*f.value}, f.instead...)...)
		if value == nil && w.required(f.column) {
			return nil, fault.New(fault.Database, "the CHECK of the audit log's column %s does not allow any value that cxgctl writes", f.column).
				WithHint("no change goes unaudited; the CHECK must allow %s", *f.value)
		}
		if column := w.column(f.column, f.field); value == nil || *value != *f.value || column == "" {
			moved[f.field] = *f.value
		}
		args[f.column] = value
	}
	doc, err := w.document(e, moved)
	if err != nil {
		return nil, err
	}
	args["extra_data"] = json.RawMessage(doc)
	return args, nil
}

// column returns the column that holds a field: the one of that name, or the one named like the field in the ORM's
// form; "" if the table has neither.
func (w *writer) column(name, field string) string {
	for _, c := range []string{name, field} {
		if w.table.Has(c) {
			return c
		}
	}
	return ""
}

func (w *writer) required(column string) bool {
	c, ok := w.table.Column(column)
	return ok && c.NotNull
}

// first returns the first of the values that the column's CHECK allows; nil if it allows none of them.
func (w *writer) first(column string, values ...string) *string {
	allowed, listed := w.rules.Allowed[column]
	for i, v := range values {
		if !listed || slices.Contains(allowed, v) {
			return &values[i]
		}
	}
	return nil
}

// reference returns an id for a column. If the column's foreign key points to a different table, or the tenant does not
// exist, the id goes to extra_data instead.
func (w *writer) reference(column, field, table string, id *uuid.UUID, moved map[string]any) *uuid.UUID {
	target, bound := w.rules.References[column]
	if id == nil || w.table.Has(column) && (!bound || target == table) && (field != "tenant_id" || !w.dangling[*id]) {
		return id
	}
	moved[field] = id
	return nil
}

// text returns a text for a column, and copies it to extra_data if the table lacks the column.
func (w *writer) text(column, field string, s *string, moved map[string]any) *string {
	if s != nil && !w.table.Has(column) {
		moved[field] = *s
	}
	return w.clip(column, s)
}

// clip truncates a text to its column's length and removes what PostgreSQL cannot store.
func (w *writer) clip(column string, s *string) *string {
	if s == nil {
		return nil
	}
	v := strings.ToValidUTF8(strings.ReplaceAll(*s, "\x00", ""), "\uFFFD")
	if limit := w.limits[column]; limit > 0 && len(v) > limit && utf8.RuneCountInString(v) > limit {
		v = string([]rune(v)[:limit])
	}
	return &v
}

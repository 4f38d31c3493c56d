package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Entry is one row of the audit log as cxgctl shows it, in the contract's field order.
type Entry struct {
	ID            uuid.UUID       `json:"id" db:"id"`
	CreatedAt     *db.Time        `json:"created_at" db:"created_at"`
	OperatorID    *uuid.UUID      `json:"operator_id" db:"operator_id"`
	Operator      *string         `json:"operator" db:"operator"`
	EventType     *string         `json:"event_type" db:"event_type"`
	EventCategory *string         `json:"event_category" db:"event_category"`
	Action        *string         `json:"action" db:"action"`
	Resource      *string         `json:"resource" db:"resource"`
	ResourceID    *string         `json:"resource_id" db:"resource_id"`
	TenantID      *uuid.UUID      `json:"tenant_id" db:"tenant_id"`
	Result        *string         `json:"result" db:"result"`
	FailureReason *string         `json:"failure_reason" db:"failure_reason"`
	RiskLevel     *string         `json:"risk_level" db:"risk_level"`
	Description   *string         `json:"description" db:"description"`
	OpID          *string         `json:"op_id" db:"op_id"`
	Reason        *string         `json:"reason" db:"reason"`
	Ticket        *string         `json:"ticket" db:"ticket"`
	SourceIP      *string         `json:"source_ip" db:"source_ip"`
	UserAgent     *string         `json:"user_agent" db:"user_agent"`
	Before        json.RawMessage `json:"before" db:"before"`
	After         json.RawMessage `json:"after" db:"after"`
	SealSeq       *int64          `json:"seal_seq" db:"seal_seq"`
}

// writer turns changes into audit rows of the shape that this database's table has.
type writer struct {
	table     *schema.Table
	by        Operator
	op        uuid.UUID
	from      Origin
	userAgent string
}

func newWriter(t *schema.Table, by Operator, from Origin, op uuid.UUID) *writer {
	return &writer{
		table: t, by: by, op: op, from: from,
		userAgent: fmt.Sprintf("cxgctl/%s (%s@%s)", from.Version, from.OSUser, from.Host),
	}
}

// base fills what every row of this command has in common.
func (w *writer) base(s Subject, a Action, ev Event, now time.Time) Entry {
	at, action, op := db.At(now), string(a), w.op.String()
	e := Entry{
		ID: uuid.Must(uuid.NewV7()), CreatedAt: &at, Operator: optional(w.by.Name),
		EventType: &ev.Type, EventCategory: &ev.Category, Action: &action,
		Resource: &s.Resource, TenantID: s.TenantID, OpID: &op,
		Reason: optional(w.from.Reason), Ticket: optional(w.from.Ticket), UserAgent: &w.userAgent,
	}
	if w.by.ID != uuid.Nil {
		e.OperatorID = &w.by.ID
	}
	if s.ID != uuid.Nil {
		id := s.ID.String()
		e.ResourceID = &id
	}
	return e
}

// entry makes the row of a change that takes place.
func (w *writer) entry(c Change, now time.Time) (Entry, error) {
	if err := c.valid(); err != nil {
		return Entry{}, err
	}
	before, after, err := images(c.Before, c.After, c.Secrets)
	if err != nil {
		return Entry{}, err
	}
	if c.Event == (Event{}) {
		c.Event = DataModification
	}
	e := w.base(c.Subject, c.Action, c.Event, now)
	result, risk := "SUCCESS", "LOW"
	switch {
	case c.Action == Delete, c.Event == PasswordChange, c.Event == SystemChange:
		risk = "MEDIUM"
	}
	description := fmt.Sprintf("%s: %s %s", w.from.Command, c.Resource, c.Name)
	e.Result, e.RiskLevel, e.Description = &result, &risk, &description
	e.Before, e.After = before, after
	return e, nil
}

// failure makes the row of an attempt that changed nothing.
func (w *writer) failure(i Intent, cause *fault.Error, now time.Time) Entry {
	ev, result, risk := DataModification, "FAILURE", "MEDIUM"
	if cause.Code == fault.PermissionDenied || cause.Code == fault.Unauthenticated {
		ev, result, risk = violation, "BLOCKED", "HIGH"
	}
	e := w.base(i.Subject, i.Action, ev, now)
	reason := string(cause.Code) + ": " + cause.Message
	description := fmt.Sprintf("%s: %s %s", w.from.Command, i.Resource, i.Name)
	e.Result, e.RiskLevel, e.Description, e.FailureReason = &result, &risk, &description, &reason
	return e
}

// extra is what the table has no column for.
type extra struct {
	Tool       string `json:"tool"`
	OpID       string `json:"op_id"`
	Resource   string `json:"resource"`
	Operator   string `json:"operator,omitempty"`
	AuthMethod string `json:"auth_method"`
	Claimed    string `json:"claimed,omitempty"`
	Origin
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// resourceColumn maps a noun to what the resource column's CHECK allows; the noun itself stands in
// extra_data.
func resourceColumn(noun string) string {
	switch noun {
	case "user", "session", "key":
		return "USER_ACCOUNT"
	}
	return "TABLE"
}

// insert writes the rows, in one round trip, with the columns that the table has. The client's
// address and session_user come from the server, so that the client cannot spoof them.
func (w *writer) insert(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	sql := w.table.Insert([][2]string{
		{"id", "@id"},
		{"created_at", "@created_at"},
		{"created_by", "@operator_id"},
		{"user_id", "@operator_id"},
		{"tenant_id", "@tenant_id"},
		{"event_type", "@event_type"},
		{"event_category", "@event_category"},
		{"description", "@description"},
		{"source_ip", "host(inet_client_addr())"},
		{"user_agent", "@user_agent"},
		{"resource", "@resource"},
		{"resource_id", "@resource_id"},
		{"action_performed", "@action"},
		{"result", "@result"},
		{"failure_reason", "@failure_reason"},
		{"risk_level", "@risk_level"},
		{"extra_data", "@extra::jsonb || jsonb_build_object('session_user', session_user)"},
		{"status", "'ACTIVE'"},
		{"deleted", "false"},
	})
	batch := &pgx.Batch{}
	for _, e := range entries {
		x, err := json.Marshal(extra{
			Tool: "cxgctl", OpID: *e.OpID, Resource: *e.Resource, Operator: w.by.Name, AuthMethod: w.by.AuthMethod,
			Claimed: w.by.Claimed, Origin: w.from, Before: e.Before, After: e.After,
		})
		if err != nil {
			return err
		}
		batch.Queue(sql, pgx.NamedArgs{
			"id": e.ID, "created_at": e.CreatedAt, "operator_id": e.OperatorID, "tenant_id": e.TenantID,
			"event_type": e.EventType, "event_category": e.EventCategory,
			"description": w.clip("description", e.Description), "user_agent": w.clip("user_agent", e.UserAgent),
			"resource": resourceColumn(*e.Resource), "resource_id": e.ResourceID, "action": e.Action,
			"result": e.Result, "failure_reason": w.clip("failure_reason", e.FailureReason),
			"risk_level": e.RiskLevel, "extra": string(x),
		})
	}
	return tx.SendBatch(ctx, batch).Close()
}

// clip cuts a text to what its column takes and to what PostgreSQL stores at all.
func (w *writer) clip(column string, s *string) *string {
	if s == nil {
		return nil
	}
	v := strings.ToValidUTF8(strings.ReplaceAll(*s, "\x00", ""), "\uFFFD")
	c, _ := w.table.Column(column)
	if limit := c.MaxLength(); limit > 0 && utf8.RuneCountInString(v) > limit {
		v = string([]rune(v)[:limit])
	}
	return &v
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

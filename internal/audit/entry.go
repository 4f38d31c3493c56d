package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Entry is a row of the audit log as cxgctl shows it, with its fields in the order of the contract.
type Entry struct {
	ID            uuid.UUID       `json:"id" db:"id" table:"whole"`
	CreatedAt     *db.Time        `json:"created_at" db:"created_at"`
	OperatorID    *uuid.UUID      `json:"operator_id" db:"operator_id"`
	Operator      *string         `json:"operator" db:"operator"`
	EventType     *string         `json:"event_type" db:"event_type"`
	EventCategory *string         `json:"event_category" db:"event_category"`
	Action        *string         `json:"action" db:"action"`
	Resource      *string         `json:"resource" db:"resource"`
	ResourceID    *string         `json:"resource_id" db:"resource_id" table:"whole"`
	TenantID      *uuid.UUID      `json:"tenant_id" db:"tenant_id"`
	Result        *string         `json:"result" db:"result"`
	FailureReason *string         `json:"failure_reason" db:"failure_reason"`
	RiskLevel     *string         `json:"risk_level" db:"risk_level"`
	Description   *string         `json:"description" db:"description"`
	OpID          *string         `json:"op_id" db:"op_id"`
	Reason        *string         `json:"reason" db:"reason"`
	Ticket        *string         `json:"ticket" db:"ticket"`
	SourceIP      *string         `json:"source_ip" db:"source_ip" table:"whole"`
	UserAgent     *string         `json:"user_agent" db:"user_agent"`
	Before        json.RawMessage `json:"before" db:"before"`
	After         json.RawMessage `json:"after" db:"after"`
	SealSeq       *int64          `json:"seal_seq" db:"seal_seq"`

	undoes     []uuid.UUID
	reconciled string // operator who wrote the row on behalf of a command that ended before it could
}

// base returns an Entry with the fields that all rows of this command have in common.
func (w *writer) base(s Subject, a Action, ev Event, now time.Time) Entry {
	at, action, op := db.At(now), string(a), w.op.String()
	description := fmt.Sprintf("%s: %s %s", w.from.Command, s.Resource, s.Name)
	e := Entry{
		ID: uuid.Must(uuid.NewV7()), CreatedAt: &at, OperatorID: w.by.Ref(), Operator: optional(w.by.Name),
		EventType: &ev.Type, EventCategory: &ev.Category, Action: &action, Description: &description,
		Resource: &s.Resource, TenantID: s.TenantID, OpID: &op,
		Reason: optional(w.from.Reason), Ticket: optional(w.from.Ticket), UserAgent: &w.userAgent,
	}
	if s.ID != uuid.Nil {
		id := s.ID.String()
		e.ResourceID = &id
	}
	return e
}

// entry returns the row of a change.
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
	case c.Action == Delete, c.Event == PasswordChange, c.Event == PermissionChange, c.Event == SystemChange, c.Event == DataAccess:
		risk = "MEDIUM"
	}
	if c.Risk != "" {
		risk = c.Risk
	}
	e.Result, e.RiskLevel = &result, &risk
	e.Before, e.After, e.undoes = before, after, c.Undoes
	return e, nil
}

// failure returns the row of an attempt that changed nothing.
func (w *writer) failure(i Intent, cause *fault.Error, now time.Time) Entry {
	ev, result, risk := DataModification, "FAILURE", "MEDIUM"
	switch {
	case cause.Code == fault.PermissionDenied, cause.Code == fault.Unauthenticated:
		ev, result, risk = violation, "BLOCKED", "HIGH"
	case errors.Is(cause, errForged):
		ev, risk = violation, "HIGH"
	}
	e := w.base(i.Subject, i.Action, ev, now)
	reason := string(cause.Code) + ": " + cause.Message
	e.Result, e.RiskLevel, e.FailureReason = &result, &risk, &reason
	return e
}

// optional returns a value of an optional column, nil for the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// text returns the value of an optional column, "" for NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

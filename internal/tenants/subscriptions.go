package tenants

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Subscription is a tenant's subscription, as shown with the tenant.
type Subscription struct {
	ID           uuid.UUID     `json:"id" db:"id" table:"key"`
	PlanID       *uuid.UUID    `json:"plan_id" db:"plan_id"`
	StartDate    *db.Date      `json:"start_date" db:"start_date"`
	CloseDate    *db.Date      `json:"close_date" db:"close_date"`
	BillingCycle *string       `json:"billing_cycle" db:"billing_cycle"`
	MaxUsers     *int64        `json:"max_users" db:"max_users"`
	MaxStorage   *int64        `json:"max_storage" db:"max_storage"`
	MaxAPICalls  *int64        `json:"max_api_calls" db:"max_api_calls"`
	BaseAmount   *money.Amount `json:"base_amount" db:"base_amount" table:"amount"`
	UserAmount   *money.Amount `json:"user_amount" db:"user_amount" table:"amount"`
	Currency     *string       `json:"currency" db:"currency" table:"currency" heading:"CUR"`
	AutoRenewal  *bool         `json:"auto_renewal" db:"auto_renewal"`
	NotiRenewal  *bool         `json:"noti_renewal" db:"noti_renewal"`
	Status       *string       `json:"status" db:"status"`
}

var subscriptionFields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "plan_id", Type: "uuid"},
	{Name: "start_date", Type: "date"},
	{Name: "close_date", Type: "date"},
	{Name: "billing_cycle", Type: "text"},
	{Name: "max_users", Type: "bigint"},
	{Name: "max_storage", Type: "bigint"},
	{Name: "max_api_calls", Type: "bigint"},
	{Name: "base_amount", Type: "text", Expr: "%s::text"},
	{Name: "user_amount", Type: "text", Expr: "%s::text"},
	{Name: "currency", Type: "text", Expr: "rtrim(%s)"},
	{Name: "auto_renewal", Type: "boolean"},
	{Name: "noti_renewal", Type: "boolean"},
	{Name: "status", Type: "text"},
}

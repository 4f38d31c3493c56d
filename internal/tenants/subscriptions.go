package tenants

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Subscription is a tenant's subscription, as shown with the tenant.
type Subscription struct {
	ID           uuid.UUID     `json:"id" db:"id"`
	PlanID       *uuid.UUID    `json:"plan_id" db:"plan_id"`
	StartDate    *db.Date      `json:"start_date" db:"start_date"`
	CloseDate    *db.Date      `json:"close_date" db:"close_date"`
	BillingCycle *string       `json:"billing_cycle" db:"billing_cycle"`
	MaxUsers     *int64        `json:"max_users" db:"max_users"`
	MaxStorage   *int64        `json:"max_storage" db:"max_storage"`
	MaxAPICalls  *int64        `json:"max_api_calls" db:"max_api_calls"`
	BaseAmount   *money.Amount `json:"base_amount" db:"base_amount"`
	UserAmount   *money.Amount `json:"user_amount" db:"user_amount"`
	Currency     *string       `json:"currency" db:"currency"`
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

// latestFirst is the order of subscriptions.
var latestFirst = db.Order{
	{Sort: db.Sort{Expr: "s.start_date", NotNull: true}, Desc: true},
	{Sort: db.Sort{Expr: "s.id", NotNull: true}},
}

const (
	listSubscriptions  = `SELECT {columns} FROM {table} s WHERE {where} ORDER BY {order}`
	countSubscriptions = `SELECT count(*) FROM {table} s WHERE {where}`
)

// MatchingSubscriptions returns the query for the live subscriptions of a tenant, latest first, or a DATABASE_ERROR
// if the table does not exist.
func MatchingSubscriptions(cat schema.Catalog, tenant uuid.UUID) (db.ListQuery[Subscription], error) {
	shape, err := cat.Table(schema.Subscriptions)
	if err != nil {
		return db.ListQuery[Subscription]{}, err
	}
	var w db.Where
	w.Bind("s.tenant_id = @tenant", "tenant", tenant)
	w.Add(shape.NotDeleted("s"))
	return db.ListQuery[Subscription]{
		SQL: listSubscriptions, Count: countSubscriptions, Columns: shape.Select("s", subscriptionFields), Table: shape.Name,
		Where: w, Order: latestFirst,
	}, nil
}

// Subscriptions returns the live subscriptions of a tenant, latest first. It returns none if the database has no such
// table.
func Subscriptions(ctx context.Context, r db.Reader, cat schema.Catalog, tenant uuid.UUID) ([]Subscription, error) {
	shape, ok := cat[schema.Subscriptions]
	if !ok {
		return []Subscription{}, nil
	}
	sql := "SELECT " + shape.Select("s", subscriptionFields) + " FROM " + shape.Name + " s WHERE s.tenant_id = @tenant AND " +
		shape.NotDeleted("s") + " ORDER BY s.start_date DESC, s.id"
	list, err := db.Collect[Subscription](ctx, r, sql, pgx.NamedArgs{"tenant": tenant})
	if list == nil {
		list = []Subscription{}
	}
	return list, err
}

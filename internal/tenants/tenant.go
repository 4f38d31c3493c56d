package tenants

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Tenant is a tenant's record. A nil field is NULL or a column that this database does not have.
type Tenant struct {
	ID              uuid.UUID       `json:"id" db:"id" table:"key"`
	Code            *string         `json:"code" db:"code" table:"key"`
	Name            *string         `json:"name" db:"name"`
	Type            *string         `json:"type" db:"type"`
	BizNo           *string         `json:"biz_no" db:"biz_no"`
	BizName         *string         `json:"biz_name" db:"biz_name"`
	BizType         *string         `json:"biz_type" db:"biz_type"` // as stored, without CHAR's padding
	CEOName         *string         `json:"ceo_name" db:"ceo_name"`
	BizKind         *string         `json:"biz_kind" db:"biz_kind"`
	BizItem         *string         `json:"biz_item" db:"biz_item"`
	Postcode        *string         `json:"postcode" db:"postcode"`
	Address1        *string         `json:"address1" db:"address1"`
	Address2        *string         `json:"address2" db:"address2"`
	PhoneNo         *string         `json:"phone_no" db:"phone_no"`
	EmployeeCount   *int64          `json:"employee_count" db:"employee_count"`
	StartDate       *db.Date        `json:"start_date" db:"start_date"`
	CloseDate       *db.Date        `json:"close_date" db:"close_date"`
	Timezone        *string         `json:"timezone" db:"timezone"`
	Locale          *string         `json:"locale" db:"locale"`
	Currency        *string         `json:"currency" db:"currency"` // without CHAR's padding
	ExtraData       json.RawMessage `json:"extra_data" db:"extra_data"`
	Status          *string         `json:"status" db:"status"`
	IsSuspended     *bool           `json:"is_suspended" db:"is_suspended"`
	SuspendedReason *string         `json:"suspended_reason" db:"suspended_reason"`
	SuspendedDate   *db.DateOrTime  `json:"suspended_date" db:"suspended_date"`
	Deleted         bool            `json:"deleted" db:"deleted"`
	CreatedAt       *db.Time        `json:"created_at" db:"created_at"`
	UpdatedAt       *db.Time        `json:"updated_at" db:"updated_at"`
	CreatedBy       *uuid.UUID      `json:"created_by" db:"created_by"`
	UpdatedBy       *uuid.UUID      `json:"updated_by" db:"updated_by"`
}

// The values of type and status that the CHECK constraints allow.
var (
	Types    = []string{"TRIAL", "STANDARD", "PREMIUM", "ENTERPRISE"}
	Statuses = []string{"TRIAL", "ACTIVE", "SUSPENDED", "TERMINATED"}
)

// fields are the record's fields as read, in Tenant's order. deleted is not among them, because it is derived from
// the soft-delete flags of this database.
var fields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "code", Type: "text", Also: codeColumns[1:]},
	{Name: "name", Type: "text", Also: []string{"tenant_name"}},
	{Name: "type", Type: "text", Also: []string{"tenant_type"}},
	{Name: "biz_no", Type: "text", Also: []string{"business_no"}},
	{Name: "biz_name", Type: "text", Also: []string{"business_name"}},
	{Name: "biz_type", Type: "text", Also: []string{"business_type"}, Expr: "rtrim(%s)", Binary: "character"},
	{Name: "ceo_name", Type: "text"},
	{Name: "biz_kind", Type: "text", Also: []string{"business_kind"}},
	{Name: "biz_item", Type: "text", Also: []string{"business_item"}},
	{Name: "postcode", Type: "text"},
	{Name: "address1", Type: "text"},
	{Name: "address2", Type: "text"},
	{Name: "phone_no", Type: "text"},
	{Name: "employee_count", Type: "bigint"},
	{Name: "start_date", Type: "date"},
	{Name: "close_date", Type: "date"},
	{Name: "timezone", Type: "text"},
	{Name: "locale", Type: "text"},
	{Name: "currency", Type: "text", Expr: "rtrim(%s)", Binary: "character"},
	{Name: "extra_data", Type: "jsonb"},
	{Name: "status", Type: "text"},
	{Name: "is_suspended", Type: "boolean"},
	{Name: "suspended_reason", Type: "text"},
	{Name: "suspended_date", Type: "timestamptz", Also: []string{"suspension_date"}},
	{Name: "created_at", Type: "timestamptz"},
	{Name: "updated_at", Type: "timestamptz"},
	{Name: "created_by", Type: "uuid"},
	{Name: "updated_by", Type: "uuid"},
}

// Kind describes how tenants are identified: by id or code.
var Kind = resource.Kind[Tenant]{
	Name:        "tenant",
	ID:          func(t Tenant) uuid.UUID { return t.ID },
	DisplayName: func(t Tenant) string { return orID(t.Code, t.ID) },
	Keys: []resource.Key[Tenant]{
		{Name: "id", Of: func(t Tenant) string { return t.ID.String() }},
		{Name: "code", Of: func(t Tenant) string {
			if t.Code == nil {
				return ""
			}
			return *t.Code
		}},
	},
	IsLive:        func(t Tenant) bool { return !t.Deleted },
	Describe:      func(t Tenant) string { return orID(t.Code, t.ID) + " (" + t.ID.String() + ")" },
	AmbiguityHint: "use the tenant's id",
	GuessKey:      func(string) string { return "tenant" },
	DeletedHint:   func(t Tenant) string { return deletedHint(t.ID) },
}

// Resource is how audit undo reverses changes of tenants.
var Resource = audit.Resource{
	Name:   Kind.Name,
	Update: []string{"TENANT_UPDATE"},
	Delete: []string{"TENANT_DELETE"},
	Tables: []string{schema.Tenants},
	Open:   func(cat schema.Catalog) (audit.Reverser, error) { return NewTable(cat) },
}

// orID returns a tenant's code, or its id if it has no code.
func orID(code *string, id uuid.UUID) string {
	if code == nil {
		return id.String()
	}
	return *code
}

// Table is the tenants table of one database.
type Table struct {
	shape        *schema.Table
	fields       []schema.Field
	called       map[string]string // names of columns that differ from their fields, by field
	columns      string
	live         string
	placeholders *strings.Replacer
}

// NewTable returns the manager database's tenants table, or a DATABASE_ERROR if it does not exist.
func NewTable(cat schema.Catalog) (*Table, error) {
	shape, err := cat.Table(schema.Tenants)
	if err != nil {
		return nil, err
	}
	live := shape.NotDeleted("t")
	t := &Table{shape: shape, live: live, fields: slices.Clone(fields), called: shape.Called(fields)}
	for i := range t.fields {
		if c, ok := shape.Column(t.column("suspended_date")); ok && t.fields[i].Name == "suspended_date" {
			t.fields[i].Type = c.Kind()
		}
	}
	t.columns = shape.Select("t", t.fields) + ", NOT (" + live + ") AS deleted"
	t.placeholders = strings.NewReplacer(
		"{table}", shape.Name, "{columns}", t.columns, "{live}", "("+live+")",
		"{code}", code(shape), "{name}", t.expression("name"), "{type}", t.expression("type"), "{biz_no}", t.expression("biz_no"),
	)
	return t, nil
}

// column returns the name of a field's column, which may not exist.
func (t *Table) column(field string) string {
	if c, other := t.called[field]; other {
		return c
	}
	return field
}

// expression returns the SQL that reads a field under the alias t, NULL if the column does not exist.
func (t *Table) expression(field string) string {
	if c := t.column(field); t.shape.Has(c) {
		return expression(c)
	}
	return expression("")
}

// expression returns the SQL that reads a column under the alias t, NULL if the name is empty.
func expression(column string) string {
	if column == "" {
		return "NULL::text"
	}
	return "t." + column
}

// sql replaces the placeholders of a statement with this table's names, columns and predicate of live rows.
func (t *Table) sql(statement string) string { return t.placeholders.Replace(statement) }

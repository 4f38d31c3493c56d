package tenants

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
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
	CreatedBy       *uuid.UUID      `json:"created_by" db:"created_by" table:"user"`
	UpdatedBy       *uuid.UUID      `json:"updated_by" db:"updated_by" table:"user"`
}

// The values of type and status that the CHECK constraints allow.
var (
	Types    = []string{"TRIAL", "STANDARD", "PREMIUM", "ENTERPRISE"}
	Statuses = []string{"TRIAL", "ACTIVE", "SUSPENDED", "TERMINATED"}
)

// fields declare the record. deleted is not among them, because it is derived from the soft-delete flags of this
// database.
var fields = schema.FieldsOf[Tenant]{
	{Name: "id", Type: "uuid", Of: func(t *Tenant) any { return &t.ID }, Sort: true},
	{Name: "code", Type: "varchar(20)", Of: func(t *Tenant) any { return &t.Code }, Also: codeColumns[1:], Required: true, Change: true, Sort: true},
	{Name: "name", Type: "varchar(100)", Of: func(t *Tenant) any { return &t.Name }, Also: []string{"tenant_name"}, Required: true, Change: true, Sort: true},
	{Name: "type", Type: "varchar(20)", Of: func(t *Tenant) any { return &t.Type }, Also: []string{"tenant_type"}, Choices: Types, Change: true, Sort: true},
	{Name: "biz_no", Type: "varchar(20)", Of: func(t *Tenant) any { return &t.BizNo }, Also: []string{"business_no"}, Change: true, Unset: true, Sort: true},
	{Name: "biz_name", Type: "varchar(100)", Of: func(t *Tenant) any { return &t.BizName }, Also: []string{"business_name"}, Change: true, Unset: true},
	{Name: "biz_type", Type: "char(1)", Of: func(t *Tenant) any { return &t.BizType }, Also: []string{"business_type"}, Change: true, Unset: true},
	{Name: "ceo_name", Type: "varchar(100)", Of: func(t *Tenant) any { return &t.CEOName }, Change: true, Unset: true},
	{Name: "biz_kind", Type: "varchar(100)", Of: func(t *Tenant) any { return &t.BizKind }, Also: []string{"business_kind"}, Change: true, Unset: true},
	{Name: "biz_item", Type: "varchar(100)", Of: func(t *Tenant) any { return &t.BizItem }, Also: []string{"business_item"}, Change: true, Unset: true},
	{Name: "postcode", Type: "varchar(10)", Of: func(t *Tenant) any { return &t.Postcode }, Change: true, Unset: true},
	{Name: "address1", Type: "varchar(255)", Of: func(t *Tenant) any { return &t.Address1 }, Change: true, Unset: true},
	{Name: "address2", Type: "varchar(255)", Of: func(t *Tenant) any { return &t.Address2 }, Change: true, Unset: true},
	{Name: "phone_no", Type: "varchar(20)", Of: func(t *Tenant) any { return &t.PhoneNo }, Check: validate.CheckPhone, Change: true, Unset: true},
	{Name: "employee_count", Type: "integer", Of: func(t *Tenant) any { return &t.EmployeeCount }, Change: true, Unset: true, Sort: true},
	{Name: "start_date", Type: "date", Of: func(t *Tenant) any { return &t.StartDate }, Change: true, Sort: true},
	{Name: "close_date", Type: "date", Of: func(t *Tenant) any { return &t.CloseDate }, Change: true, Unset: true, Sort: true},
	{Name: "timezone", Type: "varchar(50)", Of: func(t *Tenant) any { return &t.Timezone }, Check: validate.CheckZone, Change: true},
	{Name: "locale", Type: "varchar(10)", Of: func(t *Tenant) any { return &t.Locale }, Check: validate.CheckLocale, Change: true},
	{Name: "currency", Type: "char(3)", Of: func(t *Tenant) any { return &t.Currency }, Upper: true, Check: checkCurrency, Change: true},
	{Name: "extra_data", Type: "jsonb", Of: func(t *Tenant) any { return &t.ExtraData }},
	{Name: "status", Type: "varchar(20)", Of: func(t *Tenant) any { return &t.Status }, Sort: true},
	{Name: "is_suspended", Type: "boolean", Of: func(t *Tenant) any { return &t.IsSuspended }},
	{Name: "suspended_reason", Type: "text", Of: func(t *Tenant) any { return &t.SuspendedReason }},
	{Name: "suspended_date", Type: "date", Of: func(t *Tenant) any { return &t.SuspendedDate }, Also: []string{"suspension_date"}, Sort: true},
	{Name: "created_at", Type: "timestamptz", Of: func(t *Tenant) any { return &t.CreatedAt }, Sort: true},
	{Name: "updated_at", Type: "timestamptz", Of: func(t *Tenant) any { return &t.UpdatedAt }, Sort: true},
	{Name: "created_by", Type: "uuid", Of: func(t *Tenant) any { return &t.CreatedBy }},
	{Name: "updated_by", Type: "uuid", Of: func(t *Tenant) any { return &t.UpdatedBy }},
}

// Columns are those of the record.
var Columns = fields.Declarations()

// The names of the fields that lists can be sorted by and that can be NULL.
var (
	SortFields = fields.Sorts()
	Unsettable = fields.Unsets()
)

// Kind describes how tenants are identified: by id or code.
var Kind = kind(func(t Tenant) Ref { return Ref{t.ID, t.Code, !t.Deleted} })

// kind returns the Kind of records that have what a Ref has.
func kind[T any](ref func(T) Ref) resource.Kind[T] {
	return resource.Kind[T]{
		Name:        "tenant",
		ID:          func(t T) uuid.UUID { return ref(t).ID },
		DisplayName: func(t T) string { return ref(t).Name() },
		Keys: []resource.Key[T]{
			{Name: "id", Of: func(t T) string { return ref(t).ID.String() }},
			{Name: "code", Of: func(t T) string { return *cmp.Or(ref(t).Code, new(string)) }},
		},
		IsLive:        func(t T) bool { return ref(t).Live },
		AmbiguityHint: "use the tenant's id",
		GuessKey:      func(string) string { return "tenant" },
		DeletedHint:   "a deleted tenant matches; show it with: cxgctl tenants get %s --include-deleted", // also for commands that cannot show it
	}
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
	rowupdate.Table[Tenant]
	read         []schema.Field
	called       map[string]string // names of columns that differ from their fields, by field
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
	read := fields.Fields(shape)
	t := &Table{Table: rowupdate.Table[Tenant]{Shape: shape}, live: live, read: read, called: shape.Called(read)}
	t.Columns = shape.Select("t", t.read) + ", NOT (" + live + ") AS deleted"
	t.placeholders = strings.NewReplacer(
		"{table}", shape.Name, "{columns}", t.Columns, "{live}", "("+live+")",
		"{code}", code(shape), "{name}", t.expression("name"), "{type}", t.expression("type"), "{biz_no}", t.expression("biz_no"),
	)
	t.Table = t.rows()
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
	if c := t.column(field); t.Shape.Has(c) {
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

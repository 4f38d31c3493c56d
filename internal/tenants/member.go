package tenants

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Member is the record of a user's membership of a tenant.
type Member struct {
	ID         uuid.UUID  `json:"id" db:"id" table:"key"`
	TenantID   uuid.UUID  `json:"tenant_id" db:"tenant_id"`
	TenantCode *string    `json:"tenant_code" db:"tenant_code" table:"key"`
	UserID     uuid.UUID  `json:"user_id" db:"user_id"`
	Username   *string    `json:"username" db:"username" table:"key"`
	FullName   *string    `json:"full_name" db:"full_name"`
	Email      *string    `json:"email" db:"email"`
	Role       *string    `json:"role" db:"role" table:"key"`
	Department *string    `json:"department" db:"department"`
	Position   *string    `json:"position" db:"position"`
	EmployeeID *string    `json:"employee_id" db:"employee_id"`
	StartDate  *db.Date   `json:"start_date" db:"start_date"`
	CloseDate  *db.Date   `json:"close_date" db:"close_date"`
	Status     *string    `json:"status" db:"status"`
	IsPrimary  *bool      `json:"is_primary" db:"is_primary"`
	IsAdmin    *bool      `json:"is_admin" db:"is_admin"`
	CreatedAt  *db.Time   `json:"created_at" db:"created_at"`
	UpdatedAt  *db.Time   `json:"updated_at" db:"updated_at"`
	CreatedBy  *uuid.UUID `json:"created_by" db:"created_by" table:"user"`
	UpdatedBy  *uuid.UUID `json:"updated_by" db:"updated_by" table:"user"`
}

// MemberStatuses are the values of a membership's status that the CHECK constraint allows.
var MemberStatuses = []string{"ACTIVE", "INACTIVE", "SUSPENDED", "LEFT"}

// left reports whether the user has left the tenant.
func (m Member) left() bool { return m.Status != nil && *m.Status == "LEFT" }

// memberFields declare the record. Its other fields come from the tables of tenants and users.
var memberFields = schema.FieldsOf[Member]{
	{Name: "id", Type: "uuid", Of: func(m *Member) any { return &m.ID }},
	{Name: "tenant_id", Type: "uuid", Of: func(m *Member) any { return &m.TenantID }},
	{Name: "user_id", Type: "uuid", Of: func(m *Member) any { return &m.UserID }},
	{Name: "role", Type: "varchar(50)", Of: func(m *Member) any { return &m.Role }, Min: 1, Change: true, Unset: true},
	{Name: "department", Type: "varchar(100)", Of: func(m *Member) any { return &m.Department }, Min: 1, Change: true, Unset: true},
	{Name: "position", Type: "varchar(100)", Of: func(m *Member) any { return &m.Position }, Min: 1, Change: true, Unset: true},
	{Name: "employee_id", Type: "varchar(50)", Of: func(m *Member) any { return &m.EmployeeID }, Min: 1, Change: true, Unset: true},
	{Name: "start_date", Type: "date", Of: func(m *Member) any { return &m.StartDate }},
	{Name: "close_date", Type: "date", Of: func(m *Member) any { return &m.CloseDate }},
	{Name: "status", Type: "varchar(20)", Of: func(m *Member) any { return &m.Status }, Choices: MemberStatuses[:3], Default: "ACTIVE", Change: true},
	{Name: "is_primary", Type: "boolean", Of: func(m *Member) any { return &m.IsPrimary }, Default: "false", Change: true},
	{Name: "is_admin", Type: "boolean", Of: func(m *Member) any { return &m.IsAdmin }, Default: "false", Change: true},
	{Name: "created_at", Type: "timestamptz", Of: func(m *Member) any { return &m.CreatedAt }},
	{Name: "updated_at", Type: "timestamptz", Of: func(m *Member) any { return &m.UpdatedAt }},
	{Name: "created_by", Type: "uuid", Of: func(m *Member) any { return &m.CreatedBy }},
	{Name: "updated_by", Type: "uuid", Of: func(m *Member) any { return &m.UpdatedBy }},
}

// The fields of a membership that can be set, and the names of those that can be NULL.
var (
	changeable       = memberFields.Where(func(f *schema.FieldOf[Member]) bool { return f.Change })
	UnsettableMember = memberFields.Unsets()
)

// memberNoun names memberships in messages. Commands identify them by tenant and user.
var memberNoun = resource.Kind[Member]{
	Name:        "member",
	ID:          func(m Member) uuid.UUID { return m.ID },
	IsLive:      func(m Member) bool { return !m.left() },
	DisplayName: func(m Member) string { return orID(m.Username, m.UserID) + " of " + orID(m.TenantCode, m.TenantID) },
	Keys: []resource.Key[Member]{
		{Name: "id", Of: func(m Member) string { return m.ID.String() }},
		{Name: "username", Of: func(m Member) string { return orID(m.Username, m.UserID) }},
	},
}

// MemberResource is how audit undo reverses changes of memberships.
var MemberResource = audit.Resource{
	Name:   memberNoun.Name,
	Update: []string{"TENANT_UPDATE"},
	Tables: []string{schema.TenantUsers, schema.Tenants, schema.Users},
	Open:   func(cat schema.Catalog) (audit.Reverser, error) { return NewMembers(cat) },
}

// Members is the table of memberships of one database.
type Members struct {
	shape        *schema.Table
	columns      string
	join         string
	status       string // the expression for a membership's status; deleted rows are LEFT
	placeholders *strings.Replacer
}

// NewMembers returns the manager database's memberships, or a DATABASE_ERROR if the table does not exist.
func NewMembers(cat schema.Catalog) (*Members, error) {
	shape, err := cat.Table(schema.TenantUsers)
	if err != nil {
		return nil, err
	}
	join, codeExpr, _ := Join(cat, "m.tenant_id")
	m := &Members{shape: shape, join: join + " LEFT JOIN idam.users u ON u.id = m.user_id", status: shape.LiveStatus("m", "LEFT")}
	read := memberFields.Fields(shape)
	for i := range read {
		if read[i].Name == "status" {
			read[i].Expr = m.status
		}
	}
	m.columns = shape.Select("m", read) + ", " + codeExpr + " AS tenant_code, u.username, u.full_name, u.email"
	m.placeholders = strings.NewReplacer("{table}", shape.Name, "{columns}", m.columns, "{join}", m.join)
	return m, nil
}

// Get returns a user's membership of a tenant, even if it was LEFT, or RESOURCE_NOT_FOUND.
func (m *Members) Get(ctx context.Context, r db.Reader, tenant Tenant, user uuid.UUID, username string) (Member, error) {
	rows, err := m.of(ctx, r, tenant.ID, user)
	if err != nil {
		return Member{}, err
	}
	if len(rows) == 0 {
		return Member{}, fault.New(fault.NotFound, "user %q is not a member of tenant %q", username, Kind.DisplayName(tenant)).
			With("tenant", Kind.DisplayName(tenant)).With("username", username)
	}
	return rows[0], nil
}

// of returns a user's memberships of a tenant, those that were LEFT included.
func (m *Members) of(ctx context.Context, r db.Reader, tenant, user uuid.UUID) ([]Member, error) {
	const memberships = `SELECT {columns} FROM {table} m {join} WHERE m.tenant_id = @tenant AND m.user_id = @user ORDER BY m.id`
	return db.Collect[Member](ctx, r, m.placeholders.Replace(memberships), pgx.NamedArgs{"tenant": tenant, "user": user})
}

// Membership returns the predicate that selects users, under the alias u, who are members of the tenant and have not
// left it.
func (m *Members) Membership(tenant uuid.UUID) string {
	return "EXISTS (SELECT FROM " + m.shape.Name + " m WHERE m.user_id = u.id AND m.tenant_id = '" + tenant.String() + "'::uuid AND " +
		m.status + " IS DISTINCT FROM 'LEFT')"
}

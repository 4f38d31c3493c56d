// Package users holds the user accounts of the platform: the record, its validation, and the functions that read and
// change users.
package users

import (
	"cmp"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// User is a user's record, in the contract's field order. A nil field is NULL or a column that this database does not
// have. The record has no secrets.
type User struct {
	ID                  uuid.UUID  `json:"id" db:"id" table:"key"`
	Username            string     `json:"username" db:"username" table:"key"`
	FullName            *string    `json:"full_name" db:"full_name"`
	Email               string     `json:"email" db:"email"`
	Phone               *string    `json:"phone" db:"phone"`
	UserType            *string    `json:"user_type" db:"user_type"`
	Status              *string    `json:"status" db:"status"`
	MFAEnabled          *bool      `json:"mfa_enabled" db:"mfa_enabled"`
	SSOProvider         *string    `json:"sso_provider" db:"sso_provider"`
	EmailVerified       *bool      `json:"email_verified" db:"email_verified"`
	PhoneVerified       *bool      `json:"phone_verified" db:"phone_verified"`
	LastLoginAt         *db.Time   `json:"last_login_at" db:"last_login_at"`
	LastLoginIP         *string    `json:"last_login_ip" db:"last_login_ip" table:"whole"`
	FailedLoginAttempts *int64     `json:"failed_login_attempts" db:"failed_login_attempts"`
	LockedUntil         *db.Time   `json:"locked_until" db:"locked_until"`
	PasswordChangedAt   *db.Time   `json:"password_changed_at" db:"password_changed_at"`
	ForcePasswordChange *bool      `json:"force_password_change" db:"force_password_change"`
	Timezone            *string    `json:"timezone" db:"timezone"`
	Locale              *string    `json:"locale" db:"locale"`
	Department          *string    `json:"department" db:"department"`
	Position            *string    `json:"position" db:"position"`
	IsActive            bool       `json:"is_active" db:"is_active"`
	CreatedAt           *db.Time   `json:"created_at" db:"created_at"`
	UpdatedAt           *db.Time   `json:"updated_at" db:"updated_at"`
	CreatedBy           *uuid.UUID `json:"created_by" db:"created_by" table:"user"`
	UpdatedBy           *uuid.UUID `json:"updated_by" db:"updated_by" table:"user"`

	Deleted bool `json:"-" db:"deleted"` // implies !IsActive; a tenant's user can be inactive without being deleted
}

// Standing returns what the platform checks at login: the status, or "DELETED" if the row is marked as deleted.
func (u User) Standing() string {
	switch {
	case !u.IsActive:
		return "DELETED"
	case u.Status == nil:
		return ""
	}
	return *u.Status
}

// CanSignIn reports whether the platform should let the user in.
func (u User) CanSignIn() bool { return u.Standing() == "ACTIVE" }

// The values of user_type and status that the CHECK constraints allow.
var (
	Types    = []string{"MASTER", "TENANT", "SYSTEM"}
	Statuses = []string{"ACTIVE", "INACTIVE", "LOCKED", "SUSPENDED"}
)

// fields declare the record. is_active is derived from the soft-delete flags of this database.
var fields = schema.FieldsOf[User]{
	{Name: "id", Type: "uuid", Of: func(u *User) any { return &u.ID }, Sort: true},
	{Name: "username", Type: "varchar(100)", Of: func(u *User) any { return &u.Username }, Min: 3, Check: CheckUsername, Required: true, Change: true, Access: true, Sort: true},
	{Name: "full_name", Type: "varchar(100)", Of: func(u *User) any { return &u.FullName }, Required: true, Change: true, Sort: true},
	{Name: "email", Type: "varchar(255)", Of: func(u *User) any { return &u.Email }, Check: checkEmail, Required: true, Change: true, Access: true, Sort: true},
	{Name: "phone", Type: "varchar(20)", Of: func(u *User) any { return &u.Phone }, Check: validate.CheckPhone, Change: true, Access: true, Unset: true},
	{Name: "user_type", Type: "varchar(20)", Of: func(u *User) any { return &u.UserType }, Choices: Types, Default: "TENANT", Change: true, Access: true, Sort: true},
	{Name: "status", Type: "varchar(20)", Of: func(u *User) any { return &u.Status }, Choices: Statuses, Default: "ACTIVE", Change: true, Access: true, Sort: true},
	{Name: "mfa_enabled", Type: "boolean", Of: func(u *User) any { return &u.MFAEnabled }, Change: true, Access: true},
	{Name: "sso_provider", Type: "varchar(50)", Of: func(u *User) any { return &u.SSOProvider }, Access: true},
	{Name: "email_verified", Type: "boolean", Of: func(u *User) any { return &u.EmailVerified }, Change: true, Access: true},
	{Name: "phone_verified", Type: "boolean", Of: func(u *User) any { return &u.PhoneVerified }, Change: true, Access: true},
	{Name: "last_login_at", Type: "timestamptz", Of: func(u *User) any { return &u.LastLoginAt }, Sort: true},
	{Name: "last_login_ip", Type: "inet", Of: func(u *User) any { return &u.LastLoginIP }},
	{Name: "failed_login_attempts", Type: "integer", Of: func(u *User) any { return &u.FailedLoginAttempts }, Default: "0", Access: true, Sort: true},
	{Name: "locked_until", Type: "timestamptz", Of: func(u *User) any { return &u.LockedUntil }, Access: true, Sort: true},
	{Name: "password_changed_at", Type: "timestamptz", Of: func(u *User) any { return &u.PasswordChangedAt }, Sort: true},
	{Name: "force_password_change", Type: "boolean", Of: func(u *User) any { return &u.ForcePasswordChange }, Change: true, Access: true},
	{Name: "department", Type: "varchar(100)", Of: func(u *User) any { return &u.Department }, Change: true, Unset: true, Sort: true},
	{Name: "position", Type: "varchar(100)", Of: func(u *User) any { return &u.Position }, Change: true, Unset: true, Sort: true},
	{Name: "timezone", Type: "varchar(50)", Of: func(u *User) any { return &u.Timezone }, Check: validate.CheckZone, Change: true, Unset: true},
	{Name: "locale", Type: "varchar(10)", Of: func(u *User) any { return &u.Locale }, Check: validate.CheckLocale, Change: true, Unset: true},
	{Name: "is_active", Of: func(u *User) any { return &u.IsActive }, Default: "true", Access: true},
	{Name: "created_at", Type: "timestamptz", Of: func(u *User) any { return &u.CreatedAt }, Sort: true},
	{Name: "updated_at", Type: "timestamptz", Of: func(u *User) any { return &u.UpdatedAt }, Sort: true},
	{Name: "created_by", Type: "uuid", Of: func(u *User) any { return &u.CreatedBy }},
	{Name: "updated_by", Type: "uuid", Of: func(u *User) any { return &u.UpdatedBy }},
}

// Columns are those of the record.
var Columns = fields.Declarations()

// WayIn returns the fields that differ between two records of a user and that affect who can log in as them. Secrets,
// which are not in the record, always do.
func WayIn(before, after User) []string {
	return fields.Where(func(f *schema.FieldOf[User]) bool { return f.Access && !f.Equal(&before, &after) }).Names()
}

// Table is a users table of one database, the manager's or a tenant's.
type Table struct {
	rowupdate.Table[User]
	read         []schema.Field
	live         string // the predicate of is_active
	gone         string // the predicate of deleted rows
	tenant       *Tenancy
	former       string // the expression for the status before a deletion; NULL if unknown
	placeholders *strings.Replacer
}

// NewTable returns the manager database's users table, or a DATABASE_ERROR if it does not exist.
func NewTable(cat schema.Catalog) (*Table, error) {
	shape, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	live := shape.NotDeleted("u")
	t := &Table{Table: rowupdate.Table[User]{Shape: shape}, read: fields.Fields(shape), live: live, gone: "NOT (" + live + ")", former: "NULL::text"}
	if log, err := audit.NewLog(cat); err == nil {
		t.former = log.BeforeDeletion("u", "status")
	}
	return t.prepare("true", "true", "u.status"), nil
}

// prepare sets the placeholders of statements: which rows belong to this table, which rows hold unique values, and
// the expression for the status.
func (t *Table) prepare(mine, holding, status string) *Table {
	t.Columns = t.Shape.Select("u", t.read) + ", (" + t.live + ") AS is_active, (" + t.gone + ") AS deleted"
	there := "(" + t.live + ")"
	if t.tenant != nil {
		there = "NOT (" + t.gone + ")"
	}
	name := cmp.Or(joinedName(t.Shape), "NULL::text")
	if t.Shape.Has("full_name") {
		name = "u.full_name"
	}
	t.placeholders = strings.NewReplacer(
		"{full_name}", name, "{table}", t.Shape.Name, "{columns}", t.Columns, "{live}", there, "{mine}", mine, "{holding}", holding, "{status}", status,
	)
	t.Table = t.rows()
	return t
}

// sql replaces the placeholders of a statement with this table's name, columns and predicates.
func (t *Table) sql(statement string) string { return t.placeholders.Replace(statement) }

package users

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// New describes a user to create. Empty optional texts are stored as NULL. PasswordHash is a bcrypt hash, or empty
// for an account without a password.
type New struct {
	Username, Email, FullName string
	Phone                     string
	UserType                  string
	Department, Position      string
	Timezone, Locale          string
	MFA, ForcePasswordChange  bool
	PasswordHash              string
	AllowVariant              bool // accept a variant of another user's e-mail or username
}

// Check normalizes the texts and returns all problems at once.
func (n *New) Check() error {
	var p fault.Problems
	n.check(&p, false)
	n.UserType = p.Choices("user_type", []string{n.UserType}, Types)[0]
	return p.Err()
}

// check does the part of Check that applies to every users table.
func (n *New) check(p *fault.Problems, namesInParts bool) {
	for _, s := range []*string{&n.Username, &n.Email, &n.FullName, &n.Phone, &n.Department, &n.Position, &n.Timezone, &n.Locale} {
		*s = normal(*s)
	}
	checkUsername(p, n.Username)
	checkEmail(p, n.Email)
	if !namesInParts {
		checkText(p, "full_name", n.FullName, 1, 100)
	}
	checkOptional(p, "phone", n.Phone, 0, 20)
	checkOptional(p, "department", n.Department, 0, 100)
	checkOptional(p, "position", n.Position, 0, 100)
	checkOptional(p, "timezone", n.Timezone, 0, 50)
	checkOptional(p, "locale", n.Locale, 0, 10)
}

// values returns the columns of a new user. Insert skips those that this database does not have.
func (n New) values() [][2]string {
	v := [][2]string{
		{"id", "@id"},
		{"username", "@username"},
		{"email", "@email"},
		{"full_name", "@full_name"},
		{"phone", "nullif(@phone, '')"},
		{"user_type", "@user_type"},
		{"status", "'ACTIVE'"},
		{"department", "nullif(@department, '')"},
		{"position", "nullif(@position, '')"},
		{"mfa_enabled", "@mfa"},
		{"force_password_change", "@force"},
		{"failed_login_attempts", "0"},
		{"password", "nullif(@password, '')"},
		{"password_hash", "nullif(@password, '')"},
		{"user_code", "@username"},
		{"password_changed_at", "CASE WHEN @password <> '' THEN @now::timestamptz END"},
		{"created_at", "@now"},
		{"created_by", "@by"},
		{"tenant_id", "@tenant"},
		{"is_system_user", "false"},
	}
	if n.Timezone != "" {
		v = append(v, [2]string{"timezone", "@timezone"})
	}
	if n.Locale != "" {
		v = append(v, [2]string{"locale", "@locale"})
	}
	return append(v, schema.LiveValues()...)
}

// Create inserts a user. If the username or e-mail is taken, it returns RESOURCE_ALREADY_EXISTS and names the holder.
// The unique indexes decide that, not a query beforehand.
func (t *Table) Create(ctx context.Context, l *audit.Ledger, n New) (User, error) {
	var made User
	if err := t.Check(&n); err != nil {
		return made, err
	}
	if err := t.needsPassword(n.PasswordHash); err != nil {
		return made, err
	}
	intent := audit.Intent{Subject: t.subject(n.Username), Action: audit.Create}
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		u, change, err := t.CreateTx(ctx, tx, l.Reader(), n)
		made = u
		return []audit.Change{change}, err
	})
	return made, err
}

// CreateTx is Create inside a transaction, for a user that has passed Check. It uses beside to read outside the
// transaction.
func (t *Table) CreateTx(ctx context.Context, tx *audit.Tx, beside db.Reader, n New) (User, audit.Change, error) {
	change := audit.Change{Subject: t.subject(n.Username), Action: audit.Create}
	var tenant *uuid.UUID
	if t.tenant != nil {
		tenant = &t.tenant.ID
	}
	id := tx.NewID()
	if err := t.distinct(ctx, tx, identity{id, n.Username, n.Email}, n.AllowVariant); err != nil {
		return User{}, change, err
	}
	err := tx.Insert(ctx, t.shape, fmt.Sprintf("user %q", n.Username), n.values(), pgx.NamedArgs{
		"id": id, "username": n.Username, "email": n.Email, "full_name": n.FullName, "phone": n.Phone,
		"user_type": n.UserType, "department": n.Department, "position": n.Position, "mfa": n.MFA,
		"force": n.ForcePasswordChange, "password": n.PasswordHash, "timezone": n.Timezone, "locale": n.Locale,
		"now": tx.Now, "by": tx.ByID(), "tenant": tenant,
	})
	if err != nil {
		return User{}, change, t.taken(ctx, beside, err, n.Username, n.Email)
	}
	rows, err := db.Collect[User](ctx, tx, t.sql("SELECT {columns} FROM {table} u WHERE u.id = @id"), pgx.NamedArgs{"id": id})
	if err != nil {
		return User{}, change, err
	}
	change.ID, change.After = rows[0].ID, rows[0]
	if image := t.image(); image != nil {
		change.After = image(rows[0])
	}
	if n.PasswordHash != "" {
		change.Secrets = []string{"password"}
	}
	return rows[0], change, nil
}

const findHolders = `
SELECT {columns} FROM {table} u WHERE (u.username = @username OR u.email = @email) AND {holding} ORDER BY u.id`

// taken turns a unique violation into an error that names every taken field and its holder. Other errors pass
// unchanged. It reads outside the failed transaction.
func (t *Table) taken(ctx context.Context, r db.Reader, cause error, username, email string) error {
	if db.UniqueViolation(cause) == "" {
		return cause
	}
	holders, err := db.Collect[User](ctx, r, t.sql(findHolders), pgx.NamedArgs{"username": username, "email": email})
	if err != nil || len(holders) == 0 {
		return cause // the holder is gone or invisible, so keep the server's error
	}
	var parts []string
	var fields []map[string]any
	deleted := ""
	for _, h := range holders {
		for _, v := range []struct{ field, want, has string }{{"username", username, h.Username}, {"email", email, h.Email}} {
			if v.want == "" || v.want != v.has {
				continue
			}
			parts = append(parts, fmt.Sprintf("%s %q is taken", v.field, v.want))
			fields = append(fields, map[string]any{"field": v.field, "value": v.want, "holder": h.ID.String()})
		}
		if !h.IsActive {
			deleted = h.ID.String()
		}
	}
	f := fault.New(fault.AlreadyExists, "%s", strings.Join(parts, "; ")).Because(cause).
		With("fields", fields).With("holder", fields[0]["holder"]).With("field", fields[0]["field"])
	if deleted != "" {
		f.WithHint("a deleted user has it; restore that user with: cxgctl users restore %s", deleted)
	}
	return f
}

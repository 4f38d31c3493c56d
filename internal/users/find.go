package users

import (
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Described names a user for people: "ada (Ada Lovelace <ada@example.com>, TENANT, deleted)".
func (u User) Described() string {
	var about []string
	if u.FullName != nil {
		about = append(about, *u.FullName+" <"+u.Email+">")
	}
	if u.UserType != nil {
		about = append(about, *u.UserType)
	}
	if u.Deleted {
		about = append(about, "deleted")
	}
	return u.Username + " (" + strings.Join(about, ", ") + ")"
}

// Kind describes how users are identified: by id, username or e-mail.
var Kind = resource.Kind[User]{
	Name:        "user",
	ID:          func(u User) uuid.UUID { return u.ID },
	DisplayName: func(u User) string { return u.Username },
	Keys: []resource.Key[User]{
		{Name: "id", Of: func(u User) string { return u.ID.String() }},
		{Name: "username", Of: func(u User) string { return u.Username }},
		{Name: "email", Of: func(u User) string { return u.Email }},
	},
	IsLive:        func(u User) bool { return !u.Deleted },
	Describe:      func(u User) string { return u.Username + " (" + u.ID.String() + ", " + u.Email + ")" },
	AmbiguityHint: "add --by id, --by username or --by email",
	GuessKey: func(text string) string {
		switch _, err := uuid.Parse(text); {
		case err == nil:
			return "id"
		case strings.Contains(text, "@"):
			return "email"
		}
		return "username"
	},
}

// Resource is how audit undo reverses changes of users.
var Resource = audit.Resource{
	Name:   Kind.Name,
	Update: []string{"USER_UPDATE"},
	Delete: []string{"USER_DELETE"},
	Tables: []string{schema.Users},
	Open:   func(cat schema.Catalog) (audit.Reverser, error) { return NewTable(cat) },
}

// PostgreSQL combines the three unique indexes in one bitmap scan.
const findByRef = `
SELECT {columns}
  FROM {table} u
 WHERE (u.id = ANY (@id::text[]::uuid[]) OR u.username = ANY (@username::text[]) OR u.email = ANY (@email::text[])) AND {mine}
 ORDER BY u.id`

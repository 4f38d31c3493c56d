package users

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/resource"
)

// Noun is how users are named: by id, username or e-mail.
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
	AmbiguityHint: "say which with --by id, --by username or --by email",
	GuessKey: func(text string) string {
		switch _, err := uuid.Parse(text); {
		case err == nil:
			return "id"
		case strings.Contains(text, "@"):
			return "email"
		}
		return "username"
	},
	DeletedHint: func(u User) string { return resource.DeletedHint("user", "users", u.ID) },
}

// Each of the three unique indexes is read for all REFs, and the results are put together as bitmaps.
const findByRef = `
SELECT {columns}
  FROM {table} u
 WHERE (u.id = ANY (@id::text[]::uuid[]) OR u.username = ANY (@username::text[]) OR u.email = ANY (@email::text[])) AND {mine}
 ORDER BY u.id`

// Find looks up every REF, in order; by is the name of a key, or "" for any. A REF that fits no row,
// only a deleted one (unless deleted is set), or two rows has an error; the others have their user.
func (t *Table) Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[User], error) {
	// most commands look up one REF once: a preparation's round trip would not pay
	rows, err := db.Collect[User](ctx, r, t.sql(findByRef), pgx.QueryExecModeExec, Kind.Args(refs, by))
	if err != nil {
		return nil, err
	}
	return Kind.Matches(refs, by, rows, deleted), nil
}

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
	"github.com/cxgctl/cxgctl/internal/importer"
)

const importHolders = `
SELECT {columns}
  FROM {table} u
 WHERE u.id = ANY (@ids::uuid[]) OR (u.username = ANY (@usernames::text[]) OR u.email = ANY (@emails::text[])) AND {holding}
 ORDER BY u.id`

// holders are the users that have a unique value of some row.
type holders struct {
	id       map[uuid.UUID]*User
	username map[string]*User
	email    map[string]*User
}

// conflicts looks for users that hold a unique value of the rows, and decides the outcome of those rows: they fail,
// are skipped or become updates of their holder. It returns how many rows it decided. It also fails remaining rows
// that cannot become a new user.
func (im *importSpec) conflicts(ctx context.Context, tx *audit.Tx, rows []*incoming) (int, error) {
	ids := make([]uuid.UUID, 0, len(rows))
	names, emails := make([]string, 0, len(rows)), make([]string, 0, len(rows))
	for _, in := range rows {
		if in.user.ID != uuid.Nil {
			ids = append(ids, in.user.ID)
		}
		if in.user.Username != "" {
			names = append(names, in.user.Username)
		}
		if in.user.Email != "" {
			emails = append(emails, in.user.Email)
		}
	}
	sql := importHolders
	if im.OnConflict == importer.Update {
		sql += " FOR UPDATE" // keep them unchanged until the update
	}
	found, err := db.Collect[User](ctx, tx, im.t.sql(sql), pgx.NamedArgs{"ids": ids, "usernames": names, "emails": emails})
	if err != nil {
		return 0, err
	}
	h := holders{map[uuid.UUID]*User{}, map[string]*User{}, map[string]*User{}}
	for i := range found {
		u := &found[i]
		h.id[u.ID], h.username[u.Username], h.email[u.Email] = u, u, u
	}
	decided := 0
	for _, in := range rows {
		if in.Outcome == importer.Pending && im.decide(in, h) {
			decided++
		}
	}
	im.complete(rows)
	return decided, nil
}

// decide sets the outcome of a row if its values are taken; it reports whether they are.
func (im *importSpec) decide(in *incoming, h holders) bool {
	byID, byName, byEmail := h.id[in.user.ID], h.username[in.user.Username], h.email[in.user.Email]
	if byID == nil && byName == nil && byEmail == nil {
		return false
	}
	switch im.OnConflict {
	case importer.Skip:
		in.Outcome = importer.Skipped
		return true
	case importer.Update:
		who := byID
		if who == nil {
			who = byName
		}
		same := func(u *User) *User {
			if who != nil && u == who {
				return nil
			}
			return u
		}
		if n, e := same(byName), same(byEmail); n != nil || e != nil || who == nil {
			in.takenBy(nil, n, e)
			return true
		}
		if !who.IsActive && !im.Restore {
			field, value := "username", in.user.Username
			if byName == nil {
				field, value = "id", in.user.ID.String()
			}
			in.Fail(field, value, fault.New(fault.Conflict, "user %q is deleted", who.Username).WithHint("to restore deleted users, add --restore"), &who.ID)
			return true
		}
		in.holder, in.Outcome = who, importer.Matched
		return true
	}
	in.takenBy(byID, byName, byEmail)
	return true
}

// takenBy fails a row with every value that is taken, and with the first holder.
func (in *incoming) takenBy(byID, byName, byEmail *User) {
	var parts []string
	var field, value, deleted string
	var holder *User
	for _, v := range []struct {
		field, value string
		holder       *User
	}{{"username", in.user.Username, byName}, {"email", in.user.Email, byEmail}, {"id", in.user.ID.String(), byID}} {
		if v.holder == nil {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %q is taken by %s", v.field, v.value, v.holder.Username))
		if holder == nil {
			field, value, holder = v.field, v.value, v.holder
		}
		if !v.holder.IsActive {
			deleted = v.holder.ID.String()
		}
	}
	f := fault.New(fault.AlreadyExists, "%s", strings.Join(parts, "; "))
	f.Kind = fmt.Sprint("taken", field, len(parts), deleted != "")
	if deleted != "" {
		f.WithHint("that user is deleted; restore it with: cxgctl users restore %s", deleted)
	}
	in.Fail(field, value, f, &holder.ID)
}

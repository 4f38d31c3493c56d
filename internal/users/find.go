package users

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// By says what a REF may be; the zero value means any of the three.
type By string

// The ways to name a user.
const (
	ByAny      By = ""
	ByID       By = "id"
	ByUsername By = "username"
	ByEmail    By = "email"
)

// ParseBy reads --by.
func ParseBy(s string) (By, error) {
	switch b := By(strings.ToLower(s)); b {
	case ByAny, ByID, ByUsername, ByEmail:
		return b, nil
	}
	return "", fault.New(fault.Usage, "--by %q is refused, it is id, username or email", s)
}

// Each REF is looked up through the three unique indexes; ORs over columns would scan the table.
const findByRef = `
SELECT r.n, {columns}
  FROM unnest(@refs::text[], @ids::text[]::uuid[]) WITH ORDINALITY AS r(ref, id, n)
 CROSS JOIN LATERAL (
       SELECT i.id FROM {table} i WHERE i.id = r.id AND @by IN ('', 'id')
        UNION
       SELECT i.id FROM {table} i WHERE i.username = r.ref AND @by IN ('', 'username')
        UNION
       SELECT i.id FROM {table} i WHERE i.email = r.ref AND @by IN ('', 'email')) AS m
  JOIN {table} u ON u.id = m.id
 ORDER BY r.n, u.id`

// Found is what one REF led to: a user, or the reason why not.
type Found struct {
	Ref  string
	User User
	Err  error
}

// Find looks up every REF, in order. A REF that fits no row, only a deleted one (unless deleted is
// set), or two rows has an error; the others have their user.
func (t *Table) Find(ctx context.Context, r db.Reader, refs []string, by By, deleted bool) ([]Found, error) {
	ids := make([]*string, len(refs))
	for i, ref := range refs {
		if id, err := uuid.Parse(ref); err == nil && len(ref) == 36 {
			text := id.String()
			ids[i] = &text
		}
	}
	type match struct {
		N int64 `db:"n"`
		User
	}
	// most commands look up one REF once: a preparation's round trip would not pay
	rows, err := db.Collect[match](ctx, r, t.sql(findByRef), pgx.QueryExecModeExec, pgx.NamedArgs{"refs": refs, "ids": ids, "by": string(by)})
	if err != nil {
		return nil, err
	}
	found := make([]Found, len(refs))
	matches := make([][]User, len(refs))
	for _, m := range rows {
		matches[m.N-1] = append(matches[m.N-1], m.User)
	}
	for i, ref := range refs {
		found[i] = pick(ref, matches[i], deleted)
	}
	return found, nil
}

// FindOne looks up a single REF.
func (t *Table) FindOne(ctx context.Context, r db.Reader, ref string, by By, deleted bool) (User, error) {
	found, err := t.Find(ctx, r, []string{ref}, by, deleted)
	if err != nil {
		return User{}, err
	}
	return found[0].User, found[0].Err
}

// kindOf guesses which field a REF was meant to be, for the detail of an error.
func kindOf(ref string) string {
	if _, err := uuid.Parse(ref); err == nil {
		return string(ByID)
	}
	if strings.Contains(ref, "@") {
		return string(ByEmail)
	}
	return string(ByUsername)
}

func pick(ref string, matches []User, deleted bool) Found {
	f := Found{Ref: ref}
	var live []User
	for _, u := range matches {
		if u.IsActive || deleted {
			live = append(live, u)
		}
	}
	switch {
	case len(live) == 1:
		f.User = live[0]
	case len(live) > 1:
		names := make([]string, len(live))
		ids := make([]string, len(live))
		for i, u := range live {
			names[i] = "user " + u.Username + " (" + u.ID.String() + ", " + u.Email + ")"
			ids[i] = u.ID.String()
		}
		f.Err = fault.New(fault.Validation, "%q fits more than one user: %s", ref, strings.Join(names, " and ")).
			WithHint("say which with --by id, --by username or --by email").With("ref", ref).With("ids", ids)
	default:
		nf := fault.New(fault.NotFound, "user %q not found", ref).With(kindOf(ref), ref)
		if len(matches) > 0 {
			nf.WithHint("a deleted user of that name exists; see it with --include-deleted, bring it back with: cxgctl users restore %s", matches[0].ID)
		}
		f.Err = nf
	}
	return f
}

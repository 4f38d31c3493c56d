package users

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// identity is what distinguishes users. In an update, an empty text means unchanged.
type identity struct {
	ID       uuid.UUID `db:"id"`
	Username string    `db:"username"`
	Email    string    `db:"email"`
}

// keys returns the forms by which the database finds users with a variant of these names.
func (of identity) keys() []string {
	var list []string
	for _, s := range []string{of.Username, of.Email} {
		if s != "" {
			list = append(list, strings.ToLower(s), validate.Folded(s))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// PostgreSQL folds names beyond ASCII differently, so all of those (they are few) are fetched and compared here.
const findVariants = `
SELECT u.id, u.username::text AS username, u.email::text AS email
  FROM {table} u
 WHERE (lower(u.username::text) = ANY (@keys::text[]) OR lower(u.email::text) = ANY (@keys::text[]) OR u.id::text = ANY (@keys::text[])
        OR octet_length(u.email::text) <> char_length(u.email::text))
   AND {holding}
 ORDER BY u.id`

// distinct refuses names that could be mistaken for those of another user. Exact duplicates are left to the unique
// indexes.
func (t *Table) distinct(ctx context.Context, r db.Reader, of identity, allowVariant bool) error {
	var others []identity
	if err := t.findVariants(of, &others).Ask(ctx, r); err != nil {
		return err
	}
	return of.against(others, allowVariant)
}

// findVariants returns the query for users with a variant of these names.
func (t *Table) findVariants(of identity, others *[]identity) db.PipelineQuery {
	args := pgx.NamedArgs{"keys": of.keys()}
	return db.PipelineQuery{SQL: t.sql(findVariants), Args: []any{args}, Read: db.Into(others, pgx.RowToStructByName[identity])}
}

// check refuses an address that mixes scripts, which is typical of lookalikes.
func (of identity) check(allowVariant bool) error {
	if allowVariant || !mixesScripts(of.Email) {
		return nil
	}
	return clash("email", of.Email, nil, "e-mail %q mixes letters of different scripts that look alike", of.Email).
		WithHint("to store it anyway, add --allow-variant")
}

// against refuses names that are too similar to those of others.
func (of identity) against(others []identity, allowVariant bool) error {
	if err := of.check(allowVariant); err != nil {
		return err
	}
	for _, o := range others {
		if o.ID == of.ID || o.Username == of.Username || o.Email == of.Email {
			continue
		}
		switch {
		case of.Username != "" && strings.EqualFold(o.ID.String(), of.Username):
			return clash("username", of.Username, &o, "username %q is the id of user %q", of.Username, o.Username)
		case of.Username != "" && validate.Folded(o.Email) == validate.Folded(of.Username):
			return clash("username", of.Username, &o, "username %q is the e-mail of user %q", of.Username, o.Username)
		case of.Email != "" && validate.Folded(o.Username) == validate.Folded(of.Email):
			return clash("email", of.Email, &o, "e-mail %q is the username of another user", of.Email)
		case allowVariant:
		case of.Username != "" && validate.Folded(o.Username) == validate.Folded(of.Username):
			return clash("username", of.Username, &o, "username %q differs only in case from user %q", of.Username, o.Username).
				WithHint("to store it anyway, add --allow-variant")
		case of.Email != "" && validate.Folded(o.Email) == validate.Folded(of.Email):
			return clash("email", of.Email, &o, "e-mail %q differs only in case or Unicode form from %q of user %q", of.Email, o.Email, o.Username).
				WithHint("to store it anyway, add --allow-variant")
		}
	}
	return nil
}

func clash(field, value string, holder *identity, format string, args ...any) *fault.Error {
	f := fault.New(fault.AlreadyExists, format, args...).With("field", field).With("value", value)
	if holder != nil {
		f.With("holder", holder.ID.String())
	}
	return f
}

// together lists the scripts that occur together in one word.
var together = []map[string]bool{
	{"Hangul": true, "Han": true, "Latin": true},
	{"Hiragana": true, "Katakana": true, "Han": true, "Latin": true},
	{"Bopomofo": true, "Han": true, "Latin": true},
}

// mixesScripts reports whether a part of an address, between @ and dots, mixes scripts that do not occur together.
func mixesScripts(email string) bool {
	for _, part := range strings.FieldsFunc(email, func(r rune) bool { return r == '@' || r == '.' }) {
		found := map[string]bool{}
		for _, r := range norm.NFKC.String(part) {
			if !unicode.IsLetter(r) {
				continue
			}
			if r <= unicode.MaxASCII {
				found["Latin"] = true
				continue
			}
			for name, table := range unicode.Scripts {
				if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
					found[name] = true
				}
			}
		}
		if len(found) > 1 && !slices.ContainsFunc(together, func(set map[string]bool) bool {
			for name := range found {
				if !set[name] {
					return false
				}
			}
			return true
		}) {
			return true
		}
	}
	return false
}

// names holds hashes of all names in a table, so that an import queries the database only for possible variants.
type names struct {
	seed          maphash.Seed
	exact, folded []uint64 // sorted
}

const readNames = `SELECT u.username::text, u.email::text, u.id::text FROM {table} u WHERE {holding}`

// names returns a question that reads all names, and where to.
func (t *Table) names() (*names, db.PipelineQuery) {
	n := &names{seed: maphash.MakeSeed()}
	return n, db.PipelineQuery{SQL: t.sql(readNames), Read: func(rows pgx.Rows) error {
		var username, email, id string
		_, err := pgx.ForEachRow(rows, []any{&username, &email, &id}, func() error {
			n.exact = append(n.exact, n.hash("username\x00"+username), n.hash("email\x00"+email))
			n.folded = append(n.folded, n.hash(validate.Folded(username)), n.hash(validate.Folded(email)), n.hash(id))
			return nil
		})
		slices.Sort(n.exact)
		slices.Sort(n.folded)
		return err
	}}
}

func (n *names) hash(s string) uint64 { return maphash.String(n.seed, s) }

// suspect reports whether a name may be a variant of an existing one: equal except for its form, or present in the
// other field.
func (n *names) suspect(field, s string) bool {
	if s == "" {
		return false
	}
	if _, same := slices.BinarySearch(n.folded, n.hash(validate.Folded(s))); !same {
		return false
	}
	_, same := slices.BinarySearch(n.exact, n.hash(field+"\x00"+s))
	return !same
}

// distinct fails rows whose names could be mistaken for those of another user.
func (im *importSpec) distinct(ctx context.Context, r db.Reader, rows []*incoming) error {
	var list []*incoming
	var keys []string
	for _, in := range importer.Undecided(rows) {
		of := in.identity()
		if err := of.check(im.AllowVariant); err != nil {
			in.Fail("email", of.Email, err, nil)
			continue
		}
		if im.names.suspect("username", of.Username) || im.names.suspect("email", of.Email) {
			list, keys = append(list, in), append(keys, of.keys()...)
		}
	}
	if len(list) == 0 {
		return nil
	}
	others, err := db.Collect[identity](ctx, r, im.t.sql(findVariants), pgx.NamedArgs{"keys": keys})
	if err != nil {
		return err
	}
	for _, in := range list {
		if err := in.identity().against(others, im.AllowVariant); err != nil {
			f := fault.From(err)
			var holder *uuid.UUID
			if id, err := uuid.Parse(detailText(f, "holder")); err == nil {
				holder = &id
			}
			in.Fail(detailText(f, "field"), detailText(f, "value"), err, holder)
		}
	}
	return nil
}

func detailText(f *fault.Error, key string) string {
	s, _ := f.Detail[key].(string)
	return s
}

func (in *incoming) identity() identity {
	return identity{ID: in.New.ID, Username: in.New.Username, Email: in.New.Email}
}

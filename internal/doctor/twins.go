package doctor

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

const readNames = `
SELECT {scope}::text, u.{column}::text, u.{shown}::text
  FROM {table} u
 WHERE {live} AND u.{column} IS NOT NULL`

// name is a user's name, with its scope in a table that tenants share, and the form shown in the report.
type name struct{ scope, text, shown string }

// twins looks for names that commands treat as variants of each other. PostgreSQL folds case differently, so all names
// are read. Names without a variant only leave a hash in memory. Reused names are not variants.
func (s *subject) twins(ctx context.Context, column, what, remedy string) (Finding, error) {
	t, lacking := s.lookup(schema.Users, column)
	if lacking != "" {
		return skipped("%s does not exist", lacking), nil
	}
	shown := "id"
	if s.in.Names {
		shown = column
	}
	sql := strings.NewReplacer("{column}", column, "{shown}", shown, "{table}", t.Name, "{scope}", scope(t, "u"), "{live}", t.NotDeleted("u")).Replace(readNames)
	seed := maphash.MakeSeed()
	hash := func(n name, form string) uint64 { return maphash.String(seed, n.scope+"\x00"+form) }
	first, varied := map[uint64]uint64{}, map[uint64]bool{}
	err := s.names(ctx, sql, func(n name) {
		folded, exact := hash(n, validate.Folded(n.text)), hash(n, n.text)
		if earlier, ok := first[folded]; ok && earlier != exact {
			varied[folded] = true
		}
		first[folded] = exact
	})
	var names []name
	if err == nil && len(varied) > 0 {
		err = s.names(ctx, sql, func(n name) {
			if varied[hash(n, validate.Folded(n.text))] {
				names = append(names, n)
			}
		})
	}
	if err != nil {
		return closed(err)
	}
	return judgeTwins(names, what, remedy), nil
}

// judgeTwins returns the finding for names that may be variants of each other.
func judgeTwins(names []name, what, remedy string) Finding {
	groups := map[name][]name{}
	for _, n := range names {
		key := name{scope: n.scope, text: validate.Folded(n.text)}
		groups[key] = append(groups[key], n)
	}
	var examples []string
	for _, group := range groups {
		if !slices.ContainsFunc(group, func(n name) bool { return n.text != group[0].text }) {
			continue
		}
		slices.SortFunc(group, func(a, b name) int { return cmp.Compare(a.shown, b.shown) })
		examples = append(examples, group[0].shown+" and "+group[len(group)-1].shown)
	}
	slices.Sort(examples)
	return judgeRows(what, len(examples), examples[:min(len(examples), 3)], remedy)
}

// names calls fn for every name that a query returns.
func (s *subject) names(ctx context.Context, sql string, fn func(name)) error {
	rows, err := s.db.Query(ctx, sql)
	if err != nil {
		return err
	}
	var scope *string
	var n name
	_, err = pgx.ForEachRow(rows, []any{&scope, &n.text, &n.shown}, func() error {
		n.scope = ""
		if scope != nil {
			n.scope = *scope
		}
		fn(n)
		return nil
	})
	return err
}

package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// stored is a distinct value of a column, the number of its rows, and one of them.
type stored struct {
	Value   string `db:"value"`
	Count   int    `db:"count"`
	Example string `db:"example"`
}

const findValues = `
SELECT u.{column}::text AS value, count(*) AS count, min(u.{shown}::text COLLATE "C") AS example
  FROM {table} u
 WHERE {live} AND u.{column} <> ''
 GROUP BY u.{column}::text`

// userValues looks for values of users that commands would refuse.
func userValues(ctx context.Context, s *subject) (Finding, error) {
	shown := "id"
	if s.in.Names {
		shown = "username"
	}
	return s.values(ctx, schema.Users, shown, "phone", "users with a phone number, time zone or locale that is not one",
		"check each with cxgctl users get REF, and correct it with cxgctl users update REF --phone, --timezone or --locale")
}

// tenantValues looks for values of tenants that commands would refuse.
func tenantValues(ctx context.Context, s *subject) (Finding, error) {
	return s.values(ctx, schema.Tenants, "id", "phone_no", "tenants with a phone number, time zone or locale that is not one",
		"check each with cxgctl tenants get REF, and correct it with cxgctl tenants update REF --phone-no, --timezone or --locale")
}

// values validates stored values as commands do. Examples name the row and the column, but not the value.
func (s *subject) values(ctx context.Context, table, shown, phone, what, remedy string) (Finding, error) {
	t, lacking := s.lookup(table, shown)
	if lacking != "" {
		return skipped("%s does not exist", lacking), nil
	}
	count := 0
	var examples []string
	for _, column := range []string{phone, "timezone", "locale"} {
		if !t.Has(column) {
			continue
		}
		sql := strings.NewReplacer("{column}", column, "{shown}", shown, "{table}", t.Name, "{live}", t.NotDeleted("u")).Replace(findValues)
		list, err := db.Collect[stored](ctx, s.db, sql)
		if err != nil {
			return closed(err)
		}
		for _, v := range list {
			var p fault.Problems
			if validate.CheckKind(&p, column, v.Value); p.Err() != nil {
				count += v.Count
				examples = append(examples, v.Example+" ("+column+")")
			}
		}
	}
	slices.Sort(examples)
	return judgeRows(what, count, examples[:min(len(examples), 3)], remedy), nil
}

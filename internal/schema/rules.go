package schema

import (
	"context"
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
)

// Rules are the constraints of a table that written values must satisfy.
type Rules struct {
	Allowed    map[string][]string // values allowed by CHECKs, by column; absent means any
	References map[string]string   // tables referenced by foreign keys, by column
}

const readRules = `
SELECT a.attname, coalesce(n.nspname || '.' || f.relname, ''),
       CASE WHEN c.contype = 'c' THEN pg_get_constraintdef(c.oid) ELSE '' END
  FROM pg_constraint c
  JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
  LEFT JOIN pg_class f ON f.oid = c.confrelid
  LEFT JOIN pg_namespace n ON n.oid = f.relnamespace
 WHERE c.conrelid = to_regclass($1) AND c.contype IN ('c', 'f') AND cardinality(c.conkey) = 1`

// literal matches the values in a CHECK's definition: 'ACTIVE'::character varying.
var literal = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`'((?:[^']|'')*)'`) })

// ReadRules reads a table's foreign keys and single-column CHECK lists in one round trip.
func ReadRules(ctx context.Context, r db.Reader, table string) (Rules, error) {
	rows, err := r.Query(ctx, readRules, table)
	if err != nil {
		return Rules{}, err
	}
	return collectRules(rows)
}

// RulesQuestion returns ReadRules' query, to be sent after Question's. Its result goes into the table of c, if it exists.
func (c Catalog) RulesQuestion(table string) db.PipelineQuery {
	return db.PipelineQuery{SQL: readRules, Args: []any{table}, Read: func(rows pgx.Rows) error {
		rules, err := collectRules(rows)
		if t, ok := c[table]; ok && err == nil {
			t.Rules = &rules
		}
		return err
	}}
}

func collectRules(rows pgx.Rows) (Rules, error) {
	rules := Rules{Allowed: map[string][]string{}, References: map[string]string{}}
	var column, target, check string
	_, err := pgx.ForEachRow(rows, []any{&column, &target, &check}, func() error {
		switch {
		case target != "":
			rules.References[column] = target
		// A list of values, column IN ('A', 'B'), which PostgreSQL prints as = ANY (ARRAY['A', 'B']). Other checks are
		// left to the server.
		case strings.Contains(check, "= ANY") && strings.Contains(check, "ARRAY[") && !strings.Contains(check, "<>"):
			for _, m := range literal().FindAllStringSubmatch(check, -1) {
				rules.Allowed[column] = append(rules.Allowed[column], strings.ReplaceAll(m[1], "''", "'"))
			}
		}
		return nil
	})
	return rules, err
}

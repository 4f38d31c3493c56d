package users

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
)

const findOtherHashes = `
SELECT v.id FROM unnest($1::uuid[], $2::text[]) AS v (id, hash) JOIN {table} u ON u.id = v.id WHERE u.{password} IS DISTINCT FROM v.hash`

// NotStored finds the users that do not have their row's password.
func (im *importSpec) NotStored(rows []*incoming, to *[]uuid.UUID) []db.PipelineQuery {
	var ids []uuid.UUID
	var hashes []string
	for _, in := range rows {
		if in.hash != "" {
			ids, hashes = append(ids, in.New.ID), append(hashes, in.hash)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	sql := im.t.sql(strings.ReplaceAll(findOtherHashes, "{password}", im.t.passwordColumn()))
	return []db.PipelineQuery{{SQL: sql, Args: []any{ids, hashes}, Read: func(found pgx.Rows) (err error) {
		*to, err = pgx.CollectRows(found, pgx.RowTo[uuid.UUID])
		return err
	}}}
}

const readDefaults = `
SELECT a.attname, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE d.adrelid = to_regclass($1) AND a.attname IN ('timezone', 'locale', 'phone', 'department', 'position')`

// defaults returns the column defaults of optional texts, and asks another question in the same round trip. The INSERT
// has a value for every column, and audit rows record what the new user has.
func (t *Table) defaults(ctx context.Context, r *db.DB, other db.PipelineQuery) (map[string]*string, error) {
	var names, exprs []string
	err := r.Pipeline(ctx, db.PipelineQuery{SQL: readDefaults, Args: []any{t.Shape.Name}, Read: func(rows pgx.Rows) error {
		var name, expr string
		_, err := pgx.ForEachRow(rows, []any{&name, &expr}, func() error {
			names, exprs = append(names, name), append(exprs, "("+expr+")::text")
			return nil
		})
		return err
	}}, other)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	values := make([]*string, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	// expressions come from the catalog, not from input
	if err := r.QueryRow(ctx, "SELECT "+strings.Join(exprs, ", ")).Scan(into...); err != nil {
		return nil, err
	}
	m := map[string]*string{}
	for i, n := range names {
		m[n] = values[i]
	}
	return m, nil
}

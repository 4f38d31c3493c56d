package db

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// ListQuery selects the rows that match a list's filter, as records of type T, by page, by cursor or all at once.
type ListQuery[T any] struct {
	Problems fault.Problems // invalid filters, returned by every query

	SQL     string // the whole statement, with the placeholders {columns}, {table}, {join}, {where} and {order}
	Count   string // the statement for the number of rows, with {table}, {join} and {where}
	Columns string // the select list of T
	Table   string // the qualified table
	Join    string // joins that depend on the database
	Key     string // the id, under the alias
	Where   Where
	Order   Order

	ID     func(T) uuid.UUID // returns a row's id, for After
	Binary map[string]string // the fields as expressions that package pgtext reads; nil if only records can be read
}

// fill replaces the placeholders of a statement.
func (s ListQuery[T]) fill(statement, columns, where string) string {
	return strings.NewReplacer(
		"{columns}", columns, "{table}", s.Table, "{join}", s.Join, "{where}", where, "{order}", s.Order.String(),
	).Replace(statement)
}

// rows returns the statement for the columns of all rows, with the arguments of Where.
func (s ListQuery[T]) rows(columns string) string { return s.fill(s.SQL, columns, s.Where.String()) }

// All returns the query for every row.
func (s ListQuery[T]) All() (Query, error) { return s.SelectSQL(s.Columns) }

// SelectSQL is All with another select list.
func (s ListQuery[T]) SelectSQL(columns string) (Query, error) {
	return Query{SQL: s.rows(columns), Args: s.Where.Args}, s.Problems.Err()
}

// Export is All for a binary stream of the named fields. It returns false if this database has a column of a type that
// only All can read.
func (s ListQuery[T]) Export(columns []string) (Query, bool, error) {
	q, err := s.SelectSQL(SelectList(s.Binary, columns))
	return q, s.Binary != nil, err
}

// CountQuery returns the query for the number of rows.
func (s ListQuery[T]) CountQuery() Query {
	return Query{SQL: s.fill(s.Count, "", s.Where.String()), Args: s.Where.Args}
}

// Page returns one page and the total number of rows.
func (s ListQuery[T]) Page(ctx context.Context, d *DB, p Paging) (Page[T], error) {
	var page Page[T]
	p.Check(&s.Problems)
	if err := s.Problems.Err(); err != nil {
		return page, err
	}
	count := s.CountQuery()
	err := d.Pipeline(ctx,
		PipelineQuery{SQL: count.SQL, Args: []any{count.Args}, Read: func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		}},
		PipelineQuery{SQL: s.rows(s.Columns) + " LIMIT @limit OFFSET @offset", Args: []any{p.Args(s.Where.Args)}, Read: Into(&page.Items, pgx.RowToStructByName[T])})
	return page, err
}

// First returns the first rows.
func (s ListQuery[T]) First(ctx context.Context, r Reader, n int) ([]T, error) {
	if err := s.Problems.Err(); err != nil {
		return nil, err
	}
	return Collect[T](ctx, r, s.rows(s.Columns)+" LIMIT @limit", Paging{1, n}.Args(s.Where.Args))
}

// CollectWhere streams a query and returns the rows for which keep returns true.
func CollectWhere[T any](ctx context.Context, d *DB, idle time.Duration, q Query, keep func(T) bool) ([]T, error) {
	var list []T
	for row, err := range Stream[T](ctx, d, idle, q) {
		if err != nil {
			return nil, err
		}
		if keep(row) {
			list = append(list, row)
		}
	}
	return list, nil
}

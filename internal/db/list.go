package db

import (
	"context"
	"iter"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// MaxPageSize is the most rows that one page holds.
const MaxPageSize = 1000

// Paging names one page of a list.
type Paging struct{ Page, Size int } // Page counts from 1

// Check adds what is wrong with the page to problems.
func (p Paging) Check(problems *fault.Problems) {
	// Up to there page times size is a number of rows that the server can count.
	if p.Page < 1 || p.Page > math.MaxInt64/MaxPageSize {
		problems.Add("page", "%d is refused, pages count from 1", p.Page)
	}
	if p.Size < 1 || p.Size > MaxPageSize {
		problems.Add("page_size", "%d is refused, it is 1 to %d", p.Size, MaxPageSize)
	}
}

// Args adds the arguments of LIMIT @limit OFFSET @offset to args.
func (p Paging) Args(args pgx.NamedArgs) pgx.NamedArgs {
	out := pgx.NamedArgs{}
	maps.Copy(out, args)
	out["limit"], out["offset"] = p.Size, int64(p.Page-1)*int64(p.Size)
	return out
}

// Page is one page of records and how many there are in all.
type Page[T any] struct {
	Items []T
	Total int64
}

// Where collects a list's constant predicates and their arguments; user text is only ever an argument.
type Where struct {
	parts []string
	Args  pgx.NamedArgs
}

// Add appends a constant predicate without arguments.
func (w *Where) Add(predicate string) { w.parts = append(w.parts, predicate) }

// Replace applies fn to every predicate, for one that fills the holes of a statement.
func (w *Where) Replace(fn func(string) string) {
	for i, p := range w.parts {
		w.parts[i] = fn(p)
	}
}

// Bind appends a constant predicate over @name.
func (w *Where) Bind(predicate, name string, value any) {
	if w.Args == nil {
		w.Args = pgx.NamedArgs{}
	}
	w.parts = append(w.parts, predicate)
	w.Args[name] = value
}

// String returns the predicates joined by AND: "true" when there are none.
func (w *Where) String() string {
	if len(w.parts) == 0 {
		return "true"
	}
	return strings.Join(w.parts, " AND ")
}

// Sortable maps the names that a list may be sorted by to the SQL they stand for.
type Sortable map[string]Sort

// Sort is what a name in a list's order stands for.
type Sort struct {
	Expr    string
	Type    string // as the catalog names it
	NotNull bool   // only then can a plain index serve the descending order, since NULLs are to come last
}

// OrderBy turns specs such as "created_at:desc" into an order that ends in the tie-breaking field, sorted
// as the one before it; none given means the fallback, which is such a spec too. Unknown names are added to
// problems with the valid ones.
func (s Sortable) OrderBy(specs []string, fallback, tie string, valid []string, problems *fault.Problems) Order {
	if len(specs) == 0 {
		specs = []string{fallback}
	}
	var order Order
	desc := false
	for _, spec := range specs {
		name, direction, _ := strings.Cut(strings.TrimSpace(spec), ":")
		by, ok := s[name]
		if !ok {
			problems.Add("sort", "%q is no sortable field, they are %s", name, strings.Join(valid, ", "))
			continue
		}
		switch strings.ToLower(direction) {
		case "", "asc", "desc":
			desc = strings.ToLower(direction) == "desc"
		default:
			problems.Add("sort", "%q is no direction, it is asc or desc", direction)
		}
		order = append(order, Term{by, desc})
	}
	return append(order, Term{s[tie], desc})
}

// SelectList returns a select list of the columns, each read from its expression and named as it is.
func SelectList(exprs map[string]string, columns []string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = exprs[c] + " AS " + c
	}
	return strings.Join(list, ", ")
}

// LikeSubstring returns the LIKE pattern that finds text literally, anywhere in a value.
func LikeSubstring(text string) string { return "%" + LikePrefix(text) }

// LikePrefix returns the LIKE pattern that finds text literally, at the beginning of a value.
func LikePrefix(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// Stream runs a query in a read-only snapshot of its own and yields its rows as structs, one at a time,
// as Export does.
func Stream[T any](ctx context.Context, d *DB, idle time.Duration, q Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		stopped := false
		err := Export(ctx, d, idle, func(ctx context.Context, r Reader, w *IdleTimer) error {
			return StreamRows(ctx, r, w, q, func(row T) bool {
				stopped = !yield(row, nil)
				return !stopped
			})
		})
		if err != nil && !stopped {
			yield(zero, err)
		}
	}
}

package db

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// MaxPageSize is the largest page size.
const MaxPageSize = 1000

// Paging names one page of a list.
type Paging struct{ Page, Size int } // Page counts from 1

// Check adds the invalid fields to problems.
func (p Paging) Check(problems *fault.Problems) {
	// The bound keeps page times size within bigint.
	if p.Page < 1 || p.Page > math.MaxInt64/MaxPageSize {
		problems.Add("page", "%d is out of range; pages start at 1", p.Page)
	}
	if p.Size < 1 || p.Size > MaxPageSize {
		problems.Add("page_size", "%d is out of range; use 1 to %d", p.Size, MaxPageSize)
	}
}

// Args adds the arguments of LIMIT @limit OFFSET @offset to args.
func (p Paging) Args(args pgx.NamedArgs) pgx.NamedArgs {
	out := pgx.NamedArgs{}
	maps.Copy(out, args)
	out["limit"], out["offset"] = p.Size, int64(p.Page-1)*int64(p.Size)
	return out
}

// Page is one page of records and the total number of records.
type Page[T any] struct {
	Items []T
	Total int64
}

// Where collects a list's predicates and their arguments. Predicates are constants; user input is only ever an
// argument.
type Where struct {
	parts []string
	Args  pgx.NamedArgs
}

// Add appends a predicate without arguments.
func (w *Where) Add(predicate string) { w.parts = append(w.parts, predicate) }

// Replace applies fn to every predicate.
func (w *Where) Replace(fn func(string) string) {
	for i, p := range w.parts {
		w.parts[i] = fn(p)
	}
}

// Bind appends a predicate that uses @name.
func (w *Where) Bind(predicate, name string, value any) {
	if w.Args == nil {
		w.Args = pgx.NamedArgs{}
	}
	w.parts = append(w.parts, predicate)
	w.Args[name] = value
}

// AnyOf adds the predicate that an expression has one of the values, of the given type; no values means all. It compares a
// single value with =, because only then can PostgreSQL read an index on it and the list's order.
func (w *Where) AnyOf(expr, name, kind string, values []string) {
	switch len(values) {
	case 0:
	case 1:
		w.Bind(expr+" = @"+name+"::"+kind, name, values[0])
	default:
		w.Bind(expr+" = ANY (@"+name+"::"+kind+"[])", name, values)
	}
}

// Between adds the predicates since <= column < until. A zero time leaves that side open.
func (w *Where) Between(column string, since, until time.Time) {
	if !since.IsZero() {
		w.Bind(column+" >= @since::timestamptz", "since", since)
	}
	if !until.IsZero() {
		w.Bind(column+" < @until::timestamptz", "until", until)
	}
}

// String returns the predicates joined by AND, or "true" if there are none.
func (w *Where) String() string {
	if len(w.parts) == 0 {
		return "true"
	}
	return strings.Join(w.parts, " AND ")
}

// Sortable maps the names that a list can be sorted by to SQL.
type Sortable map[string]Sort

// Sort is the SQL of a sortable name.
type Sort struct {
	Expr    string
	Type    string // as named in the catalog
	NotNull bool   // required for a plain index to serve descending order, because NULLs come last
}

// OrderBy parses specs such as "created_at:desc" or "-created_at" into an order. The order ends with the tie-breaking field, in the
// direction of the last spec. Without specs, the fallback applies. Unknown names are added to problems, together with
// the valid ones.
func (s Sortable) OrderBy(specs []string, fallback, tie string, valid []string, problems *fault.Problems) Order {
	if len(specs) == 0 {
		specs = []string{fallback}
	}
	var order Order
	desc := false
	for _, spec := range specs {
		name, direction, _ := strings.Cut(strings.TrimSpace(spec), ":")
		if field, isDescending := strings.CutPrefix(name, "-"); isDescending && direction == "" {
			name, direction = field, "desc"
		}
		by, ok := s[name]
		if !ok {
			problems.Add("sort", "cannot sort by %q; sortable fields: %s", name, strings.Join(valid, ", "))
			continue
		}
		switch strings.ToLower(direction) {
		case "", "asc", "desc":
			desc = strings.ToLower(direction) == "desc"
		default:
			problems.Add("sort", "%q is not a direction; use asc or desc", direction)
		}
		order = append(order, Term{by, desc})
	}
	return append(order, Term{s[tie], desc})
}

// Spellings returns the values as they may be stored where a CHECK constraint does not exclude other spellings: codes
// of up to four letters in every case, longer words in upper case, in lower case and capitalized. An index on the
// column serves a comparison with all of them, which it would not with lower(column).
func Spellings(values []string) []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, v := range values {
		add(v)
		upper, lower := []rune(strings.ToUpper(v)), []rune(strings.ToLower(v))
		if len(upper) > 4 || len(upper) != len(lower) {
			add(string(upper))
			add(string(lower))
			add(string(upper[:1]) + string(lower[1:]))
			continue
		}
		for mask := range 1 << len(upper) {
			s := slices.Clone(upper)
			for i := range s {
				if mask>>i&1 == 1 {
					s[i] = lower[i]
				}
			}
			add(string(s))
		}
	}
	return out
}

// SelectList returns a select list of the columns, each computed by its expression and aliased to its name.
func SelectList(exprs map[string]string, columns []string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = exprs[c] + " AS " + c
	}
	return strings.Join(list, ", ")
}

// LikeSubstring returns a LIKE pattern that matches text literally anywhere in a value.
func LikeSubstring(text string) string { return "%" + LikePrefix(text) }

// LikePrefix returns a LIKE pattern that matches text literally at the start of a value.
func LikePrefix(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

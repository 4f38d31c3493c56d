package db

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// FirstCursor is the token of the first page.
const FirstCursor = "first"

// Cursor requests the page after a position in a sorted list. Unlike OFFSET, its cost does not grow with the position,
// and rows inserted or deleted between pages neither repeat nor hide other rows.
type Cursor struct {
	Token     string // FirstCursor, or the previous page's Next
	Size      int
	Selection string // identifies the filters; a token is only valid for the selection it was made for
}

// Slice is the page after a cursor.
type Slice[T any] struct {
	Items []T
	Next  string // the cursor of the next page, or "" on the last one
}

// place is the content of a token. It is opaque to callers. Version changes with the format.
type place struct {
	Version   int       `json:"v"`
	Order     string    `json:"o"`
	Selection string    `json:"s"`
	Keys      []*string `json:"k"` // of the last row shown, as text; nil for NULL
}

const placeVersion = 1

// check validates the cursor for a list in this order and returns its position.
func (c Cursor) check(order Order, problems *fault.Problems) (at place) {
	Paging{1, c.Size}.Check(problems)
	if c.Token == FirstCursor {
		return place{}
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Token)
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	switch {
	case err != nil || at.Version != placeVersion:
		problems.Add("cursor", "%.40q is not a cursor; start with %q", c.Token, FirstCursor)
	case at.Order != order.String() || len(at.Keys) != len(order):
		problems.Add("cursor", "belongs to another --sort; start again with %q", FirstCursor)
	case at.Selection != c.Selection:
		problems.Add("cursor", "belongs to other filters; start again with %q", FirstCursor)
	}
	return at
}

// After returns the rows after the cursor.
func (s ListQuery[T]) After(ctx context.Context, d *DB, c Cursor) (Slice[T], error) {
	var out Slice[T]
	at := c.check(s.Order, &s.Problems)
	if err := s.Problems.Err(); err != nil {
		return out, err
	}
	if at.Keys != nil {
		s.Order.after(&s.Where, at.Keys)
	}
	err := d.Snapshot(ctx, func(r Reader) error {
		var err error
		out.Items, err = s.First(ctx, r, c.Size+1) // one more row shows whether there is a next page
		if err != nil || len(out.Items) <= c.Size {
			return err
		}
		out.Items = out.Items[:c.Size]
		next := place{placeVersion, s.Order.String(), c.Selection, make([]*string, len(s.Order))}
		exprs := make([]string, len(s.Order))
		into := make([]any, len(s.Order))
		for i, term := range s.Order {
			exprs[i], into[i] = "("+term.Expr+")::text", &next.Keys[i]
		}
		last := pgx.NamedArgs{"cursor_id": s.ID(out.Items[c.Size-1])}
		keys := s.fill(s.SQL, strings.Join(exprs, ", "), s.Key+" = @cursor_id")
		if err := r.QueryRow(ctx, keys, last).Scan(into...); err != nil {
			return err
		}
		token, err := json.Marshal(next)
		out.Next = base64.RawURLEncoding.EncodeToString(token)
		return err
	})
	return out, err
}

// Order is a list's sort order. NULLs come last in both directions.
type Order []Term

// Term is one expression of an order.
type Term struct {
	Sort
	Desc bool
}

// String returns the ORDER BY list.
func (o Order) String() string {
	list := make([]string, len(o))
	for i, t := range o {
		list[i] = t.Expr + " ASC"
		if t.Desc {
			list[i] = t.Expr + " DESC"
			if !t.NotNull {
				list[i] += " NULLS LAST"
			}
		}
	}
	return strings.Join(list, ", ")
}

// after adds the predicate for the rows that follow the one with these keys. If an index can serve the order, it can
// also serve the predicate: either as one row comparison, or through a bound on the first expression, because the
// planner cannot use a list of alternatives.
func (o Order) after(w *Where, keys []*string) {
	value := func(i int) string { return fmt.Sprintf("@cursor_%d::text::%s", i, o[i].Type) }
	if w.Args == nil {
		w.Args = pgx.NamedArgs{}
	}
	alike := true
	for i, t := range o {
		w.Args[fmt.Sprintf("cursor_%d", i)] = keys[i]
		alike = alike && t.NotNull && t.Desc == o[0].Desc
	}
	sign := func(t Term) string {
		if t.Desc {
			return " < "
		}
		return " > "
	}
	if alike {
		exprs, values := make([]string, len(o)), make([]string, len(o))
		for i, t := range o {
			exprs[i], values[i] = t.Expr, value(i)
		}
		w.Add("(" + strings.Join(exprs, ", ") + ")" + sign(o[0]) + "(" + strings.Join(values, ", ") + ")")
		return
	}
	if t := o[0]; t.NotNull {
		w.Add(t.Expr + strings.TrimSuffix(sign(t), " ") + "= " + value(0))
	}
	var alternatives []string
	same := ""
	for i, t := range o {
		beyond, equal := t.Expr+sign(t)+value(i), t.Expr+" = "+value(i)
		switch {
		case keys[i] == nil:
			beyond, equal = "", t.Expr+" IS NULL"
		case !t.NotNull:
			beyond = "(" + beyond + " OR " + t.Expr + " IS NULL)"
		}
		if beyond != "" {
			alternatives = append(alternatives, same+beyond)
		}
		same += equal + " AND "
	}
	if len(alternatives) == 0 {
		alternatives = []string{"false"}
	}
	w.Add("(" + strings.Join(alternatives, " OR ") + ")")
}

package db

import (
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Only the declared expressions reach the SQL of a sort.
func FuzzSort(f *testing.F) {
	for _, s := range []string{"name", "-name", "name:desc", "age:asc", "name desc", "u.name; DROP TABLE x", "", "-", ":", "name:desc:desc", "NAME", "id\x00", "나이"} {
		f.Add(s, "age")
	}
	sortable := Sortable{"name": {Expr: "u.name", Type: "text"}, "age": {Expr: "u.age", Type: "integer", NotNull: true}, "id": {Expr: "u.id"}}
	f.Fuzz(func(t *testing.T, a, b string) {
		var problems fault.Problems
		sql := sortable.OrderBy([]string{a, b}, "name", "id", []string{"name", "age"}, &problems).String()
		for _, known := range []string{"u.name", "u.age", "u.id", "DESC", "ASC", "NULLS", "FIRST", "LAST", ",", " "} {
			sql = strings.ReplaceAll(sql, known, "")
		}
		if sql != "" {
			t.Errorf("%q, %q: the SQL has %q", a, b, sql)
		}
	})
}

// A search is literal text in LIKE.
func FuzzLikeSubstring(f *testing.F) {
	for _, s := range []string{"", "%", "_", `\`, `\%`, "100%_", `back\slash`, "한글"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		inner := strings.TrimSuffix(strings.TrimPrefix(LikeSubstring(s), "%"), "%")
		var literal strings.Builder
		for i := 0; i < len(inner); i++ {
			switch inner[i] {
			case '\\':
				i++
				if i == len(inner) {
					t.Fatalf("%q ends with an escape", s)
				}
			case '%', '_':
				t.Fatalf("%q has a wildcard: %q", s, inner)
			}
			literal.WriteByte(inner[i])
		}
		if literal.String() != s {
			t.Errorf("%q becomes %q", s, literal.String())
		}
	})
}

package db

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Search is a case-insensitive substring search over some columns.
type Search struct {
	Text    string
	Columns []string // qualified
	Grams   int      // the smallest gram size that is indexed, see gramsOf; 0 without an index
}

// Bind adds the search's predicates to w.
func (s Search) Bind(w *Where) {
	text, folded := s.compared()
	w.Bind(text, "search", LikeSubstring(s.Text))
	if nfc := norm.NFC.String(s.Text); nfc != s.Text {
		w.Args["search_nfc"] = LikeSubstring(nfc)
	}
	// Grams never contain the separator.
	size := min(utf8.RuneCountInString(s.Text), maxGram)
	if s.Grams == 0 || !folded || size < s.Grams || strings.Contains(s.Text, gramEnd) {
		return
	}
	w.Bind(gramsOf(s.Columns, size)+" @> @grams::text[]", "grams", grams(lowerASCII(s.Text), size))
}

// compared returns the predicate that compares the columns with @search, and whether only the letters a to z fold
// case. ILIKE in a Unicode collation costs four times as much as LIKE, and twice as much as ILIKE in "C", so the
// cheapest equivalent operator is used for each text. Decomposed text, as typed on macOS, also matches in its composed
// form @search_nfc, which is how cxgctl stores it.
func (s Search) compared() (predicate string, folded bool) {
	predicate, folded = s.over("@search")
	nfc := norm.NFC.String(s.Text)
	if nfc == s.Text {
		return predicate, folded
	}
	composed, _ := Search{Text: nfc, Columns: s.Columns}.over("@search_nfc")
	return "(" + predicate + " OR " + composed + ")", false
}

func (s Search) over(parameter string) (predicate string, folded bool) {
	operator := ` COLLATE "C" LIKE `
	folded = true
	for _, r := range s.Text {
		switch {
		case unicode.ToLower(r) == r && unicode.ToUpper(r) == r:
		case r < utf8.RuneSelf:
			operator = ` COLLATE "C" ILIKE `
		default:
			folded = false
		}
	}
	if !folded {
		operator = " ILIKE "
	}
	parts := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		parts[i] = c + operator + parameter
	}
	return "(" + strings.Join(parts, " OR ") + ")", folded
}

// The largest gram size that is indexed, and the separator of grams.
const (
	maxGram = 3
	gramEnd = "|"
)

// grams returns the distinct substrings of the given length.
func grams(text string, size int) []string {
	runes := []rune(text)
	var list []string
	have := map[string]bool{}
	for i := 0; i+size <= len(runes); i++ {
		if g := string(runes[i : i+size]); !have[g] {
			have[g] = true
			list = append(list, g)
		}
	}
	return list
}

// lowerASCII is lower() in the collation "C".
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return unicode.ToLower(r)
		}
		return r
	}, s)
}

// gramsOf returns the expression of the optional indexes (migrations/manager/00011_search.sql): all substrings of the
// given length of the columns. It cuts up the text starting at its first character, then at its second, and so on;
// shorter pieces at the ends are harmless. pg_trgm would need an extension, which not every server has, and cannot
// search for two characters.
func gramsOf(columns []string, size int) string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = "coalesce(" + c + ", '')"
	}
	text := "lower((" + strings.Join(texts, " || '"+gramEnd+"' || ") + `) COLLATE "C")`
	cut := make([]string, size)
	for i := range cut {
		from := text
		if i > 0 {
			from = fmt.Sprintf("substr(%s, %d)", text, i+1)
		}
		cut[i] = fmt.Sprintf(`regexp_replace(%s, '(%s)', '\1%s', 'g')`, from, strings.Repeat(".", size), gramEnd)
	}
	return "string_to_array(" + strings.Join(cut, " || '"+gramEnd+"' || ") + ", '" + gramEnd + "')"
}

// HasIndex says whether the index of that qualified name is there and whole.
func HasIndex(ctx context.Context, r Reader, name string) (bool, error) {
	var has bool
	err := r.QueryRow(ctx, "SELECT coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)), false)",
		name).Scan(&has)
	return has, err
}

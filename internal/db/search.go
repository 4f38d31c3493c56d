package db

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"
)

// Search is literal text looked for in some columns, without regard to case, and how to find it fastest.
type Search struct {
	Text    string
	Columns []string // qualified
	Grams   int      // the size of the smallest grams of which there is an index, see gramsOf; 0 where there is none
}

// Bind adds the predicates to w.
func (s Search) Bind(w *Where) {
	text, folded := s.compared()
	w.Bind(text, "search", LikeSubstring(s.Text))
	if nfc := norm.NFC.String(s.Text); nfc != s.Text {
		w.Args["search_nfc"] = LikeSubstring(nfc)
	}
	// Grams never contain the sign that separates them.
	size := min(utf8.RuneCountInString(s.Text), maxGram)
	if s.Grams == 0 || !folded || size < s.Grams || strings.Contains(s.Text, gramEnd) {
		return
	}
	w.Bind(gramsOf(s.Columns, size)+" @> @grams::text[]", "grams", grams(lowerASCII(s.Text), size))
}

// compared is the predicate that compares the columns with @search, and whether the text's case, if any, is that of
// a to z. ILIKE in a collation that knows all languages costs four times what LIKE does, and twice what it costs where
// only a to z have a case; so each text gets the cheapest of the three that finds the same rows.
// Decomposed text, as macOS has it, is looked for as it came and as @search_nfc, the form that cxgctl stores.
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

// Counting is the statement that counts the rows of a table, under its alias, in which the text is found, and of
// which the other predicate holds, where no index serves either. The server takes a row apart up to the last column
// that the predicates of one scan name; behind the fence that OFFSET 0 is, it looks for a flag that stands last
// in a wide table only in the rows that were found: a sixth less of all that it does.
func (s Search) Counting(table, predicate string) string {
	text, _ := s.compared()
	return "SELECT count(*) FROM (SELECT " + predicate + " AS holds FROM " + table + " WHERE " + text + " OFFSET 0) found WHERE found.holds"
}

// The size of the largest grams of which there is an index, and what ends a gram.
const (
	maxGram = 3
	gramEnd = "|"
)

// grams returns the different runs of so many characters in text.
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

// gramsOf is the expression of the optional indexes (migrations/manager/00011_search.sql): all runs of so
// many characters of the columns. It cuts the text up from its first character on, then from its second,
// and so on; what is left over at an end does no harm. pg_trgm would need an extension, which not every
// server has, and finds nothing by two syllables.
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
		pgx.QueryExecModeExec, name).Scan(&has)
	return has, err
}

package db

import (
	"os"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// The optional migration and the search must use the same expressions, or no index serves any search.
func TestTheMigrationIndexesWhatIsSearched(t *testing.T) {
	t.Parallel()
	sql, err := os.ReadFile("../../migrations/manager/00011_search.sql")
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"username", "full_name", "email"}
	for _, expr := range []string{gramsOf(users, 2), gramsOf(users, 3), gramsOf([]string{"invoice_no"}, 3)} {
		if !strings.Contains(string(sql), "    "+expr+"\n") {
			t.Errorf("no index of %s", expr)
		}
	}
}

// Whatever is searched, with the optional indexes and without, the rows that ILIKE would find are found.
func TestSearchesFindWhatILIKEFinds(t *testing.T) {
	t.Parallel()
	d, err := Open(t.Context(), Options{Name: "manager", URL: dbtest.New(t, dbtest.Template{Name: "empty"}).Manager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	names := []string{
		"강은지", "은강은", "강|은강은", "Kim 철수", "KIM", "kim_100%", `back\slash`, "Äpfel ÄRGER", "Привет", "a|b", "|", "||", "x", "",
		"ab\nc", "ﬁ", "İstanbul", "인보이스-2026", "202610-199873", "aaa", "aab", "👩‍👩‍👧", "e\u0301",
	}
	var texts []string
	for _, n := range append(names, "은", "강은", "은지", "im", "IM 철", "_1", "0%", `k\s`, "ä", "Ä", "привет", "|b", "b|", "ab\n", "1998", "은강은강") {
		if n != "" {
			texts = append(texts, n, strings.ToUpper(n))
		}
	}
	const source = `(SELECT a AS one, CASE WHEN a < 'k' THEN b END AS two FROM unnest(@names::text[]) a, unnest(@names::text[]) b) s`
	find := func(text string, bind func(*Where)) int {
		var w Where
		bind(&w)
		w.Args["names"] = names
		var n int
		if err := d.QueryRow(t.Context(), "SELECT count(*) FROM "+source+" WHERE "+w.String(), w.Args).Scan(&n); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return n
	}
	for _, text := range texts {
		want := find(text, func(w *Where) {
			w.Bind("(s.one ILIKE @search OR s.two ILIKE @search)", "search", LikeSubstring(text))
		})
		for grams := range 4 {
			s := Search{Text: text, Columns: []string{"s.one", "s.two"}, Grams: grams}
			if got := find(text, s.Bind); got != want {
				t.Errorf("%q with grams of %d: %d rows, ILIKE finds %d", text, grams, got, want)
			}
		}
	}
}

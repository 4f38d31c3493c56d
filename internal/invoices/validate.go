package invoices

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// spellings returns the currencies as they may be stored: as typed, in capitals and in small letters,
// for no CHECK keeps `usd` out, and who asks for USD means all of them. A code need not be one of ISO
// 4217's, which a stored one may not be either; it has to fit the column.
func (t *Table) spellings(p *fault.Problems, values []string) []string {
	column, _ := t.shape.Column("currency")
	most := column.MaxLength()
	var out []string
	for _, v := range values {
		v = strings.TrimSpace(v)
		n := utf8.RuneCountInString(v)
		switch {
		case !utf8.ValidString(v):
			p.Add("currency", "it is not valid UTF-8")
		case n == 0:
			p.Add("currency", "it is empty")
		case most > 0 && n > most:
			p.Add("currency", "%.60q is no currency code, one has at most %d characters", v, most)
		}
		for _, s := range []string{v, strings.ToUpper(v), strings.ToLower(v)} {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// checkSearch refuses text that no database holds, and that the server would refuse in its own words.
func checkSearch(p *fault.Problems, text string) {
	if !utf8.ValidString(text) {
		p.Add("search", "it is not valid UTF-8")
	}
}

// checkRanges refuses ranges whose ends are the wrong way round: they select nothing, and nobody asks
// for that on purpose. From and to on the same day are an empty range, as a script's first run may have.
func checkRanges(p *fault.Problems, f Filter) {
	if f.From != nil && f.To != nil && f.From.Day.After(f.To.Day) {
		p.Add("from", "%s is after to, %s", f.From, f.To)
	}
	if f.MinTotal != nil && f.MaxTotal != nil && f.MinTotal.Cmp(*f.MaxTotal) > 0 {
		p.Add("min_total", "%s is more than max_total, %s", f.MinTotal, f.MaxTotal)
	}
}

package invoices

import (
	"strings"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// spellings returns the currencies as they may be stored, because no CHECK constraint excludes `Usd`. A code does not
// have to be in ISO 4217, since a stored one may not be either, but it has to fit the column.
func (t *Table) spellings(p *fault.Problems, values []string) []string {
	column, _ := t.Shape.Column("currency")
	most := column.MaxLength()
	out := make([]string, len(values))
	for i, v := range values {
		v = strings.TrimSpace(v)
		out[i] = v
		n := utf8.RuneCountInString(v)
		switch {
		case !utf8.ValidString(v):
			p.Add("currency", "it is not valid UTF-8")
		case n == 0:
			p.Add("currency", "it is empty")
		case most > 0 && n > most:
			p.Add("currency", "%.60q is too long for a currency code; at most %d characters are allowed", v, most)
		}
	}
	if p.Err() != nil {
		return nil
	}
	return db.Spellings(out)
}

// checkSearch refuses text that no database can store and that the server would refuse with its own message.
func checkSearch(p *fault.Problems, text string) {
	if !utf8.ValidString(text) {
		p.Add("search", "it is not valid UTF-8")
	}
}

// checkRanges refuses reversed ranges, which would select nothing. An empty range, from and to on the same day, is
// allowed: the first run of a script may have one.
func checkRanges(p *fault.Problems, f Filter) {
	if f.From != nil && f.To != nil && f.From.Day.After(f.To.Day) {
		p.Add("from", "%s is after --to, %s", f.From, f.To)
	}
	if f.MinTotal != nil && f.MaxTotal != nil && f.MinTotal.Cmp(*f.MaxTotal) > 0 {
		p.Add("min_total", "%s is more than --max-total, %s", f.MinTotal, f.MaxTotal)
	}
}

// Package validate normalizes and checks texts that are stored as names, numbers and formatted values.
package validate

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Decode returns text in the form in which it is compared and stored: NFC, without a byte order mark.
func Decode(s string) string { return norm.NFC.String(strings.TrimPrefix(s, "\ufeff")) }

// Normalize is Decode without surrounding white space.
func Normalize(s string) string { return strings.TrimSpace(Decode(strings.TrimSpace(s))) }

// Length adds problems for characters that no name may contain, and for lengths outside the bounds, in characters.
func Length(p *fault.Problems, field, value string, least, most int) {
	n := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value):
		p.Add(field, "it is not valid UTF-8")
	case strings.ContainsFunc(value, IsInvisible):
		p.Add(field, "%q contains a control or invisible formatting character", value)
	case slices.Contains(spoilt, value), narrow.MatchString(value):
		p.Add(field, "%q looks like a placeholder for a missing value", value)
	case rounded.MatchString(value):
		p.Add(field, "%.60q is a number that a spreadsheet rounded; format the column as text", value)
	case n < least && n == 0:
		p.Add(field, "it is missing")
	case n < least || n > most:
		p.Add(field, "%.60q is %s long; %d to %d are required", value, fault.Plural(n, "character"), least, most)
	}
}

// CheckStored adds problems for text that no database can store, and for lengths outside the bounds.
func CheckStored(p *fault.Problems, field, value string, least, most int) {
	if n := utf8.RuneCountInString(value); n < least || n > most {
		p.Add(field, "%.60q is %s long; %d to %d are allowed", value, fault.Plural(n, "character"), least, most)
	}
}

// IsInvisible reports whether a character may not be part of a name: controls, and format characters such as
// bidirectional overrides, which make one name look like another. Joiners are allowed, because emoji use them.
func IsInvisible(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || (unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c')
}

package users

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// normal is how text is stored: in NFC, without white space around it, so that what looks the same
// is the same.
func normal(s string) string { return norm.NFC.String(strings.TrimSpace(s)) }

// checkText refuses what no name may hold and lengths outside the bounds, in characters.
func checkText(p *fault.Problems, field, value string, least, most int) {
	n := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value):
		p.Add(field, "it is not valid UTF-8")
	case strings.ContainsFunc(value, hidden):
		p.Add(field, "%q holds a control or invisible formatting character", value)
	case n < least && n == 0:
		p.Add(field, "it is missing")
	case n < least || n > most:
		p.Add(field, "%.60q has length %d, it takes %d to %d characters", value, n, least, most)
	}
}

// hidden says whether a character has no place in a name: controls, and format characters such as
// bidirectional overrides, which make one name look like another. Joiners are part of emoji.
func hidden(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || (unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c')
}

func checkUsername(p *fault.Problems, v string) {
	odd := func(r rune) bool { return r > unicode.MaxASCII || r == ' ' }
	if strings.ContainsFunc(v, odd) {
		p.Add("username", "%.60q is refused, a username is ASCII without spaces", v)
		return
	}
	checkText(p, "username", v, 3, 100)
}

// checkEmail holds an address to net/mail's rules, RFC 5322's, bare: without a display name.
func checkEmail(p *fault.Problems, v string) {
	if v == "" {
		p.Add("email", "it is missing")
		return
	}
	if utf8.RuneCountInString(v) > 255 {
		p.Add("email", "it has %d characters, it takes at most 255", utf8.RuneCountInString(v))
		return
	}
	a, err := mail.ParseAddress(v)
	if err != nil || a.Address != v || a.Name != "" || strings.ContainsFunc(v, hidden) {
		p.Add("email", "%.60q is no e-mail address", v)
	}
}

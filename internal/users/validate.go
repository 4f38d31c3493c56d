package users

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// What holds for every name holds for a user's texts.
var (
	normal    = validate.Normalize
	checkText = validate.Length
	hidden    = validate.IsInvisible
)

func checkUsername(p *fault.Problems, v string) {
	odd := func(r rune) bool { return r > unicode.MaxASCII || r == ' ' }
	if strings.ContainsFunc(v, odd) {
		p.Add("username", "%.60q is refused, a username is ASCII without spaces", v)
		return
	}
	checkText(p, "username", v, 3, 100)
}

// checkOptional checks a text that a user may have, by what its field holds.
func checkOptional(p *fault.Problems, field, v string, least, most int) {
	checkText(p, field, v, least, most)
	if v == "" || p.Has(field) {
		return
	}
	validate.CheckKind(p, field, v)
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

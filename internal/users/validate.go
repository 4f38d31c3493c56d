package users

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Texts of users follow the rules for all names.
var (
	normal    = validate.Normalize
	checkText = validate.Length
	hidden    = validate.IsInvisible
)

func checkUsername(p *fault.Problems, v string) {
	odd := func(r rune) bool { return r > unicode.MaxASCII || r == ' ' }
	if strings.ContainsFunc(v, odd) {
		p.Add("username", "%.60q is not a valid username; use ASCII characters without spaces", v)
		return
	}
	checkText(p, "username", v, 3, 100)
}

// checkOptional checks an optional text, and its format if the field has one.
func checkOptional(p *fault.Problems, field, v string, least, most int) {
	checkText(p, field, v, least, most)
	if v == "" || p.Has(field) {
		return
	}
	validate.CheckKind(p, field, v)
}

// checkEmail accepts a bare RFC 5322 address, without a display name, as net/mail parses it.
func checkEmail(p *fault.Problems, v string) {
	if v == "" {
		p.Add("email", "it is missing")
		return
	}
	if utf8.RuneCountInString(v) > 255 {
		p.Add("email", "it is %d characters long; at most 255 are allowed", utf8.RuneCountInString(v))
		return
	}
	a, err := mail.ParseAddress(v)
	if err != nil || a.Address != v || a.Name != "" || strings.ContainsFunc(v, hidden) {
		p.Add("email", "%.60q is not a valid e-mail address", v)
	}
}

package users

import (
	"net/mail"
	"slices"
	"strings"
	"unicode"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// CheckUsername refuses characters that no username has.
func CheckUsername(p *fault.Problems, field, v string) {
	odd := func(r rune) bool { return r > unicode.MaxASCII || r == ' ' }
	if strings.ContainsFunc(v, odd) {
		p.Add(field, "%.60q is not a valid username; use ASCII characters without spaces", v)
	}
}

// checkEmail accepts a bare RFC 5322 address, without a display name, as net/mail parses it.
func checkEmail(p *fault.Problems, field, v string) {
	if a, err := mail.ParseAddress(v); err != nil || a.Address != v || a.Name != "" {
		p.Add(field, "%.60q is not a valid e-mail address", v)
	}
}

// check normalizes the texts of a new user and adds what is wrong with them.
func (t *Table) check(p *fault.Problems, u *User) {
	list := fields.Named("username", "email", "full_name", "phone", "department", "position", "timezone", "locale", "user_type")
	if t.namesInParts() {
		list = slices.DeleteFunc(list, func(f *schema.FieldOf[User]) bool { return f.Name == "full_name" })
	}
	list.CheckTexts(p, u, true)
}

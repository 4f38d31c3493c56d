package output

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sanitize escapes characters that act on a terminal or are invisible, as \n, \x1b or \u202e: control
// characters (including newline and tab), bidirectional and zero-width format characters, line separators,
// blank letters and invalid UTF-8. Tables and messages use it, so that a stored name can neither control the
// terminal nor forge a line. It also escapes the joiner in emoji, because terminals disagree on the width of
// joined emoji.
func Sanitize(s string) string { return sanitize(s, "") }

// sanitize is Sanitize, except that it does not escape the characters of keep.
func sanitize(s, keep string) string {
	if isPrintableASCII(s) {
		return s
	}
	var b strings.Builder
	start := 0
	for i, size := 0, 0; i < len(s); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(s[i:])
		invalid := r == utf8.RuneError && size == 1
		if !invalid && (!isHidden(r) || strings.ContainsRune(keep, r)) {
			continue
		}
		b.WriteString(s[start:i])
		start = i + size
		if invalid {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	if start == 0 {
		return s
	}
	b.WriteString(s[start:])
	return b.String()
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isHidden reports whether tables and messages escape r.
func isHidden(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return r <= 0x9f || r == '\u00ad' || r >= 0x300 &&
		(unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r))
}

// isActive reports whether r is escaped in JSON: controls, line separators, bidirectional controls, the byte
// order mark and noncharacters. Zero-width joiners are not, because they are part of words and emoji.
func isActive(r rune) bool {
	switch {
	case r < 0x7f:
		return r < ' '
	case r <= 0x9f:
		return true
	case r < 0x61c:
		return false
	}
	return r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonSorter writes canonical JSON: without whitespace, members sorted by the bytes of their names, only the last of
// several members with the same name, numbers spelled as in the input, and escapes in strings only for quotation marks,
// backslashes and characters below U+0020.
type jsonSorter struct {
	members []member
	scratch []byte

	orders map[int][]int // sort order of the last object, by number of members
	moved  []member
}

// member is a member of the object being written.
type member struct {
	name       []byte // decoded
	start, end int    // position in the output
}

// maxDepth is the maximum nesting depth.
const maxDepth = 10_000

var (
	errJSON = errors.New("malformed JSON")
	errDeep = fmt.Errorf("JSON nested deeper than %d", maxDepth)
)

// CanonicalJSON returns the canonical form of a JSON document: see jsonSorter. Malformed JSON and nesting deeper than
// 10,000 are errors.
func CanonicalJSON(doc []byte) ([]byte, error) { return new(jsonSorter).canonical(nil, doc) }

// canonical appends the canonical form of doc to b.
func (s *jsonSorter) canonical(b, doc []byte) ([]byte, error) {
	s.members = s.members[:0]
	b, rest, err := s.value(b, skipSpace(doc), 0)
	if err == nil && len(skipSpace(rest)) > 0 {
		err = errJSON
	}
	return b, err
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// value appends the value at the start of src and returns the rest of src.
func (s *jsonSorter) value(b, src []byte, depth int) (out, rest []byte, err error) {
	switch {
	case len(src) == 0:
		return b, src, errJSON
	case depth > maxDepth:
		return b, src, errDeep
	}
	switch c := src[0]; {
	case c == '{':
		return s.object(b, src[1:], depth)
	case c == '[':
		return s.array(b, src[1:], depth)
	case c == '"':
		b, _, rest, err = appendString(b, src)
		return b, rest, err
	case c == '-' || c >= '0' && c <= '9':
		n := 1
		for n < len(src) && isNumeric(src[n]) {
			n++
		}
		return append(b, src[:n]...), src[n:], nil
	}
	for _, word := range []string{"null", "true", "false"} {
		if rest, ok := bytes.CutPrefix(src, []byte(word)); ok {
			return append(b, word...), rest, nil
		}
	}
	return b, src, errJSON
}

func isNumeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

func (s *jsonSorter) array(b, src []byte, depth int) (out, rest []byte, err error) {
	b = append(b, '[')
	if src = skipSpace(src); len(src) > 0 && src[0] == ']' {
		return append(b, ']'), src[1:], nil
	}
	for {
		if b, src, err = s.value(b, skipSpace(src), depth+1); err != nil {
			return b, src, err
		}
		if src = skipSpace(src); len(src) == 0 {
			return b, src, errJSON
		}
		c := src[0]
		src = src[1:]
		switch c {
		case ']':
			return append(b, ']'), src, nil
		case ',':
			b = append(b, ',')
		default:
			return b, src, errJSON
		}
	}
}

func (s *jsonSorter) object(b, src []byte, depth int) (out, rest []byte, err error) {
	b = append(b, '{')
	if src = skipSpace(src); len(src) > 0 && src[0] == '}' {
		return append(b, '}'), src[1:], nil
	}
	begin, first := len(b), len(s.members)
	sorted := true
	for {
		m := member{start: len(b)}
		if src = skipSpace(src); len(src) == 0 || src[0] != '"' {
			return b, src, errJSON
		}
		if b, m.name, src, err = appendString(b, src); err != nil {
			return b, src, err
		}
		if src = skipSpace(src); len(src) == 0 || src[0] != ':' {
			return b, src, errJSON
		}
		if b, src, err = s.value(append(b, ':'), skipSpace(src[1:]), depth+1); err != nil {
			return b, src, err
		}
		m.end = len(b)
		if n := len(s.members); n > first && bytes.Compare(s.members[n-1].name, m.name) >= 0 {
			sorted = false
		}
		s.members = append(s.members, m)
		if src = skipSpace(src); len(src) == 0 {
			return b, src, errJSON
		}
		c := src[0]
		src = src[1:]
		if c == '}' {
			break
		}
		if c != ',' {
			return b, src, errJSON
		}
		b = append(b, ',')
	}
	if !sorted {
		b = s.sort(b, begin, s.members[first:])
	}
	s.members = s.members[:first]
	return append(b, '}'), src, nil
}

// sort sorts the members that were written to b[begin:].
func (s *jsonSorter) sort(b []byte, begin int, members []member) []byte {
	s.arrange(members)
	base := len(s.scratch)
	s.scratch = append(s.scratch, b[begin:]...)
	written := s.scratch[base:]
	b = b[:begin]
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.name, members[i+1].name) {
			continue
		}
		if len(b) > begin {
			b = append(b, ',')
		}
		b = append(b, written[m.start-begin:m.end-begin]...)
	}
	s.scratch = s.scratch[:base]
	return b
}

// arrange sorts members by name, stably. Documents of one kind list their members in the same order, so the previous
// sort order usually fits the next document.
func (s *jsonSorter) arrange(members []member) {
	if order := s.orders[len(members)]; order != nil {
		s.moved = s.moved[:0]
		for i, from := range order {
			if i > 0 && bytes.Compare(s.moved[i-1].name, members[from].name) >= 0 {
				break
			}
			s.moved = append(s.moved, members[from])
		}
		if len(s.moved) == len(members) {
			copy(members, s.moved)
			return
		}
	}
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return bytes.Compare(members[x].name, members[y].name) })
	s.moved = s.moved[:0]
	for _, from := range order {
		s.moved = append(s.moved, members[from])
	}
	copy(members, s.moved)
	if s.orders == nil || len(s.orders) > maxOrders {
		s.orders = map[int][]int{}
	}
	s.orders[len(members)] = order
}

// maxOrders limits how many sort orders are kept.
const maxOrders = 64

// appendString appends the string at the start of src. It also returns the decoded string and the rest of src.
func appendString(b, src []byte) (out, decoded, rest []byte, err error) {
	i := 1 + plain(src[1:])
	switch {
	case i == len(src) || src[i] < ' ':
		return b, nil, src, errJSON
	case src[i] == '"':
		return append(b, src[:i+1]...), src[1:i], src[i+1:], nil
	}
	return appendEscaped(b, src, i)
}

// plain counts the bytes before the first quotation mark, backslash or control character. It looks at eight bytes at a
// time: most of a document is strings, and verify reads millions of them.
func plain(src []byte) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(src)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(src[i:])
		quote, slash := x^(each*'"'), x^(each*'\\')
		// a borrow can only cause false matches after the first match
		if m := ((quote-each)&^quote | (slash-each)&^slash | (x-each*' ')&^x) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(src); i++ {
		if c := src[i]; c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return i
}

// appendEscaped is appendString for a string whose first backslash is at index i.
func appendEscaped(b, src []byte, i int) (out, decoded, rest []byte, err error) {
	text := slices.Clone(src[1:i])
	for ; ; i++ {
		if i >= len(src) {
			return b, nil, src, errJSON
		}
		c := src[i]
		if c == '"' {
			break
		}
		if c < ' ' {
			return b, nil, src, errJSON
		}
		if c != '\\' {
			text = append(text, c)
			continue
		}
		if i++; i >= len(src) {
			return b, nil, src, errJSON
		}
		if at := bytes.IndexByte([]byte(`"\/bfnrt`), src[i]); at >= 0 {
			text = append(text, "\"\\/\b\f\n\r\t"[at])
			continue
		}
		r, ok := hex4(src[i:])
		if !ok {
			return b, nil, src, errJSON
		}
		i += 4
		if utf16.IsSurrogate(r) {
			var low rune
			if i+2 < len(src) && src[i+1] == '\\' {
				low, _ = hex4(src[i+2:])
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return b, nil, src, errJSON
			}
			i += 6
		}
		text = utf8.AppendRune(text, r)
	}
	b = append(b, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"'), text, src[i+1:], nil
}

// hex4 decodes the uXXXX of an escape.
func hex4(src []byte) (rune, bool) {
	if len(src) < 5 || src[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(src[1:5]), 16, 16)
	return rune(n), err == nil
}

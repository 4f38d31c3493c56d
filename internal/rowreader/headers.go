package rowreader

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/cxgctl/cxgctl/internal/validate"
)

// maxHeader is the length in bytes of the first line that Headers reads.
const maxHeader = 16 << 10

// Headers returns the headers in the first line of a csv or tsv file in UTF-8, and nil for any other file.
func Headers(name string) (list []string) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	head, err := io.ReadAll(io.LimitReader(f, maxHeader))
	line, _, whole := strings.Cut(string(head), "\n")
	if err != nil || !whole || !utf8.ValidString(line) {
		return nil
	}
	for h := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(",;\t|", r) }) {
		list = append(list, validate.Normalize(strings.Trim(validate.Normalize(h), `"`)))
	}
	return list
}

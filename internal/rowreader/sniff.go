package rowreader

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Magic bytes of workbooks.
var (
	zipMagic = []byte("PK\x03\x04")
	oleMagic = []byte{0xd0, 0xcf, 0x11, 0xe0}
)

// check refuses unknown formats.
func (x Format) check() error {
	if x == "" || slices.Contains(Formats, string(x)) {
		return nil
	}
	return fault.New(fault.Validation, "--format: %q is not a format", string(x)).
		WithHint("valid formats: %s", strings.Join(Formats, ", ")).With("valid", Formats)
}

// binary determines by the first bytes whether a file is a workbook.
func (f *File) binary(asked Format, head []byte) (workbook bool, err error) {
	switch {
	case bytes.HasPrefix(head, oleMagic):
		return false, fault.New(fault.Validation, "%s is an old xls workbook or an encrypted one", f.Name).
			WithHint("save it as xlsx without a password, or as csv")
	case bytes.HasPrefix(head, zipMagic) && asked != "" && asked != XLSX:
		return false, fault.New(fault.Validation, "%s is not %s but a zip archive, as xlsx files are", f.Name, asked).WithHint("omit --format")
	case bytes.HasPrefix(head, zipMagic):
		return true, nil
	case asked == XLSX:
		return false, fault.New(fault.Validation, "%s is not an xlsx workbook", f.Name).WithHint("omit --format")
	}
	return false, nil
}

// format returns the requested format, or that of the file's name, or else that of its content.
func (f *File) format(asked Format, head []byte) Format {
	if asked != "" {
		return asked
	}
	name := strings.ToLower(f.Name)
	for _, z := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, z)
	}
	switch ext := filepath.Ext(name); ext {
	case ".csv", ".tsv", ".jsonl", ".json":
		return Format(ext[1:])
	case ".ndjson":
		return JSONL
	}
	line, rest, _ := bytes.Cut(bytes.TrimLeft(head, " \t\r\n"), []byte("\n"))
	switch {
	case bytes.HasPrefix(line, []byte("[")):
		return JSON
	case bytes.HasPrefix(line, []byte("{")):
		var first map[string]json.RawMessage
		whole := json.Unmarshal(line, &first) == nil
		if _, envelope := first["data"]; whole && (!envelope || bytes.HasPrefix(bytes.TrimSpace(rest), []byte("{"))) {
			return JSONL
		}
		return JSON
	case bytes.ContainsRune(line, '\t') && !bytes.ContainsAny(line, ",;"):
		return TSV
	}
	return CSV
}

// delimiters are the detected delimiters, in order of preference.
const delimiters = ",;\t|"

// ParseDelimiter parses --delimiter.
func ParseDelimiter(s string) (byte, error) {
	switch strings.ToLower(s) {
	case "":
		return 0, nil
	case "tab", `\t`:
		return '\t', nil
	}
	if len(s) == 1 && (s[0] > ' ' && s[0] < 0x7f || s[0] == '\t') && s != `"` && s != "'" && !isAlphanumeric(s[0]) {
		return s[0], nil
	}
	return 0, fault.New(fault.Validation, "--delimiter: %q is not a delimiter", s).WithHint("such as ';', '|' or tab")
}

func isAlphanumeric(c byte) bool { return unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) }

// sniff returns the delimiter of the csv that starts with head, and the length of a first line such as "sep=;". Of
// several candidates it picks the one that yields the most known columns.
func sniff(head []byte, n names) (delimiter byte, skip int) {
	line := head
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		line = head[:i+1]
	}
	says := strings.Trim(strings.TrimRight(string(line), "\r\n"), `"`)
	if len(says) == 5 && strings.EqualFold(says[:4], "sep=") {
		return says[4], len(line)
	}
	best, most := byte(','), -1
	for _, c := range []byte(delimiters) {
		fields := strings.Split(strings.TrimRight(string(line), "\r\n"), string(c))
		for i := range fields {
			fields[i] = strings.Trim(fields[i], ` "`)
		}
		score := 0
		if len(fields) > 1 {
			score = len(fields) + 1000*n.known(fields)
		}
		if score > most {
			best, most = c, score
		}
	}
	return best, 0
}

// guessEncoding returns the most likely encoding of text that is not UTF-8.
func guessEncoding(sample []byte) string {
	zeros := [2]int{}
	for i, c := range sample {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case zeros[1] > len(sample)/8:
		return "utf-16le"
	case zeros[0] > len(sample)/8:
		return "utf-16be"
	}
	if i := bytes.LastIndexByte(sample, '\n'); i > 0 {
		sample = sample[:i] // do not cut a character in half
	}
	hangul := func(r rune) bool { return unicode.Is(unicode.Hangul, r) }
	kana := func(r rune) bool { return r >= '\u3040' && r <= '\u30ff' }
	switch {
	case isIn(korean.EUCKR, sample, hangul):
		return "cp949"
	case isIn(japanese.ShiftJIS, sample, kana):
		return "shift_jis"
	}
	return "windows-1252"
}

// isIn reports whether text is valid in an encoding and contains some of its letters.
func isIn(e encoding.Encoding, text []byte, letter func(rune) bool) bool {
	decoded, err := e.NewDecoder().Bytes(text)
	return err == nil && !bytes.ContainsRune(decoded, '\uFFFD') && bytes.ContainsFunc(decoded, letter)
}

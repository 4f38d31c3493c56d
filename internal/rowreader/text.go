package rowreader

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// aliases are common names that the encoding standard's labels lack.
var aliases = map[string]encoding.Encoding{
	"cp949":  korean.EUCKR, // x/text's EUC-KR is code page 949
	"ms949":  korean.EUCKR,
	"uhc":    korean.EUCKR,
	"utf-16": unicode.UTF16(unicode.LittleEndian, unicode.UseBOM),
	"utf16":  unicode.UTF16(unicode.LittleEndian, unicode.UseBOM),
}

// charset returns the encoding with this name; nil is UTF-8.
func charset(name string) (encoding.Encoding, error) {
	lower := strings.ToLower(strings.TrimSpace(name))
	if lower == "" || lower == "utf-8" || lower == "utf8" {
		return nil, nil
	}
	if e, ok := aliases[lower]; ok {
		return e, nil
	}
	e, err := htmlindex.Get(lower)
	if err != nil {
		return nil, fault.New(fault.Validation, "unknown encoding %q", name).
			WithHint("such as utf-8, utf-16, cp949, euc-kr, shift_jis, windows-1252")
	}
	return e, nil
}

// decode converts text to UTF-8 without a byte order mark. It also returns the name of the encoding for messages, or
// "" if the bytes pass unchanged and may still be invalid UTF-8.
func decode(r io.Reader, name string) (io.Reader, string, error) {
	e, err := charset(name)
	if err != nil {
		return nil, "", err
	}
	b := bufio.NewReaderSize(r, 4096)
	head, err := b.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fault.New(fault.FileCode(err), "the file cannot be read: %s", err).Because(err)
	}
	if e == nil && (bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff})) {
		e, name = aliases["utf-16"], "utf-16"
	}
	if e == nil {
		if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
			_, err = b.Discard(3)
		} else {
			err = nil
		}
		return b, "", err
	}
	return transform.NewReader(b, unicode.BOMOverride(e.NewDecoder())), name, nil
}

// lines reads physical lines with their line ends, and can unread some.
type lines struct {
	r       *bufio.Reader
	charset string
	back    []byte // to be read before r
	line    int64  // number of the last line read, from 1
	buf     []byte
}

// errTooLong is returned for a line longer than the maximum record. The rest of the line is skipped.
var errTooLong = errors.New("line too long")

// next returns a line with its line end, valid until the next call, or io.EOF. The last line may have no line end.
func (l *lines) next() ([]byte, error) {
	if len(l.back) > 0 {
		line := l.back
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
			l.back = l.back[i+1:]
			l.line++
			return line, nil
		}
		// the line continues in the unread input
		rest, err := l.read(append([]byte{}, line...))
		l.back = nil
		return rest, err
	}
	return l.read(l.buf[:0])
}

func (l *lines) read(buf []byte) ([]byte, error) {
	l.buf = buf
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf) <= MaxRecord {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, fault.New(fault.Validation, "the compressed file is truncated after line %d", l.line).Because(err)
			}
			return nil, fault.New(fault.FileCode(err), "the file cannot be read beyond line %d: %s", l.line, err).Because(err)
		case len(l.buf) == 0:
			return nil, io.EOF
		}
		l.line++
		if len(l.buf) > MaxRecord {
			return l.buf, errTooLong
		}
		return l.buf, nil
	}
}

// unread returns the text after a record's first line to the input.
func (l *lines) unread(text []byte, line int64) {
	l.back = append(append([]byte{}, text...), l.back...)
	l.line = line
}

// firstInvalid returns the offset and a description of the first NUL or invalid character, or -1.
func firstInvalid(b []byte, charset string) (int, string) {
	nul := bytes.IndexByte(b, 0)
	if charset != "" {
		if i := bytes.Index(b, []byte("\uFFFD")); i >= 0 && (nul < 0 || i < nul) {
			return i, "a byte here is not a character in " + charset
		}
	} else if !utf8.Valid(b) {
		i := 0
		for i < len(b) {
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			i += n
		}
		if nul < 0 || i < nul {
			return i, fmt.Sprintf("the byte 0x%02X is not valid UTF-8", b[i])
		}
	}
	if nul >= 0 {
		return nul, aNUL
	}
	return -1, ""
}

const aNUL = "a NUL character"

// column returns the number of the character at offset i, counted within its line.
func column(record []byte, i int) int {
	from := bytes.LastIndexByte(record[:i], '\n') + 1
	return utf8.RuneCount(record[from:i]) + 1
}

// printable returns b with invalid characters replaced by U+FFFD.
func printable(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}

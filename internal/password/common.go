package password

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

// commonest contains the 10,000 most common passwords in lower case, one per line, most frequent first. It is zxcvbn's
// list, which was compiled from leaks. Importing that module would build maps of all its lists at program start; a
// test compares both lists.
//
//go:embed commonest.txt.gz
var commonest []byte

// list returns the uncompressed list, with a newline before and after each password.
var list = sync.OnceValues(func() (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(commonest))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
})

// common reports whether a password is one of the most common, ignoring case.
func common(pw string) (bool, error) {
	text, err := list()
	return strings.Contains(text, "\n"+strings.ToLower(pw)+"\n"), err
}

package password

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

// commonest are the 10,000 commonest passwords in small letters, a line each, in the order of how often they were found: the
// list is zxcvbn's, which comes from leaked ones. It is carried here since that module, which the test holds
// this to, makes maps of all its lists at every start of the program.
//
//go:embed commonest.txt.gz
var commonest []byte

// list returns them, once, with a line end before each too.
var list = sync.OnceValues(func() (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(commonest))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
})

// common says whether a password is one of the commonest, in whatever case.
func common(pw string) (bool, error) {
	text, err := list()
	return strings.Contains(text, "\n"+strings.ToLower(pw)+"\n"), err
}

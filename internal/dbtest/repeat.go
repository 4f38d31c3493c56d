package dbtest

import "os"

// Repeat is how often a test does again what it is about: full where CI is set, and quick elsewhere. Chance and
// combinations need many rounds to prove anything, and the one who waits for `make test` needs an answer.
func Repeat(full, quick int) int {
	if os.Getenv("CI") != "" {
		return full
	}
	return quick
}
